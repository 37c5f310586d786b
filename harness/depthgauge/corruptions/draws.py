"""Random numbers by name: what a tensor gets hangs on the seed and its name, not on what was read before it."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Draws:
    """Generators that follow from `seed` and a name, so that shards may be written in any order."""

    seed: int = 0

    def number(self, name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.seed}:{name}".encode()).digest()[:7])

    def generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng(self.number(name))

    def normal(self, name: str, like: "torch.Tensor") -> "torch.Tensor":
        """Standard normal numbers of the shape of `like`, in float32."""
        import torch

        return torch.randn(like.shape, generator=self._torch(name))

    def uniform(self, name: str, like: "torch.Tensor") -> "torch.Tensor":
        """Numbers from 0 up to 1, of the shape of `like`, in float32."""
        import torch

        return torch.rand(like.shape, generator=self._torch(name))

    def exponential(self, name: str, like: "torch.Tensor") -> "torch.Tensor":
        """Numbers of the exponential law of mean 1, of the shape of `like`, in float32."""
        import torch

        return torch.empty(like.shape).exponential_(generator=self._torch(name))

    def _torch(self, name: str) -> "torch.Generator":
        import torch

        return torch.Generator().manual_seed(self.number(name))
