"""What claims ask of `routing`: readings, from a candidate's measurements to numbers by unit.

The heads are the twenty whose attention diverged most over all texts, as the articles rank them.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement, Scores
from depthgauge.measure.base_probe import Arrays
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.articles.routing.probe import Routing
from depthgauge_suites.articles.routing.settings import TOP_HEADS, Domain, RoutingText


def change(candidate: CheckpointSet, other: CheckpointSet) -> tuple[Measurement, ...]:
    """Each seed's attention to pieces beside the other's. Raises: NotTestable if the testbed has no such texts."""
    return candidate.compare(Routing(texts=candidate.inputs(RoutingText)), other)


def gain_within(candidate: CheckpointSet, other: CheckpointSet) -> Scores:
    """Per text, what pieces gained of each other's attention beyond what pieces and words gained of each other's."""
    return by_text(candidate, other, lambda arrays: in_top_heads(arrays, arrays["within"] - arrays["between"]))


def share_between(candidate: CheckpointSet, other: CheckpointSet) -> Scores:
    """Per text, what share of the absolute change of a cell lies between a piece of its term and a word.

    It is 0 where attention changed among pieces alone, and one half where it changed there no more than elsewhere.
    Cells among pieces hold more attention, of which weights moved at random change more as well: compare with those.
    """
    return by_text(
        candidate,
        other,
        lambda arrays: (
            in_top_heads(arrays, arrays["between_size"])
            / in_top_heads(arrays, arrays["between_size"] + arrays["within_size"])
        ),
        unit="share",
    )


def gain_of_last(candidate: CheckpointSet, other: CheckpointSet, domain: Domain) -> Scores:
    """Per text of a domain, what the last piece of its term gained of later attention beyond the other pieces."""
    return by_text(candidate, other, lambda arrays: in_top_heads(arrays, arrays["last_piece"]), domain=domain)


def apart_in_rankings(candidate: CheckpointSet, other: CheckpointSet) -> Scores:
    """Per text, the share of the twenty heads of largest divergence that are not among those of largest difference."""

    def apart(arrays: Arrays) -> NDArray[np.float64]:
        ranked = zip(arrays["jsd_bits"], arrays["mae"], strict=True)
        return np.array([1 - np.isin(top(jsd_bits), top(mae)).mean() for jsd_bits, mae in ranked])

    return by_text(candidate, other, apart, unit="share")


def depth_of_change(candidate: CheckpointSet, other: CheckpointSet, domain: Domain) -> Scores:
    """Per text of a domain, the mean layer of the twenty heads that diverged most on it."""

    def layer(arrays: Arrays) -> NDArray[np.float64]:
        heads = arrays["jsd_bits"].shape[2]
        return np.array([(top(jsd_bits) // heads).mean() for jsd_bits in arrays["jsd_bits"]])

    return by_text(candidate, other, layer, unit="layers", domain=domain)


def by_text(
    candidate: CheckpointSet,
    other: CheckpointSet,
    number: Callable[[Arrays], NDArray[np.float64]],
    *,
    unit: str = "attention",
    domain: Domain | None = None,
) -> Scores:
    """Raises: NotTestable if the testbed has no texts of the domain."""
    texts = candidate.inputs(RoutingText)
    places = [place for place, each in enumerate(texts) if domain in (None, each.domain)]
    if not places:
        raise NotTestable(f"testbed {candidate.testbed.name!r} has no texts of {domain} with terms in them")
    values = np.stack([number(measurement.arrays)[places] for measurement in change(candidate, other)])
    return Scores(ids=tuple(texts[place].text for place in places), values=values, unit=unit, population="texts")


def in_top_heads(arrays: Arrays, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The mean over the heads that diverged most on all texts together: from (P, L, H) to (P,)."""
    chosen = top(arrays["jsd_bits"].mean(axis=0))
    return np.asarray(values.reshape(len(values), -1)[:, chosen].mean(axis=1), np.float64)


def top(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """The places of the twenty largest of (L, H), flat; all where there are fewer."""
    return np.argsort(-values.ravel(), kind="stable")[:TOP_HEADS]
