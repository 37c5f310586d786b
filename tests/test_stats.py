"""Every interval covers as often as it says, and obeys the laws of its estimand."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Scores
from depthgauge.stats import mean, paired_difference, rise, share
from tests.processes import refused

SIMULATIONS = 1500
LEVEL = 0.95
# Three standard errors of a simulated coverage at the nominal level.
TOLERANCE = 3 * math.sqrt(LEVEL * (1 - LEVEL) / SIMULATIONS)


def scores(values, unit="points", population="items", right=None):
    values = np.atleast_2d(np.asarray(values, dtype=float))
    ids = tuple(map(str, range(values.shape[1])))
    return Scores(ids=ids, values=values, unit=unit, population=population, right=right)


def graded(values):
    """Scores of a greedy task: right is 100 points, wrong is 0."""
    return scores(values, right=100.0)


def coverage(draw, truth):
    """The share of simulated data sets whose interval holds the truth."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(SIMULATIONS):
        estimate = draw(rng)
        held += estimate.low <= truth <= estimate.high
    return held / SIMULATIONS


def test_student_interval_of_a_mean_covers_at_its_level():
    found = coverage(lambda rng: mean(scores(rng.normal(2, 3, 20)), estimand="mean"), 2)

    assert found == pytest.approx(LEVEL, abs=TOLERANCE)


def test_student_interval_over_seeds_covers_at_its_level():
    def draw(rng):
        seeds = rng.normal(1, 2, (4, 1))
        return mean(scores(seeds + rng.normal(0, 5, (4, 200))), estimand="mean")

    assert coverage(draw, 1) == pytest.approx(LEVEL, abs=TOLERANCE)


def test_paired_difference_of_sampled_scores_covers_at_its_level():
    def draw(rng):
        item = rng.normal(0, 5, 60)
        return paired_difference(
            scores(item + rng.normal(1, 1, 60)), scores(item + rng.normal(0, 1, 60)), estimand="difference"
        )

    assert coverage(draw, 1) == pytest.approx(LEVEL, abs=TOLERANCE)


@pytest.mark.parametrize("n, gains, losses", [(128, 0.10, 0.05), (600, 0.15, 0.05), (600, 0.02, 0.02), (200, 0.3, 0.3)])
def test_paired_difference_of_right_and_wrong_covers_at_least_at_its_level(n, gains, losses):
    def draw(rng):
        kind = rng.choice(3, n, p=[gains, losses, 1 - gains - losses])
        both = rng.integers(0, 2, n)
        candidate = np.where(kind == 0, 1, np.where(kind == 1, 0, both))
        baseline = np.where(kind == 0, 0, np.where(kind == 1, 1, both))
        return paired_difference(graded(100 * candidate), graded(100 * baseline), estimand="difference")

    found = coverage(draw, 100 * (gains - losses))

    assert LEVEL - TOLERANCE <= found <= LEVEL + 0.035  # Bonett-Price is conservative where pairs seldom differ


def test_paired_difference_of_three_sampled_answers_an_item_covers_at_its_level():
    """The scores of the history and mathematics tasks: four levels, skewed, on 400 items."""

    def draw(rng):
        skill = rng.beta(0.4, 0.6, 400)
        candidate, baseline = (rng.binomial(3, np.clip(skill + gain, 0, 1)) * 100 / 3 for gain in (0.0, 0.0))
        return paired_difference(scores(candidate), scores(baseline), estimand="difference")

    assert coverage(draw, 0) == pytest.approx(LEVEL, abs=TOLERANCE)


def test_paired_difference_over_seeds_covers_at_its_level():
    def draw(rng):
        seeds = rng.normal(1, 2, (5, 1))
        return paired_difference(
            scores(seeds + rng.normal(0, 5, (5, 100))), scores(rng.normal(0, 5, 100) * 0), estimand="difference"
        )

    assert coverage(draw, 1) == pytest.approx(LEVEL, abs=TOLERANCE)


@pytest.mark.parametrize("n, rate", [(20, 0.5), (128, 0.1), (100, 0.97)])
def test_exact_interval_of_a_share_covers_at_least_at_its_level(n, rate):
    found = coverage(lambda rng: share(scores(rng.random(n) < rate, unit="share"), estimand="share"), rate)

    assert found >= LEVEL - TOLERANCE


def test_rise_covers_at_its_level():
    def draw(rng):
        return rise(scores(rng.normal(np.linspace(0, 4, 100), 1), population="steps"), estimand="rise")

    assert coverage(draw, 4 * 75 / 99) == pytest.approx(LEVEL, abs=TOLERANCE + 0.01)


def test_coverage_can_fail():
    """A check that cannot fail is a defect: an interval of half the width is caught."""

    def draw(rng):
        estimate = mean(scores(rng.normal(2, 3, 20)), estimand="mean")
        half = (estimate.high - estimate.low) / 4
        return type("Half", (), {"low": estimate.point - half, "high": estimate.point + half})

    assert coverage(draw, 2) < LEVEL - TOLERANCE


samples = arrays(float, st.integers(3, 40), elements=st.floats(-100, 100, width=32))


