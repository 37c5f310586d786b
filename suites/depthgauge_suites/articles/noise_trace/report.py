"""The section on noise traces: the probability of a wrong answer by shaken layer. Layers are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Profiles
from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import LAYER, curves, differences, legend_beside, pairs, plain, reference_of, stacked
from depthgauge.page.section import Measured, Part, Picture, Section, Setting, Table
from depthgauge.page.tables import bands, cell, level, profiles_of
from depthgauge.stats.columns import NEIGHBOURS, Bands, argmax_share, permutation_p, prominence
from depthgauge_suites.articles.noise_trace.probe import RIGHT, WRONG, Landmarks, landmarks

ALT = "Probability of the wrong answer by shaken layer"
RATIO_ALT = "RMS of the last state over the spread of the median dimension, by layer"
TEXT = """The last prompt token's state is shaken at the output of one block (0-based) by Gaussian noise of {}, 30
times; all checkpoints see the same draws. A layer is prominent by what it has above its two neighbours on each side.
Spread is the mean distance from the median over draws."""
RATIO_TEXT = """The published dose measures the RMS of a state, which a few dimensions of huge norm may make. Below: how
often the spread of the median dimension over tokens goes into it. Where that ratio rises with depth, so does the
published dose."""
FOLDED = "Probability of the wrong answer by shaken layer, with simultaneous 95 % intervals"


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """The traces on plain questions by their dose, and with reasoning; those on copying are judged, and not shown."""
    by_rms, reasoned, by_spread = (
        [entry for entry in measured if form_of(entry) == form]
        for form in (("plain", "rms"), ("reasoned", "rms"), ("plain", "spread"))
    )
    if by_rms:
        yield Section("Noise trace", parts(by_rms, setting, "noise.png", "half its RMS"))
    if reasoned:
        yield Section("Noise trace with reasoning", parts(reasoned, setting, "noise_reasoned.png", "half its RMS"))
    if by_spread:
        shown = parts(by_spread, setting, "noise_spread.png", "half of each dimension's own spread over tokens")
        ratio = Picture(
            "noise_ratio.png", RATIO_ALT, (9, 3.8), lambda figure: draw_ratio(figure, by_spread, setting), by_spread
        )
        yield Section("Noise trace by spread", (*shown, " ".join(RATIO_TEXT.split()), ratio))


def form_of(entry: Measured) -> tuple[object, object]:
    return entry.measurement.parameters["form"], entry.measurement.parameters["dose"]


def parts(traces: Sequence[Measured], setting: Setting, file: str, dose: str) -> tuple[Part, ...]:
    size = (9, 9.2 if pairs(traces, profile) else 3.8)
    depends = [landmarks(setting.testbed, depth(entry)) for entry in traces]
    picture = Picture(file, ALT, size, lambda figure: draw(figure, traces, setting), traces, depends=depends)
    text = " ".join((TEXT.format(dose), *scaled(traces, setting)))
    return (picture, text, noise_table(traces, setting), layer_table(traces))


def scaled(traces: Sequence[Measured], setting: Setting) -> Iterator[str]:
    """Where the articles' fractions of depth fall, for each depth at which the testbed names no layers of its own."""
    for deep in sorted({depth(entry) for entry in traces}):
        named = landmarks(setting.testbed, deep)
        if named.scaled:
            yield (
                f"The articles' fractions of depth fall, of {deep} layers, at layer {named.spike} for the spike, and "
                f"at {named.late[0]} to {named.late[-1]} for the late ones."
            )


def depth(entry: Measured) -> int:
    return int(entry.arrays["noisy"].shape[2])


def layers(entry: Measured) -> NDArray[np.int64]:
    return np.arange(depth(entry))


def wrong(entry: Measured) -> NDArray[np.float64]:
    """The probability of the wrong answer by question, layer and draw."""
    return np.asarray(np.exp(entry.arrays["noisy"][:, WRONG].astype(float)))


def profile(entry: Measured) -> NDArray[np.float64]:
    return np.asarray(wrong(entry).mean(axis=-1))


def spread(entry: Measured) -> NDArray[np.float64]:
    """By question and layer, the mean distance from the median over draws."""
    values = wrong(entry)
    return np.asarray(np.abs(values - np.median(values, axis=-1, keepdims=True)).mean(axis=-1))


# -- tables ---


def noise_table(traces: Sequence[Measured], setting: Setting) -> Table:
    spikes = dict.fromkeys(str(landmarks(setting.testbed, depth(entry)).spike) for entry in traces)
    headers = [
        "noise trace", "wrong answer, clean", "shaken (mean)", "right over wrong, clean (nats)", "shaken (nats)",
        f"prominence of layer {' or '.join(spikes)}", "chance of as much at a random layer",
        "bootstrap share as argmax", "spread at late layers", "form",
    ]  # fmt: skip
    return Table(headers, [noise_cells(entry, landmarks(setting.testbed, depth(entry))) for entry in traces])


