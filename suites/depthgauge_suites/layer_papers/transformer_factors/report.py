"""The section on transformer factors: what they explain, in which layers they matter, where they are largest."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import LAYER, band, legend_beside, line_of, plain, whole_numbers
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge_suites.layer_papers.transformer_factors.probe import concentrated, mean_layer

ALT = "Importance by layer of the factors of each level, and how much of them the word explains"
LEVELS = ("low", "middle", "high")
SHOWN = 3  # factors of each level
TEXT = """Every hidden state as a sum of few non-negative factors, of one dictionary for all layers (arXiv:2103.15949),
with numbers taken in their own mean and spread. Explained is the share of the states' squared length in texts that were
not learnt from; random factors are as many, drawn from a Gaussian. Levels are thirds of the factors by their mean
layer, each drawn as its mean importance; word is the share of a factor's variance within a layer that the token itself
explains."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """What is explained, the levels, and cards of the factors that matter most in each."""
    picture = Picture("factors.png", ALT, (10, 3.4), lambda figure: draw(figure, measured, setting), measured)
    yield Section("Transformer factors", (picture, TEXT, explained(measured), cards(measured)))


def explained(measured: Sequence[Measured]) -> Table:
    rows = []
    for entry in measured:
        shown = []
        for kind in ("", "random_"):
            shares, active = (entry.arrays[f"{kind}{name}"] for name in ("explained", "active"))
            shown += [cell(level(shares, "of length", "texts")), number(float(active.mean()))]
        gathered = number(float(concentrated(entry.arrays["importance"]).mean()))
        rows.append(
            [escape(entry.label), str(len(entry.arrays["word"])), *shown, gathered, f"{float(entry.arrays['kkt']):.0e}"]
        )
    headers = [
        "checkpoint", "factors", "explained [95 %]", "active in a state", "random explained", "random active",
        "concentration", "KKT residual",
    ]  # fmt: skip
    return Table(headers, rows)


def levels(entry: Measured) -> list[np.ndarray]:
    """The factors of each level, thirds by mean layer, the most important first."""
    importance = entry.arrays["importance"].sum(1)
    used = np.flatnonzero(importance > 0)
    thirds = np.array_split(used[np.argsort(mean_layer(entry.arrays)[used], kind="stable")], len(LEVELS))
    return [third[np.argsort(-importance[third], kind="stable")] for third in thirds]


def cards(measured: Sequence[Measured]) -> Table:
    rows = []
    for entry in measured:
        places = mean_layer(entry.arrays)
        for name, factors in zip(LEVELS, levels(entry), strict=True):
            for factor in factors[:SHOWN]:
                said = " · ".join(escape(str(text)) or "-" for text in entry.arrays["contexts"][factor])
                word = number(float(entry.arrays["word"][factor]))
                rows.append([escape(entry.label), name, str(factor), f"{places[factor]:.1f}", word, said])
    headers = ["checkpoint", "level", "factor", "mean layer", "word", "where it is largest"]
    return Table(headers, rows, folded="Where the most important factors are largest", quotes=True)


def draw(figure: Any, measured: Sequence[Measured], setting: Setting) -> None:
    """Left: importance of each level by layer, of the first checkpoint solid. Right: word share by mean layer."""
    importance, words = figure.subplots(1, 2)
    for entry in measured:
        layers, colour = entry.arrays["layers"], setting.colour(entry)
        for style, factors in zip(("-", "--", ":"), levels(entry), strict=True):
            band(
                importance, layers, entry.arrays["importance"][factors].mean(0), None, colour, plain(entry.label), style
            )
        edges = np.array_split(np.argsort(mean_layer(entry.arrays), kind="stable"), 10)
        places = [mean_layer(entry.arrays)[part].mean() for part in edges if len(part)]
        shares = np.array([entry.arrays["word"][part].mean() for part in edges if len(part)])
        band(words, places, shares, None, colour, plain(entry.label), line_of(entry, measured))
    importance.set(xlabel=LAYER, ylabel="mean code", title="low solid, middle dashed, high dotted")
    words.set(xlabel="mean layer of a tenth of the factors", ylabel="word share", title="what the token explains")
    whole_numbers(importance.xaxis)
    legend_beside(words)
