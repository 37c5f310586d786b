"""How far every weight tensor of a checkpoint moved from its base: two folders of safetensors, no model loaded.

The files are mapped a few MB at a time, so that no more of two checkpoints is ever resident. The arithmetic is numpy's,
in buffers used again and again. Products are of float32 (float64 where a folder stores float64), summed in rows of at
most 8192 elements; those in float64.
"""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint, InvalidComparison, StatisticUndefined
from depthgauge.core.steps import counted
from depthgauge.formats.as_loaded import as_loaded
from depthgauge.formats.folder import tensors
from depthgauge.formats.fused import told_apart
from depthgauge.formats.parts import has_vocabulary
from depthgauge.formats.tensors import (
    ATTENTION,
    WRAPPERS,
    Computed,
    Layout,
    Tensor,
    configuration,
    decode,
    elements,
    labels,
    layout,
    parts,
    whole,
)
from depthgauge.probes.weights.settings import TOLERANCE

# Elements in one operation, and mapped at once. A smaller piece would fit a faster cache, but its operations would be
# so short that the threads wait for each other's hold on the interpreter: with 2**17, two are no faster than one.
PIECE, RUN = 1 << 19, 1 << 22
WORKERS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorDelta:
    """How far one matrix moved; norms are in the unit of the weights.

    `layer` counts from 0 and is None outside the blocks; `projection` is q, k, v, o, gate, up, down or None. `relative`
    is to the base's norm, NaN where that is 0; `changed` is a fraction of the elements. `head_frobenius` has shape
    (query heads,) for q and o, (key-value heads,) for k and v, and (0,) for the rest. `row_norms` has shape (3, rows)
    for the embedding of tokens and the output head, and (3, 0) for the rest: of the change, the base and the candidate.
    """

    name: str
    layer: int | None
    projection: str | None
    numel: int
    frobenius: float
    rms: float
    relative: float
    changed: float
    head_frobenius: NDArray[np.float64]
    row_norms: NDArray[np.float64]


class Pair(NamedTuple):
    """One tensor in both folders, and its layout; of a vocabulary, the rows that both have."""

    ours: Tensor
    base: Tensor
    layout: Layout

    @property
    def numel(self) -> int:
        return math.prod(self.ours.shape)

    @property
    def segments(self) -> int:
        return self.numel // self.layout.segment


class Sums(NamedTuple):
    """Squares of the difference, squares of the base, and changed elements, by group: shape (3, groups).

    `by_segment`, of what has a row a token: squares of the difference, the base and the candidate, (3, segments).
    """

    by_group: NDArray[np.float64]
    by_segment: NDArray[np.float64]


class Run(NamedTuple):
    """The segments of a pair that one task compares."""

    pair: Pair
    first: int
    last: int


def weight_deltas(folder: Path, base: Path, *, tolerance: float = TOLERANCE) -> tuple[TensorDelta, ...]:
    """The movement of every matrix, bias and norm of `folder` from `base`, by layer and then by name.

    Fused matrices are told apart ("...c_attn.weight[q]"), a tied head is counted once, and an element has changed if
    it moved by more than `tolerance`: the default is that of Mukherjee et al. 2025 (arXiv:2505.11711). Shards and
    dtypes may differ between the folders. Memory: a few MB a thread.

    Raises: InvalidCheckpoint if a folder cannot be read or a weight is NaN or infinite; InvalidComparison if the
    folders do not hold the same tensors in the same shapes.
    """
    return deltas_of_pairs(matched(folder, base), tolerance=tolerance)


