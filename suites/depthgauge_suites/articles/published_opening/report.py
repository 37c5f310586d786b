"""The section on the articles' own opening: its figure and table, drawn of these checkpoints."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from depthgauge.page.escape import escape
from depthgauge.page.layers import legend_beside, line_of, plain
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.probes.greedy_entropy.diversity import ngram_diversity
from depthgauge.probes.greedy_entropy.entropy import SMOOTHING_STEPS, loop, smoothed
from depthgauge_suites.articles.published_opening.probe import OPENING

ALT = "Entropy after the articles' opening, a moving average over five steps"
TEXT = f"""One text, so nothing here has an interval. Entropy is a moving average over {SMOOTHING_STEPS} steps, as in
the articles' figures; there the highest value is 3.3 nats for the base, 3.47 for grpo and 3.7 for depthscaled."""
# Bigram and trigram diversity and the loop's period of 80 tokens (Dangi 2026a).
PUBLISHED = {"base_model": (".304", ".333", "20"), "grpo": (".519", ".577", "40"), "gradreg": (".291", ".308", "21")}


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """Curves as published, diversity and loops beside the published ones, and what is said."""
    picture = Picture("opening.png", ALT, (9, 3.6), lambda figure: draw(figure, measured, setting), measured)
    yield Section("The articles' opening", (" ".join(TEXT.split()), picture, numbers(measured), said(measured)))


def numbers(measured: Sequence[Measured]) -> Table:
    headers = [
        "checkpoint", "highest (nats)", "lowest (nats)", "bigram diversity", "trigram diversity", "loop's period",
        "published: bigrams, trigrams, period",
    ]  # fmt: skip
    return Table(headers, [[escape(entry.label), *cells(entry)] for entry in measured])


def cells(entry: Measured) -> Iterator[str]:
    means, ids = smoothed(entry.arrays["entropy_nats"]), entry.arrays["token_ids"]
    seen = loop(ids)
    yield from (f"{means.max():.2f} at step {means.argmax()}", f"{means.min():.2f} at step {means.argmin()}")
    yield from (f"{ngram_diversity(ids, n):.3f}" for n in (2, 3))
    yield "none seen" if seen is None else f"{seen.period}"
    yield ", ".join(PUBLISHED.get(entry.evidence.method, ("-",)))


def said(measured: Sequence[Measured]) -> Table:
    body = [[escape(entry.label), escape(str(entry.arrays["text"]))] for entry in measured]
    return Table(["checkpoint", f"after: {escape(OPENING)}"], body, quotes=True)


def draw(figure: Any, shown: Sequence[Measured], setting: Setting) -> None:
    axes = figure.subplots()
    for entry in shown:
        means = smoothed(entry.arrays["entropy_nats"])
        axes.plot(
            np.arange(len(means)), means, line_of(entry, shown), color=setting.colour(entry), label=plain(entry.label)
        )
    axes.set(xlabel=f"generated token (first of {SMOOTHING_STEPS})", ylabel="entropy (nats)", title=ALT)
    axes.set_ylim(bottom=0)
    legend_beside(axes)
