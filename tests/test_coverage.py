"""Intervals hold the truth where units come in clusters, series and few seeds; p and interval agree at every level."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.coverage import (
    BAR,
    SELDOM,
    Setting,
    answers,
    coverage,
    groups,
    in_blocks,
    profiles,
    scores,
    series,
    settings,
)
from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Scores
from depthgauge.core.plain import from_plain, to_plain
from depthgauge.core.verdict import above, p_value
from depthgauge.stats import (
    best_lead,
    chance_below,
    classifier_auc,
    exact_factor,
    exactly,
    independent_difference,
    largest_step,
    least,
    mean,
    paired_difference,
    rank_correlation,
    rise,
    sequential_difference,
    share,
)
from tests.processes import refused

ALL = settings()
SIMULATIONS = 100
SHORT = [one for one in ALL if not one.slow and not one.estimator.startswith(("max-t", "best_lead"))]


def by_name(setting: Setting) -> str:
    return f"{setting.estimator}: {setting.data}"


def test_intervals_hold_the_truth_as_often_as_they_say():
    """The short form of `make coverage`: three standard errors of a simulation below its bar."""
    found = {by_name(one): coverage(one, SIMULATIONS) for one in SHORT}
    often = {name: each for name, each in found.items() if each.given >= SELDOM * SIMULATIONS}
    slack = {name: 3 * (BAR * (1 - BAR) / each.given) ** 0.5 for name, each in often.items()}

    assert {name: each.held for name, each in often.items() if each.held < BAR - slack[name]} == {}
    assert len(often) > 0.9 * len(found)


def test_a_refused_data_set_is_no_interval_that_holds():
    """Of ten data sets eight are refused, one interval holds the truth and one lies above it: half of two, not 90 %."""
    draws = iter([mean(scores([0, 1, -1]), estimand="x"), mean(scores([5, 5.1, 5.2]), estimand="x"), *8 * [None]])

    def drawn(random):
        estimate = next(draws)
        if estimate is None:
            raise StatisticUndefined("worth too few.")
        return estimate

    found = coverage(Setting(estimator="mean", data="ten", draw=drawn, truth=0), 10)
    assert (found.given, found.held, found.short) == (2, 0.5, True)
    assert found.cells == ("50.0%", "50.0%", "0.0%", "80.0%")
    assert not replace(found, simulations=40, refused=38).short  # too seldom to be asked
    none = replace(found, above=0, refused=10)
    assert (none.held, none.short, none.cells[0]) == (None, False, "-")


def test_series_that_look_independent_by_chance_are_refused():
    """60 steps of autocorrelation .9: without the standard error one in twenty was given an interval, half of these
    wrong.
    """
    chosen = next(each for each in ALL if by_name(each) == "rise: 60 steps, autocorrelation 0.9")
    found = coverage(chosen, 1000)

    assert found.given < 0.02 * found.simulations and found.above + found.below < 0.01 * found.simulations


def test_an_interval_that_counts_units_where_there_are_clusters_is_caught():
    chosen = next(one for one in ALL if by_name(one) == "mean, paired_difference: 8 kinds of 8, ICC 0.5")
    clusters = groups(8, 8)

    def blind(random):
        shared = random.normal(size=8)[clusters] * 0.5**0.5
        return mean(scores(shared + 0.5**0.5 * random.normal(size=64)), estimand="x")

    assert coverage(replace(chosen, draw=blind), 300).held < 0.7


def test_every_estimator_of_the_package_is_simulated():
    import depthgauge.stats as package

    text = (Path(__file__).parents[1] / "benchmarks" / "coverage.py").read_text()
    # Of a checkpoint's weights, or made of these: no sample stands behind them.
    exact = {"counted", "greatest_exactly", "lead_ratio", "peak_layer", "peak_ratio", "peaks_apart"}
    # Columns of those that are simulated, and what gives no interval.
    parts = {"difference", "lead", "prominence", "side_by_side", "change_point", "friedman", "reliability", "wilson"}
    # Shares of an indicator, and the least as the greatest of the negatives.
    through = {"share_beyond", "share_beyond_anywhere", "share_changed", "share_changed_anywhere", "least"}

    assert [name for name in package.__all__ if f"{name}(" not in text and name not in exact | parts | through] == []


def every_estimate():
    random = np.random.default_rng(3)
    items, kinds = random.normal(0.4, 1, 30), groups(10, 3)
    pair = answers(random, groups(200, 1), 0, 0.3, 0.05)
    return {
        "mean": mean(scores(items), estimand="x"),
        "mean of clusters": mean(scores(items, kinds), estimand="x"),
        "over seeds": mean(scores(random.normal(0.4, 1, (4, 9))), estimand="x"),
        "share": share(scores(items > 0), estimand="x"),
        "share of clusters": share(scores(items > 0, kinds), estimand="x"),
        "paired": paired_difference(*pair, estimand="x"),
        "paired clusters": paired_difference(*answers(random, groups(50, 4), 0.3, 0.3, 0.05), estimand="x"),
        "between seeds": paired_difference(
            scores(random.normal(1, 1, (3, 9))), scores(random.normal(size=(4, 9))), estimand="x"
        ),
        "independent": independent_difference(scores(items), scores(random.normal(size=12)), estimand="x"),
        "rise": rise(scores(series(random, 80, 0.3)), estimand="x"),
        "rank correlation": rank_correlation(profiles(series(random, 36, 0)[None]), estimand="x"),
        "chance below": chance_below(
            [random.normal(size=8)], [random.normal(1, 1, 20)], estimand="x", generalises_over="heads"
        ),
        "largest step": largest_step(
            np.array([[3, 9, 30]]), np.full((1, 3), 40), estimand="x", generalises_over="items"
        ),
        "factor": exact_factor(np.array([2.0, 3.0, 5.0]), estimand="x"),
        "least": least(profiles(random.normal(0.4, 1, (30, 4))), estimand="x"),
        "least of few": least(profiles(random.normal(0.4, 1, (6, 4))), estimand="x"),
        "best lead": best_lead(profiles(random.normal(size=(30, 5))), estimand="x"),
        "area": classifier_auc(
            profiles(random.normal(1, 1, (60, 2))), profiles(random.normal(size=(60, 2))), estimand="x"
        ),
        "whole task": list(sequential_difference(in_blocks(pair), estimand="x"))[-1],
    }  # fmt: skip


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_p_is_below_an_error_just_where_the_interval_of_its_level_leaves_the_bound_out(level):
    for name, estimate in every_estimate().items():
        low, high = estimate.interval_at(level)
        width = high - low
        for bound in np.linspace(low - 0.2 * width, high + 0.2 * width, 12):
            outside = not low < bound < high
            assert (p_value(estimate, above(bound)) < 1 - level) == outside, (name, bound)


def test_intervals_of_higher_levels_hold_those_of_lower_ones():
    levels = [0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1 - 1e-6]
    for name, estimate in every_estimate().items():
        lows, highs = zip(*map(estimate.interval_at, levels), strict=True)
        assert list(lows) == sorted(lows, reverse=True), name
        assert list(highs) == sorted(highs), name
        assert (estimate.low, estimate.high) == pytest.approx(estimate.interval_at(estimate.level), abs=0.7), name


def test_what_is_read_exactly_has_no_p_and_the_intervals_of_other_levels_are_not_written():
    exact = exactly(np.array([0.05]), estimand="x", unit="share")
    sampled = mean(scores([1.0, 2.0, 4.0]), estimand="x")

    assert p_value(exact, above(0.05)) is None
    assert "interval_at" not in to_plain(sampled)
    assert from_plain(type(sampled), to_plain(sampled)) == sampled


def test_one_unit_a_cluster_is_no_cluster_at_all():
    values = np.random.default_rng(0).normal(size=20)
    odd = (values > 1).astype(float)

    for estimator, data in ((mean, values), (share, odd)):
        alone, named = estimator(scores(data), estimand="x"), estimator(scores(data, range(20)), estimand="x")
        assert (alone.low, alone.high, alone.clusters) == (pytest.approx(named.low), pytest.approx(named.high), None)


def test_none_odd_counts_kinds_and_not_texts():
    """None of 64 texts of eight kinds bounds the share at 37 %, as eight texts do, and none of 40 kinds at 9 %."""
    found = {
        kinds: share(scores(np.zeros(n), groups(kinds, n // kinds)), estimand="x").high
        for kinds, n in ((8, 64), (40, 80))
    }

    assert found == {8: pytest.approx(1 - 0.025 ** (1 / 8)), 40: pytest.approx(1 - 0.025 ** (1 / 40))}


def test_clusters_are_refused_where_a_statistic_cannot_count_them_or_one_side_has_others():
    clustered = scores(np.arange(8.0), groups(4, 2))

    with refused(StatisticUndefined, "8 units", "4 clusters"):
        independent_difference(clustered, scores(np.arange(5.0)), estimand="x")
    with refused(InvalidComparison, "units", code="other-units"):
        paired_difference(clustered, scores(np.arange(8.0)), estimand="x")
    with refused(StatisticUndefined, "2 clusters"):
        mean(scores(np.arange(8.0), groups(1, 8)), estimand="x")
    with pytest.raises(ValueError, match="every unit has a cluster or none has, got 1 for 2"):
        Scores(ids=("a", "b"), values=np.zeros((1, 2)), unit="nats", population="units", clusters=("a",))
    looks = list(
        sequential_difference(in_blocks(answers(np.random.default_rng(0), groups(50, 4), 0.3, 0.3, 0)), estimand="x")
    )
    assert [look.method for look in looks] == ["Bonett-Price"]


def test_a_log_that_hardly_moves_from_step_to_step_says_how_few_steps_it_is_worth():
    with refused(StatisticUndefined, code="dependent"):
        rise(scores(series(np.random.default_rng(0), 60, 0.97)), estimand="x")
    with refused(StatisticUndefined, code="dependent"):
        rank_correlation(profiles(np.cumsum(series(np.random.default_rng(1), 30, 0.9))[None]), estimand="x")
