"""How far quantised weights lie from those that they stand for, group by group: two folders, no model loaded.

Rounding moves a weight up or down by chance: what it adds to a group of weights has nothing to do with them. A wrong
scale adds a multiple of the weights, a wrong zero the same number to each. So the part of a group's error that
`a * weights + b` fits tells a group that is wrong from one that is rounded; of rounding, that part is small.

Quantisers also clip: AWQ takes scales that leave the largest weights of a group out. So the fit is of those weights
that the group's levels reach. And GPTQ moves weights to make up for others, in a few rows by several steps; a fit takes
a part of any error, and what is not most of it is not counted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.formats.parts import block_of
from depthgauge.formats.tensors import Computed, Tensor, whole
from depthgauge.formats.unfolding import Unfolding, moved
from depthgauge.probes.weights.compute import matched, not_finite

MOST_BITS = 8.0  # of what counts as quantised
PLAIN_GROUP, PLAIN_BITS = 32, 4.0  # of a control, which is stored plain
MOST = 0.5  # of a group's error: of a wrong scale or zero 0.6 and more, where GPTQ moves weights by steps 0.45 at most
EVEN = 12  # an error that is even within a step has a mean square of a twelfth of the step's
FEWEST = 8  # weights of a group that its levels reach: where it is fewer, all count
SHORTEST, LONGEST = 16, 32  # of what is looked at in one: fewer weights say nothing, and of more a fault can be a part
PIECE = 1 << 22  # numbers at once


class Groups(NamedTuple):
    """Of each group of a matrix, (rows, groups): mean squares of its error, of the part of it that a scale and a zero
    explain, both over the weights that its levels reach, and of the steps between its levels.
    """

    error: NDArray[np.float64]
    explained: NDArray[np.float64]
    step: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizedDelta:
    """Of one matrix. `relative` is the norm of the error over that of the baseline's weights; `explained` the share of
    the error that scales and zeros of groups explain, beyond what rounding leaves: a zero is rounded, too, which is all
    that is off where the baseline stands on the candidate's grid. `shift` is the root mean square of the explained part
    in the group where it is largest, of those where it is most of the error, in steps of its own grid; `row` and
    `column` where that group begins, in the matrix of an `expert` where those of several lie in one tensor.
    """

    name: str
    bits: float
    group: int
    relative: float
    explained: float
    shift: float
    row: int
    column: int
    expert: int | None = None


def quantized_deltas(folder: Path, base: Path) -> tuple[list[QuantizedDelta], dict[str, float]]:
    """The quantised matrices of `folder` beside the plain ones of `base`, and how far what is stored plain moved, in
    its own norms. Where nothing is quantised, as in a control, the matrices of the layers are taken to be.

    Scales that AWQ folded into a norm or a matrix before are taken out: they change no function.

    Raises: InvalidCheckpoint as `matched`, and for a weight that is NaN or infinite; NotTestable if there is no matrix.
    """
    pairs = {pair.ours.name: (pair.ours, pair.base) for pair in matched(folder, base)}
    chosen = [name for name, (ours, _) in pairs.items() if is_quantized(ours)]
    chosen = chosen or [name for name, (ours, _) in pairs.items() if block_of(name)[0] is not None and is_matrix(ours)]
    if not chosen:
        raise NotTestable(f"{folder} holds no matrix of a layer whose name is known.")
    folded = Unfolding(pairs)
    deltas = []
    for name in chosen:
        ours, theirs = pairs[name][0], finite(pairs[name][1])
        steps, reached = steps_of(ours, folded.folded(name, theirs))
        steps = np.abs(folded.unfolded(name, steps))
        deltas.append(delta_of(ours, finite(ours, folded.candidate(name)), theirs, steps, reached))
    plain = {
        name: moved(finite(ours, folded.candidate(name)), finite(base))
        for name, (ours, base) in pairs.items()
        if name not in chosen
    }
    return deltas, plain


def finite(tensor: Tensor, values: NDArray[np.floating] | None = None) -> NDArray[np.floating]:
    """A tensor's values, or what was made of them. Raises: InvalidCheckpoint for a number that is NaN or infinite."""
    values = whole(tensor) if values is None else values
    if not np.isfinite(values).all():
        raise not_finite(tensor)
    return values


def is_quantized(tensor: Tensor) -> bool:
    return isinstance(tensor, Computed) and tensor.bits <= MOST_BITS and len(tensor.shape) > 1


def is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) > 1 and tensor.shape[-1] >= SHORTEST


