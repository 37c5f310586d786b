"""The sections on what a one-layer transformer computes modular addition with. Frequencies count from 1."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import QUIET, grid_of, heat, plain, whole_numbers
from depthgauge.page.section import Measured, Picture, Section, Setting, Table, of
from depthgauge_suites.grokking.fourier.probe import phases
from depthgauge_suites.grokking.fourier.settings import EXPLAINED, RANK

# What Nanda et al. (2023) print for their main model, where they do.
MEASURES = (
    ("loss", "loss on all pairs (nats)", "2.4e-7"),
    ("train_loss", "loss on training pairs (nats)", ""),
    ("restricted_loss", "restricted loss (nats)", "5.5e-8"),
    ("excluded_loss", "excluded loss, training pairs (nats)", ""),
    ("kept_loss", "loss with all other frequencies ablated (nats)", "7.2e-8"),
    ("random_restricted_loss", "restricted loss of random frequencies, least of 50 (nats)", ""),
    ("least_ablated_loss", "loss without a key frequency, the least (nats)", "2.0e-4"),
    ("skip_ablated_loss", "loss with what passes the neurons at its mean (nats)", "7.3e-7 or 9.1e-7"),
    ("outside_share", "norm of W_L outside the key frequencies", "0.55 %"),
    ("beyond_rank", f"norm of W_L beyond rank {RANK}", "0.55 %, if so computed"),
    ("cosine_share", "variance of the logits in cos w(a + b - c)", "95 %"),
    ("explained_neurons", f"neurons explained to {EXPLAINED:.0%}", "84.6 %"),
    ("own_attention", "attention of '=' to itself, the largest head", "0.1 to 0.4 %"),
    ("gini_embedding", "Gini coefficient of W_E by component", ""),
    ("gini_logits", "Gini coefficient of W_L by component", ""),
)
LOSSES = {"train_loss": ":", "test_loss": "-", "restricted_loss": "--", "excluded_loss": "-."}
PROGRESS_ALT = "Losses and progress measures by step"
FREQUENCIES_ALT = "Norms by frequency, neurons by their best frequency, and the spectrum of one neuron"
LAST_TOKEN_ALT = "Attention of the last position to a, over all pairs"
PROGRESS_TEXT = """A restricted loss is that of the key frequencies of the sum alone, over all pairs; an excluded loss
that of everything else, over the training pairs. Memorisation ends where the excluded loss is least, circuit formation
where the test loss has come half of its way down: the dotted lines."""
FREQUENCIES_TEXT = """A frequency is key if its norm in W_L, the map from neurons to logits, is at least a quarter of
the largest. Published: Nanda et al. 2023."""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """How the circuit came about, where weights were kept on the way, and what it is at the end."""
    along, last = of(measured, "progress"), of(measured, "fourier")
    if along:
        size = (12.0, 2.9 * len(along))
        progress = Picture(
            "progress.png", PROGRESS_ALT, size, lambda figure: draw_progress(figure, along, setting), along
        )
        yield Section("Progress during training", (progress, PROGRESS_TEXT, phases_table(along)))
    if last:
        yield Section("Frequencies", tuple(frequency_parts(last, setting)))


def frequency_parts(last: Sequence[Measured], setting: Setting) -> Iterator[str | Table | Picture]:
    size = (15.0, 2.9 * len(last))
    yield Picture(
        "frequencies.png", FREQUENCIES_ALT, size, lambda figure: draw_frequencies(figure, last, setting), last
    )
    yield FREQUENCIES_TEXT
    yield measures_table(last)
    yield frequencies_table(last)
    size = (3.1 * most_heads(last), 2.9 * len(last))
    yield Picture("last_token.png", LAST_TOKEN_ALT, size, lambda figure: draw_last_token(figure, last), last)
    yield last_token_table(last)


# -- tables ---


def phases_table(along: Sequence[Measured]) -> Table:
    headers = ["checkpoint", "memorises until step", "forms the circuit until", "cleans up until"]
    return Table(headers, [[escape(entry.label), *(f"{step:,}" for step in phases(entry.arrays))] for entry in along])


def measures_table(last: Sequence[Measured]) -> Table:
    body = [
        [what, published or "-", *(number(float(entry.arrays[name])) for entry in last)]
        for name, what, published in MEASURES
    ]
    return Table(["measure", "published", *(escape(entry.label) for entry in last)], body)


def frequencies_table(last: Sequence[Measured]) -> Table:
    """Each key frequency: what it weighs in W_E and W_L, the neurons that turn with it, the loss without it."""
    headers = ["checkpoint", "key frequency", "norm in W_E", "norm in W_L", "neurons explained by it",
               "loss without it (nats)"]  # fmt: skip
    return Table(headers, [[escape(entry.label), *cells] for entry in last for cells in key_rows(entry)])


def key_rows(entry: Measured) -> Iterator[list[str]]:
    explained = entry.arrays["neuron_frequency"][entry.arrays["neuron_share"] >= EXPLAINED]
    norms = [by_frequency(entry.arrays[name]) for name in ("embedding_norms", "logit_norms")]
    for k, loss in zip(entry.arrays["key_frequencies"], entry.arrays["ablated_losses"], strict=True):
        weighs = (number(float(each[k - 1])) for each in norms)
        yield [str(k), *weighs, str(int((explained == k).sum())), number(float(loss))]


def last_token_table(last: Sequence[Measured]) -> Table:
    headers = ["checkpoint", "head", "attention of '=' to a", "to b", "to itself", "best frequency",
               "variance in waves of it", "loss with its output at the mean"]  # fmt: skip
    return Table(headers, [[escape(entry.label), *cells] for entry in last for cells in last_token_rows(entry)])


def last_token_rows(entry: Measured) -> Iterator[list[str]]:
    columns = (entry.arrays[name] for name in ("mean_attention", "head_frequency", "head_share", "head_ablated_losses"))
    for head, (to, best, share, loss) in enumerate(zip(*columns, strict=True)):
        yield [str(head), *(number(float(each)) for each in to), str(best), number(float(share)), number(float(loss))]


# -- pictures ---


def draw_progress(figure: Any, along: Sequence[Measured], setting: Setting) -> None:
    """A row a checkpoint: four losses by step, sparsity, and the weights' size; two phases end at dotted lines."""
    grid = figure.subplots(len(along), 3, squeeze=False, width_ratios=(2, 1, 1))
    for entry, row in zip(along, grid, strict=True):
        colour = setting.colour(entry)
        for name, line in LOSSES.items():
            row[0].semilogy(entry.arrays["step"], entry.arrays[name], line, color=colour, label=name.replace("_", " "))
        row[0].set(ylabel="nats", title=f"{plain(entry.label)}: losses")
        row[0].legend(loc="upper right", bbox_to_anchor=(-0.17, 1), borderaxespad=0)
        draw_size(row[1], entry, "gini_embedding", "Gini coefficient of W_E", colour)
        draw_size(row[2], entry, "squared_weights", "sum of squared weights", colour)
        for axes in row:
            axes.set_xlabel("step")
            for step in phases(entry.arrays)[:2]:
                axes.axvline(step, color="gray", linestyle=":", linewidth=1)


