"""What a store holds, what of it may go, and what several processes do to it without a lock."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depthgauge.core.errors import CorruptEntry, StoreUnusable, UsageError
from depthgauge.core.plain import canonical_json, digest
from depthgauge.history import unused
from depthgauge.sources.folder import fingerprint
from depthgauge.store import folders, inventory, measurements
from depthgauge.store.folders import MANIFEST, Store
from tests.processes import ROOT, refused

LONG_AGO = 1_000_000_000


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", run="this run")


def put(store, kind, description, text="hello", used=None):
    """An entry, last used when it is said."""
    name = "model.safetensors" if kind in unused.MODELS else "arrays.npz"
    folder = store.get_or_create(kind, description, lambda staging_dir: (staging_dir / name).write_text(text))
    if used is not None:
        os.utime(folder / MANIFEST, (used, used))
    return folder


def report(place, *rows):
    place.mkdir(parents=True, exist_ok=True)
    (place / "report.json").write_text(json.dumps({"verdicts": [{"evidence": list(rows)}]}))


def keys(found):
    return {entry.key for entry in found}


def of(*descriptions):
    """The keys of what was put under these names."""
    return set(map(digest, descriptions))


def test_entries_say_what_they_are_how_large_and_when_they_were_used(store):
    put(store, "measurements", "m", "x" * 100, used=LONG_AGO)
    described = put(store, "measurements", {"probe": "sinks"})
    found = {entry.key: entry for entry in inventory.entries(store)}

    assert (found[digest("m")].bytes, found[digest("m")].used, found[digest("m")].of) == (100, LONG_AGO, "measurements")
    probe = found[digest({"probe": "sinks"})]
    assert probe.of == "sinks" and probe.used == pytest.approx((described / MANIFEST).stat().st_mtime)
    assert "2 entries" in inventory.contents(store)
    assert inventory.contents(Store(store.root / "none", run="here")).endswith("holds nothing")


def test_every_kind_that_is_made_is_listed():
    """A kind that nobody lists would never be collected, nor sent."""
    code = "".join(path.read_text() for path in (ROOT / "harness").rglob("*.py"))

    assert set(re.findall(r'\.get_or_create\("(\w+)"', code)) | {measurements.KIND} == set(folders.KINDS)


def test_use_is_noted(store):
    put(store, "measurements", "m", used=LONG_AGO)
    store.finished("measurements", digest("m"))

    assert next(inventory.entries(store)).used > time.time() - 60


def test_what_a_report_or_an_accepted_baseline_names_stays_and_what_was_just_used_too(store, tmp_path):
    named = put(store, "checkpoints", "a", "named", used=LONG_AGO)
    accepted = put(store, "merged", "b", "accepted", used=LONG_AGO)
    for kind, key, used in (
        ("checkpoints", "c", LONG_AGO), ("measurements", "d", LONG_AGO), ("measurements", "e", LONG_AGO),
        ("measurements", "f", None),
    ):  # fmt: skip
        put(store, kind, key, key, used)
    report(tmp_path / "reports" / "grpo", {"checkpoint": fingerprint(named), "key": digest("d")})
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "main.json").write_text(json.dumps({"accepted": {"fingerprint": fingerprint(accepted)}}))

    listed = unused.collect(store, tmp_path / "reports", tmp_path / "baselines", 30, delete=False)
    assert listed.startswith("2 entries") and len(keys(inventory.entries(store))) == 6
    unused.collect(store, tmp_path / "reports", tmp_path / "baselines", 30, delete=True)
    assert keys(inventory.entries(store)) == of("a", "b", "d", "f")
    assert not list((store.root / "trash").iterdir())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=8), st.data())
def test_nothing_that_is_reachable_is_ever_deleted(tmp_path_factory, made, data):
    place = tmp_path_factory.mktemp("gc")
    store, rows, needed = Store(place / "store", run="here"), [], set()
    for number, (is_checkpoint, is_named, is_old) in enumerate(made):
        kind = "checkpoints" if is_checkpoint else "measurements"
        folder = put(store, kind, number, f"content {number}", used=LONG_AGO if is_old else None)
        if is_named:
            rows.append({"checkpoint": fingerprint(folder)} if is_checkpoint else {"key": folder.name})
        if is_named or not is_old:
            needed.add(folder.name)
    depth = data.draw(st.integers(0, 3))
    report(Path(place / "reports", *"abc"[:depth]), *rows)
    unused.collect(store, place / "reports", place / "baselines", 1, delete=True)

    assert keys(inventory.entries(store)) == needed


def test_a_limit_of_size_takes_the_least_recently_used_that_nothing_names(store, tmp_path):
    for place, key in enumerate(("oldest", "named", "newer", "newest")):
        put(store, "measurements", key, "x" * 100, used=time.time() - 10 * 86_400 + place)
    put(store, "measurements", "today", "x" * 100)
    report(tmp_path / "reports", {"key": digest("named")})
    named = unused.named_in(tmp_path / "reports", tmp_path / "baselines")

    assert keys(unused.unneeded(store, named, 30, most_bytes=350)) == of("oldest", "newer")
    assert keys(unused.unneeded(store, named, 30, most_bytes=500)) == set()
    assert keys(unused.unneeded(store, named, 30, most_bytes=0)) == of("oldest", "newer", "newest")
    said = unused.collect(store, tmp_path / "reports", tmp_path / "baselines", 30, delete=True, most_gib=350 / 2**30)
    assert said.startswith("2 entries") and keys(inventory.entries(store)) == of("named", "newest", "today")


def test_a_store_of_another_layout_is_refused_and_nothing_is_lost(store):
    put(store, "measurements", "m")
    (store.root / "layout").write_text("1")
    with refused(StoreUnusable, "layout '1'", "'2'", "--store"):
        Store(store.root, run="here")
    assert (store.root / "measurements" / digest("m")).is_dir()


def test_a_report_that_cannot_be_read_stops_the_collection_and_nothing_is_lost(store, tmp_path):
    put(store, "measurements", "a", used=LONG_AGO)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "report.json").write_text('{"verdicts": [')

    with refused(UsageError, code="unreadable"):
        unused.collect(store, tmp_path / "reports", tmp_path / "baselines", 30, delete=True)
    assert keys(inventory.entries(store)) == of("a")


def test_what_a_run_uses_or_took_up_since_it_was_listed_stays(store):
    put(store, "measurements", "a", used=LONG_AGO)
    (entry,) = unused.unneeded(store, set(), 30)
    with store.locked("measurements", digest("a"), wait=True):
        assert not inventory.discard(store, entry)
    store.finished("measurements", digest("a"))
    assert not inventory.discard(store, entry)
    assert keys(inventory.entries(store)) == of("a")


def test_staging_folders_that_were_left_long_ago_are_cleared(store, tmp_path):
    put(store, "measurements", "m")
    old, new = (store.root / "staging" / f"measurements-{name}" for name in ("old", "new"))
    for staging_dir in (old, new):
        staging_dir.mkdir(parents=True)
        (staging_dir / "part").write_text("")
    for path in (old / "part", old):
        os.utime(path, (LONG_AGO, LONG_AGO))
    unused.collect(store, tmp_path / "reports", tmp_path / "baselines", 30, delete=True)

    assert not old.exists() and new.exists()


def test_damage_is_named_and_the_rest_is_left(store):
    put(store, "measurements", "good")
    (put(store, "measurements", "bad") / "arrays.npz").write_text("hellO")

    (sentence,) = inventory.damaged(store)
    assert f"{digest('bad')} is corrupt at arrays.npz" in sentence


def sealed_text(description):
    """The manifest of a measurement without files."""
    listed = {"layout": folders.LAYOUT, "kind": "measurements", "description": description, "files": {}}
    return json.dumps(listed | {"checksum": hashlib.sha256(canonical_json(listed)).hexdigest()})


def test_ten_thousand_entries_are_listed(store):
    for number in range(10_000):
        description = {"probe": "sinks", "number": number}
        folder = store.root / "measurements" / digest(description)
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text(sealed_text(description))

    assert re.search(r"measurements +sinks +10000 ", inventory.contents(store))


# -- processes that no lock keeps apart ---

WITHOUT_LOCKS = """
import sys, time
from contextlib import nullcontext
from pathlib import Path
from depthgauge.store.folders import Store

