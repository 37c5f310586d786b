"""What is kept of how attention to the pieces of terms changed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.backends.handle import CheckpointHandle
from depthgauge.models.attention import attention_maps
from depthgauge.probes.attention.compute import top_heads
from depthgauge_suites.articles.routing.compute import Routes, pieces_of, routes
from depthgauge_suites.articles.routing.settings import DOMAINS, TOP_HEADS, RoutingText


def change_of_routes(
    candidate: CheckpointHandle, baseline: CheckpointHandle, texts: Sequence[RoutingText]
) -> dict[str, NDArray[Any]]:
    """The arrays of `Routing`."""
    model, theirs, tokenizer = candidate.model, baseline.model, candidate.tokenizer
    ids = [tokenizer(each.text)["input_ids"] for each in texts]
    terms = [pieces_of(tokenizer, each.text, each.term) for each in texts]
    changed = Routes(
        *map(np.stack, zip(*(routes(model, theirs, *pair) for pair in zip(ids, terms, strict=True)), strict=True))
    )
    count = min(TOP_HEADS, changed.jsd_bits[0].size)
    maps: dict[str, NDArray[Any]] = {}
    for domain in DOMAINS:
        place = next((place for place, each in enumerate(texts) if each.domain == domain), None)
        if place is not None:
            heads = top_heads(changed.jsd_bits[[place]], count)
            tokens = [tokenizer.decode([token]) for token in ids[place]]
            maps |= {
                f"{domain}_heads": np.array(heads),
                f"{domain}_change": attention_maps(model, ids[place], heads)
                - attention_maps(theirs, ids[place], heads),
                f"{domain}_tokens": np.array(tokens, dtype=np.str_),
            }
    return changed._asdict() | maps
