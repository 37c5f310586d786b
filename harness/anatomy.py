"""Where a causal language model keeps its parts, whatever its family, and how to step in between them.

Everything here takes a loaded transformers model and leaves no hook, and no setting, behind.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import NotTestable

if TYPE_CHECKING:
    import torch

Edit = Callable[[int, "torch.Tensor"], "torch.Tensor"]


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
    """Within it, the output of block l, of shape (batch, positions, hidden), is replaced by `edit(l, output)`."""

    def hook(layer: int) -> Callable[..., Any]:
        def replace(_module: Any, _inputs: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (edit(layer, output[0]), *output[1:])
            return edit(layer, output)

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
