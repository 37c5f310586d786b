"""Fragments and linear read-outs, against closed forms and planted truths."""

import numpy as np
import pytest

from depthgauge.core.errors import StatisticUndefined
from depthgauge.models.load import load
from depthgauge_suites.articles.tokenization.compute import fragments, last_token_states, read_out
from depthgauge_testbeds.pocket import POCKET
from tests.families import FAMILIES, random_model
from tests.processes import refused

LABELS = [label for label in "abcd" for _ in range(6)]
FOLDS = [str(i % 3) for i in range(24)]


@pytest.fixture(scope="module")
def tokenizer():
    return load(POCKET.base)[1]


def test_formulae_fall_apart_and_words_do_not(tokenizer):
    assert fragments(tokenizer, ["garden", "H2SO4"]).tolist() == [1, 4]


def test_a_planted_label_is_read_out_and_a_shuffled_one_is_not():
    random = np.random.default_rng(0)
    centres = {label: random.normal(size=8) for label in "abcd"}
    states = np.stack([centres[label] + 0.1 * random.normal(size=8) for label in LABELS])[:, None]

    assert read_out(states, LABELS, FOLDS).all()
    shuffled = np.mean([read_out(states, LABELS, FOLDS, shuffle_seed=seed).mean() for seed in range(40)])
    assert 0.1 < shuffled < 0.4  # one of four labels by chance


def test_states_without_the_label_name_it_by_chance():
    states = np.random.default_rng(1).normal(size=(24, 40, 8))

    assert 0.15 < read_out(states, LABELS, FOLDS).mean() < 0.35


def test_read_outs_that_cannot_be_learnt_are_refused():
    states = np.ones((4, 1, 2))
    with refused(StatisticUndefined, code="too-few"):
        read_out(states, list("aaaa"), list("0101"))
    with refused(StatisticUndefined, "'b'"):
        read_out(states, list("aabb"), list("0111"))


@pytest.mark.parametrize("family", FAMILIES)
def test_last_token_states_are_the_model_s_own(family):
    import torch

    model, ids = random_model(family), [5, 9, 2, 31]
    found = last_token_states(model, [ids])
    with torch.no_grad():
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states

    assert found.shape == (1, 4, 32)
    for place in (1, 2):  # transformers scales some embeddings first, and norms its last state
        assert np.abs(found[0, place] - hidden[place][0, -1].numpy()).max() < 1e-5
