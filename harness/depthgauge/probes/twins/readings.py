"""What claims ask of `twins`: where a candidate stands among copies of the baseline that are rounded as it is."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Estimate, Measurement
from depthgauge.core.testbed import Text
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.twins.probe import CopyErrors, TwinErrors
from depthgauge.stats.twins import beside_twins

TEXTS = 16
NEXT_TOKEN = "next token"


def texts_of(candidate: CheckpointSet) -> tuple[Text, ...]:
    """Some of the testbed's texts, evenly drawn: a copy is run on each twice. Raises: NotTestable if it has none."""
    texts = candidate.inputs(Text)
    return texts[:: max(1, len(texts) // TEXTS)][:TEXTS]


def rounded_as(candidate: CheckpointSet) -> Path:
    """The folder whose grid is that of the twins: of a control that of the candidate that is judged."""
    return candidate.context.rounded_as or candidate.checkpoints[0].folder


def largest_beside_twins(candidate: CheckpointSet, baseline: CheckpointSet) -> Estimate:
    """The largest error of a layer, a head or the next token over that of twins.

    Raises: NotTestable for a candidate that is on no grid that is known; StatisticUndefined where twins do not differ.
    """
    texts = texts_of(candidate)
    asked = TwinErrors(texts=texts, rounded_as=rounded_as(candidate), twins=candidate.context.twins)
    (twins,) = baseline.one_seed().measure(asked)
    (own,) = candidate.one_seed().compare(CopyErrors(texts=texts), baseline.one_seed())
    names, errors = columns_of(own)
    _, theirs = columns_of(twins)
    return beside_twins(
        errors, theirs, names, places=names.index(NEXT_TOKEN),
        estimand="error of a layer, a head or the next token over that of its twins",
    )  # fmt: skip


def columns_of(taken: Measurement) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The columns of one copy (M,), or of several (N, M), by name: layers, heads, and the next token. Of that the root
    of the divergence is taken, as it grows with the square of an error.
    """
    jumps, heads = taken.arrays["jumps"], taken.arrays["heads"]
    layers, width = heads.shape[-2:]
    names = [f"layer {layer}" for layer in range(layers)]
    names += [f"layer {layer} head {head}" for layer in range(layers) for head in range(width)]
    flat = heads.reshape(*heads.shape[:-2], -1)
    return (*names, NEXT_TOKEN), np.concatenate([jumps, flat, np.sqrt(taken.arrays["divergence"])[..., None]], axis=-1)