def noise_cells(entry: Measured, named: Landmarks) -> list[str]:
    clean, noisy = (np.asarray(entry.arrays[name], float) for name in ("clean", "noisy"))
    odds = noisy[:, RIGHT] - noisy[:, WRONG]
    there = has(entry, named)
    late = spread(entry)[:, list(named.late)] if there else spread(entry)
    return [
        escape(entry.label),
        cell(level(np.exp(clean[:, WRONG]), "probability", "prompts")),
        cell(level(profile(entry).mean(axis=1), "probability", "prompts")),
        cell(level(clean[:, RIGHT] - clean[:, WRONG], "nats", "prompts")),
        cell(level(odds.mean(axis=(1, 2)), "nats", "prompts")),
        *(prominence_cells(entry, str(named.spike)) if there else ["-"] * 3),
        cell(level(late.mean(axis=1), "probability", "prompts")),
        "last token only" if entry.arrays["fast"].all() else "full runs",
    ]


def has(entry: Measured, named: Landmarks) -> bool:
    """Whether it is deep enough for the landmarks, with layers around the spike to compare it with."""
    return NEIGHBOURS <= named.spike < depth(entry) - NEIGHBOURS and max(named.late) < depth(entry)


def prominence_cells(entry: Measured, spike: str) -> list[str]:
    peaks = prominence(profiles_of(profile(entry), "probability"))
    height = float(peaks.only([spike]).values.mean())
    return [number(height), number(permutation_p(peaks, spike)), number(argmax_share(peaks, spike))]


def layer_table(traces: Sequence[Measured]) -> Table:
    """The mean probability by shaken layer with simultaneous intervals: the figures behind the curves."""
    drawn = [profiles_of(profile(entry), "probability") for entry in traces]
    drawn_bands = [(bands(profiles), profiles) for profiles in drawn]
    body = [
        [str(layer), *(curve_cell(*each, layer) for each in drawn_bands)] for layer in range(max(map(depth, traces)))
    ]
    return Table(["shaken layer (0-based)", *(escape(entry.label) for entry in traces)], body, FOLDED)


def curve_cell(band: Bands | None, profiles: Profiles, layer: int) -> str:
    if layer >= len(profiles.columns):
        return "-"
    middle = profiles.values[0, :, layer].mean()
    return f"{middle:.3f}" if band is None else f"{middle:.3f} ± {band.halves[layer]:.3f}"


# -- the picture ---


def draw(figure: Any, traces: Sequence[Measured], setting: Setting) -> None:
    """Probability against shaken layer; below it differences to the reference, and those of the late spread."""
    panels = stacked(figure, 3 if pairs(traces, profile) else 1)
    curves(panels[0], traces, setting, profile, layers, "probability")
    panels[0].set(
        ylabel="probability", title="Probability of the wrong answer: mean over questions, simultaneous 95 % bands"
    )
    if pairs(traces, profile):
        draw_differences(panels[1:], traces, setting)
    for spike in dict.fromkeys(landmarks(setting.testbed, depth(entry)).spike for entry in traces):
        for axes in panels:
            axes.axvline(spike, color="gray", linestyle=":", linewidth=1, label=f"layer {spike}")
    legend_beside(panels[0])
    panels[-1].set_xlabel(f"shaken {LAYER}")


def draw_differences(panels: Sequence[Any], traces: Sequence[Measured], setting: Setting) -> None:
    """Of the probability at every layer, and of the spread at the late ones, question by question."""
    name, every = plain(reference_of(traces).label), layers(reference_of(traces))
    late = every[np.isin(every, landmarks(setting.testbed, len(every)).late)]
    differences(panels[0], traces, setting, profile, layers, "probability")
    differences(panels[1], traces, setting, lambda entry: spread(entry)[:, late], lambda _: late, "probability")
    panels[0].set(ylabel="difference", title=f"Paired difference of the probability to {name}, simultaneous 95 % bands")
    panels[1].set(ylabel="difference", title=f"Paired difference of the spread over draws at late layers to {name}")


def draw_ratio(figure: Any, traces: Sequence[Measured], setting: Setting) -> None:
    (panel,) = stacked(figure, 1)
    curves(panel, traces, setting, lambda entry: entry.arrays["rms_over_spread"], layers, "ratio")
    panel.set(ylabel="ratio", title=RATIO_ALT, xlabel=LAYER)
    legend_beside(panel)
