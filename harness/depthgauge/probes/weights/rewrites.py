"""Rewrites that leave what a model computes as it is: neurons of an MLP or heads in another order, a norm's gain folded
into the matrices that read through it, matrices fused or told apart.

Each is undone and held to the baseline, weight by weight: what then differs by more than rounding was no such rewrite,
however alike the two models speak.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.steps import counted
from depthgauge.formats.folder import tensors
from depthgauge.formats.parts import depth_of, final_norm, input_axis, layer_of, mlp_norm, module_of
from depthgauge.formats.tensors import EXPERT, HEADS, Layout, configuration, heads_of, labels, parts, whole
from depthgauge.models.anatomy import ATTENTION_NAMES, MLP_NAMES, NORM_NAMES
from depthgauge.probes.weights.compute import Pair, matched
from depthgauge.probes.weights.measures import label_of
from depthgauge.probes.weights.rounding import BITS, last_place

Array = NDArray[np.floating]
PLACES = 2  # units in the last place: of the fold, and of saving what it gave
DIRECTIONS = 8  # that rows are told apart by
MOST_ALIKE = 2048  # rows that these do not tell apart
COMPARED = 1024  # rows at once
PROJECTIONS = {"attention": {"q", "k", "v", "o"}, "mlp": {"gate", "up", "down"}, "head": {"head"}}
OUT = {"o", "down"}  # what reads from heads and neurons, and not through the norm
MODULES = {"attention": ATTENTION_NAMES, "mlp": MLP_NAMES}
REORDERED, FOLDED = {"attention": "heads reordered", "mlp": "neurons reordered"}, "norm folded"
EXPERTS_REORDERED, NUMBER = "experts reordered", re.compile(r"\.experts\.(\d+)\.")
OFFSET = ("gemma", "gemma2", "gemma3", "gemma3_text", "recurrent_gemma", "qwen3_next")  # families of gains minus 1


class Undone(NamedTuple):
    """One part of a model that is the baseline's but for rewrites of these kinds.

    `left` is what is left of its changes, by column, over the baseline's norm. `heads` is which head of the candidate
    each head of the baseline has become, where they were reordered.
    """

    layer: int | None
    kinds: tuple[str, ...]
    left: Mapping[str, float]
    heads: NDArray[np.intp] | None


@dataclass(kw_only=True)
class Part:
    """The attention or the MLP of a layer, or the head, in one folder.

    `matrices` are (out, in) by projection, `vectors` have a number for each row of a projection, and `sums` the size of
    what such a number was summed of. `gain` and `shift` are those of the norm before it, and `rest` is what no rewrite
    changes.
    """

    matrices: dict[str, Array] = field(default_factory=dict)
    vectors: dict[tuple[str, str], Array] = field(default_factory=dict)  # by projection and name
    sums: dict[tuple[str, str], Array] = field(default_factory=dict)
    rest: dict[str, Array] = field(default_factory=dict)
    gain: Array | None = None
    shift: Array | None = None


def undone(folder: Path, base: Path) -> Iterator[Undone]:
    """Every part that is the baseline's but for a rewrite. Raises: as `weight_deltas`."""
    config, pairs = configuration(folder), matched(folder, base)
    by_layer: dict[int | None, list[Pair]] = {}
    for pair in pairs:
        by_layer.setdefault(layer_of(pair.ours.name), []).append(pair)
    for layer, own in counted(list(by_layer.items())):
        if (reordered := experts_undone(own, layer)) is not None:
            yield reordered
        kinds = ("head",) if layer is None else ("attention", "mlp")
        norms = norms_before(kinds, own, layer)
        tried = [attempt(own, kind, norm, layer, config) for kind, norm in zip(kinds, norms, strict=True)]
        if len(set(norms)) < len(norms) and not all(alike for alike, _ in tried):  # both or none read through one norm
            tried = [attempt(own, kind, None, layer, config) for kind in kinds]
        yield from (rewrite for _, rewrite in tried if rewrite is not None)


