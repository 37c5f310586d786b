"""How much of the attention that changed falls on the pieces that a tokenizer makes of formulae and isotopes.

A formula reaches most models as several tokens that mean little alone. Shapes: L layers, H heads, T tokens.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined


def fragment_mask(tokenizer: Any, text: str, terms: Sequence[str]) -> NDArray[np.bool_]:
    """Which tokens of a text are pieces of one of the `terms`. Shape (T,).

    Raises: StatisticUndefined if none of the terms is in the text, or the tokenizer cannot tell where its tokens lie.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise StatisticUndefined(
            "fragments are found by the place of tokens in the text, which needs a fast tokenizer."
        )
    spans = [(start, start + len(term)) for term in terms for start in range(len(text)) if text.startswith(term, start)]
    if not spans:
        raise StatisticUndefined(f"none of {', '.join(map(repr, terms))} is in {text!r}: name the terms of each text.")
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    return np.array([any(a < end and start < b for start, end in spans) and a < b for a, b in offsets])


def share_on_fragments(changed: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of changed attention that falls on fragments, and what an even spread would put there. Shape (2,).

    `changed` (L, H, T) is |difference| by key over queries 1 to T-1, as `attention.changed_attention` gives it. The
    first token, where attention is parked, is left out of both. Even: each query's change is spread over the keys that
    it sees, so that early keys get more of it: key k gets the sum of 1/(i+1) over queries i >= k.

    Raises: StatisticUndefined if nothing changed, or all tokens but the first are fragments, or none is.
    """
    tokens = len(mask)
    inside = mask[1:]
    by_key = np.asarray(changed, np.float64).sum(axis=(0, 1))[1:]
    if not by_key.sum() or inside.all() or not inside.any():
        raise StatisticUndefined(
            "the share on fragments needs changed attention, and tokens on both sides: use another text.",
            code="unchanged",
        )
    chance = np.cumsum((1 / (np.arange(tokens) + 1))[::-1])[::-1][1:]
    return np.array([by_key[inside].sum() / by_key.sum(), chance[inside].sum() / chance.sum()])
