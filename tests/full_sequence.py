"""The model on modular addition as one would write it down, all positions through all of it: an oracle and a peer."""

import torch
from torch import nn

from depthgauge_methods.full_batch import BETAS, LEARNING_RATE, WARM_UP_STEPS, Training
from depthgauge_suites.grokking.fourier.transformer import Weights, losses


class FullSequence(nn.Module):
    """Attention over [a, b, =] at every position, then the MLP and the unembedding of every position."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        for name, tensor in weights._asdict().items():
            setattr(self, name, nn.Parameter(tensor.detach().clone()))

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Logits (N, 3, P + 1) from pairs (N, 2)."""
        residual = self.embedded(pairs)
        residual = residual + torch.einsum("nhpe,hed->npd", self.mixed(residual), self.W_O)
        neurons = (residual @ self.W_in + self.b_in).relu()
        return (residual + neurons @ self.W_out + self.b_out) @ self.W_U

    def embedded(self, pairs: torch.Tensor) -> torch.Tensor:
        """What enters the attention, (N, 3, D)."""
        equals = torch.full((len(pairs), 1), len(self.W_E) - 1)
        return self.W_E[torch.cat([pairs, equals], 1)] + self.W_pos

    def mixed(self, residual: torch.Tensor) -> torch.Tensor:
        """Each head's values, mixed by its attention: (N, H, 3, E)."""
        query, key, value = (torch.einsum("npd,hde->nhpe", residual, each) for each in (self.W_Q, self.W_K, self.W_V))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        hidden = torch.full((3, 3), -torch.inf).triu(1)
        return (scores + hidden).softmax(-1) @ value


def full_sequence_losses(training: Training, steps: int) -> list[float]:
    """The train loss before each of `steps` steps of the straightforward form, from the same first weights."""
    model = FullSequence(training.weights)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=training.settings.weight_decay
    )
    found = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min((step + 1) / WARM_UP_STEPS, 1)
        optimizer.zero_grad()
        loss = losses(model(training.train)[:, -1].double(), training.train, training.task.p).mean()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found