def attempt(
    pairs: Sequence[Pair], kind: str, norm: str | None, layer: int | None, config: Mapping[str, Any]
) -> tuple[bool, Undone | None]:
    """Whether a part of a layer is the baseline's once rewrites of it are undone, and these."""
    members = [pair for pair in pairs if belongs(pair, kind, norm)]
    ours, base = (part_of(members, side, kind, norm, config) for side in (0, 1))
    if not complete(ours, kind) or not complete(base, kind):
        return False, None
    bits = min(BITS[side.dtype] for pair in members for side in (pair.ours, pair.base))
    kinds, heads = undo(ours, base, kind, bits, config)
    if not alike(ours, base, bits):
        return False, None
    return True, Undone(layer, tuple(kinds), left_over(ours, base, members, layer), heads) if kinds else None


def experts_undone(pairs: Sequence[Pair], layer: int | None) -> Undone | None:
    """The experts of a layer that are the baseline's in another order, their router's rows with them."""
    experts = [pair for pair in pairs if EXPERT.fullmatch(module_of(pair.ours.name))]
    if layer is None or not experts:
        return None
    home = module_of(experts[0].ours.name).partition("experts")[0]
    members = [pair for pair in pairs if module_of(pair.ours.name).startswith(home)]
    ours, of_base = (by_expert(members, side) for side in (0, 1))
    if ours is None or of_base is None:
        return None
    order = matching(signatures(ours), signatures(of_base))
    bits = min(BITS[side.dtype] for pair in members for side in (pair.ours, pair.base))
    if np.array_equal(order, np.arange(len(order))) or not all(
        near(ours[name][order] if len(ours[name]) == len(order) else ours[name], of_base[name], bits)
        for name in of_base
    ):
        return None
    left = {label_of(name, layer): 0.0 for pair in members for name in labels(pair.ours, pair.layout)}
    return Undone(layer, (EXPERTS_REORDERED,), left, None)


def by_expert(pairs: Sequence[Pair], side: int) -> dict[str, Array] | None:
    """What a mixture of experts is made of, in one folder, an expert to each place of a first axis: matrices of experts
    by their name, and what has a row an expert, as the router has. None where not every expert has the same.
    """
    single: dict[str, dict[int, Array]] = {}
    rows: dict[str, Array] = {}
    for pair in pairs:
        name, values = pair.ours.name, whole((pair.ours, pair.base)[side])
        numbered = NUMBER.search(name)
        if numbered:
            single.setdefault(NUMBER.sub(".experts.", name), {})[int(numbered[1])] = values
        else:
            rows[name] = values
    counts = {len(values) for values in single.values()}
    if len(counts) > 1 or any(len({each.shape for each in values.values()}) > 1 for values in single.values()):
        return None
    return rows | {name: np.stack([values[place] for place in sorted(values)]) for name, values in single.items()}


def signatures(parts: Mapping[str, Array]) -> Array:
    """What tells experts apart: a row each, of a few random sums of all that they have."""
    count = len(next(values for name, values in parts.items() if ".experts." in name))
    rng = np.random.default_rng(0)
    rows = [
        each @ rng.standard_normal((each.shape[1], DIRECTIONS)).astype(each.dtype)
        for name in sorted(parts)
        if ".experts." in name
        for each in (parts[name].reshape(count, -1),)
    ]
    return np.concatenate(rows, axis=1)


def norms_before(kinds: Sequence[str], pairs: Sequence[Pair], layer: int | None) -> list[str | None]:
    """By kind of part, the module of the norm that it reads through; None where there is none of a name that is known,
    or something else in the layer, as a state space, may read through it.
    """
    names = [pair.ours.name for pair in pairs]
    try:
        if layer is None:
            return [module_of(final_norm(names)[0])]
        of_mlp = module_of(mlp_norm(names, layer)[0])
    except NotTestable:
        return [None] * len(kinds)
    if any(len(pair.ours.shape) > 1 and not any(belongs(pair, kind, None) for kind in kinds) for pair in pairs):
        return [None] * len(kinds)
    modules = {module_of(name) for name in names}
    of_attention = next((name for name in NORM_NAMES if name in modules), None)
    return [of_attention, of_mlp]


