"""The noise trace: the probability of a wrong answer while one layer's output is shaken (Dangi 2026b)."""

from depthgauge_suites.articles.noise_trace.probe import Landmarks, NoiseTrace
from depthgauge_suites.articles.noise_trace.readings import (
    check_felt,
    copies_under_noise,
    even_layers,
    late_spread,
    mean_late_spread,
    profile,
    spike_layer,
    traces,
    wrong_probability,
)
from depthgauge_suites.articles.noise_trace.settings import ReasonedQuestion, TraceQuestion

__all__ = [
    "Landmarks",
    "NoiseTrace",
    "ReasonedQuestion",
    "TraceQuestion",
    "check_felt",
    "copies_under_noise",
    "even_layers",
    "late_spread",
    "mean_late_spread",
    "profile",
    "spike_layer",
    "traces",
    "wrong_probability",
]
