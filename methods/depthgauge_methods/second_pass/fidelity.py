"""The penalty as a double backward pass in float64 gives it: what finite differences are compared with.

It needs operations that can be differentiated twice, which fused attention and TRL's fused head cannot: attention is
composed, and the head plain. Norms that cast to float32 themselves stay as they are. It keeps the graph of a gradient,
takes some four gradients of time in float64, and is no way to train.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from depthgauge.core.errors import UsageError

Direction = Mapping[str, Tensor]
LEAST_FIDELITY = 0.9
SEQUENCES = 4  # of a micro-batch


def some_rows(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A micro-batch of fewer sequences: those that have an advantage, as far as there are any."""
    advantages = inputs["advantages"]
    rows = (advantages == 0).float().reshape(len(advantages), -1).mean(1).argsort(stable=True)[:SEQUENCES]
    return {
        name: value[rows] if isinstance(value, Tensor) and value.ndim and len(value) == len(advantages) else value
        for name, value in inputs.items()
    }


@contextmanager
def in_float64(model: Any) -> Iterator[None]:
    """Within it, all of a model's numbers are in float64; afterwards they are the very tensors that they were."""
    kept = [(tensor, tensor.data) for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()]
    try:
        for tensor, data in kept:
            tensor.data = data.double()
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for tensor, data in kept:
            tensor.data = data


def double_backward(loss: Any, weights: Mapping[str, Tensor], direction_of: Any) -> dict[str, Tensor]:
    """The Hessian of a loss, times the direction that `direction_of` makes of its gradient, by name.

    Raises: UsageError where the model computes by what cannot be differentiated twice.
    """
    try:
        first = torch.autograd.grad(loss, list(weights.values()), create_graph=True, allow_unused=True)
        gradient = {name: g for name, g in zip(weights, first, strict=True) if g is not None}
        direction = direction_of({name: g.detach() for name, g in gradient.items()})
        along = torch.stack([(gradient[name] * d.detach()).sum() for name, d in direction.items()]).sum()
        products = torch.autograd.grad(along, list(weights.values()), allow_unused=True)
    except RuntimeError as error:
        if "derivative" not in str(error) and "differentiable" not in str(error):
            raise
        raise UsageError(
            f"this model cannot be differentiated twice, so that its penalty cannot be checked ({error}): set "
            "fidelity_every=0, and it is not."
        ) from error
    return {name: product for name, product in zip(weights, products, strict=True) if product is not None}


def plain_logps(
    trainer: Any, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int
) -> tuple[Tensor, Tensor, None]:
    """TRL's log-probabilities of the last tokens, and the entropies, without its fused head."""
    inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
    if "logits_to_keep" in inspect.signature(type(model).forward).parameters:
        inputs["logits_to_keep"] = logits_to_keep + 1
    logits = model(**inputs, use_cache=False).logits[:, -logits_to_keep - 1 : -1]
    logps = torch.log_softmax(logits / trainer.temperature, -1)
    chosen = logps.gather(-1, input_ids[:, -logits_to_keep:, None])[..., 0]
    return chosen, -(logps.exp() * logps).sum(-1).detach(), None


def cosine(estimated: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> float:
    """Of all numbers of both together, in float64; 0 where the estimate has nothing, or no finite number."""
    sums = torch.zeros(3, dtype=torch.float64)
    for name, tensor in estimated.items():
        a, b = tensor.double(), exact[name].double()
        sums += torch.stack([(a * b).sum(), (a * a).sum(), (b * b).sum()]).cpu()
    dot, *squares = sums.tolist()
    size = (squares[0] * squares[1]) ** 0.5
    return float(dot / size) if 0 < size < float("inf") else 0.0
