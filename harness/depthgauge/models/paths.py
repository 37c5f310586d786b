"""The logits as a sum over paths through heads: which head read what from which, down to tokens, MLPs and biases.

With attention maps and the sizes that norms divide by held at their values in one run, a head is linear in what it
reads (Elhage et al. 2021). A path is a chain of heads from the logits down; what its last head reads is a sum over all
that was written below. Shapes: T tokens, L layers, H query heads, D hidden size, E head size.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

from depthgauge.core.errors import NotTestable
from depthgauge.models.anatomy import (
    BlockParts,
    FrozenNorm,
    block_parts,
    blocks,
    final_norm,
    frozen_norm,
    per_query_head,
    weight_from_the_right,
)
from depthgauge.models.attention import Attention, layers_attended_by
from depthgauge.models.inputs import check_known, check_prompts
from depthgauge.models.load import layers_and_heads

if TYPE_CHECKING:
    import torch

Chain = tuple[tuple[int, int], ...]  # (layer, head), the one next to the logits first
NEAR = 1e-3  # of the stream: rounding in float32 is far less, a part that is forgotten far more


class Reads(NamedTuple):
    """What the last head of a chain reads, or the logits themselves, in logits: numbers, and heads (L, H) in float64.

    `heads` is 0 for those whose own chain is followed further.
    """

    token: float
    position: float
    mlps: float
    biases: float
    heads: "torch.Tensor"

    def total(self) -> float:
        return self.token + self.position + self.mlps + self.biases + float(self.heads.sum())


def back(norm: FrozenNorm | None, field: "torch.Tensor") -> "torch.Tensor":
    """The field (T, D) along which to read what enters a norm, or nothing, to find what `field` reads behind it."""
    return field if norm is None else norm.back(field)


def of_bias(norm: FrozenNorm | None, field: "torch.Tensor") -> float:
    return 0.0 if norm is None else float((field * norm.norm.bias).sum())


class Layer(NamedTuple):
    """One block in one run: `read` (T, D) is what its attention is given, `values` (H, T, E) the heads' values.

    `maps` (H, T, T), `mixed` (H, T, E) the values that maps bring together, `output` (H, E, D) the projection of each
    head into the stream, `bias` (D,) its bias, `mlp` (T, D) what the MLP adds. `values` is a function of `read` for
    autograd.
    """

    read: "torch.Tensor"
    values: "torch.Tensor"
    maps: "torch.Tensor"
    mixed: "torch.Tensor"
    before: FrozenNorm | None
    after: FrozenNorm | None
    output: "torch.Tensor"
    bias: "torch.Tensor"
    mlp: "torch.Tensor"


class Run(NamedTuple):
    """One run on T tokens: `token` and `position` (T, D) enter the first block; `field` (T, D) is read of the last
    block's output, which with `constant` gives the logit difference.
    """

    layers: list[Layer]
    token: "torch.Tensor"
    position: "torch.Tensor"
    field: "torch.Tensor"
    constant: float
    logit: float


def record(model: Any, ids: Sequence[int], target: int, other: int | None = None) -> Run:
    """The run on a prompt whose last token's logit of `target`, less that of `other`, is to be explained.

    Raises: StatisticUndefined as `check_prompts`; NotTestable for a model whose stream is not the sum of what is known
    here.
    """
    import torch

    check_prompts([ids], 1, model)
    check_known([target, *([] if other is None else [other])], "a target", model)
    seen = watched(model, ids)
    embed, unembed, norm = model.get_input_embeddings(), model.get_output_embeddings(), final_norm(model)
    parts = [block_parts(block) for block in blocks(model)]
    row = unembed.weight[target].detach().double()
    bias = 0.0 if unembed.bias is None else float(unembed.bias[target])
    logit = seen.given[unembed][-1, target]
    if other is not None:
        row = row - unembed.weight[other].detach().double()
        bias -= 0.0 if unembed.bias is None else float(unembed.bias[other])
        logit = logit - seen.given[unembed][-1, other]
    final = frozen_norm(norm, seen.taken[norm], seen.given[norm])
    field = torch.zeros_like(seen.taken[norm])
    field[-1] = row
    token, entered = seen.given[embed], seen.taken[blocks(model)[0]]
    if token.shape != entered.shape:
        raise NotTestable(f"{type(model).__name__} projects its embeddings before its first block.")
    layers = [
        layer_of(part, block, place, seen) for place, (part, block) in enumerate(zip(parts, blocks(model), strict=True))
    ]
    run = Run(layers, token, entered - token, final.back(field), of_bias(final, field) + bias, float(logit))
    check_sum(model, run, seen.taken[norm])
    return run


class Seen(NamedTuple):
    """What went into and came out of modules, (T, width) in float64, and each layer's attention."""

    taken: dict[Any, "torch.Tensor"]
    given: dict[Any, "torch.Tensor"]
    reads: list["torch.Tensor"]
    values: list["torch.Tensor"]
    maps: list["torch.Tensor"]


