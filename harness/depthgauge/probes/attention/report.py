"""The section on where heads look, against another checkpoint. Layers and heads are 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.registry import CORRUPTIONS
from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import grid_of, head_map, pair_label, plain, token_map
from depthgauge.page.section import Grid, Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell, level, profiles_of
from depthgauge.probes.attention.compute import top_head_stability, top_heads
from depthgauge.stats.ranks import signed_rank_p

TOP_HEADS = 10
ALT = "Divergence of heads, and maps of the most changed"
TEXT = """Jensen-Shannon divergence in bits of each head's attention from that of the other checkpoint, over all queries
but the first."""
COLOURS = " Purple is more attention than in the other checkpoint, orange less."
FOLDED = "The most changed heads of each checkpoint"


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """How far heads look elsewhere, which ones do most, and on which tokens."""
    size = (2.9 * (1 + most_maps(measured)), 2.8 * len(measured))
    grids = [by_head(entry, measured) for entry in measured]
    picture = Picture("heads.png", ALT, size, lambda figure: draw(figure, measured), measured, quotes=True, grids=grids)
    text = TEXT + controls_shown(measured) + COLOURS
    yield Section("Attention", (picture, text, attention_table(measured), heads_table(measured)))


def controls_shown(measured: Sequence[Measured]) -> str:
    """What the corruptions among them are."""
    names = dict.fromkeys(entry.evidence.method for entry in measured if entry.evidence.method in CORRUPTIONS)
    return "".join(f" `{name}`: {CORRUPTIONS[name].summary}." for name in names)


def by_head(entry: Measured, measured: Sequence[Measured]) -> Grid:
    values = entry.arrays["jsd_bits"].mean(axis=0)
    layers, heads = ([f"{name} {i}" for i in range(n)] for name, n in zip(("layer", "head"), values.shape, strict=True))
    title = f"divergence of heads, {pair_label(entry, measured)} (bits)"
    return Grid(title, layers, heads, values, moved="attention, bits of divergence")


def attention_table(measured: Sequence[Measured]) -> Table:
    headers = [
        "against the other checkpoint", "mean divergence (bits)",
        "heads whose attention to the first token changed", "changed attention on fragments", "spread evenly",
    ]  # fmt: skip
    body = []
    for entry in measured:
        p_values = sink_p_values(entry)
        divergences = entry.arrays["jsd_bits"].mean(axis=(1, 2)).astype(float)
        cells = [cell(level(divergences, "bits", "prompts")), f"{int((p_values < 0.05).sum())} of {len(p_values)}"]
        body.append([escape(pair_label(entry, measured)), *cells, *fragment_cells(entry)])
    return Table(headers, body)


def fragment_cells(entry: Measured) -> list[str]:
    """The share of changed attention on pieces of terms, and if spread evenly; dashes where a text marks none."""
    if "fragment_share" not in entry.arrays:
        return ["-", "-"]
    share, chance = entry.arrays["fragment_share"].T
    return [cell(level(share, "share", "prompts")), f"{chance.mean():.3f}"]


def sink_p_values(entry: Measured) -> NDArray[np.float64]:
    """By head, Wilcoxon's p-value, adjusted by Holm, that attention to the first token changed."""
    change = entry.arrays["sink"] - entry.arrays["other_sink"]
    return signed_rank_p(profiles_of(change.reshape(len(change), -1), "attention"))


def heads_table(measured: Sequence[Measured]) -> Table:
    """The most changed heads of each checkpoint, with how sure their place is, and what became of the sink."""
    headers = [
        "checkpoint", "layer", "head", "divergence (bits)", "without the first token (bits)", "mean abs. difference",
        "again in the top 10", "attention to the first token", "p (Wilcoxon, Holm)",
    ]  # fmt: skip
    body = [[escape(pair_label(entry, measured)), *cells] for entry in measured for cells in head_rows(entry)]
    return Table(headers, body, FOLDED)


def head_rows(entry: Measured) -> Iterator[list[str]]:
    divergences, p_values = entry.arrays["jsd_bits"], sink_p_values(entry)
    _, layers, heads = divergences.shape
    k = min(TOP_HEADS, layers * heads)
    for (layer, head), again in zip(top_heads(divergences, k), top_head_stability(divergences, k), strict=True):
        sink, before = (float(entry.arrays[name][:, layer, head].mean()) for name in ("sink", "other_sink"))
        means = (entry.arrays[name][:, layer, head].astype(float) for name in ("jsd_bits", "jsd_sink_free_bits"))
        yield [
            str(layer),
            str(head),
            *(cell(level(values, "bits", "prompts")) for values in means),
            number(float(entry.arrays["mae"][:, layer, head].mean())),
            f"{again:.0%}",
            f"{before:.3f} to {sink:.3f}",
            number(float(p_values[layer * heads + head])),
        ]


def most_maps(measured: Sequence[Measured]) -> int:
    return max(len(entry.arrays["maps"]) for entry in measured)


def draw(figure: Any, measured: Sequence[Measured]) -> None:
    """A row a checkpoint: the divergence of all heads on one scale, then how maps of the most changed ones differ."""
    largest = max(float(entry.arrays["jsd_bits"].mean(axis=0).max()) for entry in measured)
    for entry, row in zip(measured, grid_of(figure, len(measured), 1 + most_maps(measured)), strict=True):
        row[0].axis("on")
        title = f"{plain(pair_label(entry, measured))}\ndivergence (bits)"
        head_map(figure, row[0], entry.arrays["jsd_bits"].mean(axis=0), title, 0, largest or None)
        draw_changes(figure, row[1:], entry)


def draw_changes(figure: Any, row: Sequence[Any], entry: Measured) -> None:
    """The change of attention of each mapped head, query by key, each on a scale of its own."""
    names = ("mapped_heads", "maps", "other_maps")
    for axes, (layer, head), after, before in zip(row, *(entry.arrays[name] for name in names), strict=False):
        change = after - before
        most = max(float(np.abs(change).max()), 1e-9)
        axes.axis("on")
        token_map(figure, axes, change, f"layer {layer}, head {head}", -most, most, entry.arrays["tokens"])
