"""Measurements in the store: a pure function of probe, version, parameters, checkpoint and device, taken once."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import CorruptEntry, NotHere, NotTestable, StatisticUndefined
from depthgauge.core.estimate import Measurement
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import to_plain
from depthgauge.store.folders import MANIFEST, Store, corrupt

KIND = "measurements"
ARRAYS, REFUSAL = "arrays.npz", "refusal.txt"  # one of them
Arrays = Mapping[str, NDArray[Any]]


def described(checkpoint: Checkpoint, probe: str, version: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines a measurement; its key is the digest of this."""
    return {
        "probe": probe,
        "version": version,
        "parameters": to_plain(parameters),
        "checkpoint": checkpoint.fingerprint,
    }


def measure(store: Store, description: Mapping[str, Any], run: Callable[[], Arrays]) -> Measurement:
    """The measurement of that description from the store, or taken by `run()` and stored.

    A `run` that raises NotTestable or StatisticUndefined is stored as a refusal: no model is loaded to be refused
    again. One that another machine may not give is not.

    Raises: NotHere as `run`; CorruptEntry if the stored one does not read back as it was written.
    """

    def make(staging_dir: Path) -> None:
        try:
            np.savez(staging_dir / ARRAYS, allow_pickle=False, **run())
        except NotHere:
            raise
        except (NotTestable, StatisticUndefined) as error:
            (staging_dir / REFUSAL).write_text(str(error), encoding="utf-8")

    return read(store, store.made(KIND, description, make).name)


class Stored(Mapping[str, NDArray[Any]]):
    """Arrays of an entry's file in memory: each is unpacked when it is asked for, as a claim reads few of them.

    Raises: CorruptEntry for what `np.savez` did not write.
    """

    def __init__(self, folder: Path, data: bytes) -> None:
        self.nbytes = len(data)
        self._folder = folder
        with corrupt_at(folder, ARRAYS):
            self._file = np.load(BytesIO(data), allow_pickle=False)
            self._names: list[str] = self._file.files  # which a file of one array has not
        self._read: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._read:
            if name not in self._names:
                raise KeyError(name)
            with corrupt_at(self._folder, ARRAYS):
                check_member(self._file.zip, name)
                self._read[name] = self._file[name]
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def corrupt_at(folder: Path, name: str) -> Iterator[None]:
    """Turn whatever the reading of a file raises into CorruptEntry."""
    try:
        yield
    except CorruptEntry:
        raise
    except Exception as error:  # zipfile and numpy have many, for bytes that neither of them wrote
        raise corrupt(folder, name) from error


def check_member(archive: ZipFile, name: str) -> None:
    """Raises: ValueError, before anything is unpacked, for a packed array, which may grow without bound, one of Python
    objects, and one that claims more numbers than there are bytes.
    """
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{name} is packed")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    if dtype.hasobject or math.prod(shape) * max(dtype.itemsize, 1) > member.file_size:
        raise ValueError(f"{name} is no array of numbers or texts of its size")


def read(store: Store, key: str) -> Measurement:
    """A finished measurement.

    Raises: CorruptEntry if a byte of it has changed, its key is not that of its description, or it is none.
    """
    folder = store.folder(KIND, key)
    description, files = store.contents(folder)
    with corrupt_at(folder, MANIFEST):
        refusal = files[REFUSAL].decode() if REFUSAL in files else None
        return Measurement(
            key=key,
            probe=description["probe"],
            parameters=description["parameters"],
            checkpoint=description["checkpoint"],
            arrays={} if refusal is not None else Stored(folder, files[ARRAYS]),
            not_testable_reason=refusal,
        )
