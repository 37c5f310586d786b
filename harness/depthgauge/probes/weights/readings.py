"""What claims ask of `weights`: readings, from a candidate's measurements to numbers by unit."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import HeadOrder, Measurement, Profiles
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.probes.weights.probe import (
    BeyondRounding,
    ChangeRanks,
    OtherDeltas,
    QuantizedDeltas,
    Rewrites,
    RowDeltas,
    WeightDeltas,
)

ROW = " row "
CONCENTRATED = 0.25  # of a tensor's squared change: each of two rows that were swapped makes a half


def change_rank(candidate: CheckpointSet, base_model: CheckpointSet, projection: str) -> NDArray[np.float64]:
    """A seed, the largest rank over layers of a projection's change from the base."""
    taken = candidate.compare(ChangeRanks(projection=projection), base_model)
    return np.array([float(np.nanmax(measurement.arrays["ranks"])) for measurement in taken])


def deltas(candidate: CheckpointSet, base_model: CheckpointSet) -> tuple[Measurement, ...]:
    """How far each seed's weights moved from the base."""
    return candidate.compare(WeightDeltas(), base_model)


def movement(
    candidate: CheckpointSet, base_model: CheckpointSet, projection: str, *, per_weight: bool = False
) -> Profiles:
    """By layer, the Frobenius norm of a projection's change from the base; root mean square when `per_weight`.

    Raises: NotTestable if the checkpoint has no such projections.
    """
    taken = deltas(candidate, base_model)
    known = list(map(str, taken[0].arrays["projections"]))
    if projection not in known:
        raise NotTestable(f"{candidate.name!r} has no {projection!r} projections; it has {', '.join(known)}")
    place = known.index(projection)
    values = np.stack([measurement.arrays["rms" if per_weight else "frobenius"][place] for measurement in taken])
    layers = tuple(map(str, range(values.shape[1])))
    return Profiles(ids=("weights",), columns=layers, values=values[:, None], unit="weight units", population="weights")


def out_of_line(candidate: CheckpointSet, base_model: CheckpointSet) -> Profiles:
    """By layer and projection, 'layer 12 down', how far it moved over how far that projection moved in the mean layer.

    NaN where a layer has no such projection, or no layer's moved.
    """
    moved = over_layers(candidate, base_model, "rms", unit="times the mean layer")
    names = [column.rsplit(" ", 1)[1] for column in moved.columns]
    values = np.full_like(moved.values, np.nan)
    for name in set(names):
        places = [place for place, other in enumerate(names) if other == name]
        mean = np.nanmean(moved.values[..., places], axis=-1, keepdims=True)
        values[..., places] = moved.values[..., places] / np.where(mean > 0, mean, np.nan)
    return replace(moved, values=values)


def relative_change(candidate: CheckpointSet, base_model: CheckpointSet) -> Profiles:
    """By layer and projection, 'layer 12 down', and by matrix of an expert, the norm of the change over that of the
    base's weights.

    In the order of the layers, the experts after them; NaN where a layer has no such projection.
    """
    moved = over_layers(candidate, base_model, "relative", unit="share")
    taken = deltas(candidate, base_model)
    experts = np.stack([measurement.arrays["experts_relative"] for measurement in taken])[:, None]
    return replace(
        moved,
        columns=(*moved.columns, *map(str, taken[0].arrays["experts"])),
        values=np.concatenate([moved.values, experts], axis=-1),
    )


def over_layers(candidate: CheckpointSet, base_model: CheckpointSet, array: str, *, unit: str) -> Profiles:
    taken = deltas(candidate, base_model)
    names = list(map(str, taken[0].arrays["projections"]))
    values = np.stack([measurement.arrays[array].T.ravel() for measurement in taken])
    layers = range(taken[0].arrays[array].shape[1])
    columns = tuple(f"layer {layer} {name}" for layer in layers for name in names)
    return Profiles(ids=("weights",), columns=columns, values=values[:, None], unit=unit, population="weights")