def belongs(pair: Pair, kind: str, norm: str | None) -> bool:
    name = pair.ours.name
    if module_of(name) == norm:
        return True
    if kind == "head":
        return name.endswith(HEADS)
    known = {projection for projection, _ in pair.layout.parts} & PROJECTIONS[kind]
    return bool(known) or module_of(name).split(".")[0] in MODULES[kind]


def part_of(pairs: Sequence[Pair], side: int, kind: str, norm: str | None, config: Mapping[str, Any]) -> Part:
    """A part as it lies in the candidate's folder, side 0, or in the baseline's, 1."""
    part = Part()
    layouts = {module_of(pair.ours.name): pair.layout for pair in pairs if pair.layout.parts[0][0] is not None}
    for pair in pairs:
        module, values = module_of(pair.ours.name), whole((pair.ours, pair.base)[side])
        layout = layouts.get(module)
        if module == norm and pair.ours.name.endswith("bias"):
            part.shift = values
        elif module == norm:
            part.gain = values + (config.get("model_type") in OFFSET)
        elif kind == "head" and values.ndim == 2:
            part.matrices["head"] = values
        elif layout is not None and values.ndim == 2:
            part.matrices |= told_apart(values, layout, config)
        elif layout is not None and values.ndim == 1:
            part.vectors |= {(projection, "bias"): each for projection, each in rows_of(values, layout, config).items()}
        else:
            part.rest[module] = values
    if kind == "attention" and complete(part, kind):
        give_rows(part, heads_of("q", config))
    return part


