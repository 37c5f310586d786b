"""What the articles say of weight changes by layer, against closed forms."""

import numpy as np
import pytest

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import Profiles
from depthgauge_suites.articles import movement


def profiles(*seeds):
    values = np.array(seeds, float)[:, None]
    columns = tuple(map(str, range(values.shape[2])))
    return Profiles(ids=("weights",), columns=columns, values=values, unit="weight units", population="weights")


def test_the_early_layers_are_a_sixth_and_at_least_one():
    assert [movement.early(layers) for layers in (2, 12, 30, 36)] == [1, 2, 5, 6]


def test_early_layers_that_moved_twice_as_far_have_a_ratio_of_two_whatever_one_later_layer_did():
    moved = profiles([2.0] * 2 + [1.0] * 9 + [90.0], [1.0] * 12)

    assert movement.early_over_later(moved).tolist() == [2.0, 1.0]
    with pytest.raises(StatisticUndefined, match="half of the later layers did not move"):
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
    with pytest.raises(StatisticUndefined, match="beside layer 1 did not move"):
        movement.rise_at(profiles([0.0, 1.0, 0.0]), np.array([1]))
