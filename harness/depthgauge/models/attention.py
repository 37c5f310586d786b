"""Where a model computes its attention: how to compute it in its place, and how to watch it.

Shapes: P prompts, B prompts in a batch, T tokens, H query heads. Layers, heads and tokens are counted from 0. Row i of
a map is the attention of query i over keys 0..i.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.core.steps import counted
from depthgauge.models.anatomy import attention_weights, per_query_head, widened
from depthgauge.models.inputs import Tokens, check_finite, check_heads, check_prompts
from depthgauge.models.load import layers_and_heads

if TYPE_CHECKING:
    import torch

ATTENTION = "depthgauge"  # the name under which transformers knows an attention of ours
# Options of an attention that change its weights in a way that is not computed here.
UNKNOWN = ("sinks", "position_bias", "indices", "block_indices")
BATCH = 32
Floats = NDArray[np.float32]


@contextmanager
def attention_computed_by(model: Any, attend: Callable[..., Any], *, masked: bool) -> Iterator[None]:
    """Within it, every attention of `model` is `attend(module, query, key, value, attention_mask, scaling=, **kwargs)`.

    `query` has shape (batch, heads, queries, head dim); `key` and `value` (batch, key-value heads, keys, head dim),
    with positions already rotated in. `attend` returns the heads' outputs, (batch, queries, heads, head dim), and the
    weights or None. The mask is additive and includes sliding windows; None unless `masked`.

    A model that computes its attention without transformers' interface never calls `attend`.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    before = model.config._attn_implementation
    AttentionInterface.register(ATTENTION, attend)
    if masked:
        AttentionMaskInterface.register(ATTENTION, eager_mask)
    try:
        model.set_attn_implementation(ATTENTION)
        yield
    finally:
        model.set_attn_implementation(before)
        AttentionInterface._global_mapping.pop(ATTENTION, None)
        AttentionMaskInterface._global_mapping.pop(ATTENTION, None)


class Attention(NamedTuple):
    """What one layer's attention maps are computed from: it grows with T, and they grow with its square.

    `query` has shape (B, H, T, head dim) and `key` (B, key-value heads, T, head dim), both with positions rotated in.
    """

    query: "torch.Tensor"
    key: "torch.Tensor"
    mask: "torch.Tensor"
    scaling: float
    softcap: float | None

    def weights(self) -> "torch.Tensor":
        """The maps in float32, (B, H, T, T), by the same operations in the same order as transformers' eager ones."""
        return attention_weights(self.query, self.key, self.mask, self.scaling, self.softcap)

    def outputs(self, value: "torch.Tensor") -> "torch.Tensor":
        """What the heads make of values (B, key-value heads, T, head dim): (B, H, T, head dim)."""
        return self.weights().to(value.dtype) @ per_query_head(value, self.query)

    def open_cells(self) -> "torch.Tensor":
        """Which cells the mask leaves open, (T, T): the same in every prompt, as none is padded."""
        return (self.mask == 0).flatten(0, -3)[0]


class Returned(NamedTuple):
    """One layer's attention maps as the model itself returned them, (B, H, T, T)."""

    maps: "torch.Tensor"

    def weights(self) -> "torch.Tensor":
        return self.maps

    def open_cells(self) -> "torch.Tensor":
        """Which cells any head of any prompt looks at, (T, T): the mask itself is not handed out."""
        return (self.maps > 0).flatten(0, 1).any(0)


Seen = Attention | Returned
See = Callable[[int, Seen, "torch.Tensor"], None]
Attend = Callable[[int, Attention, "torch.Tensor"], "torch.Tensor"]


def watch(model: Any, input_ids: "torch.Tensor", see: See) -> None:
    """Run `model` on (B, T) tokens and call `see(layer, attention, weights)` in every layer; what it computes stays.

    A family that computes its attention without transformers' interface is run again, in eager mode, for the weights
    that it returns itself.

    Raises: NotTestable if a layer hands out no attention weights, or they are not the softmax of its scores.
    """
    name, (layers, _) = type(model).__name__, layers_and_heads(model)
    seen, states = intercept(model, input_ids, see)
    if seen == 0:
        for layer, maps in enumerate(returned_maps(model, input_ids, states)):
            see(layer, Returned(maps), maps)
    elif seen != layers:
        raise NotTestable(
            f"{name} hands out no attention weights in {layers - seen} of its {layers} layers, and this is asked of "
            "the heads of every layer."
        )


def intercept(model: Any, input_ids: "torch.Tensor", see: See) -> tuple[int, "torch.Tensor"]:
    """Run `model` and call `see` in every layer whose attention is computed by transformers' interface.

    How many layers that are, and the states after the last one, (B, T, hidden).

    Raises: NotTestable for an attention of another form than that of `attention_weights`.
    """
    import torch

    seen = 0

    def attend(layer: int, attention: Attention, value: "torch.Tensor") -> "torch.Tensor":
        nonlocal seen
        seen = layer + 1
        weights = attention.weights()
        see(layer, attention, weights)
        return weights.to(value.dtype) @ per_query_head(value, attention.query)

    with layers_attended_by(model, attend), torch.inference_mode():
        states = model.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
    return seen, states


