"""What is kept of a copy's errors, and of those of twins."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.backends.handle import CheckpointHandle
from depthgauge.backends.pairs import pair_ids
from depthgauge.core.steps import counted
from depthgauge.core.testbed import Text
from depthgauge.models.inputs import text_ids
from depthgauge.models.load import layers_and_heads
from depthgauge.probes.twins.compute import Errors, Original
from depthgauge.probes.twins.rounding import Rounding


def copy_errors(
    candidate: CheckpointHandle, baseline: CheckpointHandle, texts: Sequence[Text]
) -> dict[str, NDArray[Any]]:
    """The arrays of `CopyErrors`."""
    ids = pair_ids(candidate, baseline, texts)
    errors = Original(baseline.model, ids, heads_of(baseline.model)).errors(candidate.model)
    return {name: array[0] for name, array in stacked([errors]).items()}


def twin_errors(
    baseline: CheckpointHandle, rounded_as: Path | str, texts: Sequence[Text], twins: int
) -> dict[str, NDArray[Any]]:
    """The arrays of `TwinErrors`. One copy is in memory at a time, beside the baseline."""
    model, rounding = baseline.model, Rounding(rounded_as, baseline.folder)
    ids = [text_ids(baseline.tokenizer, text, model) for text in texts]
    original, copy = Original(model, ids, heads_of(model)), deepcopy(model)
    errors = []
    for seed in counted(range(twins)):
        rounding.put(copy, seed)
        errors.append(original.errors(copy))
    return stacked(errors)


def heads_of(model: Any) -> int:
    return int(layers_and_heads(model)[1])


def stacked(errors: Sequence[Errors]) -> dict[str, NDArray[Any]]:
    """Each field with the copies along its first axis."""
    return {name: np.stack([np.asarray(getattr(copy, name), float) for copy in errors]) for name in Errors._fields}
