"""What claims ask of `noise_trace`: readings, from a candidate's measurements to numbers by unit."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement, Profiles, Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.articles.noise_trace.probe import RIGHT, WRONG, NoiseTrace, landmarks
from depthgauge_suites.articles.noise_trace.settings import Dose, Form, ReasonedQuestion, TraceQuestion

ReadFrom = Literal["plain", "reasoned"]  # the forms in which a wrong answer's probability is read

FELT_NATS = 0.01  # a hundredth of an answer's probability: no claim asks for less
CLEAN_COPIES = 0.95  # a prompt that is not copied without noise says nothing about noise
LEAST_ROOM = 1e-6  # of p(1 - p), as float32 knows no more of a probability near 1
SATURATED_SHARE = 0.02  # of the answers' clean probability, at the layer that leaves most


def wrong_probability(candidate: CheckpointSet, form: ReadFrom = "plain") -> Scores:
    """Per question, the mean probability of its wrong answer over all layers and draws."""
    taken = traces(candidate, form=form)
    values = np.stack(
        [np.exp(measurement.arrays["noisy"][:, WRONG]).mean(axis=(1, 2)) for measurement in taken]
    ).astype(float)
    return Scores(ids=prompts(candidate, form), values=values, unit="probability", population="prompts")


def profile(candidate: CheckpointSet, dose: Dose = "rms", form: ReadFrom = "plain") -> Profiles:
    """Per question and shaken layer, the mean probability of the wrong answer over draws."""
    return by_layer(candidate, mean, dose, form)


def even_layers(profiles: Profiles) -> Profiles:
    """Every other layer from 0 on, as the article's figure has them."""
    return profiles.only(profiles.columns[::2])


def spike_layer(candidate: CheckpointSet) -> str:
    """The layer at which the testbed's sources see a spike."""
    return str(landmarks(candidate.testbed, depth(candidate)).spike)


def late_spread(candidate: CheckpointSet, dose: Dose = "rms") -> Profiles:
    """Per question and late layer, the mean distance of the wrong answer's probability from its median over draws.

    The deviations of Brown and Forsythe (1974): their differences test spreads as those of means test levels.
    """
    return at_late_layers(candidate, by_layer(candidate, deviation, dose))


def mean_late_spread(candidate: CheckpointSet, form: ReadFrom, *, relative: bool) -> Scores:
    """Per question, the spread over draws in the mean late layer; over p(1 - p) where `relative`.

    Noise of one size moves a probability near one half furthest: by p(1 - p) times what it moves the log odds.
    """
    spread = at_late_layers(candidate, by_layer(candidate, relative_deviation if relative else deviation, form=form))
    unit = "log odds" if relative else "probability"
    return Scores(ids=spread.ids, values=spread.values.mean(axis=2), unit=unit, population=spread.population)


def at_late_layers(candidate: CheckpointSet, profiles: Profiles) -> Profiles:
    return profiles.only(str(layer) for layer in landmarks(candidate.testbed, len(profiles.columns)).late)


def copies_under_noise(candidate: CheckpointSet) -> Scores:
    """Per question whose right answer is appended to its prompt, 1 if every layer and draw still copies it, else 0.

    Raises: NotTestable where a checkpoint copies fewer than 95 % of the answers without any noise.
    """
    taken = traces(candidate, form="appended")
    for measurement in taken:
        clean = float((measurement.arrays["clean"][:, RIGHT] > measurement.arrays["clean"][:, WRONG]).mean())
        if clean < CLEAN_COPIES:
            raise NotTestable(
                f"without noise {clean:.0%} of the appended answers are copied, and {CLEAN_COPIES:.0%} are needed to "
                "see what noise does"
            )
    values = np.stack(
        [
            (measurement.arrays["greedy"] == measurement.arrays["right"][:, None, None]).all(axis=(1, 2))
            for measurement in taken
        ]
    )
    return Scores(
        ids=prompts(candidate, "appended"), values=values.astype(float), unit="share", population="prompts", right=1.0
    )  # fmt: skip


