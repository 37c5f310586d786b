"""What claims ask of `noise_trace`: readings, from a candidate's measurements to numbers by unit."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement, Profiles, Scores
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.articles.noise_trace.probe import WRONG, NoiseTrace, landmarks
from depthgauge_suites.articles.noise_trace.settings import Dose, TraceQuestion

FELT_NATS = 0.01  # a hundredth of an answer's probability: no claim asks for less
SATURATED_SHARE = 0.02  # of the answers' clean probability, at the layer that leaves most


def wrong_probability(candidate: CheckpointSet) -> Scores:
    """Per question, the mean probability of its wrong answer over all layers and draws."""
    taken = traces(candidate)
    values = np.stack([np.exp(one.arrays["noisy"][:, WRONG]).mean(axis=(1, 2)) for one in taken]).astype(float)
    return Scores(ids=prompts(candidate), values=values, unit="probability", population="prompts")


def profile(candidate: CheckpointSet, dose: Dose = "rms") -> Profiles:
    """Per question and shaken layer, the mean probability of the wrong answer over draws."""
    return by_layer(candidate, mean, dose)


def spike_layer(candidate: CheckpointSet) -> str:
    """The layer at which the testbed's sources see a spike."""
    return str(landmarks(candidate.testbed, depth(candidate)).spike)


def late_spread(candidate: CheckpointSet, dose: Dose = "rms") -> Profiles:
    """Per question and late layer, the mean distance of the wrong answer's probability from its median over draws.

    The deviations of Brown and Forsythe (1974): their differences test spreads as those of means test levels.
    """
    spread = by_layer(candidate, deviation, dose)
    return spread.only(str(layer) for layer in landmarks(candidate.testbed, depth(candidate)).late)


def copies_under_noise(candidate: CheckpointSet) -> Scores:
    """Per question whose right answer stands in its prompt, 1 if every layer and draw still copies it, else 0."""
    taken = traces(candidate, copying=True)
    values = np.stack([(one.arrays["greedy"] == one.arrays["right"][:, None, None]).all(axis=(1, 2)) for one in taken])
    return Scores(
        ids=prompts(candidate), values=values.astype(float), unit="share", population="prompts", right=1.0
    )  # fmt: skip


def traces(candidate: CheckpointSet, *, copying: bool = False, dose: Dose = "rms") -> tuple[Measurement, ...]:
    """Each seed's noise trace. Raises: NotTestable if the testbed has no trace questions."""
    return candidate.measure(NoiseTrace(questions=candidate.inputs(TraceQuestion), copying=copying, dose=dose))


def prompts(candidate: CheckpointSet) -> tuple[str, ...]:
    return tuple(question.prompt for question in candidate.inputs(TraceQuestion))


def depth(candidate: CheckpointSet) -> int:
    """How many layers were shaken."""
    return int(traces(candidate)[0].arrays["noisy"].shape[2])


Summary = Callable[[NDArray[Any]], NDArray[Any]]


def mean(probabilities: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(probabilities.mean(axis=-1))


def deviation(probabilities: NDArray[Any]) -> NDArray[Any]:
    """The mean distance from the median."""
    return np.asarray(np.abs(probabilities - np.median(probabilities, axis=-1, keepdims=True)).mean(axis=-1))


def by_layer(candidate: CheckpointSet, summary: Summary, dose: Dose = "rms") -> Profiles:
    """`summary` over the draws of the wrong answer's probabilities, of shape (questions, layers, draws).

    Raises: NotTestable if the noise is felt at no layer, or leaves nothing of the answers at any.
    """
    values = np.stack([summarised(one, summary) for one in traces(candidate, dose=dose)])
    layers = tuple(map(str, range(values.shape[2])))
    return Profiles(
        ids=prompts(candidate), columns=layers, values=values.astype(float), unit="probability", population="prompts"
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
