"""Verdicts: an interval decides, never a point."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from depthgauge import above, api, at_least, at_most, below, within
from depthgauge.core.claim import Claim, Margin, Region, in_words
from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Estimate, Scores
from depthgauge.core.result import Outcome
from depthgauge.core.verdict import judge, number, p_value, smallest_detectable_effect
from depthgauge.runs.cases import claim_of
from depthgauge.stats import mean
from tests.processes import refused

finite = st.floats(-1e6, 1e6)


def estimate(low, high, *, point=None, unit="points", over="items", n=100):
    return Estimate(
        estimand="d", unit=unit, point=(low + high) / 2 if point is None else point, low=low, high=high, level=0.95,
        n=n, method="t", generalises_over=over,
    )  # fmt: skip


def claim(region, unit="points"):
    return Claim(
        id="c",
        statement="s",
        citation="here",
        published="-",
        region=region,
        unit=unit,
        control="random_weights",
        rationale="r",
    )


regions = st.one_of(
    st.builds(above, finite), st.builds(below, finite), st.builds(at_least, finite), st.builds(at_most, finite),
    st.builds(within, st.floats(1e-3, 1e6)),
)  # fmt: skip
intervals = st.tuples(finite, finite).map(sorted)


def satisfies(region: Region, value: float) -> bool:
    """The slow definition of membership."""
    return region.contains(value, value)


@given(regions, intervals, st.floats(0, 1))
def test_supported_means_every_value_in_the_interval_satisfies_the_claim(region, interval, part):
    verdict = judge(claim(region), estimate(*interval))
    value = min(max(interval[0] + part * (interval[1] - interval[0]), interval[0]), interval[1])

    if verdict.outcome is Outcome.SUPPORTED:
        assert satisfies(region, value)
    if verdict.outcome is Outcome.REFUTED:
        assert not satisfies(region, value)


@given(regions, intervals)
def test_inconclusive_means_the_ends_disagree_or_enclose_the_region(region, interval):
    if judge(claim(region), estimate(*interval)).outcome is Outcome.INCONCLUSIVE:
        ends = {satisfies(region, end) for end in interval}
        encloses = interval[0] <= region.low and region.high <= interval[1]
        assert ends == {True, False} or encloses


@given(intervals)
def test_a_claim_of_anything_is_supported(interval):
    assert judge(claim(Region()), estimate(*interval)).outcome is Outcome.SUPPORTED


@given(intervals, finite)
def test_the_point_does_not_decide(interval, somewhere):
    low, high = interval
    point = min(max(somewhere, low), high)

    assert (
        judge(claim(above(0)), estimate(low, high, point=point)).outcome
        is judge(claim(above(0)), estimate(low, high)).outcome
    )


def test_zero_is_not_above_zero():
    assert judge(claim(above(0)), estimate(0, 1)).outcome is Outcome.INCONCLUSIVE
    assert judge(claim(at_least(0)), estimate(0, 1)).outcome is Outcome.SUPPORTED
    assert judge(claim(above(0)), estimate(-1, 0)).outcome is Outcome.REFUTED


def test_an_inconclusive_verdict_says_what_would_settle_it():
    verdict = judge(claim(above(0)), estimate(-1, 3))

    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "can show 2.86 points, about 818 would settle it" in verdict.reason


def test_the_smallest_detectable_effect_is_that_of_the_normal_approximation():
    assert smallest_detectable_effect(estimate(-1.96, 1.96)) == pytest.approx(2.80, abs=0.01)


def test_a_claim_about_a_method_refuses_an_interval_over_items():
    with refused(StatisticUndefined, "seeds", "items"):
        judge(claim(above(0)), estimate(0, 1), population="seeds")


def test_another_unit_and_infinity_are_refused():
    with refused(StatisticUndefined, "'points'", "'nats'"):
        judge(claim(above(0)), estimate(0, 1, unit="nats"))
    with refused(StatisticUndefined, code="not-finite"):
        judge(claim(above(0)), estimate(0, math.inf, point=1))


def test_estimates_and_regions_check_themselves():
    with pytest.raises(ValueError, match="low <= point <= high"):
        estimate(0, 1, point=2)
    with refused(ValueError, "0.95"):
        Estimate(estimand="d", unit="u", point=0, low=0, high=0, level=95, n=1, method="t", generalises_over="items")
    with pytest.raises(ValueError, match="low < high"):
        Region(low=1, high=1)


@given(st.floats(-1e9, 1e9))
def test_only_zero_one_and_a_hundred_print_as_such(value):
    printed = float(number(value))

    assert printed not in (0, 1, 100, -1, -100) or printed == value
    assert printed == pytest.approx(value, rel=0.005)


def test_numbers_have_three_digits_where_that_is_honest():
    assert [number(v) for v in (99.96, 0.99996, -0.0, 999.7, 12345.6, 3.14159)] == [
        "99.96", "0.99996", "0", "1000", "12346", "3.14",
    ]  # fmt: skip


@given(regions)
def test_a_region_reads_as_what_it_is(region):
    text = str(region)
    assert (">" in text) == (region.high == math.inf) and ("<" in text) == (region.low == -math.inf)


@given(regions, intervals, st.floats(0.01, 0.99))
def test_p_is_below_a_twentieth_just_where_the_interval_decides(region, interval, part):
    low, high = interval
    point = low + part * (high - low)
    if not low < point < high:
        return
    p = p_value(estimate(low, high, point=point), region)
    bounds = [bound for bound in (region.low, region.high) if math.isfinite(bound)]
    if any(abs(end - bound) <= 1e-9 * (high - low) for end in (low, high) for bound in bounds):
        return  # at the bound itself, p is a twentieth
    assert (p < 0.05) == all(not low < bound < high for bound in bounds)


def test_p_of_a_mean_is_that_of_the_t_test():
    values = np.random.default_rng(0).normal(0.4, 1, size=7)
    scores = Scores(ids=tuple(map(str, range(7))), values=values[None], unit="points", population="items")

    for bound in (0.0, 0.3, -0.5):
        expected = stats.ttest_1samp(values, bound).pvalue
        assert p_value(mean(scores, estimand="m"), above(bound)) == pytest.approx(expected, rel=1e-6)


def test_what_is_known_has_no_chance_and_what_has_no_bound_no_p():
    assert p_value(estimate(2, 2), above(1)) == 0
    assert p_value(estimate(2, 3), Region()) is None


def test_under_the_null_p_is_uniform():
    """Coverage by simulation: of 2,000 means at the bound, a share of alpha has a p below alpha."""
    draws = np.random.default_rng(1).normal(size=(2000, 15))
    ids = tuple(map(str, range(15)))
    found = [
        p_value(mean(Scores(ids=ids, values=one[None], unit="points", population="items"), estimand="m"), above(0))
        for one in draws
    ]

    for alpha in (0.01, 0.05, 0.2, 0.5):
        assert abs(np.mean(np.array(found) < alpha) - alpha) < 4 * (alpha * (1 - alpha) / 2000) ** 0.5


# -- margins of a project's own ---


def claims_with_a_margin():
    claims = (claim_of(test) for _, test in api.tests_in((api.CHECKS,)))
    return [claim for claim in claims if 0 not in (claim.region.low, claim.region.high)]


@pytest.mark.parametrize("declared", claims_with_a_margin(), ids=lambda claim: claim.id)
def test_a_statement_says_the_margin_that_holds(declared):
    value = 1.5 * max(abs(end) for end in declared.region.bounds if end is not None)
    stated = declared.within(Margin(value, declared.unit, "ours")).statement

    assert in_words(value, declared.unit) in stated
    for bound in filter(None, declared.region.bounds):
        assert f" {in_words(abs(bound), declared.unit)}" not in stated


def test_a_statement_that_names_no_bound_has_the_margin_behind_it():
    declared = replace(claim(within(1)), statement="is as before", region=within(0.1), unit="share")

    assert declared.within(Margin(0.2, "share", "ours")).statement.startswith("is as before")
    assert "20 %" in declared.within(Margin(0.2, "share", "ours")).statement


def test_a_number_that_ends_as_the_bound_does_is_another_number():
    declared = replace(
        claim(within(1)), statement="moved 15 % of it by at most 5 %", region=at_most(0.05), unit="share"
    )

    assert declared.within(Margin(0.2, "share", "ours")).statement == "moved 15 % of it by at most 20 %"