def traces(candidate: CheckpointSet, *, form: Form = "plain", dose: Dose = "rms") -> tuple[Measurement, ...]:
    """Each seed's noise trace. Raises: NotTestable if the testbed has no questions of that form."""
    return candidate.measure(NoiseTrace(questions=questions(candidate, form), form=form, dose=dose))


def questions(candidate: CheckpointSet, form: Form) -> tuple[TraceQuestion, ...]:
    if form == "plain":
        return candidate.inputs(TraceQuestion)
    reasoned = candidate.inputs(ReasonedQuestion)
    return tuple(each.asked() if form == "reasoned" else each.answered() for each in reasoned)


def prompts(candidate: CheckpointSet, form: Form = "plain") -> tuple[str, ...]:
    return tuple(question.prompt for question in questions(candidate, form))


def depth(candidate: CheckpointSet) -> int:
    """How many layers were shaken."""
    return int(traces(candidate)[0].arrays["noisy"].shape[2])


Summary = Callable[[NDArray[Any]], NDArray[Any]]


def mean(probabilities: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(probabilities.mean(axis=-1))


def deviation(probabilities: NDArray[Any]) -> NDArray[Any]:
    """The mean distance from the median."""
    return np.asarray(np.abs(probabilities - np.median(probabilities, axis=-1, keepdims=True)).mean(axis=-1))


def relative_deviation(probabilities: NDArray[Any]) -> NDArray[Any]:
    """The mean distance from the median over p(1 - p), p being the mean over draws."""
    exactly = np.asarray(probabilities, np.float64)
    middle = exactly.mean(axis=-1)
    return np.asarray(deviation(exactly) / np.maximum(middle * (1 - middle), LEAST_ROOM))


def by_layer(candidate: CheckpointSet, summary: Summary, dose: Dose = "rms", form: ReadFrom = "plain") -> Profiles:
    """`summary` over the draws of the wrong answer's probabilities, of shape (questions, layers, draws).

    Raises: NotTestable if the noise is felt at no layer, or leaves nothing of the answers at any.
    """
    values = np.stack([summarised(entry, summary) for entry in traces(candidate, form=form, dose=dose)])
    layers = tuple(map(str, range(values.shape[2])))
    ids = prompts(candidate, form)
    return Profiles(
        ids=ids, columns=layers, values=values.astype(float), unit="probability", population="prompts"
    )  # fmt: skip


@lru_cache(maxsize=16)
def summarised(trace: Measurement, summary: Summary) -> NDArray[Any]:
    """Of shape (questions, layers). Raises: as `check_felt`."""
    return summary(wrong_where_felt(trace))


@lru_cache(maxsize=4)
def wrong_where_felt(trace: Measurement) -> NDArray[Any]:
    """The wrong answer's probabilities, of shape (questions, layers, draws). Raises: as `check_felt`."""
    check_felt(trace.arrays)
    return np.asarray(np.exp(trace.arrays["noisy"][:, WRONG]))


def check_felt(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raises: NotTestable for a trace that is a picture of nothing: all layers as if unshaken, or all destroyed."""
    clean, noisy = (np.asarray(arrays[name], float) for name in ("clean", "noisy"))
    moved = np.abs(noisy - clean[:, :, None, None]).mean(axis=(0, 1, 3)).max()
    if moved < FELT_NATS:
        raise NotTestable(f"the noise is felt at no layer: it moves no answer by more than {moved:.2g} nats on average")
    left = (np.exp(noisy).sum(axis=1).mean(axis=(0, 2)) / np.exp(clean).sum(axis=1).mean()).max()
    if left < SATURATED_SHARE:
        raise NotTestable(f"the noise saturates: at most {left:.2g} of the answers' probability is left at any layer")
