"""Entries of a store that somebody moved, edited, or made: each is noticed when it is read, in one sentence."""

import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from depthgauge.core.errors import CorruptEntry
from depthgauge.core.method import Checkpoint
from depthgauge.store.folders import KEY_VARIABLE, MANIFEST, Store, read_manifest, write_manifest
from depthgauge.store.inventory import damaged, entries
from depthgauge.store.measurements import ARRAYS, KIND, described, measure, read
from depthgauge.store.remote import pull, push
from tests.processes import refused


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", run="this run")


def description_of(name):
    return described(Checkpoint(name=name, seed=0, folder=Path(name), fingerprint=name), "probe", 1, {})


def measured(store, name, value=0.0):
    """The folder of a measurement of a checkpoint of that name."""
    return store.folder(KIND, measure(store, description_of(name), lambda: {"score": np.full(30, value)}).key)


def asked_again(store, name):
    """Whoever asks for the measurement gets it from the store: nothing is taken anew."""
    return measure(store, description_of(name), lambda: pytest.fail("it was measured anew"))


def made(store, kind, name, text):
    return store.get_or_create(
        kind, {"of": name}, lambda staging_dir: (staging_dir / "model.safetensors").write_text(text)
    )


def edit(folder, **changes):
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replay(good, bad):
    """The entry `good` in the place of `bad`."""
    shutil.rmtree(bad)
    shutil.copytree(good, bad)


# -- measurements ---


def test_a_measurement_under_another_key_is_refused(store):
    good, bad = measured(store, "good"), measured(store, "bad", 1.0)
    replay(good, bad)

    with refused(CorruptEntry, code="identity"):
        asked_again(store, "bad")
    with refused(CorruptEntry, code="identity"):  # as a report reads it
        read(store, bad.name)
    assert len(list(damaged(store))) == 1


def test_arrays_of_another_measurement_are_refused(store):
    good, bad = measured(store, "good"), measured(store, "bad", 1.0)
    shutil.copy(good / ARRAYS, bad / ARRAYS)

    with refused(CorruptEntry, "arrays.npz", code="content"):
        asked_again(store, "bad")


def test_an_edited_description_is_refused(store):
    folder = measured(store, "one")
    edit(folder, description=description_of("one") | {"probe": "another"})

    with refused(CorruptEntry, "manifest.json", code="content"):
        asked_again(store, "one")


def test_an_edited_description_that_is_sealed_anew_is_refused_as_its_key_is_another(store):
    folder = measured(store, "one")
    write_manifest(folder, KIND, description_of("another"))

    with refused(CorruptEntry, code="identity"):
        asked_again(store, "one")


def test_a_description_of_the_same_key_that_is_not_the_one_asked_for_is_refused(store, monkeypatch):
    """A key has 64 bits, which somebody with patience can meet again."""
    measured(store, "one")
    monkeypatch.setattr("depthgauge.store.folders.digest", lambda description: "0" * 16)
    measured(store, "two")

    with refused(CorruptEntry, code="identity"):
        measured(store, "three")


def test_a_measurement_of_an_older_layout_is_refused(store):
    folder = measured(store, "one")
    (folder / MANIFEST).write_text(json.dumps({"files": read_manifest(folder).files}))

    with refused(CorruptEntry, code="layout"):
        asked_again(store, "one")


@pytest.mark.parametrize("text", ["[]", "3", '"text"', "null", '{"layout": "2"}', "[" * 100_000, "\xff"])
def test_a_manifest_that_is_none_is_refused(store, text):
    folder = measured(store, "one")
    (folder / MANIFEST).write_bytes(text.encode("latin-1"))

    with refused(CorruptEntry, "manifest.json", code="content"):
        asked_again(store, "one")


def packed(path):
    np.savez_compressed(path, score=np.zeros(10_000_000))
    assert path.stat().st_size < 100_000


def with_objects(path):
    np.savez(path, score=np.array([CheckpointHandle(path)], dtype=object))


