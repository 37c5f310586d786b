"""Causal tracing by restoration: where a clean state undoes what noise on the subject did (Meng et al. 2022, ROME).

The noise trace shakes one state and asks what breaks: it shows what is needed. This one breaks the input and asks which
single state mends it: it shows what is enough. Layers and positions are 0-based.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.models.anatomy import blocks, edited_blocks
from depthgauge.models.inputs import check_finite, check_noise, check_prompts, check_targets

if TYPE_CHECKING:
    import torch

DRAWS, SCALE = 10, 3.0


class Restoration(NamedTuple):
    """Probability of the target: `clean`; `corrupted`, a mean over draws; `restored` (layers, positions), likewise."""

    clean: float
    corrupted: float
    restored: NDArray[np.float64]


def restoration_trace(
    model: Any,
    prompt: Sequence[int],
    subject: Sequence[int],
    target: int,
    *,
    scale: float = SCALE,
    draws: int = DRAWS,
    seed: int = 0,
) -> Restoration:
    """Noise of `scale` standard deviations of the embeddings goes on the tokens at the positions `subject`.

    Then, for each layer and position, the clean run's state is put back there, and the target's probability is read. It
    takes layers x positions runs of `draws` prompts: minutes for a large model.

    Raises: StatisticUndefined if the subject is empty or not in the prompt, or a token is not known; InvalidCheckpoint
    if a probability is not finite.
    """
    import torch

    check_prompts([prompt], 1, model)
    check_targets([[target]], [prompt], model)
    check_noise(scale, draws)
    if not subject or not all(0 <= position < len(prompt) for position in subject):
        raise StatisticUndefined(f"the subject must be positions from 0 to {len(prompt) - 1}, got {list(subject)}.")
    ids = torch.tensor([list(prompt)] * draws, device=model.device)
    noise = embedding_noise(model, subject, scale, draws, seed)
    depth = len(blocks(model))
    clean: dict[int, torch.Tensor] = {}

    def remember(layer: int, states: "torch.Tensor") -> "torch.Tensor":
        clean[layer] = states[0]
        return states

    def run(layer: int | None = None, position: int = 0) -> float:
        def put_back(at: int, states: "torch.Tensor") -> "torch.Tensor":
            if at == layer:
                states = states.clone()
                states[:, position] = clean[at][position]
            return states

        with edited_blocks(model, put_back), noisy_embeddings(model, subject, noise):
            return target_probability(model, ids, target)

    with torch.inference_mode():
        with edited_blocks(model, remember):
            unharmed = target_probability(model, ids[:1], target)
        restored = [[run(layer, position) for position in range(len(prompt))] for layer in range(depth)]
        restoration = Restoration(clean=unharmed, corrupted=run(), restored=np.array(restored))
    check_finite(restoration.restored)
    return restoration


def target_probability(model: Any, ids: "torch.Tensor", target: int) -> float:
    logits = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1].float()
    return float(logits.softmax(-1)[:, target].mean())


def embedding_noise(model: Any, subject: Sequence[int], scale: float, draws: int, seed: int) -> "torch.Tensor":
    """Shape (draws, subject, hidden); the same for every checkpoint but for the spread of its embeddings."""
    import torch

    weight = model.get_input_embeddings().weight
    drawn = torch.randn(draws, len(subject), weight.shape[1], generator=torch.Generator().manual_seed(seed))
    noise: torch.Tensor = scale * weight.std() * drawn.to(weight.device, weight.dtype)
    return noise


@contextmanager
def noisy_embeddings(model: Any, subject: Sequence[int], noise: "torch.Tensor") -> Iterator[None]:
    """Within it, the embeddings at the positions `subject` carry noise."""

    def add(_module: Any, _inputs: Any, output: "torch.Tensor") -> "torch.Tensor":
        output = output.clone()
        output[:, list(subject)] += noise
        return output

    handle = model.get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
