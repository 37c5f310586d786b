"""Looking at a task again and again: what is said after any block holds with those said before it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.core.claim import Claim
from depthgauge.core.estimate import Scores
from depthgauge.core.result import Outcome
from depthgauge.core.verdict import at_least, judge, p_value
from depthgauge.runs.comparison import detectable_points
from depthgauge.stats import paired_difference
from depthgauge.stats.sequential import SPENT_BY_LOOKS, confidence_sequence, sequential_difference
from depthgauge.tasks.blocks import LEAST, blocks_of, places_in

LOOKS = range(10, 301, 10)
NOT_WORSE = Claim(
    id="c", statement="s", citation="s", published="-", region=at_least(-5), unit="points", control="no_attention",
    rationale="r",
)  # fmt: skip


def scores_of_task(right):
    ids = tuple(map(str, range(len(right))))
    return Scores(ids=ids, values=100.0 * right[None], unit="points", population="items", right=100.0)


def looks_at(candidate, baseline, block=50):
    return (
        (scores_of_task(candidate[:n]), scores_of_task(baseline[:n])) for n in range(block, len(candidate) + 1, block)
    )


def first_decided(candidate, baseline):
    """As a session does: the first estimate that decides, or else the last."""
    for estimate in sequential_difference(looks_at(candidate, baseline), estimand="candidate - baseline"):
        verdict = judge(NOT_WORSE, estimate)
        if verdict.outcome is not Outcome.INCONCLUSIVE:
            break
    return verdict


@pytest.mark.parametrize(("lost", "won"), [(0.1, 0.05), (0.02, 0.02), (0.5, 0.0)])
def test_under_constant_looking_the_truth_is_never_excluded_in_all_but_one_of_twenty_tasks(lost, won):
    random = np.random.default_rng(0)
    tasks = random.choice([0.0, 0.5, 1.0], size=(200, LOOKS[-1]), p=[lost, 1 - lost - won, won])
    truth = (1 - lost + won) / 2

    def held(values):
        bounds = [confidence_sequence(values[:n], 0.05) for n in LOOKS]
        return all(low <= truth <= high for low, high in bounds)

    assert np.mean([held(values) for values in tasks]) >= 0.95


def test_intervals_for_one_look_do_not_hold_under_constant_looking():
    """The control of the test above: a normal interval at 95 %, looked at as often, excludes the truth far more."""
    random = np.random.default_rng(0)
    tasks = random.choice([0.0, 0.5, 1.0], size=(200, LOOKS[-1]), p=[0.1, 0.85, 0.05])

    def held(values):
        ends = [(values[:n].mean(), 1.96 * values[:n].std() / n**0.5) for n in LOOKS]
        return all(abs(mean - 0.475) <= half for mean, half in ends)

    assert np.mean([held(values) for values in tasks]) < 0.85


@pytest.mark.heavy
def test_a_checkpoint_on_the_margin_is_refuted_or_supported_in_at_most_one_of_twenty_tasks_looked_at_in_blocks():
    """2,000 simulated tasks that lose exactly what they may: all looks and the last interval together."""
    random, wrong = np.random.default_rng(1), 0
    for _ in range(2000):
        change = random.choice([-1, 0, 1], size=300, p=[0.075, 0.9, 0.025])
        wrong += first_decided(change >= 0, change <= 0).outcome is not Outcome.INCONCLUSIVE

    assert wrong / 2000 <= 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5


def test_a_ruined_checkpoint_is_refuted_by_its_first_block_and_stands_among_a_hundred_claims():
    verdict = first_decided(np.zeros(300, bool), np.arange(300) % 4 > 0)

    assert verdict.outcome is Outcome.REFUTED
    assert verdict.estimate.n == 50
    assert "settled by 50 items" in verdict.reason
    assert p_value(verdict.estimate, NOT_WORSE.region) == pytest.approx(SPENT_BY_LOOKS)
    assert 100 * p_value(verdict.estimate, NOT_WORSE.region) <= 0.05 + 1e-9


def test_an_equal_checkpoint_is_supported_before_the_task_is_over():
    right = np.arange(449) % 3 > 0
    verdict = first_decided(right, right)

    assert verdict.outcome is Outcome.SUPPORTED
    assert verdict.estimate.n == 200


def test_what_no_look_decides_is_told_by_all_items_at_the_level_that_is_left():
    random = np.random.default_rng(2)
    candidate, baseline = (random.random(300) < 0.6 for _ in range(2))
    last = list(sequential_difference(looks_at(candidate, baseline), estimand="candidate - baseline"))[-1]

    assert last.method == "Bonett-Price"
    assert last.level == pytest.approx(1 - 0.05 + SPENT_BY_LOOKS)
    assert last.n == 300


def test_scores_that_lie_between_are_judged_once_all_are_there():
    random = np.random.default_rng(3)
    one, other = (
        Scores(ids=tuple("abcdef"), values=random.random((1, 6)), unit="points", population="items") for _ in range(2)
    )
    (only,) = sequential_difference([(one, other)] * 3, estimand="candidate - baseline")

    assert only.method == "Student t"


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=60))
def test_an_interval_lies_within_the_values_bounds_and_turns_with_its_data(values):
    values = np.array(values)
    low, high = confidence_sequence(values, 0.05)
    low_turned, high_turned = confidence_sequence(1 - values, 0.05)

    assert 0 <= low <= high <= 1
    assert (low_turned, high_turned) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(st.integers(1, 2000))
def test_every_item_is_asked_in_exactly_one_block_and_no_block_is_a_small_rest(items):
    blocks = [places_in(block, items) for block in range(blocks_of(items))]

    assert sorted(place for block in blocks for place in block) == list(range(items))
    assert all(min(items, LEAST) <= len(block) < 2 * LEAST for block in blocks)
    assert blocks == [places_in(block, items) for block in range(blocks_of(items))]


def test_what_a_task_is_said_to_show_is_shown_four_times_in_five():
    random, items = np.random.default_rng(4), 449
    loss = detectable_points(items) / 100
    shown = 0
    for _ in range(1000):
        change = random.choice([-1, 0, 1], size=items, p=[0.05 + loss / 2, 0.9, 0.05 - loss / 2])
        shown += (
            paired_difference(
                scores_of_task(change >= 0), scores_of_task(change <= 0), estimand="candidate - baseline"
            ).high
            < 0
        )

    assert abs(shown / 1000 - 0.8) < 0.05
