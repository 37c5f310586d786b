"""The section of a report on what two checkpoints would say next."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.testbed import Text
from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.section import Marked, Measured, Picture, Piece, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge.probes.divergence.probe import means, medians

MARKED_TEXTS = 3
TAILS = (0.5, 0.95, 0.99)
LEAST = 1e-8  # nats: what diverges less is drawn there, as a logarithm has no 0
WHAT = (
    "How much the baseline would miss in the candidate after every token of texts that nobody trained on: "
    "KL(baseline || "
    "new) in nats, 0 for equal models. A training moves what it trains, and a fault moves all there is. So the mean "
    "over tokens does not tell one from the other, and the median over the tokens of a text does."
)

AS_RUN = (
    "Run as it is stored: what its weights cost, dequantised and computed as the baseline is, and what running them as "
    "they are does besides, such as activations that are quantised: KL(dequantised || as it runs), which need not add "
    "up to both."
)
COSTS = {
    "weights": (("kl_of_weights", "nats"), ("changed_by_weights", "share")),
    "activations, and how it is computed": (("kl_of_running", "nats"), ("changed_by_running", "share")),
    "both": (("kl", "nats"), ("changed", "share")),
}


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    if not measured:
        return
    yield Section(
        "Next-token divergence",
        [
            WHAT,
            by_checkpoint(measured),
            whole(measured),
            *costs(measured),
            by_kind(measured),
            Picture(
                "divergence.png", "Median KL of every text, by kind and checkpoint, on a logarithmic axis",
                (9, 4), partial(draw_texts, measured, setting), measured,
            ),
            most_changed(measured),
            *(text for entry in measured for text in marked_texts(entry, setting)),
        ],
    )  # fmt: skip


def by_checkpoint(measured: Sequence[Measured]) -> Table:
    headers = ["checkpoint against the baseline", "mean KL (nats)", "median KL (nats)", "likeliest token changed",
               "texts", "tokens"]  # fmt: skip
    return Table(headers, [[escape(entry.label), *figures(entry), *sizes(entry)] for entry in measured])


def costs(measured: Sequence[Measured]) -> Iterator[str | Table]:
    """What weights cost, and what running them as they are stored does, of the candidates that were run so."""
    rows = [
        [escape(entry.label), name, *(figure(means(entry.measurement, array), unit) for array, unit in arrays)]
        for entry in measured
        if "kl_of_weights" in entry.arrays
        for name, arrays in COSTS.items()
    ]
    if rows:
        yield AS_RUN
        yield Table(["checkpoint", "what costs it", "mean KL (nats)", "likeliest token changed"], rows)


def whole(measured: Sequence[Measured]) -> Table:
    """Over all tokens, by the names and definitions of llama.cpp's --kl-divergence where it has them."""
    headers = ["checkpoint against the baseline", "mean KLD", "median", "95 %", "99 %", "maximum",
               "mean of the reverse KLD", "same top p", "RMS delta p", "mean PPL(candidate)/PPL(baseline)"]  # fmt: skip
    return Table(headers, [[escape(entry.label), *map(escape, of_all_tokens(entry))] for entry in measured])


def of_all_tokens(entry: Measured) -> Iterator[str]:
    kl, same = entry.arrays["kl"].astype(float), 1 - float(entry.arrays["changed"].mean())
    yield from map(number, (float(kl.mean()), *np.quantile(kl, TAILS).tolist(), float(kl.max())))
    yield number(float(entry.arrays["reverse_kl"].mean()))
    yield f"{number(100 * same)} %"
    after, before = (entry.arrays[name].astype(float) for name in ("log_likelihood", "baseline_log_likelihood"))
    known = ~np.isnan(after)
    if not known.any():
        yield from ("-", "-")
        return
    change = np.exp(after[known]) - np.exp(before[known])
    yield f"{number(100 * float(np.sqrt((change**2).mean())))} %"
    yield number(float(np.exp((before - after)[known].mean())))


def figures(entry: Measured, kind: str | None = None) -> list[str]:
    """The three measures over the texts of a kind, or of all, with their intervals."""
    chosen = np.ones(len(kinds_of(entry)), bool) if kind is None else kinds_of(entry) == kind
    columns = (
        (means(entry.measurement, "kl"), "nats"),
        (medians(entry.measurement), "nats"),
        (means(entry.measurement, "changed"), "share"),
    )
    return [figure(values[chosen], unit) for values, unit in columns]


def figure(values: NDArray[np.float64], unit: str) -> str:
    return number(float(values[0])) if len(values) == 1 else cell(level(values, unit, "texts"))


def sizes(entry: Measured) -> list[str]:
    return [f"{len(kinds_of(entry)):,}", f"{len(entry.arrays['kl']):,}"]


def kinds_of(entry: Measured) -> NDArray[np.str_]:
    kinds: NDArray[np.str_] = entry.arrays["kinds"]
    return kinds


