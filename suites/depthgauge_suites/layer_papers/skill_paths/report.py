"""The sections on skill paths. Layers and heads are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import head_map, plain
from depthgauge.page.section import Measured, Part, Picture, Section, Setting, Table, of
from depthgauge.page.tables import cell, level
from depthgauge_suites.layer_papers.skill_paths.probe import beyond
from depthgauge_suites.layer_papers.skill_paths.settings import LONGEST

REPEATED = """Random tokens said twice, up to one whose successor was said before, and a background with other tokens in
the place of the first saying (arXiv:2410.01334). With attention maps and norms held, the logit of what followed before,
less that of another token, is the exact sum of paths through heads: what their last head reads of tokens, MLPs and
biases, and of heads that add under 2 % (which count as one head more). Mean layers are weighted by what heads add
beyond background, and by previous-token attention."""
LEARNT = """Words of two kinds, each with one of two labels, up to a word whose label is asked, and a background whose
labels tell no kind (arXiv:2410.01334). The logit of the label of its kind, less that of the other one, as a sum of
paths."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """For each skill: what is carried by paths of each length, a map of heads, and the strongest paths."""
    repeated, learnt = of(measured, "skill_paths"), of(measured, "label_paths")
    if repeated:
        yield Section("Skill paths", parts(repeated, "paths.png", "where tokens repeat", REPEATED))
    if learnt:
        yield Section("Labels learnt in context", parts(learnt, "labels.png", "to a label learnt in context", LEARNT))


def parts(measured: Sequence[Measured], name: str, where: str, text: str) -> Sequence[Part]:
    size = (4.4 * len(measured), 3.6)
    alt = f"What each head adds to the logits {where}, beyond background"
    picture = Picture(name, alt, size, lambda figure: draw(figure, measured), measured)
    return picture, text, lengths(measured), strongest(measured)


def mean_beyond(one: Measured) -> np.ndarray:
    return np.asarray(beyond(one.measurement).mean(0))


def mean_layer(weights_LH: np.ndarray) -> str:
    weights = np.abs(weights_LH).sum(1)
    return number(float(weights @ np.arange(len(weights)) / weights.sum())) if weights.sum() else "-"


def lengths(measured: Sequence[Measured]) -> Table:
    rows = [row(one) for one in measured]
    return Table(list(rows[0]), [list(one.values()) for one in rows])


def row(one: Measured) -> dict[str, str]:
    carried = [number(float(value)) for value in one.arrays["by_length"].mean(0)]
    cells = {"checkpoint": escape(one.label), "logit difference": logits(one, "logit")}
    cells |= {"background": logits(one, "background")}
    cells |= dict(zip([f"{heads} heads" for heads in range(LONGEST)], carried, strict=False))
    cells |= {f"{LONGEST} or more": carried[LONGEST], "paths": number(float(one.arrays["paths"].mean()))}
    cells |= {"mean layer": mean_layer(mean_beyond(one))}
    if "previous" in one.arrays:
        cells["of previous-token heads"] = mean_layer(one.arrays["previous"] ** 2)
    return cells


def logits(one: Measured, name: str) -> str:
    return cell(level(one.arrays[name], "logits", "prompts"))


def strongest(measured: Sequence[Measured]) -> Table:
    rows = [
        [escape(one.label), escape(str(name)), number(float(carried))]
        for one in measured
        for name, carried in zip(one.arrays["names"], one.arrays["carried"], strict=True)
    ]
    return Table(["checkpoint", "path, layer.head", "carries, logits"], rows, folded="The paths that carry most")


def draw(figure: Any, measured: Sequence[Measured]) -> None:
    """A map of heads for each checkpoint, on one scale."""
    largest = max(max(float(np.abs(mean_beyond(one)).max()) for one in measured), 1e-9)
    for axes, one in zip(figure.subplots(1, len(measured), squeeze=False)[0], measured, strict=True):
        head_map(figure, axes, mean_beyond(one), plain(one.label), -largest, largest)
