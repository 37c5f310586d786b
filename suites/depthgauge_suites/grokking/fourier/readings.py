"""What claims ask of `fourier`: readings, from a subject's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.estimate import Measurement
from depthgauge.measure.base_probe import Arrays
from depthgauge.measure.subject import Subject
from depthgauge_suites.grokking.fourier.probe import Fourier, Numbers, Progress, onset


def taken_apart(subject: Subject) -> tuple[Measurement, ...]:
    return subject.measure(Fourier())


def final(subject: Subject, name: str) -> Numbers:
    """One number of `measures.take_apart`: what the weights at the end of training compute."""
    return np.array([float(one.arrays[name]) for one in taken_apart(subject)])


def key_count(subject: Subject) -> Numbers:
    """How many frequencies reach the logits."""
    return np.array([float(len(one.arrays["key_frequencies"])) for one in taken_apart(subject)])


def over_full(subject: Subject, name: str) -> Numbers:
    """A loss over the full loss on all pairs."""
    return final(subject, name) / final(subject, "loss")


def worst_over_full(subject: Subject, part: str) -> Numbers:
    """The loss of a part of the logits, 'restricted' or 'kept', over the full one: the larger ratio of
    that on all pairs and that on training pairs.
    """
    on_training = final(subject, f"{part}_train_loss") / final(subject, "train_loss")
    return np.maximum(over_full(subject, f"{part}_loss"), on_training)


def excluded_over_guessing(subject: Subject) -> Numbers:
    """The excluded loss on training pairs over that of a guess among p, ln p."""
    return final(subject, "excluded_loss") / final(subject, "guessing_loss")


def random_over_key(subject: Subject) -> Numbers:
    """The least restricted loss of random frequencies over that of the key frequencies."""
    return final(subject, "random_restricted_loss") / final(subject, "restricted_loss")


def formation_at_onset(subject: Subject) -> Numbers:
    """The excluded loss over its least before, at the last kept step whose test loss is above half its largest."""
    return np.array([formed_before_shown(one.arrays) for one in subject.measure(Progress())])


def formed_before_shown(progress: Arrays) -> float:
    excluded = progress["excluded_loss"][: onset(progress) + 1]
    return float(excluded[-1] / excluded.min())
