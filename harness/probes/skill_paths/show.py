"""The section on skill paths. Layers and heads are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.claims import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import head_map, plain
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge.probes.skill_paths import LONGEST

ALT = "What each head adds to the logits where tokens repeat, beyond background"
TEXT = """Random tokens said twice, up to one whose successor was said before, and a background with other tokens in the
place of the first saying (arXiv:2410.01334). With attention maps and norms held, the logit of what followed before,
less that of another token, is the exact sum of paths through heads: what their last head reads of tokens, MLPs and
biases, and of heads that add under 2 % (which count as one head more). Mean layers are weighted by what heads add
beyond background, and by previous-token attention."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """What is carried by paths of each length, a map of heads, and the strongest paths."""
    size = (4.4 * len(measured), 3.6)
    picture = Picture("paths.png", ALT, size, lambda figure: draw(figure, measured), measured)
    yield Section("Skill paths", (picture, TEXT, lengths(measured), strongest(measured)))


def beyond(one: Measured) -> np.ndarray:
    return np.asarray((one.arrays["heads"] - one.arrays["background_heads"]).mean(0))


def mean_layer(weights_LH: np.ndarray) -> str:
    weights = np.abs(weights_LH).sum(1)
    return number(float(weights @ np.arange(len(weights)) / weights.sum())) if weights.sum() else "-"


def lengths(measured: Sequence[Measured]) -> Table:
    rows = []
    for one in measured:
        shown = [cell(level(one.arrays[name], "logits", "prompts")) for name in ("logit", "background")]
        carried = [number(float(value)) for value in one.arrays["by_length"].mean(0)]
        layers = [mean_layer(beyond(one)), mean_layer(one.arrays["previous"] ** 2)]
        rows.append([escape(one.label), *shown, *carried, number(float(one.arrays["paths"].mean())), *layers])
    by_heads = [f"{heads} heads" for heads in range(LONGEST)] + [f"{LONGEST} or more"]
    headers = [
        "checkpoint",
        "logit difference",
        "background",
        *by_heads,
        "paths",
        "mean layer",
        "of previous-token heads",
    ]
    return Table(headers, rows)


def strongest(measured: Sequence[Measured]) -> Table:
    rows = [
        [escape(one.label), escape(str(name)), number(float(carried))]
        for one in measured
        for name, carried in zip(one.arrays["names"], one.arrays["carried"], strict=True)
    ]
    return Table(["checkpoint", "path, layer.head", "carries, logits"], rows, folded="The paths that carry most")


def draw(figure: Any, measured: Sequence[Measured]) -> None:
    """A map of heads for each checkpoint, on one scale."""
    largest = max(max(float(np.abs(beyond(one)).max()) for one in measured), 1e-9)
    for axes, one in zip(figure.subplots(1, len(measured), squeeze=False)[0], measured, strict=True):
        head_map(figure, axes, beyond(one), plain(one.label), -largest, largest)