def draw_size(axes: Any, entry: Measured, name: str, title: str, colour: str) -> None:
    axes.plot(entry.arrays["step"], entry.arrays[name], color=colour)
    axes.set_title(title)
    axes.set_ylim(bottom=0)


def draw_frequencies(figure: Any, last: Sequence[Measured], setting: Setting) -> None:
    """A row a checkpoint: W_E and W_L by frequency, neurons by frequency, and the spectrum of one."""
    for entry, row in zip(last, grid_of(figure, len(last), 4), strict=True):
        for axes in row:
            axes.axis("on")
        for axes, name, title in zip(row, ("embedding_norms", "logit_norms"), ("W_E", "W_L"), strict=False):
            draw_norms(axes, entry, by_frequency(entry.arrays[name]), setting.colour(entry))
            axes.set_title(f"{plain(entry.label)}\n{title} (coloured: key)")
        draw_neurons(row[2], entry, setting.colour(entry))
        heat(figure, row[3], spectrum_norms(entry.arrays["neuron_spectrum"]), "best explained neuron", 0, None,
             origin="lower")  # fmt: skip
        row[3].set(xlabel="frequency in b (0: constant)", ylabel="frequency in a")


def draw_norms(axes: Any, entry: Measured, norms: NDArray[np.float64], colour: str) -> None:
    every = np.arange(1, len(norms) + 1)
    axes.bar(every, norms, color=np.where(np.isin(every, entry.arrays["key_frequencies"]), colour, QUIET))
    axes.set(xlabel="frequency", ylabel="norm")


def draw_neurons(axes: Any, entry: Measured, colour: str) -> None:
    share, best = entry.arrays["neuron_share"], entry.arrays["neuron_frequency"]
    axes.scatter(best, share, s=5, c=np.where(share >= EXPLAINED, colour, QUIET))
    axes.axhline(EXPLAINED, color="gray", linestyle=":", linewidth=1)
    axes.set(xlabel="best frequency", ylabel="variance explained", ylim=(0, 1.02))
    axes.set_title(f"neurons (coloured: {EXPLAINED:.0%} explained)")


def draw_last_token(figure: Any, last: Sequence[Measured]) -> None:
    """The attention of '=' to a, over all pairs: a row a checkpoint, a column a head."""
    for entry, row in zip(last, grid_of(figure, len(last), most_heads(last)), strict=True):
        for head, (axes, pattern) in enumerate(zip(row, entry.arrays["attention"], strict=False)):
            axes.axis("on")
            heat(figure, axes, pattern, f"{plain(entry.label)}\nhead {head}: attention to a", 0, 1, origin="lower")
            axes.set(xlabel="b", ylabel="a")
            whole_numbers(axes.xaxis, axes.yaxis)


def most_heads(last: Sequence[Measured]) -> int:
    return max(len(entry.arrays["attention"]) for entry in last)


def by_frequency(norms: NDArray[Any]) -> NDArray[np.float64]:
    """Norms by frequency (K,), cosine and sine together, from norms by component (P,)."""
    return np.asarray(np.hypot(norms[1::2], norms[2::2]))


def spectrum_norms(spectrum: NDArray[Any]) -> NDArray[np.float64]:
    """Norms (K + 1, K + 1) by the frequency in a and in b, from components (P, P); the mean over all pairs is 0."""
    squares = np.square(spectrum.astype(float))
    squares[0, 0] = 0
    first = np.arange(0, len(squares), 2)  # where each frequency ends: constant, then cosine and sine
    ends = np.r_[0, first[:-1] + 1]
    return np.asarray(np.sqrt(np.add.reduceat(np.add.reduceat(squares, ends, 0), ends, 1)))
