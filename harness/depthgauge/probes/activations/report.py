"""The section of a report on how far the inside of a checkpoint is from that of the baseline. Layers are 0-based."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.section import Grid, Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import bands, cell, level, profiles_of

# The share of the squared difference that words are shown from. At the layers that are read, in a model of 135 million
# weights, noise of a hundredth of every matrix leaves up to 0.14 along one direction, a short reinforcement learning
# 0.17, and computing in bfloat16 0.58, as it rounds the few largest numbers of the stream.
STANDS_OUT = 0.7
WHAT = (
    "The residual stream after every block, candidate minus baseline, on the same texts (Minder et al. 2025, "
    "arXiv:2510.13900): "
    "its length over that of the baseline's activation, averaged over tokens, and how much of all squared "
    "differences lies "
    "along one direction. The first layer that differs names where a local fault is; layers after it differ because it "
    "does. A few numbers of the stream are far larger than all others: where a block writes them, almost every change "
    "has one direction."
)
NO_WORDS = (
    "Narrow supervised fine-tuning leaves a bias whose direction names its domain; short reinforcement learning leaves "
    f"none that can be read. No direction holds {STANDS_OUT:.0%} of the difference at the layers that are read, so no "
    "words are shown."
)
WORDS = (
    f"One direction holds {STANDS_OUT:.0%} of the difference or more, and the logit lens of the mean difference at the "
    "fourth token says what follows. A fault can have such a direction too, as two blocks in the wrong order do: no "
    "claim rests on the words, and short reinforcement learning leaves no bias that can be read."
)


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    if not measured:
        return
    said = list(words(measured))
    headers = ["checkpoint", "layer", "share of one direction there", "words, with their probability"]
    yield Section(
        "Activation difference",
        [
            WHAT,
            by_checkpoint(measured),
            Picture(
                "activations.png", "Relative length of the difference and share of one direction, by layer",
                (9, 4), partial(draw, measured, setting), measured, grids=[by_layer(entry) for entry in measured],
            ),
            *([WORDS, Table(headers, said, quotes=True)] if said else [NO_WORDS]),
        ],
    )  # fmt: skip


def by_checkpoint(measured: Sequence[Measured]) -> Table:
    headers = ["checkpoint against the baseline", "first layer that differs", "layer that differs most",
               "relative difference there", "cosine there", "largest share of one direction", "at layer"]  # fmt: skip
    return Table(headers, [[escape(entry.label), *figures(entry)] for entry in measured])


def by_layer(entry: Measured) -> Grid:
    values = entry.arrays["relative"].mean(axis=0)[:, None]
    layers = [f"layer {i}" for i in range(len(values))]
    title = f"difference over the stream's length, {entry.label}"
    return Grid(title, layers, ["all texts"], values, moved="residual stream, change over its length")


def figures(entry: Measured) -> list[str]:
    relative, cosine, shares = (entry.arrays[name] for name in ("relative", "cosine", "direction_share"))
    differs = np.flatnonzero(relative.any(axis=0))
    if not len(differs):
        return ["none", *"-----"]
    most, clearest = int(relative.mean(axis=0).argmax()), int(np.nanargmax(shares))
    return [
        str(differs[0]),
        str(most),
        cell(level(relative[:, most], "", "texts")) if len(relative) > 1 else number(float(relative[0, most])),
        number(float(cosine[:, most].mean())),
        number(float(shares[clearest])),
        str(clearest),
    ]


def words(measured: Sequence[Measured]) -> Iterator[list[str]]:
    """What the mean difference says at the layers where one direction holds enough of it."""
    for entry in measured:
        arrays = entry.arrays
        for layer, said, chances in zip(
            arrays["mean_says_layers"].tolist(), arrays["mean_says"], arrays["mean_says_probability"], strict=True
        ):
            share = float(arrays["direction_share"][layer])
            if share >= STANDS_OUT and chances.any():
                pairs = zip(said.tolist(), chances.tolist(), strict=True)
                cells = [f'"{escape(word)}" {chance:.3f}' for word, chance in pairs]
                yield [escape(entry.label), str(layer), number(share), ", ".join(cells)]


def draw(measured: Sequence[Measured], setting: Setting, figure: Any) -> None:
    """On the left the relative difference with bands that hold for all layers together, on the right the shares."""
    left, right = figure.subplots(1, 2)
    for entry in measured:
        curve = profiles_of(entry.arrays["relative"], "share")
        middle, band, colour = curve.values[0].mean(axis=0), bands(curve), setting.colour(entry)
        layers = np.arange(len(middle))
        left.plot(layers, middle, color=colour, label=entry.label, marker=".")
        if band is not None:
            left.fill_between(layers, middle - band.halves, middle + band.halves, color=colour, alpha=0.13)
        right.plot(layers, entry.arrays["direction_share"], color=colour, label=entry.label, marker=".")
    left.set(xlabel="layer (0-based)", ylabel="|candidate - baseline| / |baseline|, mean over tokens")
    right.set(xlabel="layer (0-based)", ylabel="share of one direction", ylim=(0, 1.02))
    left.legend()
