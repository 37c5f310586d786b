"""The section on who looks at the pieces of terms, and the twenty most changed heads as maps. 0-based."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.page.escape import escape
from depthgauge.page.layers import DIFFERENCES, grid_of, pair_label, plain
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge_suites.articles.routing.readings import in_top_heads, top
from depthgauge_suites.articles.routing.settings import DOMAINS, Domain

COLUMNS = 5
TEXT = """Sentences with a formula or an isotope that the tokenizer takes apart. Changes of attention in the twenty
heads that diverged most from the other checkpoint: among pieces of the term, between pieces and words, and what its
last piece gained from later words beyond the other pieces. The first token, where attention is parked, is left out."""
NUMBERS = {
    "among pieces": "within", "between pieces and words": "between", "among pieces, absolute": "within_size",
    "between, absolute": "between_size", "last piece over the others": "last_piece",
}  # fmt: skip


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """The numbers of every checkpoint, and of the first the maps of its most changed heads."""
    first = measured[0]
    pictures = [maps(first, domain) for domain in DOMAINS if f"{domain}_change" in first.arrays]
    yield Section("Attention to pieces of terms", (" ".join(TEXT.split()), numbers_table(measured), *pictures))


def numbers_table(measured: Sequence[Measured]) -> Table:
    headers = ["against the other checkpoint", *NUMBERS, "top 20 by divergence and by absolute difference"]
    body = [[escape(pair_label(entry, measured)), *cells_of(entry)] for entry in measured]
    return Table(headers, body)


def cells_of(entry: Measured) -> Iterator[str]:
    for name in NUMBERS.values():
        yield cell(level(in_top_heads(entry.arrays, entry.arrays[name]), "attention", "texts"))
    ranked = zip(entry.arrays["jsd_bits"], entry.arrays["mae"], strict=True)
    yield f"{np.mean([np.isin(top(jsd_bits), top(mae)).mean() for jsd_bits, mae in ranked]):.0%} in both"


def maps(entry: Measured, domain: Domain) -> Picture:
    rows = -(-len(entry.arrays[f"{domain}_heads"]) // COLUMNS)
    alt = f"Change of attention in the most changed heads on a sentence of {domain}, {plain(entry.label)}"
    size = (2.4 * COLUMNS, 2.4 * rows)
    return Picture(
        f"routes_{domain}.png",
        alt,
        size,
        lambda figure: draw(figure, entry, domain),
        [entry],
        quotes=True,
        depends=domain,
    )


def draw(figure: Any, entry: Measured, domain: Domain) -> None:
    """A panel a head, the most changed first, all on one scale; tokens are named at the first."""
    heads, change, tokens = (entry.arrays[f"{domain}_{name}"] for name in ("heads", "change", "tokens"))
    most = max(float(np.abs(change).max()), 1e-9)
    panels = [axes for row in grid_of(figure, -(-len(heads) // COLUMNS), COLUMNS) for axes in row]
    for place, (axes, (layer, head), values) in enumerate(zip(panels, heads, change, strict=False)):
        axes.axis("on")
        axes.imshow(values, cmap=DIFFERENCES, vmin=-most, vmax=most)
        axes.set_title(f"layer {layer}, head {head}", fontsize=7)
        named = range(len(tokens)) if place == 0 else ()
        labels = [plain(tokens[at]) for at in named]
        axes.set_xticks(named, labels, rotation=90, fontsize=5)
        axes.set_yticks(named, labels, fontsize=5)
    figure.suptitle(f"Change of attention, query by key, from -{most:.2g} (orange) to {most:.2g} (purple)", fontsize=8)
