"""What is kept of how the attention of two checkpoints differs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.backends.handle import CheckpointHandle
from depthgauge.core.estimate import HeadOrder
from depthgauge.models.attention import attention_maps, eager_flag
from depthgauge.probes.attention.compute import changed_attention, head_divergence, top_heads
from depthgauge.probes.attention.fragments import fragment_mask, share_on_fragments
from depthgauge.probes.attention.settings import MAPPED_HEADS, MarkedText


def head_change(
    candidate: CheckpointHandle, baseline: CheckpointHandle, texts: Sequence[MarkedText], order: HeadOrder | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of `HeadChange`."""
    model, theirs, tokenizer = candidate.forward_model, baseline.forward_model, candidate.tokenizer
    ids = [tokenizer(text.text)["input_ids"] for text in texts]
    divergence = head_divergence(model, theirs, ids, order=order)
    heads = top_heads(divergence.jsd_bits, MAPPED_HEADS)
    shares: dict[str, NDArray[Any]] = {}
    if all(text.terms for text in texts):
        masks = [fragment_mask(tokenizer, text.text, text.terms) for text in texts]
        changed = changed_attention(model, theirs, ids)
        shares["fragment_share"] = np.stack([share_on_fragments(*pair) for pair in zip(changed, masks, strict=True)])
    return (
        divergence._asdict()
        | shares
        | eager_flag(model, theirs)
        | {
            "mapped_heads": np.array(heads),
            "maps": attention_maps(model, ids[0], heads),
            "other_maps": attention_maps(theirs, ids[0], heads),
            "tokens": np.array([tokenizer.decode([token]) for token in ids[0]], dtype=np.str_),
        }
    )
