"""The store: made once, whole or not at all."""

import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from depthgauge.core.errors import (
    CorruptEntry,
    NotTestable,
    StatisticUndefined,
    StoreUnusable,
    TrainingFailed,
    TrainingUnhealthy,
)
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.store import folders
from depthgauge.store.folders import Busy, Store, check_writable
from depthgauge.store.measurements import described, measure, read
from tests.processes import refused

K = digest("k")  # the key of what "k" describes


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", run="this run")


def write_hello(staging_dir: Path) -> None:
    (staging_dir / "hello.txt").write_text("hello")


def test_an_entry_is_made_once(store):
    made = []

    for _ in range(3):
        folder = store.get_or_create("checkpoints", "k", lambda staging_dir: (made.append(1), write_hello(staging_dir)))

    assert len(made) == 1
    assert (folder / "hello.txt").read_text() == "hello"
    assert store.finished("checkpoints", K) == folder


GET_OR_CREATE = """
import sys, time
from pathlib import Path
from depthgauge.store.folders import Busy, Store, check_writable

def make(staging_dir):
    with open(sys.argv[2], "a") as file:
        file.write("x")
    time.sleep(0.5)
    (staging_dir / "hello.txt").write_text("hello")

Store(Path(sys.argv[1]), run="one").get_or_create("checkpoints", "k", make)
"""


def test_four_processes_make_an_entry_once(tmp_path):
    command = [sys.executable, "-c", GET_OR_CREATE, str(tmp_path / "store"), str(tmp_path / "counter")]
    workers = [subprocess.Popen(command) for _ in range(4)]

    assert [worker.wait() for worker in workers] == [0] * 4
    assert (tmp_path / "counter").read_text() == "x"


def test_a_failure_leaves_nothing_finished_and_is_not_tried_again_in_the_same_run(store, tmp_path):
    tried = []

    def fail(staging_dir):
        tried.append(1)
        write_hello(staging_dir)
        raise TrainingUnhealthy("training 'x' is unhealthy: collapse.")

    with pytest.raises(TrainingUnhealthy):
        store.get_or_create("checkpoints", "k", fail)
    with pytest.raises(TrainingFailed, match="collapse. .It failed earlier in this run"):
        store.get_or_create("checkpoints", "k", fail)

    assert len(tried) == 1
    assert store.finished("checkpoints", K) is None
    with pytest.raises(TrainingUnhealthy):
        Store(tmp_path / "store", run="the next run").get_or_create("checkpoints", "k", fail)
    assert len(tried) == 2


class Killed(BaseException):
    """Stands for SIGKILL at one chosen place."""


@pytest.mark.parametrize(
    "place, again",
    [("depthgauge.store.folders.write_manifest", 1), ("depthgauge.store.folders.os.replace", 1), ("shutil.rmtree", 0)],
)
def test_a_kill_in_the_last_moments_leaves_what_the_next_run_can_finish(store, monkeypatch, place, again):
    def make(staging_dir: Path) -> None:
        (staging_dir / ".trainer").mkdir(exist_ok=True)
        (staging_dir / ".trainer" / "state").write_text("s" * len(attempts))
        write_hello(staging_dir)
        attempts.append(1)

    def kill(*args, **kwargs):
        raise Killed

    attempts: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(place, kill)
        with pytest.raises(Killed):
            store.get_or_create("checkpoints", "k", make, resume=True)
    folder = store.get_or_create("checkpoints", "k", make, resume=True)

    store.verify(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["hello.txt", "manifest.json"]
    assert len(attempts) == 1 + again


def test_what_cannot_be_made_says_so_to_everyone_who_asks(store):
    def cannot(staging_dir):
        raise NotTestable("there is no layer 18")

    for _ in range(2):
        with pytest.raises(NotTestable, match="there is no layer 18$"):
            store.get_or_create("checkpoints", "k", cannot)


@pytest.mark.parametrize("verdict", [NotTestable, StatisticUndefined])
def test_what_cannot_be_measured_is_asked_once_and_says_so_to_everyone_who_asks(store, verdict):
    checkpoint = Checkpoint(name="c", seed=0, folder=store.root, fingerprint="f")
    asked = []

    def cannot():
        asked.append(1)
        raise verdict("there is no layer 18")

    description = described(checkpoint, "probe", 1, {})
    found = [measure(one, description, cannot) for one in (store, Store(store.root, run="the next run"))]

    assert len(asked) == 1
    assert [(one.not_testable_reason, one.arrays) for one in found] == 2 * [("there is no layer 18", {})]
    assert read(store, found[0].key).not_testable_reason == "there is no layer 18"


def test_a_second_manifest_is_not_sealed_into_itself(store):
    """A kill between sealing and renaming leaves a manifest in the staging folder, which the next attempt must not
    list.
    """

    def make(staging_dir: Path) -> None:
        (staging_dir / "manifest.json").write_text("{}")
        write_hello(staging_dir)

    store.verify(store.get_or_create("checkpoints", "k", make, resume=True))


def test_a_staging_folder_is_cleared_unless_it_may_be_resumed(store):
    def stop(staging_dir):
        (staging_dir / ".state").write_text("half")
        raise Killed

    seen = []
    for resume in (True, False):
        with pytest.raises(Killed):
            store.get_or_create("checkpoints", str(resume), stop, resume=resume)
        store.get_or_create(
            "checkpoints",
            str(resume),
            lambda staging_dir: (seen.append((staging_dir / ".state").exists()), write_hello(staging_dir)),
            resume=resume,
        )

    assert seen == [True, False]
    assert not (store.folder("checkpoints", digest("True")) / ".state").exists()


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_a_damaged_entry_is_named_with_the_way_out(store, damage):
    folder = store.get_or_create("checkpoints", "k", write_hello)
    if damage == "truncate":
        (folder / "hello.txt").write_text("hel")
    elif damage == "remove":
        (folder / "hello.txt").unlink()
    else:
        (folder / "manifest.json").write_text("{")

    with refused(CorruptEntry, code="content"):
        store.finished("checkpoints", K)


def test_verify_sees_a_flipped_byte(store):
    folder = store.get_or_create("checkpoints", "k", write_hello)
    store.verify(folder)
    (folder / "hello.txt").write_text("jello")

    with refused(CorruptEntry, "hello.txt"):
        store.verify(folder)


def test_a_store_that_is_a_file_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")

    with refused(StoreUnusable, "--store"):
        check_writable(tmp_path / "file" / "store", "--store")
    with refused(StoreUnusable, "--report-dir"):
        check_writable(tmp_path / "file", "--report-dir")


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: (folder / "big").write_bytes(b"x" * 5000),
        lambda folder: np.savez(folder / "big.npz", x=np.zeros(5000)),
        lambda folder: save_file({"x": np.zeros(5000)}, folder / "big.safetensors"),
        lambda folder: torch.save(torch.zeros(5000), folder / "big.pt"),
    ],
    ids=["bytes", "numpy", "safetensors", "torch"],
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing_finished(store, write):
    def write_much(staging_dir: Path) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            write(staging_dir)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    with pytest.raises(StoreUnusable, match="cannot be written .*: make room there, or choose another folder"):
        store.get_or_create("checkpoints", "k", write_much)

    assert store.finished("checkpoints", K) is None


