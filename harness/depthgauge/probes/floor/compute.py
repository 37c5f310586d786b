"""The divergence of a model from itself, run or stored in another way. Shapes: P texts, T tokens, V tokens known."""

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.backends.pairs import batches
from depthgauge.core.steps import counted
from depthgauge.models.attention import eager
from depthgauge.models.inputs import Tokens, check_prompts

if TYPE_CHECKING:
    import torch

BFLOAT16_DIGITS = 8
Floats = NDArray[np.float64]


class Floors(NamedTuple):
    """KL(model || itself) in nats, a mean over the tokens of each text: (P,) each.

    `batch`: each text alone and not beside others of its length. `kernel`: with attention computed by eager matrix
    products. `precision`: with each weight moved at random within half a step of bfloat16, as rounding moves it: those
    of a checkpoint that is stored in it would not move by rounding again.
    """

    batch: Floats
    kernel: Floats
    precision: Floats


def floors(model: Any, token_ids: Tokens) -> Floors:
    """Raises: StatisticUndefined as `check_prompts`."""
    check_prompts(token_ids, 1, model)
    alone = [log_probabilities(model, [ids])[0] for ids in counted(token_ids)]
    together: dict[int, torch.Tensor] = {}
    for chosen in batches(token_ids, 2 * alone[0].shape[-1]):
        together.update(zip(chosen, log_probabilities(model, [token_ids[i] for i in chosen]), strict=True))
    with eager(model):
        by_matrices = [log_probabilities(model, [ids])[0] for ids in counted(token_ids)]
    narrow = within_bfloat16(model)
    rounded = [log_probabilities(narrow, [ids])[0] for ids in counted(token_ids)]
    return Floors(
        divergences(alone, [together[i] for i in range(len(alone))]),
        divergences(alone, by_matrices),
        divergences(alone, rounded),
    )


def within_bfloat16(model: Any) -> Any:
    """A copy whose weights are moved within half a step of bfloat16, and kept in the dtype that they had."""
    import torch

    copy, generator = deepcopy(model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in copy.parameters():
            wide = parameter.float()
            step = (wide.abs().log2().floor() + 1 - BFLOAT16_DIGITS).exp2()  # 0 where the weight is
            drawn = torch.rand(wide.shape, generator=generator).to(wide.device) - 0.5
            parameter.copy_(wide + step * drawn)
    return copy


def log_probabilities(model: Any, ids: Sequence[Sequence[int]]) -> "torch.Tensor":
    """(B, T, V), in float64: what a kernel changes is lost in float32."""
    import torch

    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor(ids, device=model.device), use_cache=False).logits
        return logits.double().log_softmax(-1)


def divergences(ours: "Sequence[torch.Tensor]", others: "Sequence[torch.Tensor]") -> Floats:
    return np.array([float((p.exp() * (p - q)).sum(-1).mean().clamp_min(0)) for p, q in zip(ours, others, strict=True)])
