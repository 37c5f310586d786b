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
    kinds = list(dict.fromkeys(name for entry in measured for name in entry.arrays if name not in READ_OUTS))
    rows = {tuple(fragment_cell(entry, kind) for kind in kinds): entry.label for entry in reversed(measured)}
    body = [[escape(label), *cells] for cells, label in reversed(rows.items())]
    return Table(["tokens a word", *(escape(kind) for kind in kinds)], body)


def fragment_cell(entry: Measured, kind: str) -> str:
    return cell(level(entry.arrays[kind].astype(float), "tokens", "words") if kind in entry.arrays else None)


def read_out_table(measured: Sequence[Measured]) -> Table:
    """How many compounds a linear read-out names: at the embedding, and after the best and the last block."""
    headers = ["compounds read out of their last token", "at the embedding", "after the best block", "after the last",
               "labels shuffled"]  # fmt: skip
    return Table(headers, [[escape(entry.label), *read_out_cells(entry)] for entry in measured])


def read_out_cells(entry: Measured) -> list[str]:
    named, shuffled = entry.arrays["read_out"].mean(axis=0), float(entry.arrays["shuffled"].mean())
    best = int(named[1:].argmax())
    return [f"{named[0]:.1%}", f"{named[best + 1]:.1%} (block {best})", f"{named[-1]:.1%}", f"{shuffled:.1%}"]


# -- the picture ---


def draw(figure: Any, shown: Sequence[Measured], setting: Setting) -> None:
    """Share of compounds named after each block, with labels shuffled too; below it the difference to the reference."""
    panels, reference = stacked(figure, 2 if pairs(shown, read_out) else 1), reference_of(shown)
    for entry in shown:
        draw_blocks(panels[0], entry, shown, setting, [share_at(entry, place) for place in range(places(entry))])
        shuffled = entry.arrays["shuffled"].mean(axis=0)
        panels[0].plot(np.arange(places(entry)) - 1, shuffled, ":", color=setting.colour(entry), linewidth=0.8)
    panels[0].set(ylabel="share of compounds named", ylim=(0, 1))
    panels[0].set_title("Linear read-out of a compound, simultaneous 95 % bands (dotted: labels shuffled)")
    legend_beside(panels[0])
    for entry in pairs(shown, read_out):
        differences = [difference_at(entry, reference, place) for place in range(places(entry))]
        draw_blocks(panels[1], entry, shown, setting, differences)
        panels[1].set(ylabel="difference", title=f"Paired difference to {plain(reference.label)}, simultaneous bands")
    if pairs(shown, read_out):
        panels[1].axhline(0, color=setting.colour(reference), linewidth=0.8)
    panels[-1].set_xlabel("after block (0-based; -1 is the embedding)")


def draw_blocks(
    axes: Any, entry: Measured, shown: Sequence[Measured], setting: Setting, estimates: Sequence[Estimate]
) -> None:
    middle = np.array([each.point for each in estimates])
    halves = np.array([[each.point - each.low for each in estimates], [each.high - each.point for each in estimates]])
    blocks, label = np.arange(len(estimates)) - 1, plain(entry.label)
    band(axes, blocks, middle, halves, setting.colour(entry), label, line_of(entry, shown))


def share_at(entry: Measured, place: int) -> Estimate:
    return share(named(entry, place), estimand="share", level=together(entry))


def difference_at(entry: Measured, reference: Measured, place: int) -> Estimate:
    return paired_difference(named(entry, place), named(reference, place), estimand="difference", level=together(entry))


def together(entry: Measured) -> float:
    """The level at which intervals of all places hold together (Bonferroni): where compounds are few or agree, a
    bootstrap over them has no width.
    """
    return 1 - (1 - LEVEL) / places(entry)


def read_out(entry: Measured) -> NDArray[np.float64]:
    return np.asarray(entry.arrays["read_out"], float)


def named(entry: Measured, place: int) -> Scores:
    values = read_out(entry)[:, place]
    ids = tuple(map(str, range(len(values))))
    return Scores(ids=ids, values=values[None], unit="share", population="items", right=1.0)


def places(entry: Measured) -> int:
    return int(entry.arrays["read_out"].shape[1])