def relative_change_of_others(candidate: CheckpointSet, base_model: CheckpointSet) -> Profiles:
    """By norm, bias, embedding and head, the norm of the change over that of the base's; 1 where the base's is 0."""
    taken = candidate.compare(OtherDeltas(), base_model)
    values = np.stack([measurement.arrays["relative"] for measurement in taken])
    columns = concentrated(taken[0], list(map(str, taken[0].arrays["names"])))
    return Profiles(ids=("weights",), columns=columns, values=values[:, None], unit="share", population="weights")


def concentrated(measurement: Measurement, tensors: list[str]) -> tuple[str, ...]:
    """Tensors by name; where a single row makes much of a tensor's change, its row too, as its token tells more."""
    most: dict[str, tuple[float, str]] = {}
    arrays = measurement.arrays
    for row, part in zip(map(str, arrays["rows"]), arrays["row_share"].tolist(), strict=True):
        tensor, _, place = row.partition(ROW)
        most[tensor] = max(most.get(tensor, (0.0, "")), (part, place), key=lambda pair: pair[0])
    named = []
    for tensor in tensors:
        part, place = most.get(tensor.rpartition(".")[2], (0.0, ""))
        named.append(f"{tensor}{ROW}{place}" if part >= CONCENTRATED else tensor)
    return tuple(named)


