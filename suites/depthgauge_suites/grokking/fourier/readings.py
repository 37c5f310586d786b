"""What claims ask of `fourier`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.estimate import Measurement
from depthgauge.measure.base_probe import Arrays
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.grokking.fourier.probe import Fourier, Progress, onset
from depthgauge_suites.grokking.fourier.settings import EXPLAINED, MOST_KEYS, Numbers


def taken_apart(candidate: CheckpointSet) -> tuple[Measurement, ...]:
    return candidate.measure(Fourier())


def final(candidate: CheckpointSet, name: str) -> Numbers:
    """One number of `measures.take_apart`: what the weights at the end of training compute."""
    return np.array([float(measurement.arrays[name]) for measurement in taken_apart(candidate)])


def key_count(candidate: CheckpointSet) -> Numbers:
    """How many frequencies reach the logits."""
    return np.array([float(len(measurement.arrays["key_frequencies"])) for measurement in taken_apart(candidate)])


def over_full(candidate: CheckpointSet, name: str) -> Numbers:
    """A loss over the full loss on all pairs."""
    return final(candidate, name) / final(candidate, "loss")


def worst_over_full(candidate: CheckpointSet, part: str) -> Numbers:
    """The loss of a part of the logits, 'restricted' or 'kept', over the full one: the larger ratio of
    that on all pairs and that on training pairs.
    """
    on_training = final(candidate, f"{part}_train_loss") / final(candidate, "train_loss")
    return np.maximum(over_full(candidate, f"{part}_loss"), on_training)


def excluded_over_guessing(candidate: CheckpointSet) -> Numbers:
    """The excluded loss on training pairs over that of a guess among p, ln p."""
    return final(candidate, "excluded_loss") / final(candidate, "guessing_loss")


def random_over_key(candidate: CheckpointSet) -> Numbers:
    """The least restricted loss of random frequencies over that of the key frequencies."""
    return final(candidate, "random_restricted_loss") / final(candidate, "restricted_loss")


def least_head_share(candidate: CheckpointSet) -> Numbers:
    """The share of a head's variance in waves of one frequency, of the head that has least."""
    return np.array([float(measurement.arrays["head_share"].min()) for measurement in taken_apart(candidate)])


def embedding_in_few_frequencies(candidate: CheckpointSet) -> Numbers:
    """The share of the squared norm of W_E in its ten largest frequencies."""
    return np.array([in_largest(measurement.arrays["embedding_norms"]) for measurement in taken_apart(candidate)])


def in_largest(norms: Numbers) -> float:
    """Of norms by component, a constant and then cosine and sine of each frequency: (P,)."""
    squares = (np.asarray(norms)[1:].reshape(-1, 2) ** 2).sum(axis=1)
    return float(np.sort(squares)[-MOST_KEYS:].sum() / squares.sum())


def neurons_at_keys(candidate: CheckpointSet) -> Numbers:
    """The share of neurons that one frequency explains to 85 %, and one of the few that reach the logits."""
    return np.array([explained_at_keys(measurement.arrays) for measurement in taken_apart(candidate)])


def explained_at_keys(arrays: Arrays) -> float:
    norms = np.asarray(arrays["logit_norms"])[1:].reshape(-1, 2)
    keys = sorted(arrays["key_frequencies"].tolist(), key=lambda k: -float((norms[k - 1] ** 2).sum()))[:MOST_KEYS]
    explained = arrays["neuron_share"] >= EXPLAINED
    return float((explained & np.isin(arrays["neuron_frequency"], keys)).mean())


def formation_at_onset(candidate: CheckpointSet) -> Numbers:
    """The excluded loss over its least before, at the last kept step whose test loss is above half its largest."""
    return np.array([formed_before_shown(measurement.arrays) for measurement in candidate.measure(Progress())])


def formed_before_shown(progress: Arrays) -> float:
    excluded = progress["excluded_loss"][: onset(progress) + 1]
    return float(excluded[-1] / excluded.min())
