"""Rank tests over many columns at once."""

import numpy as np
from numpy.typing import NDArray

from depthgauge.claims import holm
from depthgauge.types import Profiles


def signed_rank_p(changes: Profiles) -> NDArray[np.float64]:
    """By column, the p-value of Wilcoxon's signed-rank test (1945) that units change up as often as down.

    Adjusted for the number of columns by Holm (1979). 1 where nothing changed. First seed. Shape (columns,).
    """
    from scipy import stats

    values_NC = changes.values[0]
    p_values = np.ones(values_NC.shape[1])
    moved = (values_NC != 0).any(axis=0)
    if moved.any():
        p_values[moved] = stats.wilcoxon(values_NC[:, moved], axis=0).pvalue
    return np.array(holm(p_values.tolist()))