@contextmanager
def layers_attended_by(model: Any, attend: Attend) -> Iterator[None]:
    """Within it, for one run of `model`, the heads' outputs of layer l are `attend(l, attention, value)`.

    They are (B, H, T, head dim), and `value` (B, key-value heads, T, head dim).

    Raises: NotTestable, when the model runs, for an attention of another form than that of `attention_weights`.
    """
    name, (layers, heads) = type(model).__name__, layers_and_heads(model)
    places = count()

    def step(_: Any, query: Any, key: Any, value: Any, attention_mask: Any, **how: Any) -> tuple["torch.Tensor", None]:
        check_form(name, how)
        layer = next(places)
        if layer == layers or query.shape[1] != heads:
            raise NotTestable(f"{name} has other attentions than one of {heads} heads in each of its {layers} layers.")
        attention = Attention(query, key, attention_mask, how["scaling"], how.get("softcap"))
        return attend(layer, attention, value).transpose(1, 2).contiguous(), None

    with attention_computed_by(model, step, masked=True):
        yield


def check_form(name: str, how: Mapping[str, Any]) -> None:
    """Raises: NotTestable for an attention with options that are not computed here."""
    if how.get("s_aux") is not None:
        raise NotTestable(f"{name} has learned sinks (s_aux) beside its keys: its attention rows do not sum to 1.")
    for option in UNKNOWN:
        if how.get(option) is not None:
            raise NotTestable(f"{name} computes its attention with an option that is not known here ({option}).")


def returned_maps(model: Any, input_ids: "torch.Tensor", states: "torch.Tensor") -> list["torch.Tensor"]:
    """The attention maps of every layer, (B, H, T, T), as `model` returns them in eager mode.

    `states` are those after its last layer in its own mode: maps of a run that ends elsewhere are of another model.

    Raises: NotTestable if it does not return one of that shape for each layer, their rows do not sum to 1, or the run
    ends elsewhere.
    """
    import torch

    with eager(model), torch.inference_mode():
        output = model.base_model(input_ids=input_ids, use_cache=False, output_attentions=True)
    maps = [widened(layer_map) for layer_map in getattr(output, "attentions", None) or () if layer_map is not None]
    (layers, heads), (batch, tokens) = layers_and_heads(model), input_ids.shape
    if [layer_map.shape for layer_map in maps] != [(batch, heads, tokens, tokens)] * layers:
        raise NotTestable(f"{type(model).__name__} computes its attention by itself, and returns no map of every head.")
    rounding = torch.finfo(model.dtype).eps ** 0.5
    if any(bool(((layer_map.sum(-1) - 1).abs() > rounding).any()) for layer_map in maps):
        raise NotTestable(f"{type(model).__name__} returns attention maps whose rows do not sum to 1.")
    if bool((widened(output.last_hidden_state) - widened(states)).norm() > rounding * widened(states).norm()):
        raise NotTestable(
            f"{type(model).__name__} computes something else when it is asked for its attention maps.",
            code="another-way",
        )
    return maps


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """Within it, `model` computes its attention in eager mode.

    The configuration is set by itself: where a family has no interface, transformers refuses to set it for the model,
    says so in a warning alone, and Falcon then adds a mask of truth values to its scores.
    """
    before = model.config._attn_implementation
    try:
        model.config._attn_implementation = "eager"
        yield
    finally:
        model.config._attn_implementation = before


def eager_flag(*models: Any) -> dict[str, NDArray[np.bool_]]:
    """`eager`, True, where a model's maps are those that it returns itself; nothing where all are intercepted."""
    import torch

    def intercepted(model: Any) -> bool:
        return intercept(model, torch.tensor([[0, 0]], device=model.device), lambda *_: None)[0] > 0

    return {} if all(map(intercepted, models)) else {"eager": np.array(True)}


def batches_of_one_length(token_ids: Tokens) -> Iterator[list[int]]:
    """The indices of prompts of the same length, at most BATCH at a time: many small runs are what costs time."""
    by_length = [
        [i for i, ids in enumerate(token_ids) if len(ids) == length]
        for length in sorted({len(ids) for ids in token_ids})
    ]
    return counted([same[start : start + BATCH] for same in by_length for start in range(0, len(same), BATCH)])


def attention_maps(model: Any, token_ids: Sequence[int], heads: Sequence[tuple[int, int]]) -> Floats:
    """The maps of the chosen (layer, head) on one prompt, in their order: (heads, T, T).

    Raises: StatisticUndefined if there is no such head, or the prompt is empty or longer than the context; NotTestable
    if the model hands out no attention weights; InvalidCheckpoint if a weight is not finite.
    """
    import torch

    check_prompts([token_ids], 1, model)
    check_heads(heads, model)
    maps = np.empty((len(heads), len(token_ids), len(token_ids)), np.float32)

    def keep(layer: int, _: Seen, weights: "torch.Tensor") -> None:
        for i, (wanted, head) in enumerate(heads):
            if wanted == layer:
                maps[i] = weights[0, head].cpu()

    watch(model, torch.tensor([list(token_ids)], device=model.device), keep)
    check_finite(maps)
    return maps


def first_token_attention(maps: "torch.Tensor") -> "torch.Tensor":
    """alpha_1 of maps (..., T, T): the attention to the first token averaged over all T queries (Gu et al. 2025)."""
    import torch

    return maps[..., 0].mean(-1, dtype=torch.float64)
