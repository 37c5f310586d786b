"""Measurements in the store: a pure function of probe, version, parameters, checkpoint and device, taken once."""

import json
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import NotTestable, Undefined
from depthgauge.store.folders import Store, corrupt
from depthgauge.types import Checkpoint, Measurement, digest, to_plain

KIND = "measurements"
DESCRIPTION, ARRAYS, REFUSAL = "measurement.json", "arrays.npz", "refusal"
Arrays = Mapping[str, NDArray[Any]]


def described(checkpoint: Checkpoint, probe: str, version: int, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All that determines a measurement; its key is the digest of this."""
    return {
        "probe": probe,
        "version": version,
        "parameters": to_plain(parameters),
        "checkpoint": checkpoint.fingerprint,
    }


def measure(store: Store, description: Mapping[str, Any], take: Callable[[], Arrays]) -> Measurement:
    """The measurement of that description from the store, or taken by `take()` and stored.

    A `take` that raises NotTestable or Undefined is stored as a refusal: no model is loaded to be refused again.

    Raises: CorruptEntry if the stored one does not read back as it was written.
    """

    def make(workshop: Path) -> None:
        refusal: dict[str, str] = {}
        try:
            np.savez(workshop / ARRAYS, allow_pickle=False, **take())
        except (NotTestable, Undefined) as error:
            refusal = {REFUSAL: str(error)}
        (workshop / DESCRIPTION).write_text(json.dumps({**description, **refusal}, indent=1))

    return read(store, store.produce(KIND, digest(description), make).name)


class Stored(Mapping[str, NDArray[Any]]):
    """Arrays of a file in memory: each is unpacked when it is asked for, as a claim reads few of them."""

    def __init__(self, data: bytes) -> None:
        self.nbytes = len(data)
        self._file = np.load(BytesIO(data), allow_pickle=False)
        self._read: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._read:
            self._read[name] = self._file[name]
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.files)

    def __len__(self) -> int:
        return len(self._file.files)


def read(store: Store, key: str) -> Measurement:
    """A finished measurement. Raises: CorruptEntry if a byte of it has changed."""
    folder = store.folder(KIND, key)
    files = store.contents(folder)
    try:
        description = json.loads(files[DESCRIPTION])
        refusal = description.get(REFUSAL)
        arrays = {} if refusal is not None else Stored(files[ARRAYS])
        return Measurement(
            key=key,
            probe=description["probe"],
            parameters=description["parameters"],
            checkpoint=description["checkpoint"],
            arrays=arrays,
            refusal=refusal,
        )
    except (ValueError, KeyError, BadZipFile) as error:
        raise corrupt(folder, DESCRIPTION) from error
