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
from depthgauge.formats.parts import block_of
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
    found = deltas_of(folder, base)
    experts = [one for one in found if is_expert(one)]
    names = [name for name in PROJECTIONS if any(one.projection == name for one in found)]
    if not names:
        raise NotTestable(f"{folder} names its weights in a way that is not known: none is a q, k, v, o or MLP matrix")
    numbers = {
        value: np.stack([compute.by_layer(found, name, value) for name in names])
        for value in ("frobenius", "rms", "relative", "changed")
    }
    ranks = np.full_like(numbers["rms"], np.nan)
    for one in found:
        if one.projection in names and one.layer is not None and one.frobenius:
            moved = compute.difference(folder, base, one.name)
            ranks[names.index(one.projection), one.layer] = compute.stable_rank(moved)
    return (
        numbers
        | by_head(found, names)
        | {
            "projections": np.array(names, dtype=np.str_),
            "stable_rank": ranks,
            "experts": np.array([label(one) for one in experts], dtype=np.str_),
            "experts_relative": np.array([over_base(one) for one in experts]),
        }
    )


def deltas_of(folder: Path, base: Path) -> tuple[compute.TensorDelta, ...]:
    """`compute.weight_deltas`, in one pass over the weights for all that is asked of two folders in turn."""
    return deltas_once(folder, base, (state_of(folder), state_of(base)))


@lru_cache(maxsize=1)
def deltas_once(folder: Path, base: Path, _: tuple[State, State]) -> tuple[compute.TensorDelta, ...]:
    return compute.weight_deltas(folder, base)


def is_expert(one: compute.TensorDelta) -> bool:
    return one.projection is not None and one.projection not in PROJECTIONS


def over_base(one: compute.TensorDelta) -> float:
    """The relative change; where the base's are all 0, any movement is 1."""
    return float(one.frobenius > 0) if np.isnan(one.relative) else one.relative


def ranks_of_change(folder: Path, base: Path, projection: str) -> NDArray[np.float64]:
    """By layer, the rank of a projection's change: singular values that rounding to float32 cannot make.

    Rounding moves each weight of either by at most half an epsilon of its size, and so no singular value by more than
    an epsilon of both norms.

    Raises: NotTestable if there is no such projection.
    """
    found = [one for one in deltas_of(folder, base) if one.projection == projection]
    if not found:
        raise NotTestable(f"{folder} has no {projection} projections of a name that is known")
    ranks = np.full(1 + max(one.layer for one in found if one.layer is not None), np.nan)
    for one in found:
        moved = compute.difference(folder, base, one.name).astype(np.float64)
        norms = one.frobenius + (one.frobenius / one.relative if one.frobenius else 0)
        rounding = np.finfo(np.float32).eps * norms
        ranks[one.layer] = (np.linalg.svd(moved, compute_uv=False) > rounding).sum()
    return ranks


def by_head(found: Sequence[compute.TensorDelta], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Norms by head of the projections that every layer has: a hybrid model has attention in some only."""
    heads = {}
    for name in names:
        if name in ATTENTION:
            with suppress(StatisticUndefined):
                heads[f"heads_{name}"] = compute.by_head(found, name)
    return heads


def of_others(folder: Path, base: Path) -> dict[str, NDArray[Any]]:
    """`names` (K,) of norms, biases, embeddings and head, 'layer 3 input_layernorm', and their `relative` change (K,).

    Where the base's are all 0, any movement is 1. With them, in the same pass, the arrays of `rows.of_rows`.

    Raises: NotTestable if there are none.
    """
    found = [one for one in deltas_of(folder, base) if one.projection is None]
    if not found:
        raise NotTestable(f"{folder} has no norm and no embedding")
    relative = [over_base(one) for one in found]
    names = np.array([label(one) for one in found], dtype=np.str_)
    return {"names": names, "relative": np.array(relative)} | of_rows(found, folder)


def of_quantized(folder: Path, base: Path) -> dict[str, NDArray[Any]]:
    """Of quantised matrices, shape (Q,): `quantized` names, 'layer 3 mlp.down_proj', `relative`, `explained`, `shift`,
    `place` of the group that is shifted most, and `bits`; of the rest, (K,): `plain` names and `plain_relative`.

    Raises: as `quantized_deltas`.
    """
    from depthgauge.probes.weights.quantized import quantized_deltas

    found, plain = quantized_deltas(folder, base)
    return {
        "quantized": np.array([short(one.name) for one in found], dtype=np.str_),
        "relative": np.array([one.relative for one in found]),
        "explained": np.array([one.explained for one in found]),
        "shift": np.array([one.shift for one in found]),
        "place": np.array([place_in(delta) for delta in found], dtype=np.str_),
        "bits": np.array([one.bits for one in found], dtype=float),
        "plain": np.array([short(name) for name in plain], dtype=np.str_),
        "plain_relative": np.array(list(plain.values()), dtype=float),
    }


def place_in(delta: "QuantizedDelta") -> str:
    """Where the group begins that is shifted most: 'row 3, column 64', of one expert where a tensor holds several."""
    within = f"row {delta.row}, column {delta.column}"
    return within if delta.expert is None else f"expert {delta.expert}, {within}"


def short(name: str) -> str:
    """A weight by its layer and its module."""
    layer, within = block_of(name)
    within = within.removesuffix(".weight")
    return within if layer is None else f"layer {layer} {within}"


def label(one: compute.TensorDelta) -> str:
    return label_of(one.name, one.layer)


def label_of(name: str, layer: int | None) -> str:
    """'layer 3 input_layernorm' of a tensor's name; outside of the layers the name itself."""
    short = name.removesuffix(".weight")
    return short if layer is None else f"layer {layer} {short.partition(f'.{layer}.')[2]}"