def deltas_of_pairs(pairs: Sequence[Pair], *, tolerance: float = TOLERANCE) -> tuple[TensorDelta, ...]:
    """The same of some tensors alone."""
    runs = [run for pair in pairs for run in cut(pair)]
    threads = min(WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(lambda first: share_sums(runs[first::threads], tolerance), range(threads)))
    sums = [shares[i % threads][i // threads] for i in range(len(runs))]  # one order of adding for any number of them
    together: dict[str, list[Sums]] = {}
    for run, part in zip(runs, sums, strict=True):
        together.setdefault(run.pair.ours.name, []).append(part)
    deltas = [delta for pair in pairs for delta in summarised(pair, together[pair.ours.name])]
    return tuple(sorted(deltas, key=lambda d: (d.layer is None, d.layer or 0, d.name)))


def by_layer(deltas: Sequence[TensorDelta], projection: str, value: str = "rms") -> NDArray[np.float64]:
    """One number of a projection in every layer: `value` names a field. Shape (layers,), NaN in layers without it.

    Raises: StatisticUndefined if no layer has that projection.
    """
    values = {d.layer: getattr(d, value) for d in deltas if d.projection == projection and d.layer is not None}
    if not values:
        known = sorted({d.projection for d in deltas if d.projection})
        raise StatisticUndefined(f"no layer has a projection {projection!r}: choose from {', '.join(known) or 'none'}.")
    layers = 1 + max(d.layer for d in deltas if d.layer is not None)
    return np.array([values.get(layer, math.nan) for layer in range(layers)])


def by_head(deltas: Sequence[TensorDelta], projection: str) -> NDArray[np.float64]:
    """What each head of q, k, v or o moved, (layers, heads): the Frobenius norms of `TensorDelta.head_frobenius`.

    Raises: StatisticUndefined if no layer has that projection, it has no heads, or not every layer has as many.
    """
    heads = {d.layer: d.head_frobenius for d in deltas if d.projection == projection and d.layer is not None}
    sizes = {len(norms) for norms in heads.values()}
    if len(sizes) != 1 or 0 in sizes or sorted(heads) != list(range(len(heads))):
        raise StatisticUndefined(
            f"projection {projection!r} has no heads, or not as many in every layer: choose q, k, v or o."
        )
    return np.stack([heads[layer] for layer in range(len(heads))])


def difference(folder: Path, base: Path, name: str) -> NDArray[np.floating]:
    """`folder` minus `base` of the tensor or part with that name in `weight_deltas`, whole and in its stored shape.

    Raises: StatisticUndefined if there is no such tensor; what `weight_deltas` raises for folders that do not match.
    """
    for pair in matched(folder, base):
        if name in labels(pair.ours, pair.layout):
            moved = whole(pair.ours) - whole(pair.base)
            if len(pair.layout.parts) == 1:
                return moved
            _, groups = parts(pair.layout)[labels(pair.ours, pair.layout).index(name)]
            own_groups = np.isin(pair.layout.groups(0, pair.segments), groups)
            rows, columns = moved.shape
            part = moved.reshape(-1, pair.layout.segment)[own_groups]
            return part.reshape((rows, -1) if pair.layout.turn == 1 else (-1, columns))
    raise StatisticUndefined(f"there is no tensor {name!r} in {folder}: take a name from weight_deltas.")


def stable_rank(matrix: NDArray[np.floating]) -> float:
    """||M||_F^2 / ||M||_2^2: between 1 and the rank of M, small if few directions carry most of the movement.

    Raises: StatisticUndefined for a matrix of zeros, or what is not a matrix.
    """
    from scipy.sparse.linalg import svds

    if matrix.ndim != 2 or not matrix.any():
        raise StatisticUndefined(
            f"the stable rank needs a matrix that is not 0, got shape {matrix.shape}.", code="zero"
        )
    scaled = matrix / np.abs(matrix).max()
    if min(matrix.shape) <= 64:
        largest = np.linalg.norm(scaled, 2)
    else:
        start = np.random.default_rng(0).standard_normal(min(matrix.shape)).astype(matrix.dtype)
        largest = svds(scaled, k=1, v0=start, tol=1e-6, return_singular_vectors=False)[0]
    return float(np.linalg.norm(scaled) ** 2 / largest**2)


def matched(folder: Path, base: Path) -> list[Pair]:
    """Every tensor of both folders with its counterpart: by the names in the files where these are the same, otherwise
    by those that the architectures load them by, and where these differ with fused matrices told apart.
    """
    config = configuration(folder)
    ours, theirs = shortened(tensors(folder)), shortened(tensors(base))
    if ours.keys() != theirs.keys():
        ours, theirs = shortened(as_loaded(folder)), shortened(as_loaded(base))
    if ours.keys() != theirs.keys():
        ours, theirs = shortened(told_apart(ours, config)), shortened(told_apart(theirs, configuration(base)))
    for name in sorted(ours.keys() ^ theirs.keys()):
        here, stored = (folder, ours[name]) if name in ours else (base, theirs[name])
        there = base if name in ours else folder
        raise InvalidComparison(
            f"{stored.name} {stored.shape} is in {here} and not in {there}: compare a checkpoint with its own base."
        )
    for name, stored in ours.items():
        if stored.shape != theirs[name].shape and not common_rows(stored, theirs[name]):
            raise InvalidComparison(
                f"{stored.name} has shape {stored.shape} in {folder} and {theirs[name].shape} in {base}: compare a "
                "checkpoint with its own base."
            )
    cut_to_fit = [(first_rows(stored, theirs[name]), first_rows(theirs[name], stored)) for name, stored in ours.items()]
    return [Pair(own, of_base, layout(own, config)) for own, of_base in cut_to_fit]


def common_rows(stored: Tensor, other: Tensor) -> bool:
    """Whether two differ in how many tokens they know, and in nothing else."""
    return has_vocabulary(stored.name) and len(stored.shape) == 2 and stored.shape[1:] == other.shape[1:]


def first_rows(stored: Tensor, other: Tensor) -> Tensor:
    """As many rows as the other has: tokens are added at the end of a vocabulary."""
    if stored.shape <= other.shape:
        return stored
    if isinstance(stored, Computed):
        rows, compute = other.shape[0], stored.compute
        return replace(stored, shape=other.shape, compute=lambda: compute()[:rows])
    return stored._replace(shape=other.shape)


def shortened(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """By names without a wrapper's prefix ("language_model."), unless two would have the same."""
    short = {WRAPPERS.sub("", name): tensor for name, tensor in weights.items()}
    return short if len(short) == len(weights) else weights


def cut(pair: Pair) -> Iterator[Run]:
    step = max(1, RUN // pair.layout.segment)
    return (Run(pair, first, min(first + step, pair.segments)) for first in range(0, pair.segments, step))


def share_sums(runs: Sequence[Run], tolerance: float) -> list[Sums]:
    """The sums of one thread's runs, in buffers of its own."""
    size = max([PIECE, *(run.pair.layout.segment for run in runs)])
    buffer = np.empty((2, size))  # room for float64; what is not used is never resident
    return [finite_sums(run, tolerance, buffer) for run in counted(runs)]


def finite_sums(run: Run, tolerance: float, buffer: NDArray[np.float64]) -> Sums:
    """The sums of a run. Raises: InvalidCheckpoint naming the tensor if they are not finite in float64 either."""
    wide = "F64" in (run.pair.ours.dtype, run.pair.base.dtype)
    sums = run_sums(run, tolerance, buffer if wide else buffer.view(np.float32)[:, : buffer.shape[1]])
    if np.isfinite(sums.by_group).all():
        return sums
    sums = run_sums(run, tolerance, buffer)  # a square above 3e38 is no fault of the checkpoint
    if not np.isfinite(sums.by_group).all():
        raise not_finite(run.pair.ours if np.isfinite(sums.by_group[1]).all() else run.pair.base)
    return sums


def not_finite(tensor: Tensor) -> InvalidCheckpoint:
    return InvalidCheckpoint(
        f"{tensor.name} in {tensor.path.parent} holds weights that are NaN or infinite: train it again, or save it in "
        "float32.",
        code="not-finite",
    )


def run_sums(run: Run, tolerance: float, buffer: NDArray[np.floating]) -> Sums:
    layout, by_segment = run.pair.layout, has_vocabulary(run.pair.ours.name)
    sums = np.zeros((4, run.last - run.first))
    limit = buffer.dtype.type(tolerance)
    flags = np.empty(buffer.shape[1], dtype=bool)
    at = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for ours, base in pieces(run, buffer):
            here = slice(at, at := at + ours.shape[1])
            sums[1, here] = np.vecdot(base, base).sum(axis=0, dtype=np.float64)
            if ours is base:
                sums[3, here] = sums[1, here]
                continue
            if by_segment:
                sums[3, here] = np.vecdot(ours, ours).sum(axis=0, dtype=np.float64)
            np.subtract(ours, base, out=ours)
            sums[0, here] = np.vecdot(ours, ours).sum(axis=0, dtype=np.float64)
            np.abs(ours, out=ours)
            changed = np.greater(ours, limit, out=flags[: ours.size].reshape(ours.shape))
            if len(layout.parts) > 1:
                sums[2, here] = np.count_nonzero(changed, axis=(0, 2))
            else:  # nobody asks by head, and one count is many times faster than one a segment
                sums[2, here.start] = np.count_nonzero(changed)
    groups = layout.groups(run.first, run.last)
    by_group = np.array([np.bincount(groups, row, len(layout.order)) for row in sums[:3]])
    return Sums(by_group, sums[[0, 1, 3]] if by_segment else sums[:3, :0])


def pieces(run: Run, buffer: NDArray[np.floating]) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """A run of both folders as floats, piece by piece: shapes (planes, segments, width), overwritten by the next.

    Where both store bfloat16, the even elements of a segment are one plane and the odd ones the other, as that is how
    two of them unpack fastest; in the sums their order is lost anyway.
    """
    stored, segment = (run.pair.ours, run.pair.base), run.pair.layout.segment
    same_type = stored[0].dtype == stored[1].dtype
    both = all(tensor.dtype == "BF16" for tensor in stored)
    planes = 2 if both and buffer.dtype == np.float32 and segment % 2 == 0 else 1
    mapped = [elements(tensor, run.first * segment, run.last * segment).reshape(-1, segment) for tensor in stored]
    step = max(1, PIECE // segment)
    for first in range(0, run.last - run.first, step):
        raws = [raw[first : first + step] for raw in mapped]
        ours, base = (
            floats[: raw.size].reshape(planes, len(raw), -1) for floats, raw in zip(buffer, raws, strict=True)
        )
        decode(raws[1], base, stored[1].dtype)
        if same_type and np.array_equal(raws[0], raws[1]):
            yield base, base
        else:
            decode(raws[0], ours, stored[0].dtype)
            yield ours, base


def summarised(pair: Pair, runs: Sequence[Sums]) -> Iterator[TensorDelta]:
    """The deltas of a tensor's matrices from the sums of its runs, in their order."""
    sums = np.sum([run.by_group for run in runs], axis=0)
    segments = np.concatenate([run.by_segment for run in runs], axis=1)
    rows = segments.reshape(3, pair.ours.shape[0] if segments.size else 0, -1 if segments.size else 1).sum(axis=2)
    for name, (projection, groups) in zip(labels(pair.ours, pair.layout), parts(pair.layout), strict=True):
        size = pair.numel * len(groups) // len(pair.layout.order)
        squares, base, changed = sums[:, groups].sum(axis=1).tolist()
        by_head = projection in ATTENTION
        yield TensorDelta(
            name=name,
            layer=pair.layout.layer,
            projection=projection,
            numel=size,
            frobenius=math.sqrt(squares),
            rms=math.sqrt(squares / size),
            relative=math.sqrt(squares / base) if base else math.nan,
            changed=changed / size,
            head_frobenius=np.sqrt(sums[0, groups]) if by_head else np.empty(0),
            row_norms=np.sqrt(rows),
        )
