"""Diversity of a generated text: how few of its n-grams repeat."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined

Row = Sequence[int] | NDArray[np.integer]


def ngram_diversity(token_ids: Row, n: int) -> float:
    """Unique n-grams over all n-grams of a token sequence: 1 where none repeats, 1/(N-n+1) where all are the same.

    N tokens hold N-n+1 n-grams. This is 1 - rep_n of Welleck et al. (2020), on token ids.

    Raises: StatisticUndefined for n < 1 or fewer than n tokens.
    """
    ids = [int(token) for token in token_ids]
    if n < 1 or len(ids) < n:
        raise StatisticUndefined(
            f"{n}-gram diversity needs n >= 1 and at least n tokens, got {len(ids)}.", code="too-few"
        )
    ngrams = list(zip(*(ids[start:] for start in range(n)), strict=False))
    return len(set(ngrams)) / len(ngrams)
