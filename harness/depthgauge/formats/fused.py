"""Matrices that one family stores as one and another apart: queries, keys and values, and the two halves of an MLP.

Phi-3 is a Llama whose matrices are fused: a converter that tells them apart has changed no weight.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from depthgauge.formats.tensors import RAW, Computed, Tensor, heads_of

FUSED = {
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}


def fused_in(names: Iterable[str]) -> set[str]:
    """The modules that are fused, of tensors of these names."""
    return {module for module in FUSED for name in names if f".{module}." in name}


def told_apart(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights with those of fused matrices, one after the other along their rows, under the names of their parts.

    Raises: InvalidCheckpoint where the configuration has no number of heads.
    """
    return {part.name: part for tensor in weights.values() for part in parts_of(tensor, config)}


def parts_of(tensor: Tensor, config: Mapping[str, Any]) -> Iterator[Tensor]:
    fused = next((module for module in FUSED if f".{module}." in tensor.name), None)
    shares = [] if fused is None else shares_of(FUSED[fused], config)
    if fused is None or tensor.shape[0] % sum(shares):
        yield tensor
        return
    first = 0
    for module, share in zip(FUSED[fused], shares, strict=True):
        rows = tensor.shape[0] // sum(shares) * share
        yield rows_from(tensor, tensor.name.replace(f".{fused}.", f".{module}."), first, rows)
        first += rows


def shares_of(modules: tuple[str, ...], config: Mapping[str, Any]) -> list[int]:
    """How many heads, or halves, each part has."""
    return [heads_of(module.partition(".")[2].removesuffix("_proj"), config) for module in modules]


def rows_from(tensor: Tensor, name: str, first: int, rows: int) -> Tensor:
    """Some rows of a tensor as one of its own."""
    shape = (rows, *tensor.shape[1:])
    if isinstance(tensor, Computed):
        compute = tensor.compute
        return replace(tensor, name=name, shape=shape, compute=lambda: compute()[first : first + rows])
    row = int(np.prod(tensor.shape[1:], dtype=np.int64)) * np.dtype(RAW[tensor.dtype]).itemsize
    return tensor._replace(name=name, shape=shape, offset=tensor.offset + first * row)
