"""The tensors of a checkpoint's files, cut by layer, projection and head; no model loaded, and torch not imported.

The files are mapped, and unmapped as soon as a part is no longer referred to: a plain read would copy what a map only
lends. A matrix is a row of equal groups, along its rows or its columns: its attention heads, or the matrices fused into
it.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.formats.levels import Levels
from depthgauge.models.files import read_config
from depthgauge.models.header import read_header

if TYPE_CHECKING:
    import torch

ATTENTION = ("q", "k", "v", "o")
PROJECTIONS = (*ATTENTION, "gate", "up", "down", "in", "out")  # what goes into and out of a state space comes last
LONGEST_ROW = 8192  # of a sum in float32; BLAS starts threads of its own above 10,000

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # numpy has no bfloat16: its bits are shifted
NOT_WEIGHTS = ("I64", "I32", "I16", "I8", "U8", "BOOL")  # masks and positions that older versions saved
# What quantised weights and their scales are stored in besides; numpy has no float of 8 bits, and gives the bits.
RAW = FLOATS | {
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "u1", "F8_E4M3": "u1", "F8_E5M2": "u1",
    "F8_E8M0": "u1",
}  # fmt: skip
QUANTIZATION = "quantization_config"  # in a configuration
PLAIN_BITS = 16.0  # of a weight that is not quantised
# Constants that older versions saved and newer ones compute.
BUFFERS = (".attn.bias", ".attention.bias", ".masked_bias", ".rotary_emb.inv_freq")
HEADS = ("lm_head.weight", "embed_out.weight")
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
WRAPPERS = re.compile(
    r"^((model|language_model|transformer|gpt_neox|base_model|module|_orig_mod|decoder|backbone|rwkv)\.)+"
)
BLOCK = re.compile(r"(layers|h|blocks)\.(\d+)\.(.*)")
# Within a layer: the matrices of experts, one by one or all in one tensor, an expert to each place of its first axis.
EXPERT = re.compile(r"(?:.*\.)?experts\.(?:(\d+)\.)?.*(?<!bias)")

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


class TensorSource(Protocol):
    """The tensors of a checkpoint, wherever they lie: their shapes by name, and each when it is asked for."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def read(self, name: str) -> "torch.Tensor":
        """A tensor that belongs to who asked for it."""


class Stored(NamedTuple):
    """Where a tensor lies: `offset` in bytes from the start of the file."""

    name: str
    path: Path
    offset: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Computed:
    """A weight that `compute` makes, in float32 and of this shape, out of what a quantised checkpoint stores.

    `path` is the file that holds its codes. `bits` are those that a weight takes, and `group` is how many neighbours
    along `axis` share a scale. `levels` makes the numbers that its codes can stand for, where the format says them. The
    weight is kept from the first piece that is asked for until the last.
    """

    name: str
    path: Path
    shape: tuple[int, ...]
    compute: Callable[[], NDArray[np.float32]]
    bits: float
    group: int
    axis: int = -1
    levels: Callable[[], Levels] | None = None
    dtype: ClassVar[str] = "F32"
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)
    _kept: list[NDArray[np.float32]] = field(default_factory=list, init=False, repr=False)
    _given: list[int] = field(default_factory=lambda: [0], init=False, repr=False)

    def elements(self, first: int, last: int) -> NDArray[np.float32]:
        """Some of the weight's elements, flat. Threads may ask for several pieces at once: it is computed once."""
        with self._lock:
            if not self._kept:
                self._kept.append(self.compute().reshape(-1))
            flat = self._kept[0]
            self._given[0] += last - first
            if self._given[0] >= flat.size:
                self._kept.clear()
                self._given[0] = 0
        return flat[first:last]


Tensor = Stored | Computed


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


