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


def mean_beyond(entry: Measured) -> np.ndarray:
    return np.asarray(beyond(entry.measurement).mean(0))


def mean_layer(weights_LH: np.ndarray) -> str:
    weights = np.abs(weights_LH).sum(1)
    return number(float(weights @ np.arange(len(weights)) / weights.sum())) if weights.sum() else "-"


def lengths(measured: Sequence[Measured]) -> Table:
    rows = [row(entry) for entry in measured]
    return Table(list(rows[0]), [list(cells.values()) for cells in rows])


def row(entry: Measured) -> dict[str, str]:
    carried = [number(float(value)) for value in entry.arrays["by_length"].mean(0)]
    cells = {"checkpoint": escape(entry.label), "logit difference": logits(entry, "logit")}
    cells |= {"background": logits(entry, "background")}
    cells |= dict(zip([f"{heads} heads" for heads in range(LONGEST)], carried, strict=False))
    cells |= {f"{LONGEST} or more": carried[LONGEST], "paths": number(float(entry.arrays["paths"].mean()))}
    cells |= {"mean layer": mean_layer(mean_beyond(entry))}
    if "previous" in entry.arrays:
        cells["of previous-token heads"] = mean_layer(entry.arrays["previous"] ** 2)
    return cells


def logits(entry: Measured, name: str) -> str:
    return cell(level(entry.arrays[name], "logits", "prompts"))


def strongest(measured: Sequence[Measured]) -> Table:
    rows = [
        [escape(entry.label), escape(str(name)), number(float(carried))]
        for entry in measured
        for name, carried in zip(entry.arrays["names"], entry.arrays["carried"], strict=True)
    ]
    return Table(["checkpoint", "path, layer.head", "carries, logits"], rows, folded="The paths that carry most")


def draw(figure: Any, measured: Sequence[Measured]) -> None:
    """A map of heads for each checkpoint, on one scale."""
    largest = max(max(float(np.abs(mean_beyond(entry)).max()) for entry in measured), 1e-9)
    for axes, entry in zip(figure.subplots(1, len(measured), squeeze=False)[0], measured, strict=True):
        head_map(figure, axes, mean_beyond(entry), plain(entry.label), -largest, largest)
