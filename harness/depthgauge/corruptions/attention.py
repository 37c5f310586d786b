"""Corruptions of attention: of what heads look at, what they read, and what they write."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.corruptions.arithmetic import each, replaced, scaled, wide
from depthgauge.corruptions.corruption import Changes, Config, Layers, middle_layer, weight_corruption
from depthgauge.corruptions.draws import Draws
from depthgauge.formats.parts import in_layers, input_axis, is_attention, is_attention_output, module_of
from depthgauge.formats.tensors import TensorSource, heads_of

if TYPE_CHECKING:
    import torch

FAINT = 1e-6
QUERY_NAMES, GROUPED_NAME = ("q_proj", "qkv_proj", "Wqkv", "c_attn"), "query_key_value"
KEY_AND_VALUE_MODULES = ("k_proj", "v_proj", "qkv_proj", "c_attn", GROUPED_NAME, "Wqkv", "kv_b_proj")


def attention_outputs(tensors: TensorSource, layers: Layers) -> list[str]:
    """What heads write into the residual stream by. Raises: NotTestable unless every layer has it."""
    outputs = [name for name in in_layers(tensors.shapes, layers) if is_attention_output(name)]
    without = [layer for layer in layers if not in_layers(outputs, (layer,))]
    if without:
        raise NotTestable(f"layer {without[0]} has no attention whose output projection has a name that is known.")
    return outputs


@weight_corruption("fault")
def no_attention(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """What the attention of every layer writes shrunk by a share: at 1 each token hangs on the last one alone.

    Simulates a kernel, a mask or a cache that hands on nothing; such a model loops at once.
    Raises: NotTestable for a family that has layers without attention.
    """
    return each(tensors, attention_outputs(tensors, layers), lambda name, tensor: scaled(tensor, 1 - dose))


@weight_corruption("fault", layers=middle_layer, doses=(0.03, 0.1, 0.3, 1))
def zero_attention(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """What the attention of a layer writes shrunk by a share: 1 is zeroed.

    Simulates an output projection that was lost when layers were merged. Raises: as `no_attention`.
    """
    return each(tensors, attention_outputs(tensors, layers), lambda name, tensor: scaled(tensor, 1 - dose))


@weight_corruption("fault", layers=middle_layer, doses=(1, 3), seeded=True)
def zero_heads(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """So many heads of a layer, drawn at random, write nothing.

    Simulates pruning, or a tensor-parallel rank whose shard was lost. Raises: as `no_attention`.
    """
    outputs = [name for name in attention_outputs(tensors, layers) if len(tensors.shapes[name]) == 2]
    heads, axis = heads_of("o", config), input_axis(config)

    def without(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
        chosen = rng.generator(module_of(name)).permutation(heads)[: int(dose)].tolist()
        by_head = in_groups(tensor, axis, heads).transpose(0, axis)
        by_head[chosen] = 0
        return tensor

    return each(tensors, outputs, without)


@weight_corruption("fault", seeded=True)
def random_keys_and_values(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """A share of the keys' and values' weights drawn anew in their own spread; queries and outputs have not moved.

    Simulates adapters that were merged into the wrong matrices.
    Raises: NotTestable for a family without keys and values, or none that are known.
    """
    own = in_layers(tensors.shapes, layers)
    names = [
        name for name in own
        if len(tensors.shapes[name]) > 1 and module_of(name).split(".")[-1] in KEY_AND_VALUE_MODULES
    ]  # fmt: skip
    if not names:
        raise NotTestable("no keys and values have a name that is known, to be drawn anew.")
    return each(
        tensors,
        names,
        lambda name, tensor: replaced(name, tensor, wide(tensor).std() * rng.normal(name, tensor), rng, dose),
    )


@weight_corruption("fault", needs_model=True, requires=("torch", "transformers"))
def no_previous_token_head(
    tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers, model: Any
) -> Changes:
    """The best previous-token head looks everywhere alike, as its queries are a millionth as large.

    Simulates a circuit that a training unlearnt, while all else is as before; a norm of queries does not undo it.
    Raises: NotTestable for a family whose heads hide their attention, or whose queries have no name that is known.
    """
    from depthgauge.models.anatomy import block_parts, blocks, weight_from_the_right
    from depthgauge.probes.circuits.compute import best, read_scores

    layer, head = best(read_scores(model)["previous"].mean(0))
    parts, heads = block_parts(blocks(model)[layer]), heads_of("q", config)
    size = len(weight_from_the_right(parts.output)) // heads
    start, names = head * size, query_names(tensors, layer)
    if module_of(names[0]).endswith(GROUPED_NAME):  # after the queries of a group, its key and its value
        start += head // (heads // getattr(parts.attention, "num_kv_heads", heads)) * 2 * size

    def fainter(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
        by_output = tensor.T if tensor.ndim == 2 and input_axis(config) == 0 else tensor
        by_output[start : start + size] *= FAINT**dose
        return tensor

    return each(tensors, names, fainter)


def query_names(tensors: TensorSource, layer: int) -> list[str]:
    """The tensors of a layer that hold its queries. Raises: NotTestable where no name is known."""
    own = in_layers(tensors.shapes, (layer,))
    names = [name for name in own if is_attention(name, *QUERY_NAMES, GROUPED_NAME)]
    if not names:
        raise NotTestable(f"the queries of layer {layer} have no name that is known.")
    return names


def projections(tensors: TensorSource, layers: Layers, *modules: str) -> list[str]:
    """The tensors of these modules of the attention of each layer.

    Raises: NotTestable where a layer has no projection for queries alone, and one for keys.
    """
    own = in_layers(tensors.shapes, layers)
    for layer in layers:
        here = in_layers(own, (layer,))
        if not all(any(is_attention(name, module) for name in here) for module in ("q_proj", "k_proj")):
            raise NotTestable(f"layer {layer} has no projection for queries alone, and one for keys.")
    return [name for name in own if is_attention(name, *modules)]


def in_groups(tensor: "torch.Tensor", axis: int, groups: int) -> "torch.Tensor":
    """A view whose `axis` is cut into (groups, what is left)."""
    return tensor.view(*tensor.shape[:axis], groups, -1, *tensor.shape[axis + 1 :])


def head_size(config: Config) -> int:
    return int(config.get("head_dim") or hidden_size(config) // heads_of("q", config))


def hidden_size(config: Config) -> int:
    return int(next(config[name] for name in ("hidden_size", "n_embd", "d_model") if config.get(name)))


@weight_corruption("fault", seeded=True)
def shuffle_head_dimensions(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """A share of the heads shuffle their queries and keys, each its own way, slow numbers for fast ones.

    Simulates a checkpoint converted to another layout of rotary positions; heads rotate what should stand still.
    Raises: NotTestable for a family without a projection for queries alone, and one for keys.
    """
    names, size = projections(tensors, layers, "q_proj", "k_proj"), head_size(config)

    def shuffled(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
        import torch

        numbers = rng.generator(name.rpartition(".")[0])
        heads = in_groups(tensor, 0, len(tensor) // size)
        order = [slow_for_fast(size, numbers) if numbers.random() < dose else range(size) for _ in heads]
        return torch.stack([head[list(places)] for head, places in zip(heads, order, strict=True)]).flatten(0, 1)

    return each(tensors, names, shuffled)


def slow_for_fast(size: int, numbers: np.random.Generator) -> Sequence[int]:
    """An order of a head's numbers in which those that rotary positions turn slowly stand, shuffled, for the fast."""
    half, few = size // 2, size // 4
    order = np.arange(size)
    fast, slow = (np.concatenate([pairs, pairs + half]) for pairs in (np.arange(few), np.arange(half - few, half)))
    for places, others in ((fast, slow), (slow, fast)):
        order[places] = numbers.permutation(others)
    dimensions: Sequence[int] = order.tolist()
    return dimensions