def by_kind(measured: Sequence[Measured]) -> Table:
    headers = ["checkpoint against the baseline", "kind of text", "texts", "mean KL (nats)", "median KL (nats)",
               "likeliest token changed"]  # fmt: skip
    rows = [
        [escape(entry.label), name_of(kind), str(int((kinds_of(entry) == kind).sum())), *figures(entry, kind)]
        for entry in measured
        for kind in dict.fromkeys(kinds_of(entry).tolist())
    ]
    return Table(headers, rows)


def name_of(kind: str) -> str:
    return escape(kind) or "other"


def most_changed(measured: Sequence[Measured]) -> Table:
    headers = ["checkpoint", "kind of text", "text", "token", "context", "KL (nats)", "baseline says", "new says",
               "baseline's chance of it", "new one's"]  # fmt: skip
    rows = [row for entry in measured for row in changed_rows(entry)]
    return Table(headers, rows, folded="The most changed tokens, and what was likeliest after them", quotes=True)


def changed_rows(entry: Measured) -> Iterator[list[str]]:
    arrays = entry.arrays
    for i, text in enumerate(arrays["top_text"].tolist()):
        yield [
            escape(entry.label),
            name_of(str(kinds_of(entry)[text])),
            f"{text}, token {int(arrays['top_position'][i])}",
            *(quoted(str(arrays[name][i])) for name in ("top_token", "top_context")),
            number(float(arrays["top_kl"][i])),
            *(quoted(str(arrays[name][i])) for name in ("top_old", "top_new")),
            *(number(float(arrays[name][i])) for name in ("top_old_probability", "top_new_probability")),
        ]


def marked_texts(entry: Measured, setting: Setting) -> Iterator[Marked]:
    """The texts with the most changed tokens, these marked in them, by what stands before them."""
    texts = setting.testbed.inputs(Text) if Text in setting.testbed.probe_inputs else ()
    spots = Counter(text for text in entry.arrays["top_text"].tolist() if text < len(texts))
    for text, _ in spots.most_common(MARKED_TEXTS):
        pieces = list(pieces_of(texts[text].text, changed_in(entry, text)))
        if any(piece.weight for piece in pieces):
            yield Marked(
                f"Text {text}, the tokens marked after which {escape(entry.label)} says something else", pieces
            )


def changed_in(entry: Measured, text: int) -> Iterator[tuple[str, Piece]]:
    """The changed tokens, each with what stands before it and ends with it."""
    arrays = entry.arrays
    for i in np.flatnonzero(arrays["top_text"] == text):
        was, now = (str(arrays[name][i]) for name in ("top_old", "top_new"))
        note = f"{number(float(arrays['top_kl'][i]))} nats: said {was!r}, now {now!r}"
        share = float(arrays["top_kl"][i] / arrays["top_kl"][0])
        yield str(arrays["top_context"][i]), Piece(str(arrays["top_token"][i]), round(share, 3), note)


def pieces_of(text: str, changed: Iterable[tuple[str, Piece]]) -> Iterator[Piece]:
    """The text cut at the changed tokens; one that is not found, as in a chat's template, is left out."""
    places = {text.find(context) + len(context): piece for context, piece in changed if context in text}
    end = 0
    for stop in sorted(places):
        start = stop - len(places[stop].text)
        if start >= end:
            yield Piece(text[end:start])
            yield places[stop]
            end = stop
    yield Piece(text[end:])


def quoted(text: str) -> str:
    """What a model reads or writes, with its spaces and ends of lines to be seen."""
    return f'"{escape(text.replace(chr(10), "⏎"))}"'


def draw_texts(measured: Sequence[Measured], setting: Setting, figure: Any) -> None:
    """A dot a text: kinds side by side, and in each the texts of a checkpoint from the least divergence to the most."""
    axes = figure.subplots()
    kinds = list(dict.fromkeys(kind for entry in measured for kind in kinds_of(entry).tolist()))
    for entry in measured:
        values = np.maximum(medians(entry.measurement), LEAST)
        axes.plot(places_of(entry, values, kinds), values, ".", color=setting.colour(entry), label=entry.label)
    axes.set_yscale("log")
    axes.set_xticks(range(len(kinds)), [kind or "other" for kind in kinds], parse_math=False)
    axes.set(ylabel="median KL(baseline || candidate) of a text (nats)")
    axes.legend()


def places_of(entry: Measured, values: NDArray[np.float64], kinds: Sequence[str]) -> NDArray[np.float64]:
    """Where each text stands: around the number of its kind, by its rank there."""
    places = np.empty(len(values))
    for middle, kind in enumerate(kinds):
        of_kind = np.flatnonzero(kinds_of(entry) == kind)
        ranks = np.argsort(np.argsort(values[of_kind], kind="stable"), kind="stable")
        places[of_kind] = middle + 0.7 * ((ranks + 0.5) / max(len(of_kind), 1) - 0.5)
    return places
