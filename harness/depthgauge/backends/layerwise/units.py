"""Modules whose weights are read together, and let go of together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def placeholder(shape: Any, dtype: "torch.dtype", device: Any) -> "torch.nn.Parameter":
    import torch

    unread = torch.full((), torch.nan, dtype=dtype, device=device).expand(shape)
    return torch.nn.Parameter(unread, requires_grad=False)


class Unit:
    """Modules that are read together: a decoder layer, the embedding, or the output matrix.

    `reading` gives the values of each parameter.
    """

    def __init__(self, owned: "list[tuple[torch.nn.Parameter, Callable[[], torch.Tensor]]]") -> None:
        self.owned = owned
        self.unread = [parameter.data for parameter, _ in owned]
        self.is_read = False

    def read(self) -> None:
        import torch

        if not self.is_read:
            with torch.inference_mode(False):
                for parameter, reading in self.owned:
                    parameter.data = reading().to(parameter.device)
            self.is_read = True

    def let_go(self) -> None:
        for (parameter, _), unread in zip(self.owned, self.unread, strict=True):
            parameter.data = unread
        self.is_read = False

    @contextmanager
    def in_memory(self) -> Iterator[None]:
        """Within it the weights are there; what was there before stays."""
        before = self.is_read
        self.read()
        try:
            yield
        finally:
            if not before:
                self.let_go()
