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
    found = next_tokens(*models, ids)
    return {
        "kl": found.kl,
        "changed": found.says != found.baseline_says,
        "text_of": found.text_of,
        "kinds": np.array([text.kind for text in texts], dtype=np.str_),
    } | most_changed(found, ids, baseline.tokenizer)


def most_changed(found: NextTokens, ids: Tokens, tokenizer: Any) -> dict[str, NDArray[Any]]:
    """The tokens of the largest divergence, as people read them; none where nothing diverges."""
    order = np.argsort(-found.kl, kind="stable")[:SHOWN]
    top = order[found.kl[order] > 0]
    text_of = found.text_of[top]
    position = top - np.searchsorted(found.text_of, text_of)
    places = list(zip(text_of.tolist(), position.tolist(), strict=True))
    written: dict[str, list[Sequence[int]]] = {
        "top_token": [[ids[i][t]] for i, t in places],
        "top_context": [ids[i][max(0, t - CONTEXT + 1) : t + 1] for i, t in places],
        "top_old": [[token] for token in found.baseline_says[top].tolist()],
        "top_new": [[token] for token in found.says[top].tolist()],
    }
    decoded = {name: np.array([tokenizer.decode(some) for some in rows], np.str_) for name, rows in written.items()}
    return decoded | {
        "top_text": text_of,
        "top_position": position,
        "top_kl": found.kl[top],
        "top_old_probability": found.baseline_probability[top],
        "top_new_probability": found.probability[top],
    }
