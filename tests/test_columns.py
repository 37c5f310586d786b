"""Intervals over many layers at once, by simulated coverage; and the laws of what is built on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.core.errors import InvalidComparison, NotTestable, StatisticUndefined
from depthgauge.core.estimate import Profiles, Scores
from depthgauge.stats import difference, greatest, lead, least, most_extreme, prominence, side_by_side
from depthgauge.stats.columns import argmax_share, permutation_p, simultaneous
from tests.processes import refused

REPEATS = 300


def profiles(values, unit="probability"):
    values = np.asarray(values, dtype=float)
    values = values[None] if values.ndim == 2 else values
    return Profiles(
        ids=tuple(map(str, range(values.shape[1]))),
        columns=tuple(map(str, range(values.shape[2]))),
        values=values,
        unit=unit,
        population="prompts",
    )


def drawn(random, n, columns, correlation, truth=0.0, tails=False):
    """Units by columns that share a part: as layers do, which see the same prompt."""
    draw = (lambda *shape: random.standard_t(5, shape)) if tails else (lambda *shape: random.normal(size=shape))
    return truth + correlation**0.5 * draw(n, 1) + (1 - correlation) ** 0.5 * draw(n, columns)


def holds(share, expected, repeats=REPEATS):
    """No further below than three standard errors of a simulation."""
    return share >= expected - 3 * (expected * (1 - expected) / repeats) ** 0.5


@pytest.mark.parametrize(
    "n, correlation, tails, most",
    [(10, 0.5, False, 1), (25, 0.0, False, 0.99), (72, 0.9, False, 0.99), (72, 0.5, True, 1)],
)
def test_bands_hold_for_all_columns_together_and_are_no_wider_than_that_takes(n, correlation, tails, most):
    random, hits = np.random.default_rng(1), 0
    truth = np.linspace(-1, 1, 36)
    for _ in range(REPEATS):
        bands = simultaneous(profiles(drawn(random, n, 36, correlation, truth, tails)), estimand="x")
        hits += bool((np.abs(bands.means - truth) <= bands.halves).all())

    assert holds(hits / REPEATS, 0.95)
    assert hits / REPEATS <= most


def test_bands_of_skewed_differences_hold_but_for_a_few_hundredths():
    """Differences of spreads over prompts are skewed on the pocket testbed; random signs hold too rarely there."""
    random, hits, sigma = np.random.default_rng(7), 0, 0.75
    for _ in range(REPEATS):
        skewed = np.exp(sigma**2 / 2) - np.exp(sigma * drawn(random, 72, 16, 0.3))
        bands = simultaneous(profiles(skewed), estimand="x")
        hits += bool((np.abs(bands.means) <= bands.halves).all())

    assert holds(hits / REPEATS, 0.93)


def test_bands_over_seeds_hold_too():
    random, hits = np.random.default_rng(2), 0
    for _ in range(REPEATS):
        seeds = random.normal(size=(3, 1, 16)) + random.normal(size=(3, 40, 16))
        bands = simultaneous(profiles(seeds), estimand="x")
        hits += bool((np.abs(bands.means) <= bands.halves).all())

    assert bands.population == "seeds"
    assert bands.n == 3
    assert holds(hits / REPEATS, 0.95)


@pytest.mark.parametrize("truth", [np.zeros(12), np.linspace(0, 1, 12)])
def test_the_interval_of_the_least_contains_the_least_truth(truth):
    random, low, high = np.random.default_rng(3), 0, 0
    for _ in range(REPEATS):
        sample = profiles(drawn(random, 40, 12, 0.3, truth))
        smallest, largest = least(sample, estimand="x"), greatest(sample, estimand="x")
        low += smallest.low <= truth.min() <= smallest.high
        high += largest.low <= truth.max() <= largest.high

    assert holds(low / REPEATS, 0.95)
    assert holds(high / REPEATS, 0.95)


def test_equal_spreads_are_called_different_no_more_often_than_promised():
    """A/A for the late bands: two checkpoints whose probabilities scatter alike, prompts of very different scatter."""
    random, alarms = np.random.default_rng(4), 0
    for _ in range(REPEATS):
        scatter = random.lognormal(-3, 1, size=(1, 72, 1, 1))
        draws = scatter * random.normal(size=(2, 72, 16, 30))
        one, other = np.abs(draws - np.median(draws, axis=-1, keepdims=True)).mean(axis=-1)
        found = most_extreme(difference(profiles(one), profiles(other)), estimand="x")
        alarms += found.low > 0 or found.high < 0

    assert holds(1 - alarms / REPEATS, 0.95)


@pytest.mark.parametrize("n, noise", [(30, 1.0), (72, 0.02)])
def test_a_flat_profile_has_a_spike_no_more_often_than_promised(n, noise):
    random, alarms = np.random.default_rng(5), 0
    for _ in range(REPEATS):
        flat = profiles(0.3 + noise * drawn(random, n, 36, 0.8))
        alarms += least(lead(prominence(flat), "18"), estimand="x").low > 0

    assert holds(1 - alarms / REPEATS, 0.95)


def test_a_spike_is_found_where_it_is_and_refuted_where_it_is_not():
    random = np.random.default_rng(6)
    values = 0.3 + 0.02 * drawn(random, 72, 36, 0.8)
    values[:, 18] += 0.05
    peaks = prominence(profiles(values))

    assert least(lead(peaks, "18"), estimand="x").low > 0.01
    assert least(lead(peaks, "9"), estimand="x").high < 0.01
    assert argmax_share(peaks, "18") == 1.0
    assert permutation_p(peaks, "18") == 1 / 32
    assert permutation_p(peaks, "9") > 1 / 32


def test_prominence_is_the_distance_from_the_neighbours():
    line = profiles(np.array([[0.0, 1.0, 2.0, 9.0, 4.0, 5.0, 6.0]] * 2))

    assert prominence(line).columns == ("2", "3", "4")
    assert prominence(line).values[0, 0, 1] == 9 - (1 + 2 + 4 + 5) / 4
    with refused(NotTestable, 4, 2):
        prominence(profiles(np.zeros((2, 4))))


def test_no_layer_of_a_slope_stands_out():
    slope = profiles(np.arange(9.0) * np.ones((2, 1)))

    np.testing.assert_allclose(prominence(slope).values, 0, atol=1e-12)


@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 9))
def test_a_constant_added_to_all_moves_the_interval_by_as_much(n, columns, seed):
    values = np.random.default_rng(seed).normal(size=(n, columns))
    plain, moved = least(profiles(values), estimand="x"), least(profiles(values + 5), estimand="x")

    assert moved.low - plain.low == pytest.approx(5)
    assert moved.high - plain.high == pytest.approx(5)
    assert plain.low <= plain.point <= plain.high


def test_two_differences_are_claimed_at_once():
    def scores(values):
        return Scores(ids=("a", "b", "c"), values=np.array([values]), unit="probability", population="prompts")

    middle, low, high = scores([0.5, 0.6, 0.7]), scores([0.1, 0.3, 0.3]), scores([0.9, 0.8, 1.0])
    both = side_by_side(above_low=(middle, low), below_high=(high, middle))

    assert both.columns == ("above low", "below high")
    assert least(both, estimand="x").point == pytest.approx(0.3)


def test_what_has_no_interval_is_refused_in_a_sentence():
    flat = profiles(np.ones((5, 3)))
    with refused(StatisticUndefined, "5 prompts"):
        least(flat, estimand="x")
    with refused(StatisticUndefined, 2, "got 1"):
        least(profiles(np.ones((1, 3))), estimand="x")
    with refused(StatisticUndefined, 30):
        least(profiles(np.eye(30)[:, :1] * np.ones(3)), estimand="x")
    with refused(StatisticUndefined, 1, code="not-finite"):
        least(profiles([[np.nan, 1.0], [2.0, 3.0]]), estimand="x")
    with refused(NotTestable, 18, "0 to 2"):
        flat.only(["18"])
    with refused(InvalidComparison, "prompts", code="other-units"):
        difference(flat, profiles(np.ones((4, 3))))
    with refused(InvalidComparison, "layers or heads", code="other-units"):
        difference(flat, profiles(np.ones((5, 2))))
    with refused(InvalidComparison, "3 seeds", 2):
        difference(profiles(np.ones((3, 5, 3))), profiles(np.ones((2, 5, 3))))
