"""Where a causal language model keeps its parts, whatever its family, and how to step in between them.

Everything here takes a loaded transformers model and leaves no hook, and no setting, behind.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from depthgauge.core.errors import NotTestable

if TYPE_CHECKING:
    import torch

Edit = Callable[[int, "torch.Tensor"], "torch.Tensor"]

# What families call the parts of a block. The attention's own output matrix comes before those of modules inside it.
ATTENTION_NAMES = ("self_attn", "attn", "attention", "self_attention")
OUTPUT_NAMES = ("o_proj", "c_proj", "dense", "out_proj")
NORM_NAMES = ("input_layernorm", "ln_1", "self_attn_layer_norm", "norm_1", "ln_attn")
MLP_NAMES = ("mlp", "ffn", "block_sparse_moe", "feed_forward", "mlp_block", "fc2")
LAST_OF_MLP_NAMES = ("dense_4h_to_h", "down_proj")
FINAL_NORM_NAMES = (
    "norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f", "final_norm", "ln_out",
    "embedding_norm",  # of LFM2, after its last block in spite of the name
)  # fmt: skip


def blocks(model: Any) -> Any:
    """The decoder blocks in their order, a torch ModuleList: block l's output is the residual stream after layer l.

    Raises: NotTestable if the model has no list of as many blocks as its configuration says.
    """
    import torch

    layers = model.config.get_text_config().num_hidden_layers
    for _, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == layers:
            return module
    raise NotTestable(f"{type(model).__name__} has no list of {layers} blocks, so no layer of it can be probed.")


@contextmanager
def edited_blocks(model: Any, edit: Edit) -> Iterator[None]:
    """Within it, the output of block l, of shape (batch, positions, hidden), is replaced by `edit(l, output)`.

    Raises: NotTestable, when the model runs, if its blocks hand on more than one residual stream.
    """

    def hook(layer: int) -> Callable[..., Any]:
        def replace(_module: Any, _inputs: Any, output: Any) -> Any:
            stream, *others = output if isinstance(output, tuple) else (output,)
            if stream.dim() != 3:
                raise NotTestable(
                    f"{type(model).__name__} hands on {tuple(stream.shape)} numbers from block to block, which are not "
                    "one residual stream of (batch, positions, hidden)."
                )
            edited = edit(layer, stream)
            return (edited, *others) if isinstance(output, tuple) else edited

        return replace

    handles = [block.register_forward_hook(hook(layer)) for layer, block in enumerate(blocks(model))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def attention_weights(
    query: "torch.Tensor", key: "torch.Tensor", mask: "torch.Tensor | None", scaling: float, softcap: float | None
) -> "torch.Tensor":
    """Softmax of scaled, soft-capped and masked scores: (batch, heads, queries, keys), in float32 or better.

    `query` is (batch, heads, queries, head dim), `key` (batch, key-value heads, keys, head dim); `mask` is added. The
    operations and their order are those of transformers' eager attention.
    """
    scores = soft_capped(query @ per_query_head(key, query).transpose(-1, -2) * scaling, softcap)
    return widened(scores if mask is None else scores + mask).softmax(-1)


def per_query_head(states: "torch.Tensor", query: "torch.Tensor") -> "torch.Tensor":
    """Grouped key-value heads repeated along axis 1, so that each query head has its own."""
    return states.repeat_interleave(query.shape[1] // states.shape[1], dim=1)


def soft_capped(scores: "torch.Tensor", cap: float | None) -> "torch.Tensor":
    """Scores squeezed between -cap and cap, as Gemma 2 does; unchanged without a cap."""
    return scores if cap is None else (scores / cap).tanh() * cap


def widened(tensor: "torch.Tensor") -> "torch.Tensor":
    """The same numbers in float32, or in float64 where they are so already."""
    import torch

    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class BlockParts(NamedTuple):
    """The modules of one block that stand between its heads and the residual stream.

    `norm` is what the attention reads through and `output_norm` what its output passes before it is added: None where
    there is none. `output` projects the heads' outputs, end to end, into the stream. What comes out of `mlp` is added
    as it is: it is the norm after the MLP where there is one, and its last matrix where the MLP adds the stream itself.
    """

    norm: Any
    attention: Any
    output: Any
    output_norm: Any
    mlp: Any


def block_parts(block: Any) -> BlockParts:
    """The parts of a decoder block of any family whose attention and MLP each add to the residual stream.

    Raises: NotTestable for a block whose attention, output projection or MLP has none of the names known here.
    """
    attention = part(block, *ATTENTION_NAMES)
    attention = first_part(attention, "attention") or attention  # GPT-Neo wraps it once more
    after_mlp = first_part(block, "post_feedforward_layernorm", "post_mlp_layernorm")
    # In a block without a norm after its MLP the second name belongs to the norm before the MLP.
    after_attention = first_part(block, "post_self_attn_layernorm", "post_attention_layernorm")
    return BlockParts(
        norm=first_part(block, *NORM_NAMES),
        attention=attention,
        output=part(attention, *OUTPUT_NAMES),
        output_norm=after_attention if after_mlp else None,
        mlp=after_mlp or what_mlp_adds(part(block, *MLP_NAMES)),
    )


def attention_matrices(block: Any) -> list[Any]:
    """The parameters of a block's attention that are matrices, those of adapters included: what makes queries, keys and
    values, fused or not, and what projects the heads' outputs.

    Raises: NotTestable for a block whose attention, output projection or MLP has none of the names known here.
    """
    return [parameter for parameter in block_parts(block).attention.parameters() if parameter.ndim == 2]


def what_mlp_adds(mlp: Any) -> Any:
    """The module whose output an MLP adds to the stream: itself, or its last matrix where it is given the stream."""
    return part(mlp, *LAST_OF_MLP_NAMES) if "residual" in inspect.signature(mlp.forward).parameters else mlp


def final_norm(model: Any) -> Any:
    """The norm after the last block, which the output matrix reads.

    Raises: NotTestable if it has none of the names known here, or something stands between the two.
    """
    owner = getattr(model.base_model, "decoder", model.base_model)
    if getattr(owner, "project_out", None) is not None:
        raise NotTestable(f"{type(model).__name__} projects its states once more after its last norm.")
    return part(owner, *FINAL_NORM_NAMES)


def part(owner: Any, *names: str) -> Any:
    """The first submodule of one of these names. Raises: NotTestable if there is none."""
    named = first_part(owner, *names)
    if named is None:
        raise NotTestable(
            f"{type(owner).__name__} has no part named {' or '.join(names)}: its heads cannot be told apart."
        )
    return named


def first_part(owner: Any, *names: str) -> Any:
    """The first submodule of one of these names, or None."""
    children = dict(owner.named_children())
    return next((children[name] for name in names if children.get(name) is not None), None)


def weight_from_the_right(linear: Any) -> "torch.Tensor":
    """W in float64, (inputs, outputs), of a module that computes x @ W + bias: a Linear, or GPT-2's Conv1D.

    Raises: NotTestable for any other module, such as a quantised one or one with an adapter.
    """
    import torch

    if isinstance(linear, torch.nn.Linear):
        return linear.weight.detach().double().T
    if is_conv1d(linear):
        return linear.weight.detach().double()  # type: ignore[no-any-return]
    raise NotTestable(
        f"a {type(linear).__name__} keeps its weights in a form that is not known: save them as a Linear."
    )


def is_conv1d(module: Any) -> bool:
    return type(module).__name__ == "Conv1D"


class Norm(NamedTuple):
    """A LayerNorm or RMSNorm x -> x / size(x) * scale + bias, its mean first taken out of x if `centred`.

    `scale` and `bias` have shape (width,), in float64.
    """

    scale: "torch.Tensor"
    bias: "torch.Tensor"
    centred: bool

    def undivided(self, vectors: "torch.Tensor") -> "torch.Tensor":
        """Vectors (..., width) scaled, and centred where it does so, before they are divided by their size."""
        return (vectors - vectors.mean(-1, keepdim=True) if self.centred else vectors) * self.scale


def norm_of(module: Any, width: int) -> Norm:
    """What a norm does, found by what it does to three vectors: families store 1 + scale, or no scale, or no bias.

    The vectors are so long that the epsilon added to their mean square is lost in it, and powers of 2 so that they lose
    no digit.
    """
    import torch

    parameter = next(module.parameters(), torch.empty(0))
    ones = torch.full((width,), 2.0**10, dtype=parameter.dtype, device=parameter.device)
    signs = torch.ones_like(ones)
    signs[1::2] = -1
    with torch.inference_mode():
        bias, of_signs, of_ones = (module(x).double() for x in (0 * ones, signs * ones, ones))
    return Norm((of_signs - bias) * signs, bias, centred=bool(((of_ones - bias).abs() < 1e-3 * of_signs.abs()).all()))


class FrozenNorm(NamedTuple):
    """A norm with the sizes that it divided by in one run, `inverse` (N, 1): linear, but for its bias."""

    norm: Norm
    inverse: "torch.Tensor"

    def of(self, vectors: "torch.Tensor") -> "torch.Tensor":
        """What it makes of vectors (N, width), without its bias."""
        return self.norm.undivided(vectors) * self.inverse

    def back(self, directions: "torch.Tensor") -> "torch.Tensor":
        """The directions along which to read its input, to find what `directions` read of its output."""
        pulled = directions * self.norm.scale * self.inverse
        return pulled - pulled.mean(-1, keepdim=True) if self.norm.centred else pulled


def frozen_norm(module: Any, taken: "torch.Tensor", given: "torch.Tensor") -> FrozenNorm:
    """A norm with the sizes it divided by from `taken` to `given` (N, width), found by least squares."""
    norm = norm_of(module, taken.shape[-1])
    undivided = norm.undivided(taken)
    squares = undivided.square().sum(-1).clamp_min(1e-300)  # a vector of zeros stays one
    return FrozenNorm(norm, (((given - norm.bias) * undivided).sum(-1) / squares)[:, None])