def told_apart(values: Array, layout: Layout, config: Mapping[str, Any]) -> dict[str, Array]:
    """The matrices that are fused in one, each (out, in)."""
    rows, columns = values.shape
    groups = layout.groups(0, values.size // layout.segment)
    by_part = {}
    for projection, own in parts(layout):
        kept = values.reshape(-1, layout.segment)[np.isin(groups, own)]
        matrix = kept.reshape((rows, -1) if layout.turn == 1 else (-1, columns))
        by_part[str(projection)] = np.ascontiguousarray(matrix.T) if input_axis(config) == 0 else matrix
    return by_part


def rows_of(values: Array, layout: Layout, config: Mapping[str, Any]) -> dict[str, Array]:
    """The biases of matrices that are fused in one."""
    if len(layout.parts) == 1:
        return {str(layout.parts[0][0]): values}
    each = layout.order.repeat(len(values) // len(layout.order))
    return {str(projection): values[np.isin(each, own)] for projection, own in parts(layout)}


def give_rows(part: Part, heads: int) -> None:
    """What lies beside the matrices of an attention with a number a row or a head, as norms and sinks do."""
    for name, values in list(part.rest.items()):
        projection = "k" if name.split(".")[-1].startswith("k") else "q"
        width = len(part.matrices[projection])
        if values.shape == (width,):
            part.vectors[projection, name] = part.rest.pop(name)
        elif values.shape == (heads,) and name.endswith("sinks"):
            part.vectors["q", name] = part.rest.pop(name).repeat(width // heads)


def complete(part: Part, kind: str) -> bool:
    """Whether all matrices of a part are there, and no others, as those of experts."""
    matrices = set(part.matrices)
    whole_part = matrices == PROJECTIONS[kind] or (kind == "mlp" and matrices == {"up", "down"})
    return whole_part and all(values.ndim == 1 for values in part.rest.values())


def undo(
    ours: Part, base: Part, kind: str, bits: int, config: Mapping[str, Any]
) -> tuple[list[str], NDArray[np.intp] | None]:
    """Bring the candidate's part to the form of the baseline's, in place; the rewrites that this takes back."""
    kinds, heads = [], None
    if folds(ours, base, bits):
        fold(ours)
        fold(base)
        kinds.append(FOLDED)
    if kind == "mlp" and not alike(ours, base, bits):
        order = matching(neurons(ours), neurons(base))
        reorder(ours, dict.fromkeys(ours.matrices, order), 1)
        kinds.append(REORDERED[kind])
    if kind == "attention" and not alike(ours, base, bits):
        counts = {name: heads_of(name, config) for name in ours.matrices}
        if (orders := head_orders(ours, base, counts)) is not None:
            reorder(ours, orders, len(ours.matrices["q"]) // counts["q"])
            heads = orders["q"]
            kinds.append(REORDERED[kind])
    return kinds, heads


def folds(ours: Part, base: Part, bits: int) -> bool:
    """Whether the norms before two parts differ."""
    if ours.gain is None or base.gain is None:
        return False
    return not near(ours.gain, base.gain, bits) or not near(shift_of(ours), shift_of(base), bits)


def shift_of(part: Part) -> Array:
    assert part.gain is not None
    return part.shift if part.shift is not None else np.zeros_like(part.gain)


def fold(part: Part) -> None:
    """Put the norm before a part into its matrices, and what its bias gives there into their biases."""
    assert part.gain is not None
    shift = shift_of(part).astype(np.float64)
    for name, matrix in part.matrices.items():
        if name in OUT:
            continue
        bias = part.vectors.get((name, "bias"), np.zeros(len(matrix)))
        part.vectors[name, "bias"] = bias + matrix @ shift
        part.sums[name, "bias"] = np.abs(bias) + np.abs(matrix) @ np.abs(shift)
        part.matrices[name] = matrix * part.gain
    part.gain = part.shift = None


def neurons(part: Part) -> Array:
    """What tells the neurons of an MLP apart: a row each."""
    ins = [values for name, values in part.matrices.items() if name not in OUT]
    beside = [values[:, None] for (name, _), values in part.vectors.items() if name not in OUT]
    return np.concatenate([*ins, *beside, part.matrices["down"].T], axis=1)


def head_orders(ours: Part, base: Part, counts: Mapping[str, int]) -> dict[str, NDArray[np.intp]] | None:
    """By projection, which head of the candidate is each of the baseline's; None unless queries keep their keys."""
    keys = matching(*(np.concatenate([by_head(part, name, counts) for name in "kv"], axis=1) for part in (ours, base)))
    queries = matching(
        *(np.concatenate([by_head(part, name, counts) for name in "qo"], axis=1) for part in (ours, base))
    )
    shared = counts["q"] // counts["k"]
    if not np.array_equal(queries // shared, keys.repeat(shared)):
        return None
    return {"q": queries, "o": queries, "k": keys, "v": keys}


def by_head(part: Part, projection: str, counts: Mapping[str, int]) -> Array:
    """All that a head has of a projection, a row each."""
    matrix = part.matrices[projection]
    rows = matrix.T if projection in OUT else matrix
    beside = [values[:, None] for (name, _), values in part.vectors.items() if name == projection != "o"]
    return np.concatenate([rows, *beside], axis=1).reshape(counts[projection], -1)


def reorder(part: Part, orders: Mapping[str, NDArray[np.intp]], width: int) -> None:
    """Put rows, and columns of what reads from them, in groups of a width, into an order."""
    for name, matrix in part.matrices.items():
        places = (orders[name][:, None] * width + np.arange(width)).ravel()
        part.matrices[name] = matrix[:, places] if name in OUT else matrix[places]
        for values in (part.vectors, part.sums):
            for key in [key for key in values if key[0] == name and name not in OUT]:
                values[key] = values[key][places]


def matching(ours: Array, base: Array) -> NDArray[np.intp]:
    """Which row of ours is the most like each of its, every one once. Shapes (rows, width); the result is (rows,).

    Rows are told apart by a few random directions. Several rows that are like one, as neurons that are all zero, are
    given out so that the distances are least; where there are too many of them, in their order.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import KDTree
    from scipy.spatial.distance import cdist

    directions = np.random.default_rng(0).standard_normal((ours.shape[1], DIRECTIONS)).astype(ours.dtype)
    here, there = ours @ directions, base @ directions
    order: NDArray[np.intp] = np.asarray(KDTree(here).query(there)[1], dtype=np.intp)
    values, times = np.unique(order, return_counts=True)
    given = np.isin(order, values[times == 1])
    free = np.setdiff1d(np.arange(len(order)), order[given])
    left = np.flatnonzero(~given)
    if len(left) <= MOST_ALIKE:
        wanted, chosen = linear_sum_assignment(cdist(there[left], here[free]))
        order[left[wanted]] = free[chosen]
    else:
        order[left] = free
    return order


def alike(ours: Part, base: Part, bits: int) -> bool:
    """Whether two parts are the same to rounding in all that they have."""
    if (ours.gain is None) != (base.gain is None):
        return False
    norms = []
    if ours.gain is not None and base.gain is not None:
        norms = [(ours.gain, base.gain), (shift_of(ours), shift_of(base))]
    both = [
        *norms,
        *((ours.matrices[name], base.matrices[name]) for name in base.matrices),
        *((ours.rest[name], base.rest[name]) for name in base.rest),
    ]
    if ours.vectors.keys() != base.vectors.keys() or not all(near(ours, theirs, bits) for ours, theirs in both):
        return False
    return all(
        near(ours.vectors[name], base.vectors[name], bits, ours.sums.get(name), base.sums.get(name))
        for name in base.vectors
    )


def near(ours: Array, base: Array, bits: int, *sums: Array | None) -> bool:
    """Whether no number is further from another than rounding to so many bits puts it, or what it was summed of."""
    sizes = [ours, base, *(each for each in sums if each is not None)]
    return ours.shape == base.shape and all(
        bool(
            (np.abs(first - theirs) <= PLACES * last_place(np.max(np.abs([first, theirs, *more]), axis=0), bits)).all()
        )
        for first, theirs, *more in zip(*map(in_double, sizes), strict=True)
    )


def in_double(values: Array) -> Iterator[NDArray[np.float64]]:
    return (values[first : first + COMPARED].astype(np.float64) for first in range(0, len(values), COMPARED))


def left_over(ours: Part, base: Part, pairs: Sequence[Pair], layer: int | None) -> dict[str, float]:
    """What is left of the changes of a part, by the columns in which claims see them."""
    left = {label_of(pair.ours.name, layer): 0.0 for pair in pairs if pair.layout.parts[0][0] is None}
    left |= {label_of(pair.ours.name, layer): 0.0 for pair in pairs if pair.ours.name.endswith("bias")}
    for name, matrix in base.matrices.items():
        norm = float(np.linalg.norm(matrix))
        moved = float(np.linalg.norm(ours.matrices[name] - matrix)) / norm if norm else 0.0
        left[f"layer {layer} {name}" if layer is not None else label_of(head_name(pairs), layer)] = moved
    return left


def head_name(pairs: Sequence[Pair]) -> str:
    return next(pair.ours.name for pair in pairs if pair.ours.name.endswith(HEADS))


def summarised(folder: Path, base: Path) -> dict[str, NDArray[Any]]:
    """`columns` (K,) that rewrites had changed and what is `left` (K,) of it; `kinds` (N,) of rewrites, a part each.

    `heads` (L, H) says which head of the candidate each of the baseline's is, (0, 0) where none was reordered.

    Raises: as `weight_deltas`.
    """
    rewrites = list(undone(folder, base))
    left = {name: value for part in rewrites for name, value in part.left.items()}
    return {
        "columns": np.array(list(left), dtype=np.str_),
        "left": np.array(list(left.values()), dtype=float),
        "kinds": np.array([kind for part in rewrites for kind in part.kinds], dtype=np.str_),
        "heads": head_table(rewrites, depth_of(tensors(folder))),
    }


def head_table(rewrites: Sequence[Undone], layers: int) -> NDArray[np.intp]:
    moved = {part.layer: part.heads for part in rewrites if part.heads is not None}
    if not moved:
        return np.empty((0, 0), dtype=np.intp)
    own = np.arange(len(next(iter(moved.values()))))
    return np.stack([moved.get(layer, own) for layer in range(layers)])
