"""How far every weight tensor of a checkpoint moved from its base: two folders of safetensors, no model loaded.

The files are mapped a few MB at a time and unmapped at once, so that no more of two checkpoints is ever resident; a
plain read would copy what a map only lends. The arithmetic is numpy's, in buffers used again and again. Products are of
float32 (float64 where a folder stores float64), summed in rows of at most 8192 elements; those in float64.

A matrix is a row of equal groups, along its rows or its columns: its attention heads, or the matrices fused into it.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import InvalidCheckpoint, InvalidComparison, Undefined
from depthgauge.models.folder import check_safetensors, read_json, weight_files
from depthgauge.probes.weights import TOLERANCE

ATTENTION = ("q", "k", "v", "o")
PROJECTIONS = (*ATTENTION, "gate", "up", "down", "in", "out")  # what goes into and out of a state space comes last
# Elements in one operation, and mapped at once. A smaller piece would fit a faster cache, but its operations would be
# so short that the threads wait for each other's hold on the interpreter: with 2**17, two are no faster than one.
PIECE, RUN = 1 << 19, 1 << 22
LONGEST_ROW = 8192  # of a sum in float32; BLAS starts threads of its own above 10,000
WORKERS = 4

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # numpy has no bfloat16: its bits are shifted
NOT_WEIGHTS = ("I64", "I32", "I16", "I8", "U8", "BOOL")  # masks and positions that older versions saved
# Constants that older versions saved and newer ones compute.
BUFFERS = (".attn.bias", ".attention.bias", ".masked_bias", ".rotary_emb.inv_freq")
HEADS = ("lm_head.weight", "embed_out.weight")
WRAPPERS = re.compile(
    r"^((model|language_model|transformer|gpt_neox|base_model|module|_orig_mod|decoder|backbone|rwkv)\.)+"
)
BLOCK = re.compile(r"(layers|h|blocks)\.(\d+)\.(.*)")

# Which matrices a module's weight holds, in their order, and along which axis its groups lie: Conv1D (GPT-2) stores its
# matrix transposed, and an output projection has its heads along its input.
ROWS, COLUMNS = 0, 1
LINEAR = {
    "self_attn.q_proj": ("q", ROWS),
    "self_attn.k_proj": ("k", ROWS),
    "self_attn.v_proj": ("v", ROWS),
    "self_attn.o_proj": ("o", COLUMNS),
    "self_attn.qkv_proj": ("q k v", ROWS),
    "mlp.gate_proj": ("gate", ROWS),
    "mlp.up_proj": ("up", ROWS),
    "mlp.down_proj": ("down", ROWS),
    "mlp.gate_up_proj": ("gate up", ROWS),
    "attention.query_key_value": ("q k v", ROWS),
    "attention.dense": ("o", COLUMNS),
    "mlp.dense_h_to_4h": ("up", ROWS),
    "mlp.dense_4h_to_h": ("down", ROWS),
    "self_attn.out_proj": ("o", COLUMNS),
    "self_attn.dense": ("o", COLUMNS),
    "mlp.fc1": ("up", ROWS),
    "mlp.fc2": ("down", ROWS),
    "fc1": ("up", ROWS),
    "fc2": ("down", ROWS),
    "mlp.c_fc": ("up", ROWS),
    "mlp.c_proj": ("down", ROWS),
    "feed_forward.gate_proj": ("gate", ROWS),
    "feed_forward.up_proj": ("up", ROWS),
    "feed_forward.down_proj": ("down", ROWS),
    "feed_forward.w1": ("gate", ROWS),
    "feed_forward.w3": ("up", ROWS),
    "feed_forward.w2": ("down", ROWS),
    "temporal_block.q_proj": ("q", ROWS),
    "temporal_block.k_proj": ("k", ROWS),
    "temporal_block.v_proj": ("v", ROWS),
    "temporal_block.o_proj": ("o", COLUMNS),
    "mlp_block.gate_proj": ("gate", ROWS),
    "mlp_block.up_proj": ("up", ROWS),
    "mlp_block.down_proj": ("down", ROWS),
    "mixer.in_proj": ("in", ROWS),
    "mixer.out_proj": ("out", ROWS),
    "mamba.in_proj": ("in", ROWS),
    "mamba.out_proj": ("out", ROWS),
    "mamba_decoder.mamba.in_proj": ("in", ROWS),
    "mamba_decoder.mamba.out_proj": ("out", ROWS),
}
CONV1D = {
    "attn.c_attn": ("q k v", COLUMNS),
    "attn.c_proj": ("o", ROWS),
    "mlp.c_fc": ("up", ROWS),
    "mlp.c_proj": ("down", ROWS),
}
HEAD_COUNTS = ("num_attention_heads", "n_head", "num_heads", "n_heads")  # GPT-2 and Bloom, GPT-Neo, MPT
OF_GPTJ = {
    "attn.q_proj": ("q", ROWS),
    "attn.k_proj": ("k", ROWS),
    "attn.v_proj": ("v", ROWS),
    "attn.out_proj": ("o", COLUMNS),
    "mlp.fc_in": ("up", ROWS),
    "mlp.fc_out": ("down", ROWS),
}
OF_GPT_NEO = {
    "attn.attention.q_proj": ("q", ROWS),
    "attn.attention.k_proj": ("k", ROWS),
    "attn.attention.v_proj": ("v", ROWS),
    "attn.attention.out_proj": ("o", COLUMNS),
    "mlp.c_fc": ("up", ROWS),
    "mlp.c_proj": ("down", ROWS),
}
OF_BLOOM = {
    "self_attention.query_key_value": ("q k v", ROWS),
    "self_attention.dense": ("o", COLUMNS),
    "mlp.dense_h_to_4h": ("up", ROWS),
    "mlp.dense_4h_to_h": ("down", ROWS),
}
OF_MPT = {
    "attn.Wqkv": ("q k v", ROWS),
    "attn.out_proj": ("o", COLUMNS),
    "ffn.up_proj": ("up", ROWS),
    "ffn.down_proj": ("down", ROWS),
}
OF_RWKV = {"feed_forward.key": ("up", ROWS), "feed_forward.value": ("down", ROWS)}  # it has no heads
# Families that use one name for other layouts: CodeGen's and Falcon's queries, keys and values are not told apart.
BY_FAMILY = {
    "gpt2": CONV1D,
    "gptj": OF_GPTJ,
    "codegen": {name: OF_GPTJ[name] for name in ("attn.out_proj", "mlp.fc_in", "mlp.fc_out")},
    "gpt_neo": OF_GPT_NEO,
    "bloom": OF_BLOOM,
    "falcon": {name: how for name, how in OF_BLOOM.items() if name != "self_attention.query_key_value"},
    "mpt": OF_MPT,
    "rwkv": OF_RWKV,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorDelta:
    """How far one matrix moved; norms are in the unit of the weights.

    `layer` counts from 0 and is None outside the blocks; `projection` is q, k, v, o, gate, up, down or None. `relative`
    is to the base's norm, NaN where that is 0; `changed` is a fraction of the elements. `head_frobenius` has shape
    (query heads,) for q and o, (key-value heads,) for k and v, and (0,) for the rest.
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


