"""What is kept of how two checkpoints differ in what they say next."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.backends.handle import CheckpointHandle
from depthgauge.backends.pairs import pair_ids
from depthgauge.core.testbed import Text
from depthgauge.models.inputs import Tokens
from depthgauge.probes.divergence.compute import NextTokens, check_same_vocabulary, next_tokens

SHOWN = 20  # tokens of the largest divergence, kept with their context
CONTEXT = 8  # tokens of it


def next_token(
    candidate: CheckpointHandle, baseline: CheckpointHandle, texts: Sequence[Text]
) -> dict[str, NDArray[Any]]:
    """The arrays of `NextToken`."""
    models = candidate.forward_model, baseline.forward_model
    check_same_vocabulary(*models)
    ids = pair_ids(candidate, baseline, texts)
    tokens_after = next_tokens(*models, ids)
    return (
        costs(candidate, baseline, ids)
        | {
            "kl": tokens_after.kl,
            "reverse_kl": tokens_after.reverse_kl,
            "log_likelihood": tokens_after.log_likelihood,
            "baseline_log_likelihood": tokens_after.baseline_log_likelihood,
            "changed": tokens_after.says != tokens_after.baseline_says,
            "text_of": tokens_after.text_of,
            "kinds": np.array([text.kind for text in texts], dtype=np.str_),
        }
        | most_changed(tokens_after, ids, baseline.tokenizer)
    )


def costs(candidate: CheckpointHandle, baseline: CheckpointHandle, ids: Tokens) -> dict[str, NDArray[Any]]:
    """Where the candidate's codes are run as they are stored, what of its divergence its weights cost, and what else
    running them does: `kl_of_weights` KL(baseline || dequantised) and `kl_of_running` KL(dequantised || as it runs), in
    nats, with `changed_by_weights` and `changed_by_running`. Nothing of any other candidate.
    """
    if not candidate.runs_codes:
        return {}
    of_weights = next_tokens(candidate.dequantized.forward_model, baseline.forward_model, ids)
    of_running = next_tokens(candidate.forward_model, candidate.dequantized.forward_model, ids)
    return {
        "kl_of_weights": of_weights.kl,
        "changed_by_weights": of_weights.says != of_weights.baseline_says,
        "kl_of_running": of_running.kl,
        "changed_by_running": of_running.says != of_running.baseline_says,
    }


def most_changed(tokens_read: NextTokens, ids: Tokens, tokenizer: Any) -> dict[str, NDArray[Any]]:
    """The tokens of the largest divergence, as people read them; none where nothing diverges."""
    order = np.argsort(-tokens_read.kl, kind="stable")[:SHOWN]
    top = order[tokens_read.kl[order] > 0]
    text_of = tokens_read.text_of[top]
    position = top - np.searchsorted(tokens_read.text_of, text_of)
    places = list(zip(text_of.tolist(), position.tolist(), strict=True))
    written: dict[str, list[Sequence[int]]] = {
        "top_token": [[ids[i][t]] for i, t in places],
        "top_context": [ids[i][max(0, t - CONTEXT + 1) : t + 1] for i, t in places],
        "top_old": [[token] for token in tokens_read.baseline_says[top].tolist()],
        "top_new": [[token] for token in tokens_read.says[top].tolist()],
    }
    decoded = {name: np.array([tokenizer.decode(some) for some in rows], np.str_) for name, rows in written.items()}
    return decoded | {
        "top_text": text_of,
        "top_position": position,
        "top_kl": tokens_read.kl[top],
        "top_old_probability": tokens_read.baseline_probability[top],
        "top_new_probability": tokens_read.probability[top],
    }
