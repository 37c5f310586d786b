"""Skill paths of small models: all is carried, fresh weights have no such skill, and names say the chain."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, norm
from transformers import LlamaConfig, LlamaForCausalLM

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.core.estimate import Measurement
from depthgauge.core.result import Outcome
from depthgauge.core.testbed import Word, by_kind
from depthgauge.core.verdict import judge
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import load, vocabulary_size
from depthgauge.models.paths import Reads
from depthgauge.stats import chance_below
from depthgauge.store.folders import Store
from depthgauge_methods.induction import INDUCTION
from depthgauge_suites.layer_papers import test_skill_paths as suite
from depthgauge_suites.layer_papers.skill_paths import (
    EXAMPLES,
    MOST,
    PROMPTS,
    SEQUENCES,
    LabelPaths,
    SkillPaths,
    carried_by_induction_heads,
    included_induction,
    layers_of_skills,
    learnt_above_induction,
)
from depthgauge_suites.layer_papers.skill_paths.compute import by_length, read, strongest
from depthgauge_suites.layer_papers.skill_paths.prompts import labelled, repeats, said_twice
from depthgauge_testbeds.pocket import POCKET
from depthgauge_testbeds.repeated_tokens import REPEATED_TOKENS
from tests.families import uneven_model
from tests.in_context import save_layer_above, save_two_awake, words_of_one_token, words_that_end_alike
from tests.processes import FIVE_SEEDS, refused


def read_repeats(model):
    length = said_twice(model)
    return read(model, repeats(length, vocabulary_size(model)), {"induction": length - 1, "previous": 1})


@pytest.fixture(scope="module")
def pocket_paths():
    return read_repeats(load(POCKET.base)[0])


def test_paths_of_each_length_sum_to_the_logit_difference(pocket_paths):
    near = 1e-4 * np.abs(pocket_paths["logit"]).max()
    assert np.abs(pocket_paths["gap"]).max() < near
    np.testing.assert_allclose(pocket_paths["by_length"].sum(1), pocket_paths["logit"], atol=near)
    assert pocket_paths["heads"].shape == pocket_paths["background_heads"].shape == (SEQUENCES, 36, 4)
    assert 0 < pocket_paths["paths"].max() <= MOST


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "olmo2", "gpt_neox"])
def test_fresh_weights_owe_nothing_to_induction_heads(family, tmp_path):
    model = uneven_model(family)
    found = read_repeats(model)
    beyond = found["heads"] - found["background_heads"]
    induction = found["induction"] >= 0.5 * found["induction"].max()

    assert np.abs(beyond[:, induction].sum(1).mean()) < 0.5
    assert np.abs(found["gap"]).max() < 1e-4 * max(1, np.abs(found["logit"]).max())


def test_a_checkpoint_is_read_once_and_has_a_share_a_sequence(tmp_path, tiny_base):
    from tests.tiny import tiny_testbed

    said = []
    context = RunContext(testbed=tiny_testbed(POCKET.base), store=Store(tmp_path, run="test"), tell=said.append)
    candidate = CheckpointSet(name="one", folder=POCKET.base, context=context)
    first, again = carried_by_induction_heads(candidate), carried_by_induction_heads(candidate)

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
    with refused(NotTestable, 3, "2 fit"):
        said_twice(few)


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
    with refused(StatisticUndefined, code="empty"):
        of_one_seed([], [1])


@pytest.mark.heavy
@pytest.mark.parametrize("seed", FIVE_SEEDS)
def test_two_trained_layers_have_their_skills_in_order_and_owe_the_repeat_to_induction_heads(seed, tmp_path):
    """The planted positive: a model with room for nothing else."""
    context = RunContext(testbed=REPEATED_TOKENS, store=Store(tmp_path, run="test"), tell=lambda line: None)
    candidate = CheckpointSet.of(INDUCTION, (seed,), context)
    (previous,), (induction,) = layers_of_skills(candidate)

    assert set(previous) == {0} and set(induction) == {1}
    assert carried_by_induction_heads(candidate).values.mean() > 0.5


# -- learning in context ---


@pytest.fixture(scope="module")
def prompts():
    tokenizer = load(POCKET.base)[1]
    return tokenizer, list(labelled(tokenizer, by_kind(POCKET.inputs(Word))))


def test_a_prompt_says_a_label_a_word_and_its_background_says_the_same_words_with_labels_that_tell_nothing(prompts):
    tokenizer, found = prompts
    kinds = {word.text: word.kind for word in POCKET.inputs(Word)}
    assert len(found) == PROMPTS
    for prompt in found:
        told, untold = (lines(tokenizer.decode(ids)) for ids in (prompt.ids, prompt.background))
        right, wrong = (tokenizer.decode([label]).strip() for label in (prompt.right, prompt.wrong))
        asked = kinds[told[-1][0]]

        assert len(told) == EXAMPLES + 1 == len({word for word, _ in told})
        assert [word for word, _ in told] == [word for word, _ in untold]
        assert all(label == (right if kinds[word] == asked else wrong) for word, label in told[:-1])
        of_asked = [label for word, label in untold[:-1] if kinds[word] == asked]
        others = [label for word, label in untold[:-1] if kinds[word] != asked]
        assert sorted(of_asked) == sorted(others) == sorted([right, wrong] * (EXAMPLES // 4))


def lines(text):
    """Words and their labels, the last of which has none."""
    return [tuple(part.strip() for part in line.split(":")) for line in text.split("\n")]


def test_each_label_is_right_about_as_often(prompts):
    rights = [prompt.right for prompt in prompts[1]]

    assert {rights.count(label) for label in set(rights)} <= set(range(PROMPTS // 4, PROMPTS - PROMPTS // 4 + 1))


def test_too_few_words_and_labels_that_end_alike_are_one_sentence(prompts, tiny_base):
    with refused(NotTestable, "9 of each", "are 1"):
        next(labelled(prompts[0], {"many": list(map(str, range(9))), "few": list(map(str, range(8)))}))
    with refused(NotTestable, "' A'", "' B'"):
        next(labelled(load(tiny_base)[1], {kind: list(map(str, range(9))) for kind in ("one", "two")}))


class Asked:
    """What readings ask of a candidate, answered from arrays."""

    def __init__(self, induction, heads):
        blank = dict(key="", probe="", parameters={}, checkpoint="")
        nothing = np.zeros_like(heads)
        logits = {"logit": np.full(len(heads), 2.0), "background": np.zeros(len(heads))}
        self.taken = {
            SkillPaths: Measurement(**blank, arrays={"induction": induction}),
            LabelPaths: Measurement(**blank, arrays=logits | {"heads": heads, "background_heads": nothing}),
        }

    def inputs(self, _):
        return ()

    def measure(self, probe):
        return (self.taken[type(probe)],)


def drawn(seed):
    """Induction scores (L, H), and what heads add (S, L, H)."""
    random = np.random.default_rng(seed)
    return random.random((3, 4)), random.normal(size=(5, 3, 4))


@given(st.integers(0, 2**32 - 1))
def test_what_induction_heads_add_is_held_against_every_choice_of_as_many_in_their_layers(seed):
    induction, heads = drawn(seed)
    chosen = induction >= 0.5 * induction.max()
    choices = product(*(combinations(range(chosen.shape[1]), int(layer.sum())) for layer in chosen))
    each = [sum(heads[:, layer, list(picked)].sum(1) for layer, picked in enumerate(choice)) for choice in choices]

    found = included_induction(Asked(induction, heads)).values[0]
    np.testing.assert_allclose(found, (heads[:, chosen].sum(1) - np.mean(each, 0)) / 2, atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_a_head_counts_by_mann_and_whitneys_u_of_the_induction_heads_below_it(seed):
    induction, heads = drawn(seed)
    depths = np.nonzero(induction >= 0.5 * induction.max())[0]
    counts = [2 * mannwhitneyu([layer], depths).statistic / len(depths) - 1 for layer in range(len(induction))]

    found = learnt_above_induction(Asked(induction, heads)).values[0]
    np.testing.assert_allclose(found, np.einsum("slh,l->s", heads, counts) / 2, atol=1e-9)


def outcomes(base, words, tmp_path):
    """What the claims on labels say of a model of this folder."""
    testbed = replace(POCKET, name="planted", base=base, probe_inputs={Word: words})
    context = RunContext(testbed=testbed, store=Store(tmp_path / "store", run="test"), tell=lambda line: None)
    candidate = CheckpointSet(name="planted", folder=base, context=context)
    tests = (
        suite.test_labels_are_learnt_in_context,
        suite.test_induction_heads_carry_more_of_what_is_learnt_in_context_than_others,
        suite.test_labels_are_learnt_by_heads_above_the_induction_heads,
    )
    return [judge(test.__claim__, test(candidate)).outcome for test in tests]


@pytest.mark.heavy
@pytest.mark.parametrize("seed", FIVE_SEEDS)
def test_where_words_end_alike_induction_heads_learn_their_labels_and_nothing_above_them(seed, tmp_path):
    found = outcomes(save_two_awake(tmp_path / "two", seed=seed), words_that_end_alike, tmp_path)

    assert found == [Outcome.SUPPORTED, Outcome.SUPPORTED, Outcome.REFUTED]


@pytest.mark.heavy
@pytest.mark.parametrize("seed", FIVE_SEEDS)
def test_a_layer_trained_alone_above_induction_heads_learns_labels_without_them(seed, tmp_path):
    found = outcomes(save_layer_above(tmp_path / "above", seed=seed), words_of_one_token, tmp_path)

    assert found == [Outcome.SUPPORTED, Outcome.REFUTED, Outcome.SUPPORTED]


@pytest.mark.heavy
def test_fresh_weights_learn_no_label(tmp_path):
    assert (
        outcomes(save_two_awake(tmp_path / "two", seed=0, steps=0), words_that_end_alike, tmp_path)
        == [Outcome.REFUTED] * 3
    )