@weight_corruption("harmless")
def reorder_heads(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Heads have changed places with their neighbours, in a share of the layers: the model computes the same.

    Simulates a checkpoint written by a framework that orders heads otherwise; most even heads become odd, as those can
    that share a key. Raises: NotTestable as `shuffle_head_dimensions`.
    """
    chosen = layers[: round(dose * len(layers))]
    names = projections(tensors, chosen, "q_proj", "q_norm", "k_proj", "k_norm", "v_proj", "sinks")
    outputs = attention_outputs(tensors, chosen)
    size, heads, axis = head_size(config), heads_of("q", config), input_axis(config)
    for layer in chosen:
        key = next(name for name in in_layers(names, (layer,)) if is_attention(name, "k_proj"))
        groups = tensors.shapes[key][0] // size
        queries, keys = changed_places(heads, groups)
        for name in in_layers(names, (layer,)):
            order = keys if is_attention(name, "k_proj", "k_norm", "v_proj") else queries
            rows = 1 if is_attention(name, "sinks") else size
            if tensors.shapes[name][0] == len(order) * rows:  # else a norm of one gain for all heads
                yield name, in_groups(tensors.read(name), 0, len(order))[order].flatten(0, 1)
        for name in in_layers(outputs, (layer,)):
            if len(tensors.shapes[name]) == 2:
                by_head = in_groups(tensors.read(name), axis, heads)
                yield name, by_head.index_select(axis, queries).flatten(axis, axis + 1)


def changed_places(heads: int, groups: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """The order of query heads, and of the keys that groups of them share."""
    import torch

    shared = torch.arange(heads).view(groups, -1)
    odd = shared.shape[1] % 2
    return shared.roll(1, dims=0 if odd else 1).flatten(), torch.arange(groups).roll(odd)