def quantization(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a configuration says of how its weights are quantised; None where it says nothing."""
    for fields in (config, config.get("text_config") or {}):
        settings = fields.get(QUANTIZATION)
        if isinstance(settings, dict):
            return settings
    return None


def is_quantized(folder: Path) -> bool:
    return quantization(read_config(folder)) is not None


def configuration(folder: Path) -> dict[str, Any]:
    """The configuration of the language model, which one with images too keeps apart."""
    return configuration_of(read_config(folder))


def configuration_of(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**config, **config.get("text_config", {})}


def listed(path: Path) -> Iterator[Stored]:
    """All that a file stores, weights or not."""
    header = read_header(path)
    for name, entry in header.entries.items():
        yield Stored(name, path, header.start + entry["data_offsets"][0], entry["dtype"], tuple(entry["shape"]))


def layout(stored: Tensor, config: Mapping[str, Any]) -> Layout:
    """How a tensor is cut: by head and fused matrix where its name tells, in rows otherwise."""
    block = BLOCK.fullmatch(WRAPPERS.sub("", stored.name))
    layer, module = (int(block[2]), block[3].removesuffix(".weight")) if block else (None, "")
    # Other families use the same names (h.0.attn.c_attn) for other layouts.
    known = LINEAR if block and block[1] == "layers" else BY_FAMILY.get(str(config.get("model_type")), {})
    if (expert := EXPERT.fullmatch(module)) and len(stored.shape) in (2, 3):
        return layout_of_experts(stored, layer, expert[1])
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


def layout_of_experts(stored: Tensor, layer: int | None, number: str | None) -> Layout:
    """That of an expert's matrix, or of those of all experts in one."""
    segment = divisor(stored.shape[-1])
    if len(stored.shape) == 2:
        return Layout(layer, ((f"expert {number or ''}".strip(), 1),), segment, np.zeros(1, dtype=np.intp), 1)
    count, rows, columns = stored.shape
    each = tuple((f"expert {place}", 1) for place in range(count))
    return Layout(layer, each, segment, np.arange(count), rows * (columns // segment))


def heads_of(projection: str, config: Mapping[str, Any]) -> int:
    """Heads of q, k, v and o; a projection of the MLP is one group."""
    if projection not in ATTENTION:
        return 1
    heads = next((config[name] for name in HEAD_COUNTS if config.get(name)), None)
    if not heads:
        raise InvalidCheckpoint("config.json gives no num_attention_heads: save the checkpoint with its configuration.")
    return int(heads if projection in ("q", "o") else config.get("num_key_value_heads") or heads)


def turns(stored: Tensor, axis: int, groups: int) -> tuple[int, int]:
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


def parts(layout: Layout) -> list[tuple[str | None, range]]:
    """The matrices of a tensor, each with its groups."""
    ends = np.cumsum([n for _, n in layout.parts]).tolist()
    return [(name, range(end - n, end)) for (name, n), end in zip(layout.parts, ends, strict=True)]


def elements(tensor: Tensor, first: int, last: int) -> NDArray[Any]:
    """Some of a tensor's elements as they are stored, flat; unmapped when no longer referred to."""
    if isinstance(tensor, Computed):
        return tensor.elements(first, last)
    dtype = np.dtype(RAW[tensor.dtype])
    return np.memmap(tensor.path, dtype, "r", tensor.offset + first * dtype.itemsize, (last - first,))


def numbers(tensor: Tensor, first: int, last: int) -> NDArray[np.floating]:
    """Some of a tensor's elements as numbers, flat."""
    piece: NDArray[np.floating] = np.empty((1, last - first), np.float64 if tensor.dtype == "F64" else np.float32)
    decode(elements(tensor, first, last), piece, tensor.dtype)
    flat: NDArray[np.floating] = piece[0]
    return flat


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


def whole(stored: Tensor) -> NDArray[np.floating]:
    return numbers(stored, 0, math.prod(stored.shape)).reshape(stored.shape)


def labels(stored: Tensor, layout: Layout) -> list[str]:
    """The names of a tensor's matrices: its own if it is one."""
    return [stored.name] if len(layout.parts) == 1 else [f"{stored.name}[{part}]" for part, _ in layout.parts]