def watched(model: Any, ids: Sequence[int]) -> Seen:
    """One run with everything kept. What each attention reads is a leaf, to which its values can be pulled back."""
    import torch

    seen = Seen({}, {}, [], [], [])
    parts = [block_parts(block) for block in blocks(model)]

    def keep(module: Any, inputs: Any, output: Any) -> None:
        stream = output[0] if isinstance(output, tuple) else output
        seen.taken[module], seen.given[module] = flat(inputs[0]), flat(stream)

    def cut(_: Any, inputs: Any, named: dict[str, Any]) -> tuple[Any, Any]:
        states = named["hidden_states"] if "hidden_states" in named else inputs[0]
        leaf = states.detach().requires_grad_()
        seen.reads.append(leaf)
        return (inputs, {**named, "hidden_states": leaf}) if "hidden_states" in named else ((leaf, *inputs[1:]), named)

    def attend(_: int, attention: Attention, value: "torch.Tensor") -> "torch.Tensor":
        each = per_query_head(value, attention.query)
        weights = attention.weights().detach()
        seen.values.append(each[0])
        seen.maps.append(weights[0].double())
        return weights.to(value.dtype) @ each

    written = [module for p in parts for module in (p.norm, p.output, p.output_norm, p.mlp) if module is not None]
    modules = [
        model.get_input_embeddings(),
        blocks(model)[0],
        *written,
        final_norm(model),
        model.get_output_embeddings(),
    ]
    with ExitStack() as hooks, torch.enable_grad(), layers_attended_by(model, attend):
        for module in modules:
            hooks.callback(module.register_forward_hook(keep).remove)
        for p in parts:
            hooks.callback(p.attention.register_forward_pre_hook(cut, with_kwargs=True).remove)
        model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
    layers = layers_and_heads(model)[0]
    if not len(seen.reads) == len(seen.values) == layers:
        raise NotTestable(f"{type(model).__name__} computes its attention by itself, and its paths cannot be followed.")
    return seen


def flat(states: "torch.Tensor") -> "torch.Tensor":
    return states.detach().reshape(-1, states.shape[-1]).double()


def layer_of(parts: BlockParts, block: Any, place: int, seen: Seen) -> Layer:
    import torch

    def of(module: Any) -> FrozenNorm | None:
        return None if module is None else frozen_norm(module, seen.taken[module], seen.given[module])

    weights = weight_from_the_right(parts.output)
    heads = seen.maps[place].shape[0]
    bias = parts.output.bias
    return Layer(
        read=seen.reads[place],
        values=seen.values[place],
        maps=seen.maps[place],
        mixed=seen.maps[place] @ seen.values[place].detach().double(),
        before=of(parts.norm),
        after=of(parts.output_norm),
        output=weights.reshape(heads, -1, weights.shape[1]),
        bias=torch.zeros_like(weights[0]) if bias is None else bias.detach().double(),
        mlp=seen.given[parts.mlp],
    )


def check_sum(model: Any, run: Run, stream: "torch.Tensor") -> None:
    """Raises: NotTestable unless the stream before the last norm is the sum of all that is known to write into it."""
    written = run.token + run.position
    for layer in run.layers:
        added = (layer.mixed @ layer.output).sum(0) + layer.bias
        if layer.after is not None:
            added = layer.after.of(added) + layer.after.norm.bias
        written = written + added + layer.mlp
    gap = float((written - stream).abs().max() / stream.abs().max())
    if not gap <= NEAR:
        raise NotTestable(
            f"the parts of {type(model).__name__} that are known here sum to a stream that is off by {gap:.2g} of it: "
            "it has others, and its paths cannot be followed."
        )


def reads(run: Run, field: "torch.Tensor", constant: float, below: int) -> Reads:
    """What a field (T, D) reads of all that the first `below` layers, and the embeddings, have written."""
    import torch

    heads, mlps, biases = torch.zeros(len(run.layers), len(run.layers[0].maps), dtype=torch.float64), 0.0, constant
    for place, layer in enumerate(run.layers[:below]):
        pulled = back(layer.after, field)
        heads[place] = torch.einsum("td,hed,hte->h", pulled, layer.output, layer.mixed)
        biases += of_bias(layer.after, field) + float((pulled * layer.bias).sum())
        mlps += float((field * layer.mlp).sum())
    return Reads(float((field * run.token).sum()), float((field * run.position).sum()), mlps, biases, heads)


def through(run: Run, field: "torch.Tensor", layer: int, head: int) -> tuple["torch.Tensor", float]:
    """The field (T, D) along which a head reads the stream below it, to write what `field` reads; and its constants."""
    import torch

    layer_reads = run.layers[layer]
    values = layer_reads.values.detach().double()[head]
    wanted = layer_reads.maps[head].T @ (
        back(layer_reads.after, field) @ layer_reads.output[head].T
    )  # (T, E), of its values
    cotangent = torch.zeros_like(layer_reads.values)
    cotangent[head] = wanted.to(cotangent.dtype)
    (grad,) = torch.autograd.grad(layer_reads.values, layer_reads.read, cotangent, retain_graph=True)
    read, given = grad[0].double(), layer_reads.read.detach()[0].double()
    of_value_bias = float((wanted * values).sum() - (read * given).sum())
    return back(layer_reads.before, read), of_value_bias + of_bias(layer_reads.before, read)


def follow(run: Run, *, least: float, longest: int, most: int) -> dict[Chain, Reads]:
    """Chains of at most `longest` heads, and what the last head of each reads. The totals sum to the logit.

    Followed are heads that add `least` or more, in logits of either sign, those that add most first, until there are
    `most` chains beside the empty one. Each costs one head's pull, and one reading of what lies below.
    """
    chains: dict[Chain, Reads] = {}
    waiting: list[tuple[float, Chain]] = []
    fields: dict[Chain, torch.Tensor] = {}

    def look(chain: Chain, field: "torch.Tensor", constant: float, below: int) -> None:
        chains[chain], fields[chain] = reads(run, field, constant, below), field
        if len(chain) < longest:
            adds = chains[chain].heads[:below]
            for layer, head in (adds.abs() >= least).nonzero().tolist():
                heappush(waiting, (-abs(float(adds[layer, head])), (*chain, (layer, head))))

    look((), run.field, run.constant, len(run.layers))
    while waiting and len(chains) <= most:
        _, chain = heappop(waiting)
        *above, (layer, head) = chain
        chains[tuple(above)].heads[layer, head] = 0
        look(chain, *through(run, fields[tuple(above)], layer, head), layer)
    return chains
