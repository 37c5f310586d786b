"""Sampled texts, and what a model makes of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.randomness import undisturbed_randomness
from depthgauge.models.inputs import padded_left

BATCH = 24


def sample(model: Any, tokenizer: Any, openings: Sequence[str], tokens: int, *, seed: int) -> list[list[int]]:
    """So many tokens after each opening, at temperature 1: (N, tokens)."""
    import torch

    samples: list[list[int]] = []
    ids, filler = [tokenizer(opening)["input_ids"] for opening in openings], tokenizer.pad_token_id or 0
    with undisturbed_randomness(), torch.inference_mode():
        torch.manual_seed(seed)
        for start in range(0, len(ids), BATCH):
            filled, mask = padded_left(ids[start : start + BATCH], filler, model.device)
            out = model.generate(
                input_ids=filled, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=filler,
            )  # fmt: skip
            samples += out[:, filled.shape[1] :].tolist()
    return samples


def read(model: Any, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """The last hidden states of a model on each row of tokens, a mean over them: (N, D)."""
    import torch

    read_texts = []
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            ids = torch.tensor(rows[start : start + BATCH], device=model.device)
            states = model(input_ids=ids, output_hidden_states=True).hidden_states[-1]
            read_texts.append(states.float().mean(dim=1).cpu().numpy())
    return np.concatenate(read_texts)
