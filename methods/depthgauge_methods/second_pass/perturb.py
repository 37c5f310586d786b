"""Shift weights and put them back, exactly."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def shifted(weights: Mapping[str, Tensor], direction: Mapping[str, Tensor], step: float) -> Iterator[None]:
    """Add `step * direction` to each weight named in `direction`; restored bit for bit, also after an exception.

    The old values are copied, not recomputed: w + d - d is not w in floating point.
    """
    saved = {name: weights[name].detach().clone() for name in direction}
    try:
        with torch.no_grad():
            for name, along in direction.items():
                weights[name].add_(along, alpha=step)
        yield
    finally:
        with torch.no_grad():
            for name, value in saved.items():
                weights[name].copy_(value)


def moved_fraction(
    weights: Mapping[str, Tensor], direction: Mapping[str, Tensor], step: float, seen_as: torch.dtype
) -> float:
    """The share of weights whose value the step changes at all, once they are cast as the forward pass sees them: 0
    where the shift rounds to nothing.
    """
    moved = total = 0
    for name, along in direction.items():
        value = weights[name].detach()
        shifted_value = torch.add(value, along, alpha=step)
        if seen_as.itemsize < value.dtype.itemsize:
            value, shifted_value = value.to(seen_as), shifted_value.to(seen_as)
        moved += int((full(shifted_value) != full(value)).sum())
        total += value.numel()
    return moved / total if total else 0.0


def norm(tensors: Iterator[Tensor]) -> float:
    """The Euclidean norm over all entries of all tensors, in float64; sharded tensors are gathered first."""
    norms = [torch.linalg.vector_norm(full(tensor.detach()), dtype=torch.float64) for tensor in tensors]
    return float(torch.stack(norms).square().sum().sqrt()) if norms else 0.0


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that FSDP2 may have sharded: a norm of local shards would be wrong."""
    gather = getattr(tensor, "full_tensor", None)
    return gather() if gather is not None else tensor
