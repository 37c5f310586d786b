"""Measurements in the store: a pure function of probe, version, parameters, checkpoint and device, taken once."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


def read(store: Store, key: str) -> Measurement:
    """A finished measurement. Raises: CorruptEntry if a byte of it has changed."""
    folder = store.folder(KIND, key)
    store.verify(folder)
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        refusal, arrays = description.get(REFUSAL), {}
        if refusal is None:
            with np.load(folder / ARRAYS, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        return Measurement(
            key=key,
            probe=description["probe"],
            parameters=description["parameters"],
            checkpoint=description["checkpoint"],
            arrays=arrays,
            refusal=refusal,
        )
    except (OSError, ValueError, KeyError) as error:
        raise corrupt(folder, DESCRIPTION) from error
