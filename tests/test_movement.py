"""What the articles say of weight changes by layer, against closed forms."""

import numpy as np
import pytest
from scipy import stats

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Profiles
from depthgauge_suites.articles import movement
from tests.processes import refused


def profiles(*seeds):
    values = np.array(seeds, float)[:, None]
    columns = tuple(map(str, range(values.shape[2])))
    return Profiles(ids=("weights",), columns=columns, values=values, unit="weight units", population="weights")


def test_the_early_layers_are_a_sixth_and_at_least_one():
    assert [movement.early(layers) for layers in (2, 12, 30, 36)] == [1, 2, 5, 6]


def test_early_layers_that_moved_twice_as_far_have_a_ratio_of_two_whatever_one_later_layer_did():
    moved = profiles([2.0] * 2 + [1.0] * 9 + [90.0], [1.0] * 12)

    assert movement.early_over_later(moved).tolist() == [2.0, 1.0]
    with refused(StatisticUndefined, code="not-moved"):
        movement.early_over_later(profiles([1.0] * 2 + [0.0] * 10))


def test_the_norm_of_the_early_change_is_that_of_its_matrices_together():
    layers = [3.0, 4.0] + [100.0] * 10
    assert movement.early_norm([profiles(layers), profiles([0.0] * 12)]).tolist() == [5.0]
    assert movement.early_norm([profiles(layers), profiles(layers)]) == pytest.approx([50**0.5])


def test_a_rise_is_over_the_layers_next_to_it_and_at_an_end_over_the_only_one():
    moved = profiles([1.0, 2.0, 3.0, 9.0, 3.0], [8.0, 4.0, 1.0, 1.0, 1.0])

    assert movement.peak_layers(moved).tolist() == [3, 0]
    assert movement.rise_at(moved, movement.peak_layers(moved)).tolist() == [3.0, 2.0]
    assert movement.rise_at(moved, np.array([1, 1])) == pytest.approx([1.0, 4 / 4.5])
    with refused(StatisticUndefined, "layer 1", code="not-moved"):
        movement.rise_at(profiles([0.0, 1.0, 0.0]), np.array([1]))


def test_the_log_ratio_is_exact_for_one_seed_and_never_pairs_two_trainings():
    one = movement.log_ratio(np.array([2.0]), np.array([1.0]), estimand="r")
    against_one = movement.log_ratio(np.array([2.0, 4.0, 2.0]), np.array([1.0]), estimand="r")
    logs, theirs = np.log([2.0, 4.0, 2.0]), np.log([1.0, 1.5, 1.2])
    several, turned = (
        movement.log_ratio(np.exp(logs), np.exp(other), estimand="r") for other in (theirs, theirs[::-1])
    )
    welch = stats.ttest_ind(logs, theirs, equal_var=False).confidence_interval()

    assert (one.low, one.point, one.high) == pytest.approx((np.log(2),) * 3)
    assert against_one.generalises_over == "seeds" and against_one.low < against_one.point
    assert (several.low, several.high) == pytest.approx((welch.low, welch.high), rel=1e-6)
    assert (several.low, several.high) == pytest.approx((turned.low, turned.high), rel=1e-12)
    with refused(StatisticUndefined, code="zero"):
        movement.log_ratio(np.array([0.0]), np.array([1.0]), estimand="r")
