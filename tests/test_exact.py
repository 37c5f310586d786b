"""What is known exactly of weights, and rank tests over many heads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Profiles, Scores
from depthgauge.core.verdict import holm
from depthgauge.stats import (
    exact_factor,
    exactly,
    independent_difference,
    lead_ratio,
    peak_layer,
    peak_ratio,
    peaks_apart,
)
from depthgauge.stats.ranks import rank_correlation, signed_rank_p
from tests.processes import refused


def moved(*seeds):
    values = np.array(seeds, dtype=float)[:, None]
    columns = tuple(map(str, range(values.shape[2])))
    return Profiles(ids=("weights",), columns=columns, values=values, unit="weight units", population="weights")


def test_one_checkpoint_is_known_without_error():
    found = peak_ratio(moved([1, 2, 8, 2, 2]), estimand="x")

    assert (found.low, found.point, found.high) == (4, 4, 4)
    assert found.generalises_over == "weights"
    assert peak_layer(moved([1, 2, 8, 2, 2])) == 2


def test_several_seeds_have_an_interval():
    found = peak_ratio(moved([1, 1, 4], [1, 1, 5], [1, 1, 6]), estimand="x")

    assert found.point == 5
    assert found.low < 5 < found.high
    assert found.generalises_over == "seeds"


def test_counts_that_agree_over_seeds_are_as_wide_as_rounding_hides_and_no_movement_at_all_is_exact():
    found = exactly(np.array([4.0, 4.0, 4.0]), estimand="x", unit="frequencies")
    half = stats.t.ppf(0.975, 2) / 12**0.5 / 3**0.5

    assert (found.low, found.point, found.high, found.n) == (pytest.approx(4 - half), 4, pytest.approx(4 + half), 3)
    assert found.generalises_over == "seeds"
    assert exactly(np.zeros(3), estimand="x", unit="share").exact
    assert not exactly(np.zeros(3), estimand="x", unit="layers", counted=True).exact


def test_a_factor_over_seeds_is_a_geometric_mean_whose_interval_stays_above_0():
    found = exact_factor(np.array([2e3, 5.5e4, 9e5]), estimand="x")

    assert found.point == pytest.approx((2e3 * 5.5e4 * 9e5) ** (1 / 3))
    assert 0 < found.low < 2e3
    assert exact_factor(np.array([3.0]), estimand="x").high == pytest.approx(3)
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(StatisticUndefined, match="above 0"):
            exact_factor(np.array([1.0, wrong]), estimand="x")


def test_a_factor_over_seeds_covers_at_its_level():
    random = np.random.default_rng(0)
    found = [exact_factor(np.exp(random.normal(2, 3, 4)), estimand="x") for _ in range(1000)]
    covered = sum(one.low <= np.exp(2) <= one.high for one in found)

    assert abs(covered / 1000 - 0.95) <= 3 * (0.95 * 0.05 / 1000) ** 0.5


def test_all_leaders_must_lead():
    high, middle, low = moved([3, 3, 3]), moved([2, 2, 2]), moved([1, 1, 1])

    assert lead_ratio([high, middle], [low], estimand="x").point == 2
    assert lead_ratio([high, low], [middle], estimand="x").point == 0.5
    with refused(StatisticUndefined, code="not-moved"):
        lead_ratio([high], [moved([0, 0, 0])], estimand="x")
    with refused(StatisticUndefined, code="not-moved"):
        peak_ratio(moved([0, 0, 1]), estimand="x")


def test_peaks_are_so_many_layers_apart():
    assert peaks_apart(moved([0, 0, 9, 0]), moved([7, 0, 1, 0]), estimand="x").point == 2
    with refused(InvalidComparison, code="other-layers"):
        peaks_apart(moved([0, 1]), moved([0, 1, 2]), estimand="x")


def test_signed_ranks_are_scipy_s_and_holm_s_first_step_is_bonferroni_s():
    values = np.random.default_rng(0).normal(size=(30, 5))
    values[:, 2] += 1
    values[:, 4] = 0
    changes = Profiles(
        ids=tuple(map(str, range(30))), columns=tuple("abcde"), values=values[None], unit="x", population="prompts"
    )
    found = signed_rank_p(changes)

    assert found[2] == pytest.approx(5 * stats.wilcoxon(values[:, 2]).pvalue)
    assert found[4] == 1
    assert (found >= [stats.wilcoxon(values[:, c]).pvalue if c < 4 else 1 for c in range(5)]).all()


def test_a_difference_of_unlike_words_has_welch_s_coverage():
    random, hits = np.random.default_rng(0), 0

    def scores(values, kind):
        ids = tuple(f"{kind}{i}" for i in range(len(values)))
        return Scores(ids=ids, values=values[None], unit="tokens", population="words")

    for _ in range(400):
        one, other = random.normal(1, 1, 12), random.normal(0, 4, 40)
        found = independent_difference(scores(one, "a"), scores(other, "b"), estimand="x")
        hits += found.low <= 1 <= found.high

    assert hits / 400 >= 0.95 - 3 * (0.95 * 0.05 / 400) ** 0.5


def test_a_rank_correlation_with_depth_covers_at_its_level():
    """Of numbers whose ranks correlate with their layers' as those of a Gaussian pair of correlation .5 do."""
    random, layers, held, refused = np.random.default_rng(0), 30, 0, 0
    truth = 6 / np.pi * np.arcsin(0.25)
    for _ in range(600):
        depth, noise = random.normal(size=(2, layers))
        rows = (0.5 * depth + 0.75**0.5 * noise)[np.argsort(depth)]
        try:
            found = rank_correlation(moved(rows), estimand="x")
        except StatisticUndefined:
            refused += 1  # they happen to look like a series
            continue
        held += found.low <= truth <= found.high

    assert refused < 20
    assert held / (600 - refused) >= 0.95 - 3 * (0.95 * 0.05 / 600) ** 0.5


def test_what_rises_with_depth_correlates_and_what_falls_does_the_other_way():
    assert rank_correlation(moved([1, 2, 3, 5, 8, 13]), estimand="x").low > 0.9
    assert rank_correlation(moved([6, 5, 4, 3, 2, 1]), estimand="x").high < -0.9
    assert rank_correlation(moved([1, 2, 3, 5, 8], [1, 3, 2, 5, 8]), estimand="x").generalises_over == "seeds"
    with refused(StatisticUndefined, "5 layers"):
        rank_correlation(moved([1, 2, 3]), estimand="x")


@pytest.mark.heavy
@settings(max_examples=20)  # statsmodels takes a tenth of a second for one
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_s_adjustment_is_that_of_statsmodels(ps):
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1].tolist())
