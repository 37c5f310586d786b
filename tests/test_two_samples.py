"""Samples of two generators told apart: coverage for equal ones, planted differences found, real sampled texts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Profiles
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import load
from depthgauge.stats import classifier_auc, reliability
from depthgauge.stats.two_sample import areas
from depthgauge.store.folders import Store
from depthgauge_suites.layer_papers.two_samples import samples_beside
from depthgauge_suites.layer_papers.two_samples.compute import read, sample
from tests.processes import refused
from tests.tiny import PROMPTS, save_tiny_base, tiny_testbed


def samples(values):
    ids, columns = (tuple(map(str, range(n))) for n in values.shape)
    return Profiles(ids=ids, columns=columns, values=values[None], unit="x", population="texts")


def test_the_interval_holds_one_half_for_equal_generators_at_its_level():
    random, held = np.random.default_rng(0), 0
    for _ in range(200):
        one, other = random.normal(size=(2, 50, 6))
        found = classifier_auc(samples(one), samples(other), estimand="x")
        held += found.low <= 0.5 <= found.high

    assert held / 200 >= 0.95 - 3 * (0.95 * 0.05 / 200) ** 0.5


def test_pairs_that_share_what_they_answer_are_not_known_by_each_other():
    """Two samples of each of many openings: a fold that parts a pair makes the area fall below one half."""
    random, held, areas = np.random.default_rng(0), 0, []
    for _ in range(200):
        openings = random.normal(size=(60, 6))
        one, other = openings + 0.3 * random.normal(size=(2, 60, 6))
        found = classifier_auc(samples(one), samples(other), estimand="x")
        held += found.low <= 0.5 <= found.high
        areas.append(found.point)

    assert held / 200 >= 0.95 - 3 * (0.95 * 0.05 / 200) ** 0.5
    assert np.mean(areas) == pytest.approx(0.5, abs=0.01)


def test_a_classifier_of_normal_samples_is_as_sure_as_it_should_be():
    random = np.random.default_rng(0)
    one, other = random.normal(size=(2, 4000, 3))
    found = reliability(samples(one + np.eye(3)[0]), samples(other), estimand="x")

    np.testing.assert_allclose(found.said, found.frequency, atol=0.04)
    assert found.said[0] < 0.3 and found.said[-1] > 0.7 and found.counts.sum() == 8000
    assert found.error < 0.02


def test_a_classifier_that_is_too_sure_has_an_error_of_calibration():
    """Heavy tails: the normal law takes its word for more than it is worth."""
    random = np.random.default_rng(0)
    one, other = random.standard_t(1.5, size=(2, 2000, 1))

    assert reliability(samples(one), samples(other), estimand="x").error == pytest.approx(0, abs=0.05)
    mixed = np.where(random.random((2000, 1)) < 0.5, 3.0, -3.0) + random.normal(size=(2000, 1)) * 0.1
    assert reliability(samples(mixed), samples(other[:2000] * 0 + 0.2), estimand="x").error > 0.1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("numbers", [6, 64])
def test_a_planted_difference_is_found(seed, numbers):
    one, other = np.random.default_rng(seed).normal(size=(2, 100, numbers))
    one *= np.linspace(3, 1, numbers)
    other = other * np.linspace(3, 1, numbers) + np.where(np.arange(numbers) == 1, 4, 0)

    assert classifier_auc(samples(one), samples(other), estimand="x").low > 0.55


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_area_is_scikit_learns(scored):
    scores, is_one = np.array([s for s, _ in scored], float), np.array([of for _, of in scored])
    if 0 < is_one.sum() < len(is_one):
        assert areas(scores[None], is_one[None]) == pytest.approx([roc_auc_score(is_one, scores)])


def test_several_seeds_speak_about_seeds():
    random = np.random.default_rng(0)
    one, other = (Profiles(
        ids=tuple(map(str, range(60))), columns=tuple("abcd"), values=random.normal(size=(3, 60, 4)), unit="x",
        population="texts",
    ) for _ in range(2))  # fmt: skip

    assert classifier_auc(one, other, estimand="x").generalises_over == "seeds"


def test_few_samples_other_sizes_and_what_is_not_finite_are_one_sentence():
    random = np.random.default_rng(0)
    enough = samples(random.normal(size=(60, 4)))
    with refused(StatisticUndefined, 50, "got 12"):
        classifier_auc(enough, samples(random.normal(size=(12, 4))), estimand="x")
    with refused(InvalidComparison, "4 numbers", 5):
        classifier_auc(enough, samples(random.normal(size=(60, 5))), estimand="x")
    with refused(StatisticUndefined, code="not-finite"):
        classifier_auc(enough, samples(np.full((60, 4), np.nan)), estimand="x")


def test_texts_are_sampled_alike_by_one_seed_and_leave_the_generator_as_it_was(tiny_base):
    model, tokenizer = load(tiny_base)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (sample(model, tokenizer, PROMPTS, 5, seed=seed) for seed in (0, 0, 1))

    assert first == again != other
    assert all(len(row) == 5 for row in first)
    assert torch.equal(before, torch.get_rng_state())


def test_states_are_the_means_of_the_last_layer_row_by_row(tiny_base):
    model, tokenizer = load(tiny_base)
    rows = sample(model, tokenizer, PROMPTS * 2, 5, seed=0)
    with torch.no_grad():
        slow = [model(torch.tensor([row]), output_hidden_states=True).hidden_states[-1][0].mean(0) for row in rows]

    np.testing.assert_allclose(read(model, rows), torch.stack(slow), atol=1e-6)


def test_two_real_checkpoints_are_sampled_and_read_by_the_old_one(tiny_base, tmp_path):
    context = RunContext(
        testbed=tiny_testbed(tiny_base), store=Store(tmp_path / "store", run="test"), tell=lambda line: None
    )
    candidate = CheckpointSet(name="new", folder=save_tiny_base(tmp_path / "new", seed=1), context=context)
    baseline = CheckpointSet(name="old", folder=tiny_base, context=context)
    mine, its = samples_beside(candidate, baseline, PROMPTS * 4)
    same, again = samples_beside(baseline, baseline, PROMPTS * 4)

    assert mine.values.shape == its.values.shape == (1, 64, 16)
    assert np.array_equal(its.values, again.values)
    assert classifier_auc(same, again, estimand="x").low < 0.5