class Unlocked(Store):
    def locked(self, kind, key, wait):
        return nullcontext()

def make(key):
    def fill(staging_dir):
        (staging_dir / "first").write_text(key * 1000)
        time.sleep(0.001)
        (staging_dir / "second").write_text(key[::-1] * 1000)
    return fill

store = Unlocked(Path(sys.argv[1]), run=sys.argv[2])
print("ready", flush=True)
for number in range(200):
    key = f"{number:016x}"
    store.get_or_create("measurements", key, make(key))
"""


def test_eight_processes_without_locks_make_two_hundred_entries_whole_however_they_are_killed(tmp_path):
    """As machines on a network file system whose locks do not hold."""
    rng = random.Random(0)

    def start(number):
        return subprocess.Popen(
            [sys.executable, "-c", WITHOUT_LOCKS, tmp_path, f"run {number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    workers = [start(number) for number in range(8)]
    for worker in workers[:6]:
        worker.stdout.readline()
    for worker in workers[:6]:
        time.sleep(rng.uniform(0, 0.05))
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    workers = [*workers[6:], *(start(number) for number in range(8, 14))]
    for worker in workers:
        _, error = worker.communicate()
        assert worker.returncode == 0, error[-2000:]

    store = Store(tmp_path, run="after")
    assert keys(inventory.entries(store)) == of(*(f"{number:016x}" for number in range(200)))
    assert list(inventory.damaged(store)) == []
    for entry in inventory.entries(store):
        folder = store.folder(entry.kind, entry.key)
        name = folders.read_manifest(folder).description
        assert (folder / "first").read_text() == name * 1000
        assert (folder / "second").read_text() == name[::-1] * 1000


# -- the command ---


def test_the_command_lists_verifies_and_collects(store, tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "depthgauge", "store", *arguments, "--store", store.root],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip

    folder = put(store, "measurements", "0" * 16, used=LONG_AGO)
    assert "1 entries, 0.0 MiB" in run("ls").stdout
    assert run("verify").returncode == 0
    assert "--delete deletes them" in run("gc").stdout and folder.is_dir()
    (folder / "arrays.npz").write_text("hellO")
    os.utime(folder / MANIFEST, (LONG_AGO, LONG_AGO))
    assert run("verify").returncode == 1
    assert "are deleted" in run("gc", "--delete").stdout and not folder.exists()


def test_an_entry_whose_manifest_is_lost_is_listed_and_not_taken_for_a_named_one(store):
    folder = put(store, "checkpoints", "a")
    (folder / MANIFEST).unlink()
    (entry,) = inventory.entries(store)

    assert entry.bytes == 0 and not unused.is_named(store, entry, {fingerprint(folder)})
    with pytest.raises(CorruptEntry):
        store.finished("checkpoints", digest("a"))
