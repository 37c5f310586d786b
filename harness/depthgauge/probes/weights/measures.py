"""What is kept of how far weights moved: numbers by projection and layer, norms by head, and what is no projection."""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.core.method import State
from depthgauge.formats.parts import block_of, has_vocabulary
from depthgauge.formats.tensors import ATTENTION, PROJECTIONS
from depthgauge.probes.weights import compute
from depthgauge.probes.weights.rows import of_rows
from depthgauge.sources.folder import state_of

if TYPE_CHECKING:
    from depthgauge.probes.weights.quantized import QuantizedDelta


def by_projection(folder: Path, base: Path) -> dict[str, NDArray[Any]]:
    """`projections` (P,), and for each its norms and so on in every layer: arrays of shape (P, L).

    The stable rank is NaN where nothing moved. `heads_q`, `heads_k`, `heads_v` and `heads_o` (L, heads): the norms of
    what each head moved, where every layer has them. `experts` (E,) names the matrices of experts, 'layer 3
    mlp.experts.7.down_proj', and `experts_relative` (E,) is their relative change.

    Raises: NotTestable if no weight is named in a way that is known.
    """
    deltas = deltas_of(folder, base)
    experts = [delta for delta in deltas if is_expert(delta)]
    names = [name for name in PROJECTIONS if any(delta.projection == name for delta in deltas)]
    if not names:
        raise NotTestable(f"{folder} names its weights in a way that is not known: none is a q, k, v, o or MLP matrix")
    numbers = {
        value: np.stack([compute.by_layer(deltas, name, value) for name in names])
        for value in ("frobenius", "rms", "relative", "changed")
    }
    ranks = np.full_like(numbers["rms"], np.nan)
    for delta in deltas:
        if delta.projection in names and delta.layer is not None and delta.frobenius:
            moved = compute.difference(folder, base, delta.name)
            ranks[names.index(delta.projection), delta.layer] = compute.stable_rank(moved)
    return (
        numbers
        | by_head(deltas, names)
        | {
            "projections": np.array(names, dtype=np.str_),
            "stable_rank": ranks,
            "experts": np.array([label(expert) for expert in experts], dtype=np.str_),
            "experts_relative": np.array([over_base(expert) for expert in experts]),
        }
    )


def deltas_of(folder: Path, base: Path) -> tuple[compute.TensorDelta, ...]:
    """`compute.weight_deltas`, in one pass over the weights for all that is asked of two folders in turn."""
    return deltas_once(folder, base, (state_of(folder), state_of(base)))


@lru_cache(maxsize=1)
def deltas_once(folder: Path, base: Path, _: tuple[State, State]) -> tuple[compute.TensorDelta, ...]:
    return compute.weight_deltas(folder, base)


def is_expert(delta: compute.TensorDelta) -> bool:
    return delta.projection is not None and delta.projection not in PROJECTIONS


def over_base(delta: compute.TensorDelta) -> float:
    """The relative change; where the base's are all 0, any movement is 1."""
    return float(delta.frobenius > 0) if np.isnan(delta.relative) else delta.relative


def ranks_of_change(folder: Path, base: Path, projection: str) -> NDArray[np.float64]:
    """By layer, the rank of a projection's change: singular values that rounding to float32 cannot make.

    Rounding moves each weight of either by at most half an epsilon of its size, and so no singular value by more than
    an epsilon of both norms.

    Raises: NotTestable if there is no such projection.
    """
    deltas = [delta for delta in deltas_of(folder, base) if delta.projection == projection]
    if not deltas:
        raise NotTestable(f"{folder} has no {projection} projections of a name that is known")
    ranks = np.full(1 + max(delta.layer for delta in deltas if delta.layer is not None), np.nan)
    for delta in deltas:
        moved = compute.difference(folder, base, delta.name).astype(np.float64)
        norms = delta.frobenius + (delta.frobenius / delta.relative if delta.frobenius else 0)
        rounding = np.finfo(np.float32).eps * norms
        ranks[delta.layer] = (np.linalg.svd(moved, compute_uv=False) > rounding).sum()
    return ranks


def by_head(deltas: Sequence[compute.TensorDelta], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Norms by head of the projections that every layer has: a hybrid model has attention in some only."""
    heads = {}
    for name in names:
        if name in ATTENTION:
            with suppress(StatisticUndefined):
                heads[f"heads_{name}"] = compute.by_head(deltas, name)
    return heads


def of_others(folder: Path, base: Path) -> dict[str, NDArray[Any]]:
    """`names` (K,) of norms, biases, embeddings and head, 'layer 3 input_layernorm', and their `relative` change (K,).

    Where the base's are all 0, any movement is 1. With them, in the same pass, the arrays of `rows.of_rows`.

    Raises: NotTestable if there are none.
    """
    deltas = [delta for delta in deltas_of(folder, base) if delta.projection is None]
    if not deltas:
        raise NotTestable(f"{folder} has no norm and no embedding")
    relative = [over_base(delta) for delta in deltas]
    names = np.array([label(delta) for delta in deltas], dtype=np.str_)
    return {"names": names, "relative": np.array(relative)} | of_rows(deltas, folder, base)


def of_quantized(folder: Path, base: Path) -> dict[str, NDArray[Any]]:
    """Of quantised matrices, shape (Q,): `quantized` names, 'layer 3 mlp.down_proj', `relative`, `explained`, `shift`,
    `place` of the group that is shifted most, and `bits`; of the rest, (K,): `plain` names and `plain_relative`.

    Raises: as `quantized_deltas`.
    """
    from depthgauge.probes.weights.quantized import quantized_deltas

    deltas, plain = quantized_deltas(folder, base)
    return {
        "quantized": np.array([short(delta.name) for delta in deltas], dtype=np.str_),
        "relative": np.array([delta.relative for delta in deltas]),
        "explained": np.array([delta.explained for delta in deltas]),
        "shift": np.array([delta.shift for delta in deltas]),
        "place": np.array([place_in(delta) for delta in deltas], dtype=np.str_),
        "bits": np.array([delta.bits for delta in deltas], dtype=float),
        "plain": np.array([short(name) for name in plain], dtype=np.str_),
        "plain_relative": np.array(list(plain.values()), dtype=float),
    }


def of_vocabularies(folder: Path, base: Path) -> dict[str, NDArray[Any]]:
    """The arrays of `rows.of_rows` alone: nothing is read but embeddings and head.

    Raises: NotTestable if no embedding has a name that is known.
    """
    pairs = [pair for pair in compute.matched(folder, base) if has_vocabulary(pair.ours.name)]
    if not pairs:
        raise NotTestable(f"{folder} has no embedding of a name that is known")
    return of_rows(compute.deltas_of_pairs(pairs), folder, base)


def place_in(delta: "QuantizedDelta") -> str:
    """Where the group begins that is shifted most: 'row 3, column 64', of one expert where a tensor holds several."""
    within = f"row {delta.row}, column {delta.column}"
    return within if delta.expert is None else f"expert {delta.expert}, {within}"


def short(name: str) -> str:
    """A weight by its layer and its module."""
    layer, within = block_of(name)
    within = within.removesuffix(".weight")
    return within if layer is None else f"layer {layer} {within}"


def label(delta: compute.TensorDelta) -> str:
    return label_of(delta.name, delta.layer)


def label_of(name: str, layer: int | None) -> str:
    """'layer 3 input_layernorm' of a tensor's name; outside of the layers the name itself."""
    short = name.removesuffix(".weight")
    return short if layer is None else f"layer {layer} {short.partition(f'.{layer}.')[2]}"
