"""What is kept of how the residual streams of two checkpoints differ, and what their mean difference says."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.backends.handle import CheckpointHandle
from depthgauge.backends.pairs import pair_ids
from depthgauge.core.errors import NotTestable
from depthgauge.core.testbed import Text
from depthgauge.models.anatomy import final_norm
from depthgauge.models.load import vocabulary_size
from depthgauge.probes.activations.compute import activation_difference, same_stream

WORDS = 10


def activation_change(
    candidate: CheckpointHandle, baseline: CheckpointHandle, texts: Sequence[Text]
) -> dict[str, NDArray[Any]]:
    """The arrays of `ActivationDifference`."""
    models = candidate.forward_model, baseline.forward_model
    layers, _ = same_stream(*models)
    change = activation_difference(*models, pair_ids(candidate, baseline, texts))._asdict()
    read = np.array([layers // 3, layers // 2, layers * 5 // 6])
    tokens, probabilities = lens(models[0], change.pop("mean")[read])
    words = [[candidate.tokenizer.decode([token]) for token in row] for row in tokens.tolist()]
    return change | {
        "mean_says_layers": read,
        "mean_says": np.array(words, dtype=np.str_),
        "mean_says_probability": probabilities,
    }


def lens(model: Any, means: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens that a model reads in vectors of its stream, the likeliest first, with probabilities: (vectors, K).

    K is 0 where the family's final norm is not known. A vector of 0 is no direction, and all its probabilities are 0.
    """
    import torch

    try:
        norm = final_norm(model)
    except NotTestable:
        return np.zeros((len(means), 0), int), np.zeros((len(means), 0))
    head = model.get_output_embeddings()
    parameter = next(norm.parameters(), head.weight)
    with torch.inference_mode():
        states = norm(torch.tensor(means, dtype=parameter.dtype, device=parameter.device))
        read = head(states.to(head.weight.device)).double().softmax(-1)
    top = read.topk(min(WORDS, vocabulary_size(model)))
    return top.indices.cpu().numpy(), top.values.cpu().numpy() * means.any(axis=1, keepdims=True)
