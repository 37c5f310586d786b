"""The section on sampled texts: how well they are told apart, and by which."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Profiles
from depthgauge.core.verdict import number
from depthgauge.page.escape import escape
from depthgauge.page.layers import QUIET, pair_label, plain
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell
from depthgauge.stats.two_sample import classifier_auc, fisher, main_directions, reliability
from depthgauge_suites.layer_papers.two_samples.probe import profiles

ALT = "How the texts of both lie along the direction that parts them"
SHOWN, BINS = 3, 20
TEXT = """Both checkpoints go on from the same openings, sampled at temperature 1. A linear classifier reads the
baseline's hidden states of texts that it was not fitted to, and tells whose they are: the area under its curve is 0.5
where nothing differs, and 1 where every text gives itself away. The picture's direction is fitted to the texts that it
shows.
"""


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """The areas, the texts along the direction that parts them, and those that give themselves away."""
    size = (4.2 * len(measured), 3)
    picture = Picture("samples.png", ALT, size, lambda figure: draw(figure, measured, setting), measured)
    yield Section("Sampled texts", (TEXT, areas(measured), picture, sureness(measured), telling(measured)))


def areas(measured: Sequence[Measured]) -> Table:
    rows = [
        [escape(pair_label(entry, measured)), area_cell(entry), str(len(entry.arrays["candidate"]))]
        for entry in measured
    ]
    return Table(["checkpoint against another", "area under the curve [95 %]", "texts of each"], rows)


def area_cell(entry: Measured) -> str:
    try:
        return cell(classifier_auc(*both(entry), estimand="area"))
    except (InvalidComparison, StatisticUndefined):
        return "-"


def both(entry: Measured) -> tuple[Profiles, Profiles]:
    names = tuple(map(str, range(len(entry.arrays["candidate"]))))
    candidate, baseline = (profiles([entry.arrays[side]], names) for side in ("candidate", "baseline"))
    return candidate, baseline


def sureness(measured: Sequence[Measured]) -> Table:
    """What the classifier says of texts, by fifths from the least to the most sure, and how often it is so."""
    rows = []
    for entry in measured:
        with suppress(InvalidComparison, StatisticUndefined):
            bins = reliability(*both(entry), estimand="sureness")
            pairs = [f"{said:.0%}: {true:.0%}" for said, true in zip(bins.said, bins.frequency, strict=True)]
            rows.append([escape(pair_label(entry, measured)), *pairs, number(bins.error)])
    fifths = ("least sure fifth", "second", "third", "fourth", "surest fifth")
    headers = ["checkpoint against another", *fifths, "error of calibration"]
    return Table(headers, rows, folded="How sure the classifier is that a text is the candidate's, and how often it is")


def along(entry: Measured) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the texts of the new and of the baseline lie, along the direction that parts them."""
    candidate, baseline = (entry.arrays[side].astype(float) for side in ("candidate", "baseline"))
    samples = main_directions(np.concatenate([candidate, baseline]))
    is_new = np.arange(len(samples)) < len(candidate)
    places = samples @ fisher(samples, is_new[None])[0]
    return places[is_new], places[~is_new]


def telling(measured: Sequence[Measured]) -> Table:
    """The texts of each that are least like the other's."""
    rows = []
    for entry in measured:
        candidate, baseline = along(entry)
        for side, order in (("candidate", np.argsort(-candidate)), ("baseline", np.argsort(baseline))):
            texts = entry.arrays[f"{side}_text"]
            rows += [[escape(pair_label(entry, measured)), side, escape(str(texts[i])) or "-"] for i in order[:SHOWN]]
    return Table(["checkpoint", "whose", "text"], rows, folded="The texts that give themselves away", quotes=True)


def draw(figure: Any, measured: Sequence[Measured], setting: Setting) -> None:
    """A panel a pair: how many texts of each lie where."""
    for axes, entry in zip(figure.subplots(1, len(measured), squeeze=False)[0], measured, strict=True):
        candidate, baseline = along(entry)
        edges = np.linspace(min(candidate.min(), baseline.min()), max(candidate.max(), baseline.max()), BINS + 1)
        axes.hist(baseline, edges, color=QUIET)
        axes.step(edges[1:], np.histogram(candidate, edges)[0], color=setting.colour(entry), label=plain(entry.label))
        axes.set(title="grey: the other's", xlabel="along the direction that parts them", ylabel="texts")
        axes.legend()
