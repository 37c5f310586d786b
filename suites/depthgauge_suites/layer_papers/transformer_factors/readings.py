"""What claims ask of `transformer_factors`: readings, from a candidate's measurements to numbers by unit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Measurement, Profiles, Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.layer_papers.transformer_factors.probe import TransformerFactors, concentrated, mean_layer


def concentration(candidate: CheckpointSet, texts: tuple[str, ...]) -> Scores:
    """By factor, how far its importance is gathered in few layers: 1 if spread evenly over all, K if in one alone."""
    values = np.stack([concentrated(measurement.arrays["importance"]) for measurement in taken(candidate, texts)])
    return Scores(ids=names(values), values=values, unit="ratio", population="factors")


def about_words_by_depth(candidate: CheckpointSet, texts: tuple[str, ...]) -> Profiles:
    """The share of each factor's variance that the token itself explains, factors in the order of their mean layer."""
    measurements = taken(candidate, texts)
    values = np.stack(
        [
            measurement.arrays["word"][np.argsort(mean_layer(measurement.arrays), kind="stable")]
            for measurement in measurements
        ]
    )
    return Profiles(
        ids=("factors",), columns=names(values), values=values[:, None], unit="share", population="factors"
    )  # fmt: skip


def taken(candidate: CheckpointSet, texts: tuple[str, ...]) -> tuple[Measurement, ...]:
    return candidate.measure(TransformerFactors(texts=texts))


def names(values: NDArray[Any]) -> tuple[str, ...]:
    return tuple(map(str, range(values.shape[1])))
