"""The section on what the tokenizer takes apart, and where it is put together again. Layers are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Estimate, Scores
from depthgauge.page.escape import escape
from depthgauge.page.layers import band, legend_beside, line_of, pairs, plain, reference_of, stacked
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge.stats import paired_difference, share
from depthgauge.stats.levels import LEVEL

READ_OUTS = ("read_out", "shuffled")
ALT = "Linear read-out of compounds by layer"


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """Tokens a word by kind, and how many compounds a linear read-out names."""
    size = (9, 6.6 if pairs(measured, read_out) else 3.8)
    picture = Picture("read_out.png", ALT, size, lambda figure: draw(figure, measured, setting), measured)
    yield Section("Tokenization", (picture, fragments_table(measured), read_out_table(measured)))


def fragments_table(measured: Sequence[Measured]) -> Table:
    """Tokens a word by kind, of one checkpoint of each tokenizer seen."""
    kinds = list(dict.fromkeys(name for one in measured for name in one.arrays if name not in READ_OUTS))
    rows = {tuple(fragment_cell(one, kind) for kind in kinds): one.label for one in reversed(measured)}
    body = [[escape(label), *cells] for cells, label in reversed(rows.items())]
    return Table(["tokens a word", *(escape(kind) for kind in kinds)], body)


def fragment_cell(one: Measured, kind: str) -> str:
    return cell(level(one.arrays[kind].astype(float), "tokens", "words") if kind in one.arrays else None)


def read_out_table(measured: Sequence[Measured]) -> Table:
    """How many compounds a linear read-out names: at the embedding, and after the best and the last block."""
    headers = ["compounds read out of their last token", "at the embedding", "after the best block", "after the last",
               "labels shuffled"]  # fmt: skip
    return Table(headers, [[escape(one.label), *read_out_cells(one)] for one in measured])


def read_out_cells(one: Measured) -> list[str]:
    named, shuffled = one.arrays["read_out"].mean(axis=0), float(one.arrays["shuffled"].mean())
    best = int(named[1:].argmax())
    return [f"{named[0]:.1%}", f"{named[best + 1]:.1%} (block {best})", f"{named[-1]:.1%}", f"{shuffled:.1%}"]


# -- the picture ---


def draw(figure: Any, shown: Sequence[Measured], setting: Setting) -> None:
    """Share of compounds named after each block, with labels shuffled too; below it the difference to the reference."""
    panels, reference = stacked(figure, 2 if pairs(shown, read_out) else 1), reference_of(shown)
    for one in shown:
        draw_blocks(panels[0], one, shown, setting, [share_at(one, place) for place in range(places(one))])
        shuffled = one.arrays["shuffled"].mean(axis=0)
        panels[0].plot(np.arange(places(one)) - 1, shuffled, ":", color=setting.colour(one), linewidth=0.8)
    panels[0].set(ylabel="share of compounds named", ylim=(0, 1))
    panels[0].set_title("Linear read-out of a compound, simultaneous 95 % bands (dotted: labels shuffled)")
    legend_beside(panels[0])
    for one in pairs(shown, read_out):
        differences = [difference_at(one, reference, place) for place in range(places(one))]
        draw_blocks(panels[1], one, shown, setting, differences)
        panels[1].set(ylabel="difference", title=f"Paired difference to {plain(reference.label)}, simultaneous bands")
    if pairs(shown, read_out):
        panels[1].axhline(0, color=setting.colour(reference), linewidth=0.8)
    panels[-1].set_xlabel("after block (0-based; -1 is the embedding)")


def draw_blocks(
    axes: Any, one: Measured, shown: Sequence[Measured], setting: Setting, estimates: Sequence[Estimate]
) -> None:
    middle = np.array([each.point for each in estimates])
    halves = np.array([[each.point - each.low for each in estimates], [each.high - each.point for each in estimates]])
    blocks, label = np.arange(len(estimates)) - 1, plain(one.label)
    band(axes, blocks, middle, halves, setting.colour(one), label, line_of(one, shown))


def share_at(one: Measured, place: int) -> Estimate:
    return share(named(one, place), estimand="share", level=together(one))


def difference_at(one: Measured, reference: Measured, place: int) -> Estimate:
    return paired_difference(named(one, place), named(reference, place), estimand="difference", level=together(one))


def together(one: Measured) -> float:
    """The level at which intervals of all places hold together (Bonferroni): where compounds are few or agree, a
    bootstrap over them has no width.
    """
    return 1 - (1 - LEVEL) / places(one)


def read_out(one: Measured) -> NDArray[np.float64]:
    return np.asarray(one.arrays["read_out"], float)


def named(one: Measured, place: int) -> Scores:
    values = read_out(one)[:, place]
    ids = tuple(map(str, range(len(values))))
    return Scores(ids=ids, values=values[None], unit="share", population="items", right=1.0)


def places(one: Measured) -> int:
    return int(one.arrays["read_out"].shape[1])