class Stored(NamedTuple):
    """Where a tensor lies: `offset` in bytes from the start of the file."""

    name: str
    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]


class Layout(NamedTuple):
    """A tensor cut into segments: consecutive elements of one group, `segment` in each.

    `parts` names the fused matrices with their numbers of groups. The groups take turns in `order`, each with `turn`
    segments at a time.
    """

    layer: int | None
    parts: tuple[tuple[str | None, int], ...]
    segment: int
    order: NDArray[np.intp]
    turn: int

    def groups(self, first: int, last: int) -> NDArray[np.intp]:
        """The group of each segment from `first` up to `last`."""
        return self.order[np.arange(first, last) // self.turn % len(self.order)]


class Pair(NamedTuple):
    """One tensor in both folders, and its layout."""

    ours: Stored
    base: Stored
    layout: Layout

    @property
    def segments(self) -> int:
        return math.prod(self.ours.shape) // self.layout.segment


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
    pairs = matched(folder, base)
    runs = [run for pair in pairs for run in cut(pair)]
    threads = min(WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(lambda first: share_sums(runs[first::threads], tolerance), range(threads)))
    sums = [shares[i % threads][i // threads] for i in range(len(runs))]  # one order of adding for any number of them
    together: dict[str, Any] = {}
    for run, part in zip(runs, sums, strict=True):
        name = run.pair.ours.name
        together[name] = together.get(name, 0) + part
    deltas = [delta for pair in pairs for delta in summarised(pair, together[pair.ours.name])]
    return tuple(sorted(deltas, key=lambda d: (d.layer is None, d.layer or 0, d.name)))


def by_layer(deltas: Sequence[TensorDelta], projection: str, value: str = "rms") -> NDArray[np.float64]:
    """One number of a projection in every layer: `value` names a field. Shape (layers,), NaN in layers without it.

    Raises: Undefined if no layer has that projection.
    """
    found = {d.layer: getattr(d, value) for d in deltas if d.projection == projection and d.layer is not None}
    if not found:
        known = sorted({d.projection for d in deltas if d.projection})
        raise Undefined(f"no layer has a projection {projection!r}: choose from {', '.join(known) or 'none'}.")
    layers = 1 + max(d.layer for d in deltas if d.layer is not None)
    return np.array([found.get(layer, math.nan) for layer in range(layers)])


def by_head(deltas: Sequence[TensorDelta], projection: str) -> NDArray[np.float64]:
    """What each head of q, k, v or o moved, (layers, heads): the Frobenius norms of `TensorDelta.head_frobenius`.

    Raises: Undefined if no layer has that projection, it has no heads, or not every layer has as many.
    """
    found = {d.layer: d.head_frobenius for d in deltas if d.projection == projection and d.layer is not None}
    sizes = {len(norms) for norms in found.values()}
    if len(sizes) != 1 or 0 in sizes or sorted(found) != list(range(len(found))):
        raise Undefined(f"projection {projection!r} has no heads, or not as many in every layer: choose q, k, v or o.")
    return np.stack([found[layer] for layer in range(len(found))])


def difference(folder: Path, base: Path, name: str) -> NDArray[np.floating]:
    """`folder` minus `base` of the tensor or part with that name in `weight_deltas`, whole and in its stored shape.

    Raises: Undefined if there is no such tensor; what `weight_deltas` raises for folders that do not match.
    """
    for pair in matched(folder, base):
        if name in labels(pair):
            moved = whole(pair.ours) - whole(pair.base)
            if len(pair.layout.parts) == 1:
                return moved
            _, groups = parts(pair.layout)[labels(pair).index(name)]
            mine = np.isin(pair.layout.groups(0, pair.segments), groups)
            rows, columns = moved.shape
            part = moved.reshape(-1, pair.layout.segment)[mine]
            return part.reshape((rows, -1) if pair.layout.turn == 1 else (-1, columns))
    raise Undefined(f"there is no tensor {name!r} in {folder}: take a name from weight_deltas.")


def stable_rank(matrix: NDArray[np.floating]) -> float:
    """||M||_F^2 / ||M||_2^2: between 1 and the rank of M, small if few directions carry most of the movement.

    Raises: Undefined for a matrix of zeros, or what is not a matrix.
    """
    from scipy.sparse.linalg import svds

    if matrix.ndim != 2 or not matrix.any():
        raise Undefined(f"the stable rank needs a matrix that is not 0, got shape {matrix.shape}.")
    scaled = matrix / np.abs(matrix).max()
    if min(matrix.shape) <= 64:
        largest = np.linalg.norm(scaled, 2)
    else:
        start = np.random.default_rng(0).standard_normal(min(matrix.shape)).astype(matrix.dtype)
        largest = svds(scaled, k=1, v0=start, tol=1e-6, return_singular_vectors=False)[0]
    return float(np.linalg.norm(scaled) ** 2 / largest**2)


def matched(folder: Path, base: Path) -> list[Pair]:
    """Every tensor of both folders with its counterpart, a wrapper's prefix ("language_model.") apart."""
    config = configuration(folder)
    ours, theirs = tensors(folder), tensors(base)
    short = [{WRAPPERS.sub("", name): stored for name, stored in side.items()} for side in (ours, theirs)]
    if len(short[0]) == len(ours) and len(short[1]) == len(theirs):
        ours, theirs = short
    for name in sorted(ours.keys() ^ theirs.keys()):
        here, stored = (folder, ours[name]) if name in ours else (base, theirs[name])
        there = base if name in ours else folder
        raise InvalidComparison(
            f"{stored.name} {stored.shape} is in {here} and not in {there}: compare a checkpoint with its own base."
        )
    for name, stored in ours.items():
        if stored.shape != theirs[name].shape:
            raise InvalidComparison(
                f"{stored.name} has shape {stored.shape} in {folder} and {theirs[name].shape} in {base}: compare a "
                "checkpoint with its own base."
            )
    return [Pair(stored, theirs[name], layout(stored, config)) for name, stored in ours.items()]


def configuration(folder: Path) -> dict[str, Any]:
    """The configuration of the language model, which one with images too keeps apart."""
    config = read_json(folder / "config.json")
    return {**config, **config.get("text_config", {})}


def tensors(folder: Path) -> dict[str, Stored]:
    """The weights in a folder by name, whatever file they are in; no tied head, no empty tensor, no saved constant."""
    # Versions that leave the setting out did so where it was true.
    tied = configuration(folder).get("tie_word_embeddings", True)
    return {
        stored.name: stored
        for path in weight_files(folder)
        for stored in listed(path)
        if math.prod(stored.shape) and not stored.name.endswith(BUFFERS + (HEADS if tied else ()))
    }


def listed(path: Path) -> Iterator[Stored]:
    check_safetensors(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] in NOT_WEIGHTS:
            continue
        if entry["dtype"] not in FLOATS:
            raise InvalidCheckpoint(
                f"{name} in {path} is stored as {entry['dtype']}, not as {', '.join(FLOATS)}: save it in one of these."
            )
        yield Stored(name, path, 8 + length + entry["data_offsets"][0], entry["dtype"], tuple(entry["shape"]))


def layout(stored: Stored, config: Mapping[str, Any]) -> Layout:
    """How a tensor is cut: by head and fused matrix where its name tells, in rows otherwise."""
    block = BLOCK.fullmatch(WRAPPERS.sub("", stored.name))
    layer, module = (int(block[2]), block[3].removesuffix(".weight")) if block else (None, "")
    # Other families use the same names (h.0.attn.c_attn) for other layouts.
    known = LINEAR if block and block[1] == "layers" else BY_FAMILY.get(str(config.get("model_type")), {})
    if module not in known or len(stored.shape) != 2 or not stored.name.endswith(".weight"):
        segment = divisor(stored.shape[-1] if stored.shape else 1)
        return Layout(layer, ((None, 1),), segment, np.zeros(1, dtype=np.intp), 1)
    names, axis = known[module]
    parts = tuple((name, heads_of(name, config)) for name in names.split())
    order = np.arange(sum(n for _, n in parts))
    if module.endswith("attention.query_key_value"):
        order = order.reshape(3, -1).T.ravel()  # GPT-NeoX, Bloom: each head's q, k and v lie together
    segment, turn = turns(stored, axis, len(order))
    return Layout(layer, parts, segment, order, turn)


def heads_of(projection: str, config: Mapping[str, Any]) -> int:
    """Heads of q, k, v and o; a projection of the MLP is one group."""
    if projection not in ("q", "k", "v", "o"):
        return 1
    heads = next((config[name] for name in HEAD_COUNTS if config.get(name)), None)
    if not heads:
        raise InvalidCheckpoint("config.json gives no num_attention_heads: save the checkpoint with its configuration.")
    return int(heads if projection in ("q", "o") else config.get("num_key_value_heads") or heads)


def turns(stored: Stored, axis: int, groups: int) -> tuple[int, int]:
    """Elements of a segment and segments of a turn, for a matrix of that many groups of equal width along an axis."""
    rows, columns = stored.shape
    if stored.shape[axis] % groups:
        raise InvalidCheckpoint(
            f"{stored.name} in {stored.path} has shape {stored.shape}, which its config.json would cut into {groups} "
            "heads or parts: save the checkpoint with its own configuration."
        )
    if axis == COLUMNS:
        return columns // groups, 1
    segment = divisor(columns)
    return segment, rows // groups * (columns // segment)


def divisor(width: int) -> int:
    """The longest row that may be summed in float32 and divides `width`."""
    return next(d for d in range(min(width, LONGEST_ROW), 0, -1) if width % d == 0)


def cut(pair: Pair) -> Iterator[Run]:
    step = max(1, RUN // pair.layout.segment)
    return (Run(pair, first, min(first + step, pair.segments)) for first in range(0, pair.segments, step))


def share_sums(runs: Sequence[Run], tolerance: float) -> list[NDArray[np.float64]]:
    """The sums of one thread's runs, in buffers of its own."""
    size = max([PIECE, *(run.pair.layout.segment for run in runs)])
    buffer = np.empty((2, size))  # room for float64; what is not used is never resident
    return [finite_sums(run, tolerance, buffer) for run in runs]


def finite_sums(run: Run, tolerance: float, buffer: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums of a run. Raises: InvalidCheckpoint naming the tensor if they are not finite in float64 either."""
    wide = "F64" in (run.pair.ours.dtype, run.pair.base.dtype)
    sums = run_sums(run, tolerance, buffer if wide else buffer.view(np.float32)[:, : buffer.shape[1]])
    if np.isfinite(sums).all():
        return sums
    sums = run_sums(run, tolerance, buffer)  # a square above 3e38 is no fault of the checkpoint
    if not np.isfinite(sums).all():
        at_fault = run.pair.ours if np.isfinite(sums[1]).all() else run.pair.base
        raise InvalidCheckpoint(
            f"{at_fault.name} in {at_fault.path.parent} holds weights that are NaN or infinite: train it again, or "
            "save it in float32."
        )
    return sums


def run_sums(run: Run, tolerance: float, buffer: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squares of the difference, squares of the base, and changed elements, by group: shape (3, groups)."""
    layout = run.pair.layout
    found = np.zeros((3, run.last - run.first))
    limit = buffer.dtype.type(tolerance)
    flags = np.empty(buffer.shape[1], dtype=bool)
    at = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for ours, base in pieces(run, buffer):
            here = slice(at, at := at + ours.shape[1])
            found[1, here] = np.vecdot(base, base).sum(axis=0, dtype=np.float64)
            np.subtract(ours, base, out=ours)
            found[0, here] = np.vecdot(ours, ours).sum(axis=0, dtype=np.float64)
            np.abs(ours, out=ours)
            changed = np.greater(ours, limit, out=flags[: ours.size].reshape(ours.shape))
            if len(layout.parts) > 1:
                found[2, here] = np.count_nonzero(changed, axis=(0, 2))
            else:  # nobody asks by head, and one count is many times faster than one a segment
                found[2, here.start] = np.count_nonzero(changed)
    groups = layout.groups(run.first, run.last)
    return np.array([np.bincount(groups, row, len(layout.order)) for row in found])


def pieces(run: Run, buffer: NDArray[np.floating]) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """A run of both folders as floats, piece by piece: shapes (planes, segments, width), overwritten by the next.

    Where both store bfloat16, the even elements of a segment are one plane and the odd ones the other, as that is how
    two of them unpack fastest; in the sums their order is lost anyway.
    """
    stored, segment = (run.pair.ours, run.pair.base), run.pair.layout.segment
    both = all(tensor.dtype == "BF16" for tensor in stored)
    planes = 2 if both and buffer.dtype == np.float32 and segment % 2 == 0 else 1
    mapped = [elements(tensor, run.first * segment, run.last * segment).reshape(-1, segment) for tensor in stored]
    step = max(1, PIECE // segment)
    for first in range(0, run.last - run.first, step):
        raws = [raw[first : first + step] for raw in mapped]
        ours, base = (
            floats[: raw.size].reshape(planes, len(raw), -1) for floats, raw in zip(buffer, raws, strict=True)
        )
        decode(raws[0], ours, stored[0].dtype)
        decode(raws[1], base, stored[1].dtype)
        yield ours, base


def elements(stored: Stored, first: int, last: int) -> NDArray[Any]:
    """Some of a tensor's elements as they are stored, flat; unmapped when no longer referred to."""
    dtype = np.dtype(FLOATS[stored.dtype])
    return np.memmap(stored.path, dtype, "r", stored.offset + first * dtype.itemsize, (last - first,))


def decode(raw: NDArray[Any], piece: NDArray[np.floating], dtype: str) -> None:
    """Fill `piece` with the stored numbers: a bfloat16 is the upper half of a float32."""
    if dtype != "BF16":
        np.copyto(piece, raw.reshape(piece.shape))
    elif len(piece) == 1:
        np.copyto(piece, (raw.astype(np.uint32) << 16).view(np.float32).reshape(piece.shape))
    else:
        twos, (even, odd) = raw.view(np.uint32), piece.view(np.uint32)
        np.left_shift(twos, 16, out=even)
        np.bitwise_and(twos, 0xFFFF0000, out=odd)


def whole(stored: Stored) -> NDArray[np.floating]:
    tensor = np.empty((1, math.prod(stored.shape)), dtype=np.float64 if stored.dtype == "F64" else np.float32)
    decode(elements(stored, 0, tensor.size), tensor, stored.dtype)
    return tensor.reshape(stored.shape)


def parts(layout: Layout) -> list[tuple[str | None, range]]:
    """The matrices of a tensor, each with its groups."""
    ends = np.cumsum([n for _, n in layout.parts]).tolist()
    return [(name, range(end - n, end)) for (name, n), end in zip(layout.parts, ends, strict=True)]


def labels(pair: Pair) -> list[str]:
    """The names of a tensor's matrices: its own if it is one."""
    name = pair.ours.name
    return [name] if len(pair.layout.parts) == 1 else [f"{name}[{part}]" for part, _ in pair.layout.parts]


def summarised(pair: Pair, sums: NDArray[np.float64]) -> Iterator[TensorDelta]:
    """The deltas of a tensor's matrices from its sums, which have shape (3, groups)."""
    numel = math.prod(pair.ours.shape)
    for name, (projection, groups) in zip(labels(pair), parts(pair.layout), strict=True):
        size = numel * len(groups) // len(pair.layout.order)
        squares, base, changed = sums[:, groups].sum(axis=1).tolist()
        by_head = projection in ("q", "k", "v", "o")
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
        )