TRY = """
import sys
from pathlib import Path
from depthgauge.store.folders import Busy, Store

try:
    Store(Path(sys.argv[1]), run="r").get_or_create("checkpoints", "k", print, wait=False)
except Busy as error:
    print(error)
"""


def test_an_entry_in_the_making_need_not_be_waited_for(store):
    seen = []

    def try_from_elsewhere(staging_dir: Path) -> None:
        command = [sys.executable, "-c", TRY, str(store.root)]
        seen.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        write_hello(staging_dir)

    store.get_or_create("checkpoints", "k", try_from_elsewhere)

    assert seen == [f"another process is making checkpoints {K}"]


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_a_measurement_reads_back_as_it_was_taken_and_is_taken_once(tmp_path_factory, values):
    store = Store(tmp_path_factory.mktemp("m"), run="r")
    checkpoint = Checkpoint(name="c", seed=0, folder=store.root, fingerprint="f")
    taken = []

    def run():
        taken.append(1)
        return {"x": np.array(values), "text": np.array(["ä<b>|", "\n"])}

    first = measure(store, described(checkpoint, "probe", 1, {"steps": 80}), run)
    second = measure(store, described(checkpoint, "probe", 1, {"steps": 80}), run)

    assert len(taken) == 1
    assert np.array_equal(second.arrays["x"], np.array(values)) and list(second.arrays["text"]) == ["ä<b>|", "\n"]
    assert (first.key, second.parameters) == (second.key, {"steps": 80})
    assert measure(store, described(checkpoint, "probe", 2, {"steps": 80}), run).key != first.key
    assert read(store, first.key).probe == "probe"


@pytest.mark.heavy
def test_twenty_kills_at_random_moments_change_nothing(tiny_base, tmp_path):
    """kill -9 while training or measuring: the next run ends with the weights, log and scores of one left alone."""

    def run(store: Path, kills: int) -> dict:
        script = Path(__file__).with_name("kill_target.py")
        root = Path(__file__).parents[1]
        done = subprocess.run(
            [sys.executable, script, tiny_base, store, str(kills)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(root)},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    alone, killed = run(tmp_path / "alone", 0), run(tmp_path / "killed", 20)

    assert sum(killed["killed"].values()) == 20 and min(killed["killed"].values()) >= 3
    assert len(alone["outcomes"]) == 1
    assert all(outcome == alone["outcomes"][0] for outcome in killed["outcomes"])


def test_work_that_takes_the_whole_machine_is_done_alone(tmp_path):
    store = Store(tmp_path, run="here")
    with store.exclusive("training"), pytest.raises(Busy), store.locked("exclusive", "training", wait=False):
        pass
    with store.exclusive("training"):
        pass


def test_a_large_file_is_hashed_once_until_it_changes(tmp_path, monkeypatch):
    path, read = tmp_path / "weights", []
    path.write_bytes(bytes(folders.LARGE))
    digest_of = hashlib.file_digest
    monkeypatch.setattr(folders.hashlib, "file_digest", lambda file, name: read.append(1) or digest_of(file, name))
    first = folders.sha256(path)
    os.link(path, tmp_path / "linked")
    again = folders.sha256(tmp_path / "linked")
    path.write_bytes(bytes(folders.LARGE - 1) + b"x")
    changed = folders.sha256(path)

    assert first == again == hashlib.sha256(bytes(folders.LARGE)).hexdigest()
    assert changed == hashlib.sha256(path.read_bytes()).hexdigest() != first
    assert len(read) == 2
