"""How much every head attends to the first token, where attention is parked that has nowhere to go.

Shapes: P prompts, L layers, H query heads. Layers and heads are counted from 0.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.models.attention import Floats, Seen, batches_of_one_length, first_token_attention, watch
from depthgauge.models.inputs import Tokens, check_finite, check_prompts
from depthgauge.models.load import layers_and_heads

if TYPE_CHECKING:
    import torch

SINK_EPSILON = 0.3  # the threshold of Gu et al. (2025)


def sink_strength(model: Any, token_ids: Tokens) -> Floats:
    """alpha_1 of every head on each prompt, (P, L, H).

    It falls with the length, as even attention has H_T / T: Gu et al. (2025) take 100 prompts of 64 tokens.

    Raises: NotTestable if the model hands out no attention weights; StatisticUndefined without prompts, or if one is
    empty or longer than the context; InvalidCheckpoint if a weight is not finite.
    """
    import torch

    check_prompts(token_ids, 1, model)
    strengths = np.empty((len(token_ids), *layers_and_heads(model)), np.float32)
    for chosen in batches_of_one_length(token_ids):

        def keep(layer: int, _: Seen, weights: "torch.Tensor", chosen: list[int] = chosen) -> None:
            strengths[chosen, layer] = first_token_attention(weights).cpu().numpy()

        watch(model, torch.tensor([list(token_ids[i]) for i in chosen], device=model.device), keep)
    check_finite(strengths)
    return strengths


def sink_rate(sink: NDArray[np.floating], *, epsilon: float = SINK_EPSILON) -> float:
    """Sink_1 of Gu et al. (2025): the share of (layer, head) whose alpha_1 exceeds `epsilon`, averaged over prompts.

    Raises: StatisticUndefined for an empty array.
    """
    if not np.size(sink):
        raise StatisticUndefined("a sink rate needs at least one head on one prompt.", code="empty")
    return float(np.mean(np.asarray(sink) > epsilon))