def one_that_claims_more_than_it_holds(path):
    with zipfile.ZipFile(path, "w") as archive, archive.open("score.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"shape": (10**12,), "fortran_order": False, "descr": "<f8"})


def one_with_bytes_that_are_no_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("score.npy", pickle.dumps(CheckpointHandle(path)))


def no_archive(path):
    path.write_bytes(b"nothing of the kind")


class CheckpointHandle:
    """Leaves a mark when its pickle is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path.with_name("opened"),)


@pytest.mark.parametrize(
    "write", [packed, with_objects, one_that_claims_more_than_it_holds, one_with_bytes_that_are_no_array, no_archive]
)
def test_arrays_that_numpy_would_not_have_written_are_refused_unopened(store, write):
    folder = measured(store, "one")
    write(folder / ARRAYS)
    write_manifest(folder, KIND, description_of("one"))

    with refused(CorruptEntry, "arrays.npz", code="content"):
        asked_again(store, "one").arrays["score"]
    assert not (folder / "opened").exists()


def test_a_file_of_numbers_that_is_damaged_within_is_refused_when_it_is_read(store):
    folder = measured(store, "one")
    data = (folder / ARRAYS).read_bytes()
    (folder / ARRAYS).write_bytes(data.replace(bytes(8), bytes([1] * 8), 1))  # not what the archive's own sum says
    write_manifest(folder, KIND, description_of("one"))

    with refused(CorruptEntry, "arrays.npz", code="content"):
        asked_again(store, "one").arrays["score"]


def test_a_description_that_is_of_no_measurement_is_refused(store):
    folder = store.made(KIND, ["a", "list"], lambda staging_dir: np.savez(staging_dir / ARRAYS, score=np.zeros(3)))

    with refused(CorruptEntry, "manifest.json", code="content"):
        read(store, folder.name)


# -- checkpoints, and adapters merged into their base ---

MODELS = pytest.mark.parametrize("kind", ["checkpoints", "merged"])


@MODELS
def test_a_model_under_another_key_is_refused(store, kind):
    good, bad = made(store, kind, "good", "weights"), made(store, kind, "bad", "WEIGHTS")
    replay(good, bad)

    with refused(CorruptEntry, code="identity"):
        made(store, kind, "bad", "WEIGHTS")


@MODELS
def test_a_model_of_one_kind_is_not_taken_for_another(store, kind):
    other = made(store, "pictures", "good", "weights")
    shutil.copytree(other, store.folder(kind, other.name))

    with refused(CorruptEntry, code="identity"):
        made(store, kind, "good", "weights")


@MODELS
def test_weights_of_another_model_are_refused(store, kind):
    good, bad = made(store, kind, "good", "weights"), made(store, kind, "bad", "WEIGHTS")
    shutil.copy(good / "model.safetensors", bad / "model.safetensors")

    with refused(CorruptEntry, "model.safetensors", code="content"):
        made(store, kind, "bad", "WEIGHTS")


@MODELS
def test_a_file_that_was_added_to_a_model_is_refused(store, kind):
    (made(store, kind, "good", "weights") / "chat_template.jinja").write_text("another template")

    with refused(CorruptEntry, "chat_template.jinja", code="content"):
        made(store, kind, "good", "weights")


@MODELS
def test_a_model_with_an_edited_description_is_refused(store, kind):
    folder = made(store, kind, "good", "weights")
    edit(folder, description={"of": "better"})
    with refused(CorruptEntry, "manifest.json", code="content"):
        made(store, kind, "good", "weights")
    write_manifest(folder, kind, {"of": "better"})
    with refused(CorruptEntry, code="identity"):
        made(store, kind, "good", "weights")


@MODELS
def test_a_model_of_an_older_layout_is_refused(store, kind):
    folder = made(store, kind, "good", "weights")
    edit(folder, layout="1")

    with refused(CorruptEntry, code="layout"):
        made(store, kind, "good", "weights")


def test_the_command_names_each_of_them(store):
    good = made(store, "checkpoints", "good", "weights")
    replay(good, made(store, "checkpoints", "bad", "WEIGHTS"))
    edit(measured(store, "edited"), description={})
    measured(store, "as it was")
    command = [sys.executable, "-m", "depthgauge", "store", "verify", "--store", store.root]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1 and done.stderr == ""
    assert len(done.stdout.splitlines()) == 2
    assert "another entry" in done.stdout and "corrupt at manifest.json" in done.stdout


# -- signed with a key of the environment ---


def forged(store):
    """A pass: arrays of a harmless pair under the key of a bad one, with its description, and with a new manifest."""
    good, bad = measured(store, "good"), measured(store, "bad", 1.0)
    shutil.copy(good / ARRAYS, bad / ARRAYS)
    write_manifest(bad, KIND, description_of("bad"))
    return bad


def test_without_a_key_who_can_write_a_store_forges_a_pass(store):
    """What docs/store.md says: only a key tells such an entry from a true one."""
    forged(store)
    assert asked_again(store, "bad").arrays["score"].max() == 0.0
    assert list(damaged(store)) == []


def test_with_a_key_an_entry_that_is_not_signed_is_refused(store, monkeypatch):
    folder = forged(store)
    monkeypatch.setenv(KEY_VARIABLE, "a secret")

    with refused(CorruptEntry, KEY_VARIABLE, code="signature"):
        asked_again(store, "bad")
    shutil.rmtree(folder)
    assert measured(store, "bad", 1.0) == folder and asked_again(store, "bad").arrays["score"].max() == 1.0


def test_an_entry_that_is_signed_with_another_key_is_refused(store, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "the key of somebody else")
    forged(store)
    monkeypatch.setenv(KEY_VARIABLE, "a secret")

    with refused(CorruptEntry, KEY_VARIABLE, code="signature"):
        asked_again(store, "bad")
    assert len(list(damaged(store))) == 2


def test_a_signature_of_another_entry_is_refused(store, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "a secret")
    good, bad = measured(store, "good"), measured(store, "bad", 1.0)
    signature = json.loads((good / MANIFEST).read_text())["signature"]
    shutil.copy(good / ARRAYS, bad / ARRAYS)
    monkeypatch.delenv(KEY_VARIABLE)
    write_manifest(bad, KIND, description_of("bad"))
    edit(bad, signature=signature)
    monkeypatch.setenv(KEY_VARIABLE, "a secret")

    with refused(CorruptEntry, KEY_VARIABLE, code="signature"):
        asked_again(store, "bad")
    assert asked_again(store, "good").arrays["score"].max() == 0.0


@MODELS
def test_with_a_key_a_model_that_is_not_signed_is_refused(store, kind, monkeypatch):
    made(store, kind, "one", "weights")
    monkeypatch.setenv(KEY_VARIABLE, "a secret")

    with refused(CorruptEntry, KEY_VARIABLE, code="signature"):
        made(store, kind, "one", "weights")
    made(store, kind, "two", "weights")
    assert made(store, kind, "two", "WEIGHTS").joinpath("model.safetensors").read_text() == "weights"


def test_what_is_pulled_from_an_address_must_be_signed_too(store, tmp_path, monkeypatch):
    measured(store, "one")
    push(store, str(tmp_path / "shared"), lambda line: None)
    monkeypatch.setenv(KEY_VARIABLE, "a secret")
    here = Store(tmp_path / "here", run="this run")

    with refused(CorruptEntry, KEY_VARIABLE, code="signature"):
        pull(here, str(tmp_path / "shared"), lambda line: None)
    assert list(entries(here)) == []


def test_what_is_signed_is_read_where_there_is_no_key(store, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "a secret")
    measured(store, "one", 1.0)
    monkeypatch.delenv(KEY_VARIABLE)

    assert asked_again(store, "one").arrays["score"].max() == 1.0
