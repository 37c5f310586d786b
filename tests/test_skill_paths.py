"""Skill paths of small models: all is carried, fresh weights have no such skill, and names say the chain."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, norm
from transformers import LlamaConfig, LlamaForCausalLM

from depthgauge.context import RunContext
from depthgauge.errors import NotTestable, Undefined
from depthgauge.methods.induction import INDUCTION
from depthgauge.models.load import load
from depthgauge.models.paths import Reads
from depthgauge.probes.skill_paths import MOST, SEQUENCES, carried_by_induction_heads, layers_of_skills
from depthgauge.probes.skill_paths.compute import by_length, read, strongest
from depthgauge.stats import chance_below
from depthgauge.store.folders import Store
from depthgauge.subject import Subject
from depthgauge.testbeds.pocket import POCKET
from depthgauge.testbeds.repeated_tokens import REPEATED_TOKENS
from tests.families import uneven_model
from tests.processes import FIVE_SEEDS


@pytest.fixture(scope="module")
def pocket_paths():
    return read(load(POCKET.base)[0])


def test_paths_of_each_length_sum_to_the_logit_difference(pocket_paths):
    near = 1e-4 * np.abs(pocket_paths["logit"]).max()
    assert np.abs(pocket_paths["gap"]).max() < near
    np.testing.assert_allclose(pocket_paths["by_length"].sum(1), pocket_paths["logit"], atol=near)
    assert pocket_paths["heads"].shape == pocket_paths["background_heads"].shape == (SEQUENCES, 36, 4)
    assert 0 < pocket_paths["paths"].max() <= MOST


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "olmo2", "gpt_neox"])
def test_fresh_weights_owe_nothing_to_induction_heads(family, tmp_path):
    model = uneven_model(family)
    found = read(model)
    beyond = found["heads"] - found["background_heads"]
    induction = found["induction"] >= 0.5 * found["induction"].max()

    assert np.abs(beyond[:, induction].sum(1).mean()) < 0.5
    assert np.abs(found["gap"]).max() < 1e-4 * max(1, np.abs(found["logit"]).max())


def test_a_checkpoint_is_read_once_and_has_a_share_a_sequence(tmp_path, tiny_base):
    from tests.tiny import tiny_testbed

    said = []
    context = RunContext(testbed=tiny_testbed(POCKET.base), store=Store(tmp_path, run="test"), tell=said.append)
    subject = Subject(name="one", folder=POCKET.base, context=context)
    first, again = carried_by_induction_heads(subject), carried_by_induction_heads(subject)

    assert first.values.shape == (1, SEQUENCES) and np.array_equal(first.values, again.values)
    assert len(said) == 1


def test_lengths_count_a_head_that_is_not_followed_as_one_more_and_paths_are_named_from_below():
    end = Reads(token=1.0, position=0.0, mlps=2.0, biases=0.0, heads=torch.tensor([[0.5, 0.0]], dtype=torch.float64))
    found = {(): end, ((2, 1),): end, ((2, 1), (1, 0)): end}

    assert by_length(found) == pytest.approx([3.0, 3.5, 3.5, 0.5])
    names = strongest({(): [9.0], ((2, 1),): [1.0], ((2, 1), (1, 0)): [-2.0, -2.0]})
    assert names["names"].tolist() == ["1.0 → 2.1 → logits", "2.1 → logits"]
    assert names["carried"].tolist() == [-2.0, 1.0]


def test_a_model_of_few_tokens_is_one_sentence():
    torch.manual_seed(0)
    few = LlamaForCausalLM(LlamaConfig(vocab_size=5, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                       num_attention_heads=2, max_position_embeddings=16))  # fmt: skip
    with pytest.raises(NotTestable, match="said twice are 3 or more, and 2 fit"):
        read(few)


# -- order in depth ---


def of_one_seed(lower, higher):
    return chance_below([np.array(lower, float)], [np.array(higher, float)], estimand="order", generalises_over="heads")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_the_chance_to_lie_below_is_scipys_u_over_all_pairs_and_turns_round(lower, higher):
    found, turned = of_one_seed(lower, higher), of_one_seed(higher, lower)

    assert found.point == pytest.approx(mannwhitneyu(higher, lower).statistic / (len(lower) * len(higher)))
    assert (found.low, found.point, found.high) == pytest.approx((1 - turned.high, 1 - turned.point, 1 - turned.low))
    assert 0 <= found.low <= found.point <= found.high <= 1


@pytest.mark.parametrize("m, n, shift", [(4, 6, 0.0), (5, 5, 1.0), (12, 8, 1.5), (20, 20, 0.5)])
def test_the_interval_of_a_few_heads_covers_at_its_level(m, n, shift):
    random, true, held = np.random.default_rng(0), norm.cdf(shift / 2**0.5), 0
    for _ in range(1000):
        found = of_one_seed(random.normal(size=m), random.normal(size=n) + shift)
        held += found.low <= true <= found.high

    assert held / 1000 >= 0.95 - 3 * (0.95 * 0.05 / 1000) ** 0.5


def test_heads_that_all_lie_in_order_have_an_interval_that_narrows_with_their_number():
    few, many = of_one_seed([0, 0], [1, 1]), of_one_seed([0] * 20, [1] * 20)

    assert few.point == many.point == few.high == many.high == 1
    assert few.low < 0.6 < 0.85 < many.low < 1


def test_without_a_head_of_either_skill_there_is_no_order():
    with pytest.raises(Undefined, match="none of either"):
        of_one_seed([], [1])


@pytest.mark.heavy
@pytest.mark.parametrize("seed", FIVE_SEEDS)
def test_two_trained_layers_have_their_skills_in_order_and_owe_the_repeat_to_induction_heads(seed, tmp_path):
    """The planted positive: a model with room for nothing else."""
    context = RunContext(testbed=REPEATED_TOKENS, store=Store(tmp_path, run="test"), tell=lambda line: None)
    subject = Subject.of(INDUCTION, (seed,), context)
    (previous,), (induction,) = layers_of_skills(subject)

    assert set(previous) == {0} and set(induction) == {1}
    assert carried_by_induction_heads(subject).values.mean() > 0.5
