"""The section on what attention heads do with tokens that repeat. Layers and heads are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import grid_of, head_map, plain, token_map
from depthgauge.page.section import Measured, Picture, Section, Setting, Table, of
from depthgauge.page.tables import cell, level

KINDS = ("previous", "duplicate", "induction", "positional")
MAPPED = ("best_previous", "best_induction")
TOP_HEADS = 3
ALT = "Scores of all heads, and the maps of the best previous-token and the best induction head"
TEXT = """Random tokens, said twice. Previous: mean attention to the token before. Duplicate: to the same token in the
first saying. Induction: to what came after it there. Positional: the share of queries whose largest weight lies at the
head's favourite distance (Voita et al. 2019), before any token has been said twice. Copying: real parts over sizes of
the OV circuit's eigenvalues, 1 where all that a head reads is made likelier. Learning in context is the fall of the
loss from the first saying to the second."""
FOLDED = "The heads with the highest scores"
SCORED = """Random tokens, said twice, and the best head of each kind. Previous: mean attention to the token before.
Duplicate: to the same token in the first saying. Induction: to what came after it there."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """Scores of all heads, the best ones, and what is lost without them; of those scored alone, the best ones."""
    read, scored = of(measured, "circuits"), of(measured, "head_scores")
    if read:
        size = (16, 2.9 * len(read))
        picture = Picture("circuits.png", ALT, size, lambda figure: draw(figure, read), read)
        yield Section("Circuits", (picture, TEXT, circuits_table(read), heads_table(read)))
    if scored:
        yield Section("Head scores", (SCORED, scores_table(scored)))


def scores_table(measured: Sequence[Measured]) -> Table:
    """The best head of each kind, with its mean score."""
    kinds = ("previous", "duplicate", "induction")
    rows = [[escape(entry.label), *(best_of(entry, kind) for kind in kinds)] for entry in measured]
    return Table(["checkpoint", *kinds], rows)


def best_of(entry: Measured, kind: str) -> str:
    means = entry.arrays[kind].mean(0)
    layer, head = np.unravel_index(int(means.argmax()), means.shape)
    return f"layer {layer} head {head}: {means[layer, head]:.3f}"


def circuits_table(measured: Sequence[Measured]) -> Table:
    headers = ["checkpoint", "best previous-token head", "best induction head", "K-composition above chance",
               "learning in context (nats)", "lost without induction heads (nats)", "heads that copy"]  # fmt: skip
    return Table(headers, [[escape(entry.label), *circuit_cells(entry)] for entry in measured])


def circuit_cells(entry: Measured) -> list[str]:
    arrays, composed = entry.arrays, float(entry.arrays["k_composition"])
    return [
        *(best_cell(entry, kind) for kind in ("previous", "induction")),
        number(composed) if np.isfinite(composed) else "-",
        cell(level(arrays["learning"], "nats", "prompts")),
        cell(level(arrays["learning_lost"], "nats", "prompts")),
        f"{int((arrays['copying'] > 0).sum())} of {arrays['copying'].size}",
    ]


def best_cell(entry: Measured, kind: str) -> str:
    layer, head = map(int, entry.arrays[f"best_{kind}"])
    return f"layer {layer} head {head}: {entry.arrays[kind][:, layer, head].mean():.3f}"


def heads_table(measured: Sequence[Measured]) -> Table:
    """The heads with the highest scores of each kind, and what their circuits are."""
    headers = ["checkpoint", "score", "layer", "head", "mean score", "p (permutation)", "copying", "QK eigenvalues",
               "stable rank of OV", "of QK"]  # fmt: skip
    body = [
        [escape(entry.label), kind, *cells] for entry in measured for kind in KINDS for cells in head_rows(entry, kind)
    ]
    return Table(headers, body, FOLDED)


def head_rows(entry: Measured, kind: str) -> Iterator[list[str]]:
    means = entry.arrays[kind].mean(0)
    for place in np.argsort(-means, axis=None)[:TOP_HEADS]:
        layer, head = map(int, np.unravel_index(int(place), means.shape))
        names = (f"{kind}_p", "copying", "matching", "ov_rank", "qk_rank")
        numbers = (number(float(entry.arrays[name][layer, head])) for name in names)
        yield [str(layer), str(head), cell(level(entry.arrays[kind][:, layer, head], "", "prompts")), *numbers]


def draw(figure: Any, measured: Sequence[Measured]) -> None:
    """A row a checkpoint: the four scores of all heads, then two heads' maps on one sequence said twice.

    A column of scores has one scale.
    """
    most = {kind: max(float(entry.arrays[kind].mean(0).max()) for entry in measured) for kind in KINDS}
    for entry, row in zip(measured, grid_of(figure, len(measured), len(KINDS) + len(MAPPED)), strict=True):
        for axes in row:
            axes.axis("on")
        for axes, kind, label in zip(row, KINDS, (plain(entry.label), "", "", ""), strict=False):
            head_map(figure, axes, entry.arrays[kind].mean(0), f"{label}\n{kind}", 0, most[kind] or None)
        for axes, name, pattern in zip(row[len(KINDS) :], MAPPED, entry.arrays["maps"], strict=True):
            layer, head = map(int, entry.arrays[name])
            token_map(figure, axes, pattern, f"{name.replace('_', ' ')}\nlayer {layer} head {head}", 0, 1)
