"""What claims ask of `circuits`: readings, from a candidate's measurements to numbers by unit."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import HeadOrder, Measurement, Profiles, Scores, by_head
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.models.inputs import check_same_heads
from depthgauge.probes.circuits.probe import Circuits, HeadScores
from depthgauge.probes.circuits.settings import SEQUENCES

Kind = Literal["previous", "duplicate", "induction"]


def taken(candidate: CheckpointSet) -> tuple[Measurement, ...]:
    return candidate.measure(Circuits())


def head_scores(candidate: CheckpointSet, kind: Kind) -> Profiles:
    """Per random sequence said twice, the score of every head: its mean attention at that offset, from 0 to 1."""
    values = np.stack([measurement.arrays[kind] for measurement in taken(candidate)])
    return by_head(values, tuple(map(str, range(SEQUENCES))), "attention")


def scores_alone(candidate: CheckpointSet, kind: Kind) -> Profiles:
    """As `head_scores`, of any checkpoint and without what the weights tell: a few seconds on a real model."""
    values = np.stack([measurement.arrays[kind] for measurement in candidate.measure(HeadScores())])
    return by_head(values, tuple(map(str, range(values.shape[1]))), "attention")


def previous_below_induction(candidate: CheckpointSet) -> Profiles:
    """Previous-token scores of the heads in the layers below that of the best induction head.

    Raises: NotTestable if there is only one layer.
    """
    scores = head_scores(candidate, "previous")
    below = min(int(measurement.arrays["best_induction"][0]) for measurement in taken(candidate))
    if below == 0:
        raise NotTestable(f"{candidate.name!r} has one layer, and an induction head reads what a layer below it wrote")
    return scores.only(name for name in scores.columns if int(name.split()[1]) < below)


def best_of(candidate: CheckpointSet, base_model: CheckpointSet, kind: Kind) -> Scores:
    """Per sequence, the score here of the head that has the base's best score of that kind."""
    check_comparable(candidate, base_model)
    scores = head_scores(candidate, kind)
    place = int(head_scores(base_model, kind).values.mean((0, 1)).argmax())
    return Scores(ids=scores.ids, values=scores.values[:, :, place], unit=scores.unit, population="prompts")


def score_beside(
    candidate: CheckpointSet, baseline: CheckpointSet, kind: Kind, *, order: HeadOrder | None = None
) -> tuple[Scores, Scores]:
    """Per sequence, the score of the head that has the baseline's best one of that kind, here and there.

    `order` says by layer which head of the candidate each of the baseline's is, where they were reordered.

    Raises: InvalidComparison unless there are as many layers and heads.
    """
    of_candidate, of_baseline = (
        np.stack([measurement.arrays[kind] for measurement in each.measure(HeadScores())])
        for each in (candidate, baseline)
    )
    check_same_heads(of_candidate.shape[2:], of_baseline.shape[2:])
    layer, head = np.unravel_index(int(of_baseline.mean((0, 1)).argmax()), of_baseline.shape[2:])
    ids = tuple(map(str, range(SEQUENCES)))
    after, before = (
        Scores(ids=ids, values=each[:, :, layer, at].astype(float), unit="attention", population="prompts")
        for each, at in ((of_candidate, head if order is None else order[layer][head]), (of_baseline, head))
    )
    return after, before


def induction_left(candidate: CheckpointSet) -> Scores:
    """Per sequence, the best induction head's score without the best previous-token head below it, as a share."""
    return by_sequence(candidate, "induction_left", "share of the score")


def learning_in_context(candidate: CheckpointSet) -> Scores:
    """Per sequence, by how much its loss falls from the first saying to the second."""
    return by_sequence(candidate, "learning", "nats")


def learning_lost(candidate: CheckpointSet) -> Scores:
    """Per sequence, how much of `learning_in_context` is gone when the induction heads are ablated."""
    return by_sequence(candidate, "learning_lost", "nats")


def induction_copying(candidate: CheckpointSet) -> NDArray[np.float64]:
    """The copying score of each seed's best induction head, from -1 to 1: is what it reads made likelier?"""
    return np.array(
        [measurement.arrays["copying"][tuple(measurement.arrays["best_induction"])] for measurement in taken(candidate)]
    )


def composition_with_previous(candidate: CheckpointSet) -> NDArray[np.float64]:
    """How much the best induction head's keys read of the best previous-token head below, above chance, a seed.

    Raises: NotTestable if there is only one layer.
    """
    previous_below_induction(candidate)
    return np.array([float(measurement.arrays["k_composition"]) for measurement in taken(candidate)])


def copying_changed(candidate: CheckpointSet, base_model: CheckpointSet) -> NDArray[np.float64]:
    """The largest change of a head's copying score against the base, a seed."""
    check_comparable(candidate, base_model)
    before = taken(base_model)[0].arrays["copying"]
    return np.array([np.abs(measurement.arrays["copying"] - before).max() for measurement in taken(candidate)])


def check_comparable(candidate: CheckpointSet, base_model: CheckpointSet) -> None:
    """Raises: InvalidComparison unless there are as many layers and heads as in the base."""
    check_same_heads(*(taken(checkpoints)[0].arrays["copying"].shape for checkpoints in (candidate, base_model)))


def by_sequence(candidate: CheckpointSet, array: str, unit: str) -> Scores:
    values = np.stack([measurement.arrays[array] for measurement in taken(candidate)]).astype(float)
    return Scores(ids=tuple(map(str, range(SEQUENCES))), values=values, unit=unit, population="prompts")
