"""Tables of what was measured inside the checkpoints. Layers and heads are 0-based."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from depthgauge.claims import number
from depthgauge.errors import Undefined
from depthgauge.page.escape import escape
from depthgauge.page.tables import Measured, cell, level, markdown
from depthgauge.probes.attention.compute import sink_rate, top_head_stability, top_heads
from depthgauge.stats.columns import NEIGHBOURS, Bands, argmax_share, permutation_p, prominence, simultaneous
from depthgauge.stats.ranks import signed_rank_p
from depthgauge.subject import RIGHT, WRONG
from depthgauge.types import Landmarks, Profiles

TOP_HEADS, MOVED_HEADS = 10, 5


def of(measured: Sequence[Measured], probe: str) -> list[Measured]:
    return [one for one in measured if one.measurement.probe == probe]


def traces(measured: Sequence[Measured]) -> list[Measured]:
    """The noise traces on plain questions; those on copying are judged, and not drawn."""
    return [one for one in of(measured, "noise_trace") if not one.measurement.parameters["copying"]]


def profile(one: Measured) -> Profiles:
    """The mean probability of the wrong answer by prompt and shaken layer."""
    values = np.exp(one.measurement.arrays["noisy"][:, WRONG]).mean(axis=-1).astype(float)
    return profiles_of(values, "probability")


def profiles_of(values_NC: NDArray[np.floating], unit: str) -> Profiles:
    units, columns = values_NC.shape
    return Profiles(
        ids=tuple(map(str, range(units))), columns=tuple(map(str, range(columns))),
        values=values_NC[None].astype(float), unit=unit, population="prompts",
    )  # fmt: skip


def bands(profiles: Profiles) -> Bands | None:
    """Simultaneous intervals, or None where nothing varies."""
    try:
        return simultaneous(profiles, estimand="profile")
    except Undefined:
        return None


def noise_table(measured: Sequence[Measured], landmarks: Landmarks) -> str:
    headers = [
        "noise trace", "wrong answer, clean", "shaken (mean)", "right over wrong, clean (nats)", "shaken (nats)",
        f"prominence of layer {landmarks.spike}", "chance of as much at a random layer", "bootstrap share as argmax",
        "spread at late layers", "form",
    ]  # fmt: skip
    return markdown(headers, [noise_cells(one, landmarks) for one in traces(measured)])


def noise_cells(one: Measured, landmarks: Landmarks) -> list[str]:
    clean, noisy = one.measurement.arrays["clean"].astype(float), one.measurement.arrays["noisy"].astype(float)
    wrong, odds = np.exp(noisy[:, WRONG]), noisy[:, RIGHT] - noisy[:, WRONG]
    spike = str(landmarks.spike)
    layers = wrong.shape[1]
    there = NEIGHBOURS <= landmarks.spike < layers - NEIGHBOURS and max(landmarks.late) < layers
    peaks = prominence(profile(one)) if there else profile(one)
    late = wrong[:, list(landmarks.late)] if there else wrong
    spread = np.abs(late - np.median(late, axis=-1, keepdims=True)).mean(axis=(1, 2))
    return [
        escape(one.label),
        cell(level(np.exp(clean[:, WRONG]), "probability", "prompts")),
        cell(level(wrong.mean(axis=(1, 2)), "probability", "prompts")),
        cell(level(clean[:, RIGHT] - clean[:, WRONG], "nats", "prompts")),
        cell(level(odds.mean(axis=(1, 2)), "nats", "prompts")),
        number(float(peaks.only([spike]).values.mean())) if there else "-",
        number(permutation_p(peaks, spike)) if there else "-",
        number(argmax_share(peaks, spike)) if there else "-",
        cell(level(spread, "probability", "prompts")),
        "last token only" if one.measurement.arrays["fast"].all() else "full runs",
    ]


def layer_table(measured: Sequence[Measured]) -> str:
    """The mean probability by shaken layer with simultaneous intervals: the figures behind the curves."""
    drawn = [(one, profile(one)) for one in traces(measured)]
    layers = range(max((len(p.columns) for _, p in drawn), default=0))
    columns = [[curve_cell(bands(p), p, layer) for layer in layers] for _, p in drawn]
    body = [[str(layer), *(column[layer] for column in columns)] for layer in layers]
    return markdown(["shaken layer (0-based)", *(escape(one.label) for one, _ in drawn)], body)


def curve_cell(band: Bands | None, profiles: Profiles, layer: int) -> str:
    if layer >= len(profiles.columns):
        return "-"
    middle = profiles.values[0, :, layer].mean()
    return f"{middle:.3f}" if band is None else f"{middle:.3f} ± {band.halves[layer]:.3f}"


def weights_table(measured: Sequence[Measured]) -> str:
    headers = [
        "checkpoint against base", "projection", "Frobenius norm (median layer)", "per weight (rms)", "of the base's",
        "weights moved by over 1e-5", "stable rank (median)", "peak layer (0-based)", "peak over median",
    ]  # fmt: skip
    body = []
    for one in of(measured, "weights"):
        arrays = one.measurement.arrays
        for row, projection in enumerate(arrays["projections"]):
            norms, ranks = arrays["frobenius"][row], arrays["stable_rank"][row]
            middle = float(np.median(norms))
            body.append(
                [
                    escape(one.label),
                    str(projection),
                    *(
                        number(float(np.median(arrays[name][row])))
                        for name in ("frobenius", "rms", "relative", "changed")
                    ),
                    number(float(np.median(ranks))) if np.isfinite(ranks).all() else "-",
                    str(int(norms.argmax())),
                    number(float(norms.max()) / middle) if middle else "-",
                ]
            )
    return markdown(headers, body)


def moved_heads_table(measured: Sequence[Measured]) -> str:
    """The heads whose weights moved most, of each projection of the attention."""
    headers = ["checkpoint against base", "projection", "most moved heads: layer.head (Frobenius norm)", "median head"]
    body = []
    for one in of(measured, "weights"):
        arrays = one.measurement.arrays
        for name in (name for name in arrays if name.startswith("heads_")):
            norms = arrays[name]
            most = [np.unravel_index(int(i), norms.shape) for i in np.argsort(-norms, axis=None)[:MOVED_HEADS]]
            shown = ", ".join(f"{layer}.{head} ({norms[layer, head]:.3g})" for layer, head in most)
            body.append([escape(one.label), name.removeprefix("heads_"), shown, number(float(np.median(norms)))])
    return markdown(headers, body)


def heads_table(measured: Sequence[Measured]) -> str:
    """The most changed heads of each checkpoint, with how sure their place is, and what became of the sink."""
    headers = [
        "checkpoint", "layer", "head", "divergence (bits)", "without the first token (bits)", "mean abs. difference",
        "again in the top 10", "attention to the first token", "p (Wilcoxon, Holm)",
    ]  # fmt: skip
    return markdown(headers, [row for one in of(measured, "attention") for row in head_rows(one)])


def head_rows(one: Measured) -> list[list[str]]:
    arrays = one.measurement.arrays
    prompts, layers, heads = arrays["jsd_bits"].shape
    k = min(TOP_HEADS, layers * heads)
    p_values = signed_rank_p(profiles_of((arrays["sink"] - arrays["other_sink"]).reshape(prompts, -1), "attention"))
    stability = top_head_stability(arrays["jsd_bits"], k)
    rows = []
    for (layer, head), again in zip(top_heads(arrays["jsd_bits"], k), stability, strict=True):
        sink, before = (float(arrays[name][:, layer, head].mean()) for name in ("sink", "other_sink"))
        means = (arrays[name][:, layer, head] for name in ("jsd_bits", "jsd_sink_free_bits"))
        rows.append(
            [
                escape(one.label),
                str(layer),
                str(head),
                *(cell(level(values.astype(float), "bits", "prompts")) for values in means),
                number(float(arrays["mae"][:, layer, head].mean())),
                f"{again:.0%}",
                f"{before:.3f} to {sink:.3f}",
                number(float(p_values[layer * heads + head])),
            ]
        )
    return rows


def attention_table(measured: Sequence[Measured]) -> str:
    headers = [
        "against base", "mean divergence (bits)", "heads whose attention to the first token changed",
        "changed attention on fragments", "spread evenly",
    ]  # fmt: skip
    body = []
    for one in of(measured, "attention"):
        arrays = one.measurement.arrays
        change = (arrays["sink"] - arrays["other_sink"]).reshape(len(arrays["sink"]), -1)
        changed = int((signed_rank_p(profiles_of(change, "attention")) < 0.05).sum())
        share, chance = arrays["fragment_share"].T
        body.append(
            [
                escape(one.label),
                cell(level(arrays["jsd_bits"].mean(axis=(1, 2)).astype(float), "bits", "prompts")),
                f"{changed} of {change.shape[1]}",
                cell(level(share, "share", "prompts")),
                f"{chance.mean():.3f}",
            ]
        )
    return markdown(headers, body)


def sinks_table(measured: Sequence[Measured]) -> str:
    """The share of heads that are sinks, as in table 1 of Gu et al. (2025)."""
    kinds = ("natural", "random", "repeated")
    body = [
        [escape(one.label), *(f"{sink_rate(one.measurement.arrays[kind]):.1%}" for kind in kinds)]
        for one in of(measured, "sinks")
    ]
    return markdown(["heads that are sinks", "natural", "random tokens", "one token repeated"], body)


def fragments_table(measured: Sequence[Measured]) -> str:
    """Tokens a word by kind, of one checkpoint of each tokenizer seen."""
    taken = of(measured, "tokenization")
    kinds = [name for name in taken[0].measurement.arrays if name not in ("read_out", "shuffled")]
    rows = {
        tuple(cell(level(one.measurement.arrays[kind].astype(float), "tokens", "words")) for kind in kinds): one.label
        for one in reversed(taken)
    }
    body = [[escape(label), *cells] for cells, label in reversed(rows.items())]
    return markdown(["tokens a word", *(escape(kind) for kind in kinds)], body)


def read_out_table(measured: Sequence[Measured]) -> str:
    """How many compounds a linear read-out names: at the embedding, and after the best and the last block."""
    headers = ["compounds read out of their last token", "at the embedding", "after the best block", "after the last",
               "labels shuffled"]  # fmt: skip
    body = []
    for one in of(measured, "tokenization"):
        share = one.measurement.arrays["read_out"].mean(axis=0)
        best = int(share[1:].argmax())
        shuffled = float(one.measurement.arrays["shuffled"].mean())
        body.append(
            [
                escape(one.label),
                f"{share[0]:.1%}",
                f"{share[best + 1]:.1%} (block {best})",
                f"{share[-1]:.1%}",
                f"{shuffled:.1%}",
            ]
        )
    return markdown(headers, body)
