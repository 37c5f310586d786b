"""From a measurement to an estimate: numbers by unit, and a number with its interval."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable

Population = str  # what an interval generalises over: "items", "prompts", "steps", "seeds", a unit of a probe's own
Interval = Callable[[float], tuple[float, float]]  # from a level to its ends


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """The numbers of one probe or task on one checkpoint. `key` is a hash of all that determined them.

    `refusal` is why there are none, where the checkpoint cannot carry them. Hashed by identity, so that what several
    claims derive from one can be kept by `lru_cache`.
    """

    key: str
    probe: str
    parameters: Mapping[str, Any]
    checkpoint: str
    arrays: Mapping[str, NDArray[Any]]
    not_testable_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One number per unit (item, prompt, step) and seed: what an estimate is made from.

    `values` has shape (seeds, units); `ids` names the units, so that only like is compared with like. `right` is the
    score of a right answer where every score is that or 0, and None where scores can lie between. `clusters` names what
    each unit belongs to, such as a kind of text or the fact that is asked about: units of one cluster resemble each
    other, and intervals count clusters. Empty where every unit stands for itself.
    """

    ids: tuple[str, ...]
    values: NDArray[np.float64]
    unit: str
    population: Population
    right: float | None = None
    clusters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_clusters(self.clusters, self.ids)
        if self.right is not None and not np.isin(self.values, (0.0, self.right)).all():
            raise ValueError(f"every score must be 0 or {self.right:g}")
        if self.values.ndim != 2 or self.values.shape[1] != len(self.ids):
            raise ValueError(f"values must have shape (seeds, {len(self.ids)}), got {self.values.shape}")

    def times(self, factor: float) -> "Scores":
        """The same scores, each multiplied."""
        return replace(self, values=factor * self.values, right=None)


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """One number per unit (prompt), column (layer, head) and seed: `values` has shape (seeds, units, columns).

    `clusters` as of `Scores`.
    """

    ids: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]
    unit: str
    population: Population
    clusters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_clusters(self.clusters, self.ids)
        if self.values.ndim != 3 or self.values.shape[1:] != (len(self.ids), len(self.columns)):
            shape = f"(seeds, {len(self.ids)}, {len(self.columns)})"
            raise ValueError(f"values must have shape {shape}, got {self.values.shape}")

    def only(self, columns: Iterable[str]) -> "Profiles":
        """The same with some of the columns. Raises: NotTestable if one of them is not there."""
        wanted = tuple(columns)
        missing = [name for name in wanted if name not in self.columns]
        if missing:
            raise NotTestable(f"this checkpoint has no layer {missing[0]}; its layers are 0 to {self.columns[-1]}")
        places = [self.columns.index(name) for name in wanted]
        return replace(self, columns=wanted, values=self.values[:, :, places])


def check_clusters(clusters: Sequence[str], ids: Sequence[str]) -> None:
    if clusters and len(clusters) != len(ids):
        raise ValueError(f"every unit has a cluster or none has, got {len(clusters)} for {len(ids)}")


HeadOrder = tuple[tuple[int, ...], ...]  # by layer, which head of a candidate each of the baseline's heads is


def head_places(order: HeadOrder) -> NDArray[np.intp]:
    """The columns of `by_head` in that order."""
    heads = np.array(order, dtype=np.intp)
    places: NDArray[np.intp] = heads + heads.shape[1] * np.arange(len(heads))[:, None]
    return places.ravel()


def by_head(values: NDArray[np.floating], ids: tuple[str, ...], unit: str) -> Profiles:
    """Values (seeds, prompts, L, H) with a column for each head, 'layer 0 head 0' and so on."""
    seeds, prompts, layers, heads = values.shape
    columns = tuple(f"layer {layer} head {head}" for layer in range(layers) for head in range(heads))
    flat = values.reshape(seeds, prompts, layers * heads).astype(float)
    return Profiles(ids=ids, columns=columns, values=flat, unit=unit, population="prompts")


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number with its interval, its unit, and the population that the interval speaks about.

    `where` names the layer, head or projection that it is of, where it was found by looking at all of them. `clusters`
    is how many there are of units that belong together, None where each stands for itself. `interval_at` gives the
    interval at any level, by which a p is that of the interval (`core.verdict.p_value`); it is not written.
    """

    estimand: str
    unit: str
    point: float
    low: float
    high: float
    level: float
    n: int
    method: str
    generalises_over: Population
    critical_value: float | None = None
    where: str = ""
    clusters: int | None = None
    interval_at: Interval | None = field(default=None, compare=False, repr=False, metadata={"written": False})

    def __post_init__(self) -> None:
        if not self.low <= self.point <= self.high:
            raise ValueError(f"low <= point <= high must hold, got {self.low}, {self.point}, {self.high}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must be between 0 and 1, got {self.level}; did you mean {self.level / 100}?")

    @property
    def exact(self) -> bool:
        """Whether it is read and not sampled, as of weights: it has no width, and no p."""
        return self.method == "exact" and self.low == self.high