def relative_change_of_rows(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """Of the row of embeddings and head that changed most, the norm of the change over that of the baseline's.

    Raises: NotTestable if no embedding has a name that is known.
    """
    return over_rows(candidate, baseline, "row_change", unit="share")


def quantized_change_of_rows(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """The same of a quantised candidate. Raises: as above."""
    return over_rows(candidate, baseline, "row_change", unit="share", quantized=True)


def norm_factor_of_rows(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """Of the row whose norm grew or shrank most beside the others, by what factor. Raises: as above."""
    return over_rows(candidate, baseline, "row_factor", unit="times")


def exchanged_rows(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """By embedding and head, 1 where a row is now what another token's was in the baseline. Raises: as above."""
    return over_rows(candidate, baseline, "row_exchanged", unit="rows")


def over_rows(
    candidate: CheckpointSet, baseline: CheckpointSet, array: str, *, unit: str, quantized: bool = False
) -> Profiles:
    """By tensor the largest of each seed, named by the first seed's row."""
    taken = candidate.compare(RowDeltas() if quantized else OtherDeltas(), baseline)
    if not all(measurement.arrays["rows"].size for measurement in taken):
        raise NotTestable(f"{candidate.name!r} has no embedding of a name that is known")
    most = [largest_rows(measurement, array) for measurement in taken]
    values = np.array([[[value for value, _ in seed.values()]] for seed in most])
    columns = tuple(row for _, row in most[0].values())
    return Profiles(ids=("weights",), columns=columns, values=values, unit=unit, population="weights")


def largest_rows(measurement: Measurement, array: str) -> dict[str, tuple[float, str]]:
    """By tensor the largest value, and the row that has it."""
    largest: dict[str, tuple[float, str]] = {}
    for row, value in zip(map(str, measurement.arrays["rows"]), measurement.arrays[array].tolist(), strict=True):
        tensor = column_of(row)
        largest[tensor] = max(largest.get(tensor, (-1.0, "")), (value, row), key=lambda pair: pair[0])
    return largest


def beyond_rounding(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """The share of the weights that moved by more than rounding, of the first tensor of which any did.

    0 where none did; the column then says what differs.
    """
    taken = candidate.compare(BeyondRounding(), baseline)
    values = np.array([[[float(measurement.arrays["moved"])]] for measurement in taken])
    return Profiles(
        ids=("weights",), columns=(what_moved(taken[0]),), values=values, unit="share", population="weights"
    )


def what_moved(measurement: Measurement) -> str:
    tensor, rounded, dtype = (measurement.arrays[name].item() for name in ("tensor", "rounded", "dtype"))
    if tensor:
        return str(tensor)
    return f"{rounded:,} weights differ by rounding to {dtype} alone" if rounded else "every weight is the same"


def quantized_change(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """By quantised matrix, 'layer 3 mlp.down_proj', the norm of the change over that of the baseline's weights."""
    return of_quantized(candidate, baseline, "quantized", "relative", unit="share")


def quantized_explained(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """By quantised matrix, the share of its squared error that other scales and zeros of its groups would take away."""
    return of_quantized(candidate, baseline, "quantized", "explained", unit="share")


def quantized_shift(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """By quantised matrix and the group that is shifted most, that shift in steps of its own grid."""
    return of_quantized(candidate, baseline, "quantized", "shift", unit="steps")


def unquantized_change(candidate: CheckpointSet, baseline: CheckpointSet) -> Profiles:
    """By what is not quantised, the norm of the change over that of the baseline's; 1 where the baseline's is 0.

    Raises: NotTestable where all is quantised.
    """
    moved = of_quantized(candidate, baseline, "plain", "plain_relative", unit="share")
    try:
        (rows, *_) = candidate.compare(RowDeltas(), baseline)
    except NotTestable:  # there is no embedding that is known
        return moved
    return replace(moved, columns=concentrated(rows, list(moved.columns)))


def of_quantized(candidate: CheckpointSet, baseline: CheckpointSet, names: str, array: str, *, unit: str) -> Profiles:
    taken = candidate.compare(QuantizedDeltas(), baseline)
    columns = [str(name) for name in taken[0].arrays[names]]
    if not columns:
        raise NotTestable(f"{candidate.name!r} stores nothing that is not quantised")
    if array == "shift":
        columns = [f"{name}, {place}" for name, place in zip(columns, taken[0].arrays["place"], strict=True)]
    values = np.stack([measurement.arrays[array] for measurement in taken])
    return Profiles(ids=("weights",), columns=tuple(columns), values=values[:, None], unit=unit, population="weights")


def but_for_rewrites(sizes: Profiles, candidate: CheckpointSet, baseline: CheckpointSet, *, beyond: float) -> Profiles:
    """Relative changes with those of rewrites that change no function undone; the columns say which, if all is well.

    They are looked for where a change lies beyond a margin, and nowhere else. A control is broken in place, and not
    asked.
    """
    if candidate.folder is None or not (sizes.values > beyond).any():
        return sizes
    (taken,) = candidate.one_seed().compare(Rewrites(), baseline)
    left = dict(zip(map(str, taken.arrays["columns"]), taken.arrays["left"].tolist(), strict=True))
    if not left:
        return sizes
    values = np.array([left.get(column_of(name), np.nan) for name in sizes.columns])
    values = np.where(np.isnan(values), sizes.values, values)
    said = f" ({rewrites_of(taken)}: undone)" if np.nanmax(values) <= beyond else ""
    return replace(sizes, values=values, columns=tuple(f"{name}{said}" for name in sizes.columns))


def rewrites_of(measurement: Measurement) -> str:
    """'neurons reordered in 12 places, heads reordered in 1 place'."""
    kinds, times = np.unique(measurement.arrays["kinds"], return_counts=True)
    places = (
        f"{kind} in {count} {'place' if count == 1 else 'places'}" for kind, count in zip(kinds, times, strict=True)
    )
    return ", ".join(places)


def column_of(name: str) -> str:
    """What a column is of: the row of a tensor is of the tensor."""
    return name.partition(ROW)[0]


def head_order(candidate: CheckpointSet, baseline: CheckpointSet, *, beyond: float) -> HeadOrder | None:
    """By layer, which head of the candidate each of the baseline's heads is; None where all are where they were.

    It is looked for where a change of the weights lies beyond a margin. A control is broken in place, and not asked.
    """
    try:
        if candidate.folder is None or not (relative_change(candidate, baseline).values > beyond).any():
            return None
        (taken,) = candidate.one_seed().compare(Rewrites(), baseline)
    except NotTestable:
        return None
    return tuple(tuple(row) for row in taken.arrays["heads"].tolist()) or None