def delta_of(
    tensor: Tensor,
    ours: NDArray[np.floating],
    base: NDArray[np.floating],
    steps: NDArray[np.floating],
    reached: NDArray[np.bool_],
) -> QuantizedDelta:
    bits, group = (tensor.bits, tensor.group) if isinstance(tensor, Computed) else (PLAIN_BITS, PLAIN_GROUP)
    along = tensor.axis if isinstance(tensor, Computed) else -1
    columns = base.shape[along]

    def lines(array: NDArray[Any]) -> NDArray[Any]:
        return np.moveaxis(array, along, -1).reshape(-1, columns)

    span = min(group if group >= SHORTEST else columns, columns)
    size = min(span, LONGEST)
    groups = groups_of(lines(ours), lines(base), lines(steps), lines(reached), size=size)
    counted = np.where(groups.explained >= MOST * groups.error, groups.explained, 0)
    shift = np.sqrt(counted / np.maximum(groups.step, np.finfo(np.float64).tiny))
    line, part = divmod(int(shift.argmax()), shift.shape[1])
    *experts, row, column = place_of(np.moveaxis(base, along, -1).shape, line, part * size, along)
    rounding, explained = float(groups.step.sum()) / EVEN, float(groups.explained.sum())
    error = max(float(groups.error.sum()), rounding)
    return QuantizedDelta(
        name=tensor.name, bits=bits, group=span, relative=moved(ours, base),
        explained=max(0.0, explained - rounding) / error if error else 0.0,
        shift=float(shift.max()), row=row, column=column, expert=experts[0] if experts else None,
    )  # fmt: skip


def place_of(shape: tuple[int, ...], line: int, column: int, along: int) -> tuple[int, ...]:
    """Where in a tensor the number lies in a column of a line is, of all its lines along an axis."""
    place = [int(index) for index in np.unravel_index(line, shape[:-1])]
    place.insert(len(shape) + along, column)
    return tuple(place)


def steps_of(tensor: Tensor, base: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """From each weight of the baseline, in the candidate's scales, how far it is from the level below it to the next,
    and whether it lies among the levels, or at most half a step beyond them.

    Where levels are not known, as of a control, or a scale is 0: twice the largest of the group over the steps that so
    many bits have.
    """
    bits, group = (tensor.bits, tensor.group) if isinstance(tensor, Computed) else (PLAIN_BITS, PLAIN_GROUP)
    columns = base.shape[-1]
    size = group if 1 < group <= columns and columns % group == 0 else columns
    largest = np.abs(base.reshape(-1, size)).max(axis=1, keepdims=True)
    even = np.broadcast_to(2 * largest / (2**bits - 1), (len(largest), size)).reshape(base.shape)
    if not isinstance(tensor, Computed) or tensor.levels is None:
        return even, np.ones(base.shape, bool)
    levels = tensor.levels()
    steps, reached = levels.steps(base.astype(np.float32, copy=False))
    return np.where(levels.scale != 0, steps, even), reached


def groups_of(
    ours: NDArray[np.floating],
    base: NDArray[np.floating],
    steps: NDArray[np.floating],
    reached: NDArray[np.bool_],
    *,
    size: int,
) -> Groups:
    """The groups of `size` columns; columns at the end that fill none are left out."""
    rows, columns = base.shape
    some = max(1, PIECE // columns)
    pieces = (slice(first, first + some) for first in range(0, rows, some))
    parts = [group_sums(ours[piece], base[piece], steps[piece], reached[piece], size) for piece in pieces]
    return Groups(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def group_sums(
    ours: NDArray[np.floating],
    base: NDArray[np.floating],
    steps: NDArray[np.floating],
    reached: NDArray[np.bool_],
    size: int,
) -> Groups:
    count = base.shape[1] // size
    weights, after, gaps, counted = (
        array[:, : count * size].reshape(len(base), count, size).astype(np.float64)
        for array in (base, ours, steps, reached)
    )
    counted[counted.sum(axis=-1) < FEWEST] = 1
    counted /= counted.sum(axis=-1, keepdims=True)
    errors = after - weights
    mean = np.vecdot(errors, counted)
    weights -= np.vecdot(weights, counted)[..., None]
    spread = np.vecdot(weights**2, counted)
    along = np.vecdot(weights * errors, counted)
    explained = mean**2 + np.divide(along**2, spread, out=np.zeros_like(along), where=spread > 0)
    return Groups(np.vecdot(errors**2, counted), explained, (gaps**2).mean(axis=-1))
