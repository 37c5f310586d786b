"""How far what each block adds to the residual stream moves with the step: what 'measured' strengths follow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from depthgauge.models.anatomy import blocks

MEMORY = 0.9  # of the running mean, a step: a measure of some ten steps


class Sensitivity:
    """A running mean, by block, of |a(l) at the shifted weights - a(l) at the weights| / |a(l) at the weights|.

    a(l) is what block l adds to the residual stream at the last token of a prompt. `mean` has shape (blocks,), 0 before
    the first step.
    """

    def __init__(self, model: Any) -> None:
        self.blocks = blocks(model)
        self.mean = torch.zeros(len(self.blocks), dtype=torch.float64)
        self.seen: dict[str, list[Tensor]] = {"at": [], "beyond": []}

    @contextmanager
    def watching(self, where: str, position: int) -> Iterator[None]:
        """Keep what blocks add at a position in a forward pass: 'at' the weights, or 'beyond', at the shifted ones."""
        added: list[Tensor] = []

        def note(_module: Any, positional: Any, named: Any, output: Any) -> None:
            stream = output[0] if isinstance(output, tuple) else output
            before = positional[0] if positional else named["hidden_states"]
            added.append((stream - before)[:, position].detach())

        handles = [block.register_forward_hook(note, with_kwargs=True) for block in self.blocks]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        self.seen[where].append(torch.stack(added).double().cpu())  # (blocks, sequences, width)

    def learn(self) -> None:
        """Take what was seen of one window, at the weights and beyond them, into the mean; and forget it."""
        at, beyond = (torch.cat(self.seen[where], 1) for where in ("at", "beyond"))
        self.forget()
        moved = ((beyond - at).norm(dim=-1) / at.norm(dim=-1).clamp_min(1e-300)).mean(1)
        self.mean = MEMORY * self.mean + (1 - MEMORY) * moved if self.mean.any() else moved

    def forget(self) -> None:
        self.seen = {"at": [], "beyond": []}

    def strengths(self) -> list[float]:
        """Lambda of each block: 1 in the most sensitive, and in all while nothing has been measured."""
        most = float(self.mean.max())
        return (self.mean / most).tolist() if most else [1.0] * len(self.mean)
