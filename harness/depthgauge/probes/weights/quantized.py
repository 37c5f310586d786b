"""How far quantised weights lie from those that they stand for, group by group: two folders, no model loaded.

Rounding moves a weight up or down by chance: what it adds to a group of weights has nothing to do with them. A wrong
scale adds a multiple of the weights, a wrong zero the same number to each. So the part of a group's error that
`a * weights + b` fits tells a group that is wrong from one that is rounded; of rounding, that part is small.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.formats.parts import block_of, mlp_norm
from depthgauge.formats.tensors import Computed, Tensor, whole
from depthgauge.probes.weights.compute import matched

MOST_BITS = 8.0  # of what counts as quantised
PLAIN_GROUP, PLAIN_BITS = 32, 4.0  # of a control, which is stored plain
SHORTEST, LONGEST = 16, 32  # of what is looked at in one: fewer weights say nothing, and of more a fault can be a part
PIECE = 1 << 22  # numbers at once
UNIFORM = 0.5 / 3**0.5  # root mean square of rounding, in steps
USUAL = 0.9  # of the groups
FOLDED = 0.01  # of a norm, beyond which scales were folded into it
READS_ATTENTION_NORM = ("q_proj", "k_proj", "v_proj", "qkv_proj")
READS_MLP_NORM = ("gate_proj", "up_proj", "gate_up_proj")
FOLDS = (("v_proj", "o_proj"), ("up_proj", "down_proj"))  # rows of the first, columns of the second


class Groups(NamedTuple):
    """Of each group of a matrix, (rows, groups): mean squares of its error, of the part of it that a scale and a zero
    explain, and the largest weight of the baseline among all that share its scale.
    """

    error: NDArray[np.float64]
    explained: NDArray[np.float64]
    largest: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizedDelta:
    """Of one matrix. `relative` is the norm of the error over that of the baseline's weights; `explained` the share of
    the error that scales and zeros of groups explain; `shift` that part in the group where it is largest, in typical
    errors of a group of this matrix, and `row` and `column` where that group begins, in the matrix of an `expert` where
    those of several lie in one tensor.
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

    Raises: InvalidCheckpoint as `matched`; NotTestable if there is no matrix.
    """
    pairs = {pair.ours.name: (pair.ours, pair.base) for pair in matched(folder, base)}
    chosen = [name for name, (ours, _) in pairs.items() if is_quantized(ours)]
    chosen = chosen or [name for name, (ours, _) in pairs.items() if block_of(name)[0] is not None and is_matrix(ours)]
    if not chosen:
        raise NotTestable(f"{folder} holds no matrix of a layer whose name is known.")
    folded = Unfolding(pairs)
    deltas = [delta_of(pairs[name][0], folded.candidate(name), whole(pairs[name][1])) for name in chosen]
    plain = {name: moved(folded.candidate(name), whole(pairs[name][1])) for name in pairs if name not in chosen}
    return deltas, plain


def is_quantized(tensor: Tensor) -> bool:
    return isinstance(tensor, Computed) and tensor.bits <= MOST_BITS and len(tensor.shape) > 1


def is_matrix(tensor: Tensor) -> bool:
    return len(tensor.shape) > 1 and tensor.shape[-1] >= SHORTEST


def moved(ours: NDArray[np.floating], base: NDArray[np.floating]) -> float:
    """The norm of the change over that of the base; 1 where the base is 0 and the other is not."""
    size, change = float(np.linalg.norm(base)), float(np.linalg.norm(ours - base))
    return change / size if size else float(change > 0)


def delta_of(tensor: Tensor, ours: NDArray[np.floating], base: NDArray[np.floating]) -> QuantizedDelta:
    bits, group = (tensor.bits, tensor.group) if isinstance(tensor, Computed) else (PLAIN_BITS, PLAIN_GROUP)
    along = tensor.axis if isinstance(tensor, Computed) else -1
    ours, base = np.moveaxis(ours, along, -1), np.moveaxis(base, along, -1)
    columns = base.shape[-1]
    span = min(group if group >= SHORTEST else columns, columns)
    size = min(span, LONGEST)
    found = groups_of(ours.reshape(-1, columns), base.reshape(-1, columns), size, max(1, span // size))
    shift = shifts(found, bits)
    line, part = divmod(int(shift.argmax()), shift.shape[1])
    *experts, row, column = place_of(base.shape, line, part * size, along)
    error = float(found.error.sum())
    return QuantizedDelta(
        name=tensor.name, bits=bits, group=span, relative=moved(ours, base),
        explained=float(found.explained.sum()) / error if error else 0.0,
        shift=float(shift.max()), row=row, column=column, expert=experts[0] if experts else None,
    )  # fmt: skip


def place_of(shape: tuple[int, ...], line: int, column: int, along: int) -> tuple[int, ...]:
    """Where in a tensor the number lies in a column of a line is, of all its lines along an axis."""
    place = [int(index) for index in np.unravel_index(line, shape[:-1])]
    place.insert(len(shape) + along, column)
    return tuple(place)


def shifts(groups: Groups, bits: float) -> NDArray[np.float64]:
    """The explained part of each group's error over its largest weight, in the error that nine groups of ten stay
    below, or where these are exact, in a quarter of what rounding to so many bits makes.

    Of scales that are powers of two the median group's error says little about another's.
    """
    largest = np.where(groups.largest > 0, groups.largest, np.median(groups.largest) or 1.0)
    rounding = UNIFORM * 2 / (2**bits - 1)
    typical = max(float(np.quantile(np.sqrt(groups.error) / largest, USUAL)), rounding / 4)
    result: NDArray[np.float64] = np.sqrt(groups.explained) / largest / typical
    return result


def groups_of(ours: NDArray[np.floating], base: NDArray[np.floating], size: int, together: int = 1) -> Groups:
    """The groups of `size` columns, so many of which share a scale; columns at the end that fill none are left out."""
    rows, columns = base.shape
    step = max(1, PIECE // columns)
    parts = [group_sums(ours[first : first + step], base[first : first + step], size) for first in range(0, rows, step)]
    error, explained, largest = (np.concatenate(part) for part in zip(*parts, strict=True))
    shared = np.maximum.reduceat(largest, np.arange(0, largest.shape[1], together), axis=1)
    return Groups(error, explained, shared.repeat(together, axis=1)[:, : largest.shape[1]])


def group_sums(ours: NDArray[np.floating], base: NDArray[np.floating], size: int) -> Groups:
    count = base.shape[1] // size
    weights = base[:, : count * size].reshape(len(base), count, size).astype(np.float64)
    errors = ours[:, : count * size].reshape(weights.shape) - weights
    largest, error = np.abs(weights).max(axis=-1), (errors**2).mean(axis=-1)
    mean = errors.mean(axis=-1)
    weights -= weights.mean(axis=-1, keepdims=True)
    spread = (weights**2).mean(axis=-1)
    along = (weights * errors).mean(axis=-1)
    explained = mean**2 + np.divide(along**2, spread, out=np.zeros_like(along), where=spread > 0)
    return Groups(error, explained, largest)


class Unfolding:
    """The candidate's weights with the scales taken out that AWQ folded into a norm, or into the matrix before.

    A norm that was divided by scales stands before matrices that were multiplied by them; the rows of v and up may be
    divided, too, where the columns of o and down are multiplied. It is a fold where it brings the matrix nearer.
    """

    def __init__(self, pairs: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        self.pairs = pairs
        self.by_module = {block_of(name)[0:2]: name for name in pairs}
        self.columns: dict[str, NDArray[np.floating]] = {}
        self.rows: dict[str, NDArray[np.floating]] = {}
        self.norms: set[str] = set()
        for layer in sorted({layer for layer, _ in self.by_module if layer is not None}):
            for norm, readers in self.norms_of(layer):
                self.unfold_norm(norm, list(readers))
            for before, after in FOLDS:
                self.unfold_matrix(self.named(layer, before), self.named(layer, after))

    def candidate(self, name: str) -> NDArray[np.floating]:
        if name in self.norms:
            return whole(self.pairs[name][1])
        weight = whole(self.pairs[name][0])
        if name in self.rows:
            weight = weight / self.rows[name][:, None]
        return weight * self.columns[name] if name in self.columns else weight

    def named(self, layer: int, module: str) -> str | None:
        ends = [within for at, within in self.by_module if at == layer and within.endswith(f"{module}.weight")]
        return self.by_module[layer, ends[0]] if ends else None

    def norms_of(self, layer: int) -> Iterator[tuple[str, Iterator[str]]]:
        """Each norm of a layer that matrices read, with these."""
        try:
            before_mlp = mlp_norm(self.pairs, layer)[0]
        except NotTestable:
            return
        first = self.named(layer, "input_layernorm")
        for norm, modules in ((first, READS_ATTENTION_NORM), (before_mlp, READS_MLP_NORM)):
            if norm is not None:
                yield norm, (name for module in modules if (name := self.named(layer, module)) is not None)

    def unfold_norm(self, norm: str, readers: list[str]) -> None:
        ours, base = (whole(tensor) for tensor in self.pairs[norm])
        if moved(ours, base) <= FOLDED or not (ours.all() and base.all()) or not readers:
            return
        ratio = ours / base
        if all(self.nearer(name, columns=ratio) for name in readers):
            self.norms.add(norm)
            self.columns |= dict.fromkeys(readers, ratio)

    def unfold_matrix(self, before: str | None, after: str | None) -> None:
        """Rows of the matrix before that are a multiple of the baseline's, whose inverse the matrix after has."""
        if before is None or after is None or self.pairs[before][0].shape[0] != self.pairs[after][0].shape[-1]:
            return
        ours, base = self.candidate(before), whole(self.pairs[before][1])
        size = np.vecdot(base, base)
        scale = np.divide(np.vecdot(ours, base), size, out=np.ones_like(size), where=size > 0)
        if moved(scale, np.ones_like(scale)) > FOLDED and scale.all() and self.nearer(after, columns=scale):
            self.rows[before], self.columns[after] = scale, scale

    def nearer(self, name: str, *, columns: NDArray[np.floating]) -> bool:
        """Whether the candidate's weight times these columns lies nearer to the baseline's."""
        ours, base = (whole(tensor) for tensor in self.pairs[name])
        return beside_rows(ours * columns, base) < beside_rows(ours, base)


def beside_rows(ours: NDArray[np.floating], base: NDArray[np.floating]) -> float:
    """The squared norm of what each row of the base has beside a multiple of the other's."""
    along, size = np.vecdot(ours, base), np.vecdot(ours, ours)
    return float(np.vecdot(base, base).sum() - np.divide(along**2, size, out=np.zeros_like(size), where=size > 0).sum())
