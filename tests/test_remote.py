"""A store's entries at an address: a folder, and a real server of the S3 protocol."""

import hashlib
import json
import os
import subprocess
import sys
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from depthgauge.core.errors import CorruptEntry, StoreUnusable, UsageError
from depthgauge.core.plain import canonical_json, digest
from depthgauge.store.folders import LAYOUT, MANIFEST, Store, sha256
from depthgauge.store.inventory import entries
from depthgauge.store.remote import pull, push, store_at
from tests.processes import ROOT, refusal, refused, rows

NUMBERS = range(4)
KEYS = [digest(number) for number in NUMBERS]


def filled(place, numbers=NUMBERS):
    store = Store(place, run="here")
    for number in numbers:
        store.get_or_create("measurements", number, lambda staging_dir, number=number: write(staging_dir, number))
    return store


def write(staging_dir, number):
    (staging_dir / "number").write_text(str(number))
    (staging_dir / "below").mkdir()
    (staging_dir / "below" / "more.bin").write_bytes(bytes(range(256)))


def quiet(line):
    pass


@pytest.fixture(scope="module")
def s3():
    """The address of a bucket on a server of this process."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="team")
        yield "s3://team/store"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def address(request, tmp_path):
    return str(tmp_path / "shared") if request.param == "folder" else request.getfixturevalue("s3") + f"/{uuid4()}"


def test_what_is_pushed_is_pulled_whole_and_nothing_is_sent_or_brought_twice(address, tmp_path):
    one, other = filled(tmp_path / "one"), filled(tmp_path / "other", NUMBERS[:1])
    assert push(one, address, quiet) == 4 and push(one, address, quiet) == 0
    assert pull(other, address, quiet) == 3 and pull(other, address, quiet) == 0

    for entry in entries(one):
        mine, its = (store.folder(entry.kind, entry.key) for store in (one, other))
        other.verify(its)
        assert {p.relative_to(mine): p.read_bytes() for p in mine.rglob("*") if p.is_file()} == {
            p.relative_to(its): p.read_bytes() for p in its.rglob("*") if p.is_file()
        }


def test_an_entry_without_its_manifest_is_not_whole_yet_and_is_sent_again(address, tmp_path):
    from fsspec.core import url_to_fs

    store = filled(tmp_path / "one", NUMBERS[:1])
    push(store, address, quiet)
    system, root = url_to_fs(address)
    system.rm(f"{root}/measurements/{KEYS[0]}/{MANIFEST}")
    system.invalidate_cache()

    assert pull(filled(tmp_path / "other", []), address, quiet) == 0
    assert push(store, address, quiet) == 1


def test_what_was_damaged_there_is_not_kept_here(address, tmp_path):
    from fsspec.core import url_to_fs

    push(filled(tmp_path / "one", NUMBERS[:1]), address, quiet)
    system, root = url_to_fs(address)
    system.pipe_file(f"{root}/measurements/{KEYS[0]}/below/more.bin", b"other bytes")
    other = filled(tmp_path / "other", [])

    with refused(CorruptEntry, "below/more.bin", code="content"):
        pull(other, address, quiet)
    assert list(entries(other)) == []


def test_a_manifest_that_names_files_elsewhere_is_refused(tmp_path):
    store = filled(tmp_path / "shared", NUMBERS[:1])
    folder = store.folder("measurements", KEYS[0])
    (tmp_path / "shared" / "stolen").write_text("theirs")
    outside = {
        "layout": LAYOUT,
        "kind": "measurements",
        "description": 0,
        "files": {"../../stolen": {"bytes": 6, "sha256": sha256(tmp_path / "shared" / "stolen")}},
    }
    text = canonical_json(outside)
    (folder / MANIFEST).write_text(json.dumps(outside | {"checksum": hashlib.sha256(text).hexdigest()}))

    with refused(CorruptEntry, "manifest.json"):
        pull(filled(tmp_path / "one", []), str(tmp_path / "shared"), quiet)
    assert not (tmp_path / "one" / "staging" / "stolen").exists()


@pytest.mark.parametrize(
    "address, kind, why",
    [
        ("s3://nobody/store", StoreUnusable, "cannot be used"),
        ("strange://x", UsageError, "is no address of a store"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(s3, tmp_path, address, kind, why):
    with pytest.raises(kind, match=why):
        push(filled(tmp_path / "one"), address, quiet)


def test_without_its_package_what_to_install_is_named(tmp_path):
    with refused(UsageError, "gcsfs"):
        push(filled(tmp_path / "one"), "gs://team/store", quiet)


@pytest.mark.heavy
@pytest.mark.parametrize("executor", [(), ("--executor=local", "--workers=2")])
def test_runs_on_two_machines_share_a_store_at_an_address(depthgauge, place, s3, executor):
    address = f"{s3}/{uuid4()}"
    suite, options = (
        ROOT / "suites" / "depthgauge_suites" / "articles" / "test_weights.py",
        ("--method=grpo", f"--store={address}", *executor),
    )
    one = depthgauge(*options, suite=suite, reports="one", XDG_CACHE_HOME=str(place / "one's cache"))
    other = depthgauge(*options, suite=suite, reports="other", XDG_CACHE_HOME=str(place / "other's cache"))
    again = depthgauge(*options, suite=suite, reports="again", XDG_CACHE_HOME=str(place / "one's cache"))

    assert "measuring" in one.stdout and "training grpo" in one.stdout
    assert f"store {address}, by way of" in other.stdout and "trained already: grpo" in other.stdout
    assert "measuring" not in other.stdout + again.stdout and "training grpo" not in other.stdout + again.stdout
    verdicts = [rows(place, "grpo", reports)["verdicts"] for reports in ("one", "other", "again")]
    assert verdicts[0] == verdicts[1] == verdicts[2]


def test_whether_an_entry_is_at_the_address_is_told_without_bringing_it(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    address = f"{s3}/{uuid4()}"
    push(filled(tmp_path / "one", NUMBERS[:1]), address, quiet)
    store = store_at(address, run="here")

    assert [store.has("measurements", key) for key in KEYS[:2]] == [True, False]
    assert list(entries(store)) == []
    folder = store.get_or_create("measurements", NUMBERS[0], lambda staging_dir: pytest.fail("it was made anew"))
    assert (folder / "below" / "more.bin").read_bytes() == bytes(range(256))


def test_what_is_damaged_at_the_address_is_not_taken(s3, tmp_path, monkeypatch):
    from fsspec.core import url_to_fs

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    address = f"{s3}/{uuid4()}"
    push(filled(tmp_path / "one", NUMBERS[:1]), address, quiet)
    system, root = url_to_fs(address)
    system.pipe_file(f"{root}/measurements/{KEYS[0]}/below/more.bin", b"other bytes")
    store = store_at(address, run="here")

    with refused(CorruptEntry, "below/more.bin", code="content"):
        store.finished("measurements", KEYS[0])
    assert list(entries(store)) == []


def test_an_address_that_refuses_ends_a_run_before_anything_is_made(depthgauge, place, s3):
    done = depthgauge("--method=grpo", "--store=s3://nobody/store", XDG_CACHE_HOME=str(place / "cache"))
    assert done.returncode == 4 and "s3://nobody/store cannot be used" in refusal(done)
    assert "training" not in done.stdout


def test_the_first_that_is_whole_there_is_kept(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    address = f"{s3}/{uuid4()}"
    one = store_at(address, run="one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    other = store_at(address, run="other")

    def make(staging_dir):
        (staging_dir / "weights").write_text("the other's")
        one.get_or_create("checkpoints", "k", lambda mine: (mine / "weights").write_text("the first's"))

    assert (other.get_or_create("checkpoints", "k", make) / "weights").read_text() == "the other's"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third"))
    third = store_at(address, run="third").finished("checkpoints", digest("k"))
    assert (third / "weights").read_text() == "the first's"


@pytest.mark.parametrize(
    "environment, said",
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect"),
        ({"AWS_PROFILE": "nobody"}, "profile (nobody) could not be found"),
    ],
)
def test_what_the_protocols_library_raises_is_one_sentence(s3, tmp_path, environment, said):
    here = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "AWS_MAX_ATTEMPTS": "1"} | environment
    ask = "from depthgauge.store.remote import store_at; store_at('s3://team/x', run='x')"
    done = subprocess.run([sys.executable, "-c", ask], env=here, capture_output=True, text=True, check=False)
    assert "StoreUnusable: s3://team/x cannot be used (" in done.stderr and said in done.stderr


@pytest.mark.parametrize("command", [["store", "ls"], ["fingerprint", "x"]])
def test_what_needs_a_folder_takes_no_address(command):
    call = [sys.executable, "-m", "depthgauge", *command, "--store", "s3://team/x"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "depthgauge store pull s3://team/x" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_with_another_layout_is_refused(s3, tmp_path, monkeypatch):
    from fsspec.core import url_to_fs

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    address = f"{s3}/{uuid4()}"
    store_at(address, run="first")
    store_at(address, run="again")
    system, root = url_to_fs(address)
    system.pipe_file(f"{root}/layout", b"99")
    with refused(StoreUnusable, address, "'99'"):
        store_at(address, run="last")


def test_the_command_pushes_and_pulls_one_kind(tmp_path):
    store, shared = filled(tmp_path / "one"), tmp_path / "shared"
    store.get_or_create("checkpoints", "f", lambda staging_dir: (staging_dir / "config.json").write_text("{}"))

    def run(command, place, *options):
        done = subprocess.run(
            [sys.executable, "-m", "depthgauge", "store", command, shared, "--store", place, *options],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "4 entries sent" in run("push", store.root, "--kind", "measurements")
    assert "1 entries sent" in run("push", store.root)
    assert "5 entries brought" in run("pull", tmp_path / "other")