@given(samples, samples)
def test_swapping_the_sides_flips_the_sign(a, b):
    n = min(len(a), len(b))
    assume(np.ptp(a[:n] - b[:n]) > 1e-3)

    ab = paired_difference(scores(a[:n]), scores(b[:n]), estimand="difference")
    ba = paired_difference(scores(b[:n]), scores(a[:n]), estimand="difference")

    assert (ab.point, ab.low, ab.high) == pytest.approx((-ba.point, -ba.high, -ba.low), rel=1e-6, abs=1e-9)


@given(samples, st.floats(-50, 50))
def test_shifting_all_scores_shifts_the_mean(a, shift):
    assume(np.ptp(a) > 1e-3)

    before, after = mean(scores(a), estimand="mean"), mean(scores(a + shift), estimand="mean")

    assert (after.point, after.low, after.high) == pytest.approx(
        (before.point + shift, before.low + shift, before.high + shift), abs=1e-6
    )


@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(a, random):
    assume(np.ptp(a) > 1e-3)
    shuffled = list(a)
    random.shuffle(shuffled)

    assert mean(scores(shuffled), estimand="mean").high == pytest.approx(mean(scores(a), estimand="mean").high)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_binary_differences_hold_their_point_and_stay_within_a_hundred_points(gains, losses, ties):
    assume(gains + losses + ties >= 2)
    candidate = [100] * gains + [0] * losses + [100] * ties
    baseline = [0] * gains + [100] * losses + [100] * ties

    estimate = paired_difference(graded(candidate), graded(baseline), estimand="difference")

    assert -100 <= estimate.low <= estimate.point <= estimate.high <= 100
    assert estimate.low < estimate.high
    assert estimate.point == pytest.approx(100 * (gains - losses) / (gains + losses + ties))


def test_the_mean_is_pinned_to_its_slow_definition():
    values = np.array([1.0, 2.0, 4.0, 8.0])
    half = stats.t.ppf(0.975, 3) * values.std(ddof=1) / 2

    estimate = mean(scores(values), estimand="mean")

    assert (estimate.low, estimate.high) == pytest.approx((3.75 - half, 3.75 + half), rel=1e-12)


def test_several_seeds_generalise_over_seeds_and_one_over_items():
    rng = np.random.default_rng(0)
    treatment, baseline = scores(rng.normal(1, 1, (3, 50))), scores(rng.normal(0, 1, (1, 50)))

    assert paired_difference(treatment, baseline, estimand="d").generalises_over == "seeds"
    assert paired_difference(treatment, baseline, estimand="d").n == 3
    assert paired_difference(baseline, scores(rng.normal(0, 1, 50)), estimand="d").generalises_over == "items"


def test_all_right_on_both_sides_is_no_difference_with_the_width_that_n_allows():
    """With 600 pairs and none discordant the interval is about 100 points * 1.96 * sqrt(2) / 602."""
    estimate = paired_difference(graded([100] * 600), graded([100] * 600), estimand="difference")

    assert (estimate.point, estimate.high) == (0, pytest.approx(0.46, abs=0.01))


def test_scores_of_right_and_wrong_hold_nothing_between():
    with pytest.raises(ValueError, match="every score must be 0 or 100"):
        graded([0, 50])


def test_different_items_units_or_seeds_are_refused():
    a = scores([1.0, 2.0, 4.0])
    renamed = Scores(ids=("x", "y", "z"), values=a.values, unit="points", population="items")

    with refused(InvalidComparison, "items", code="other-units"):
        paired_difference(a, renamed, estimand="d")
    with refused(InvalidComparison, "points", "nats"):
        paired_difference(a, scores([1.0, 2.0, 4.0], unit="nats"), estimand="d")


def test_two_trainings_of_several_seeds_are_not_paired():
    rng = np.random.default_rng(0)
    one, other = rng.normal(1, 1, (3, 50)), rng.normal(0, 1, (4, 50))
    expected = stats.ttest_ind(one.mean(axis=1), other.mean(axis=1), equal_var=False).confidence_interval(0.95)

    found = paired_difference(scores(one), scores(other), estimand="d")

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.generalises_over == "seeds"


@pytest.mark.parametrize(
    "undefined, sentence",
    [
        (lambda: mean(scores([1.0]), estimand="m"), "needs at least 2 values, got 1"),
        (lambda: mean(scores([2.0, 2.0, 2.0]), estimand="m"), "all 3 values equal 2"),
        (lambda: mean(scores([1.0, math.nan]), estimand="m"), "1 of 2 values are not finite"),
        (lambda: share(scores([0.0, 0.5]), estimand="s"), "needs scores of 0 and 1"),
        (lambda: rise(scores(np.arange(7.0)), estimand="r"), "needs at least 8 steps, got 7"),
        (lambda: rise(scores(np.ones(8)), estimand="r"), "both sides are constant"),
    ],
)
def test_the_undefined_raises_and_is_never_zero(undefined, sentence):
    with pytest.raises(StatisticUndefined, match=sentence):
        undefined()
