"""How widely layers attend, and how much they change, at the last token of prompts.

Shapes: P prompts, L layers.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.models.attention import Seen, batches_of_one_length, watch
from depthgauge.models.inputs import Tokens, check_finite, check_prompts
from depthgauge.models.load import layers_and_heads

if TYPE_CHECKING:
    import torch


def entropy(model: Any, prompts: Tokens) -> NDArray[np.float64]:
    """Entropy in nats of the last token's attention, a mean over heads and prompts: (L,).

    Raises: as `models.attention.watch`; StatisticUndefined without prompts, or if one is empty or longer than the
    context.
    """
    import torch

    check_prompts(prompts, 1, model)
    total = np.zeros(layers_and_heads(model)[0])

    def add(layer: int, _: Seen, weights: "torch.Tensor") -> None:
        last = weights[:, :, -1].double()
        total[layer] += float(torch.special.entr(last).sum(-1).mean(1).sum())

    for chosen in batches_of_one_length(prompts):
        watch(model, torch.tensor([list(prompts[i]) for i in chosen], device=model.device), add)
    check_finite(total)
    return total / len(prompts)


def similarity(model: Any, prompts: Tokens) -> NDArray[np.float64]:
    """Mean cosine of the last token's states before and after each layer: (L,).

    The states after the last layer are taken as the model hands them out, which is after its final norm.

    Raises: StatisticUndefined without prompts, or if one is empty or longer than the context.
    """
    import torch

    check_prompts(prompts, 1, model)
    similarities = []
    for chosen in batches_of_one_length(prompts):
        ids = torch.tensor([list(prompts[i]) for i in chosen], device=model.device)
        with torch.inference_mode():
            states = model.base_model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
        last = torch.stack([layer_state[:, -1].double() for layer_state in states])
        similarities.append(torch.cosine_similarity(last[:-1], last[1:], dim=-1).cpu().numpy())
    every = np.concatenate(similarities, axis=1)
    check_finite(every)
    return np.asarray(every.mean(axis=1))
