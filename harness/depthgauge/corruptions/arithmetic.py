"""What corruptions do to a tensor. With a dose of 0 each gives the same numbers again, bit for bit."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from depthgauge.corruptions.draws import Draws
from depthgauge.formats.tensors import TensorSource

if TYPE_CHECKING:
    import torch

USUAL_STD = 0.02  # of fresh weights, where a family's configuration names none


def each(
    tensors: TensorSource, names: Iterable[str], change: "Callable[[str, torch.Tensor], torch.Tensor]"
) -> "Iterator[tuple[str, torch.Tensor]]":
    """Tensors read, changed and handed on one after the other."""
    return ((name, change(name, tensors.read(name))) for name in names)


def matrices(tensors: TensorSource, names: Iterable[str] | None = None) -> list[str]:
    """The names of what has two axes or more."""
    return [name for name in (tensors.shapes if names is None else names) if len(tensors.shapes[name]) > 1]


def wide(tensor: "torch.Tensor") -> "torch.Tensor":
    """In float32, or in float64 where it is so already."""
    return tensor if tensor.element_size() == 8 else tensor.float()


def scaled(tensor: "torch.Tensor", factor: float) -> "torch.Tensor":
    return (wide(tensor) * factor).to(tensor.dtype)


def shifted(tensor: "torch.Tensor", by: "torch.Tensor") -> "torch.Tensor":
    """The sum; a 0 is not added, as it would make +0 of a -0. `by`, in float32, is used up: it may be large."""
    still = by == 0
    return tensor.where(still, (wide(tensor) + by if tensor.element_size() == 8 else by.add_(tensor)).to(tensor.dtype))


def noised(name: str, tensor: "torch.Tensor", rng: Draws, dose: float) -> "torch.Tensor":
    """With normal noise of `dose` times the tensor's own standard deviation."""
    std = float(wide(tensor).std())
    return shifted(tensor, rng.normal(name, tensor).mul_(dose * std))


def replaced(name: str, tensor: "torch.Tensor", by: "torch.Tensor", rng: Draws, share: float) -> "torch.Tensor":
    """With so many of its numbers, drawn at random, from another tensor: none at 0, all at 1."""
    return tensor.where(rng.uniform(f"{name} replaced", tensor) >= share, by.to(tensor.dtype))


def fresh_std(config: Mapping[str, Any]) -> float:
    """The spread of a family's fresh weights."""
    return float(config.get("initializer_range") or config.get("init_std") or USUAL_STD)
