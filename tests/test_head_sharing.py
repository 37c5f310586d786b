"""Heads patched at the last token: equal to a slow loop, planted carriers found, steps in shares with coverage."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.families import random_model
from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.core.testbed import Text
from depthgauge.models.load import load
from depthgauge.stats import change_point, largest_step, wilson
from depthgauge_suites.layer_papers.head_sharing import Comparison
from depthgauge_suites.layer_papers.head_sharing.compute import Case, by_size, case_of, patched, repair_of, some_subsets
from tests.corrupted import corrupt_model
from tests.processes import refused

HEADS, SIZE = 8, 4
GOOD, BAD, RIGHT, WRONG = 5, 6, 1, 2


def llama(seed, layers=3, heads=HEADS, groups=4):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=40, hidden_size=heads * SIZE, intermediate_size=48, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=groups, max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def planted(carriers, heads=HEADS):
    """One layer whose `carriers` add to the right answer's logit where a good token stands before, and take from it
    where a bad one does; all others write nothing."""
    model = llama(0, layers=1, heads=heads, groups=heads)
    width = heads * SIZE
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        embedding = model.model.embed_tokens.weight
        embedding[GOOD, 0], embedding[BAD, 0], embedding[:, 2] = 1, -1, 1
        attention = model.model.layers[0].self_attn
        for head in carriers:
            attention.v_proj.weight[head * SIZE, 0] = 1
            attention.o_proj.weight[1, head * SIZE] = 1
        for norm in (
            model.model.layers[0].input_layernorm,
            model.model.layers[0].post_attention_layernorm,
            model.model.norm,
        ):
            norm.weight.fill_(1)
        model.lm_head.weight[RIGHT, 1], model.lm_head.weight[WRONG, 1] = 1, -1
        model.lm_head.weight[WRONG, 2] = 1e-3  # a tie is wrong
    assert model.config.hidden_size == width
    return model


def repair(model, good, bad):
    case = Case([good, bad], RIGHT, WRONG)
    return repair_of(model, case, np.array([True, False]))


def slow(model, one, layer, heads, *, slices=False):
    """The margin by a whole run, with the chosen parts replaced by hand."""
    size = model.config.hidden_size // model.config.num_attention_heads
    module = model.model.layers[layer].self_attn.o_proj

    def replace(states):
        states = states.clone()
        for head in heads:
            part = slice(head * size, (head + 1) * size)
            states[0, -1, part] = one.donor[slices][layer][part]
        return states

    if slices:
        hook = module.register_forward_hook(lambda _m, _i, out: replace(out))
    else:
        hook = module.register_forward_pre_hook(lambda _m, inputs: (replace(inputs[0]),))
    with torch.no_grad():
        logits = model(torch.tensor([one.ids])).logits[0, -1]
    hook.remove()
    return float(logits[RIGHT] - logits[WRONG])


@pytest.mark.parametrize("slices", [False, True])
def test_many_subsets_in_one_run_are_equal_to_a_loop_over_whole_runs(slices):
    model = llama(1).double()
    one = repair(model, [3, 5, 7, 9, 11], [4, 8, 12, 16, 20, 24])
    subsets = np.random.default_rng(0).random((40, HEADS)) < 0.5
    layers = np.arange(40) % 3
    expected = [
        slow(model, one, layer, np.flatnonzero(s), slices=slices) for layer, s in zip(layers, subsets, strict=True)
    ]

    np.testing.assert_allclose(patched(model, one, layers, subsets, slices=slices), expected, atol=1e-10)


def test_slices_of_the_projections_output_are_no_heads():
    model = llama(2)
    one = repair(model, [3, 5, 7, 9], [4, 8, 12, 16])
    even = np.arange(HEADS)[None] % 2 == 0
    everything = np.ones((1, HEADS), bool)

    assert patched(model, one, [1], everything) == pytest.approx(
        patched(model, one, [1], everything, slices=True), abs=1e-5
    )
    assert abs(patched(model, one, [1], even) - patched(model, one, [1], even, slices=True)) > 1e-3


@pytest.mark.parametrize("carriers", [(0, 2, 4, 6), (1, 3, 5, 7), (0, 1, 2, 3, 4), (2, 3, 6), tuple(range(8))])
def test_planted_carriers_repair_from_the_number_on_that_is_more_than_half(carriers):
    model = planted(carriers)
    one = repair(model, [GOOD] * 3, [BAD] * 3)
    subsets = np.array([[bool(i >> h & 1) for h in range(HEADS)] for i in range(2**HEADS)])
    found = patched(model, one, [0] * len(subsets), subsets) > 0

    assert np.array_equal(found, subsets[:, list(carriers)].sum(1) > len(carriers) / 2)


def test_even_carriers_give_a_step_at_their_threshold_and_reordered_ones_none():
    model = planted(tuple(range(0, 16, 2)), heads=16)
    one = repair(model, [GOOD] * 3, [BAD] * 3)
    successes, tried = by_size(model, [one], 0, 16)
    point = change_point(successes, tried)
    step = largest_step(successes[None], tried[None], estimand="x", generalises_over="prompts")

    assert list(successes / tried) == [0] * 5 + [1] * 4
    assert tried.tolist() == [1, 8, 28, 56, 70, 56, 28, 8, 1]
    assert (point.place, point.low, point.high) == (5, 5, 5) and step.low > 0.5
    corrupt_model(model, "reorder_heads")
    assert by_size(model, [one], 0, 16)[0].sum() == 0


@pytest.mark.parametrize("heads, groups", [(8, 4), (9, 3), (4, 4), (6, 3)])
def test_reordered_heads_compute_the_same_and_mostly_change_parity(heads, groups):
    model, ids = llama(3, heads=heads, groups=groups), torch.tensor([[3, 5, 7, 9, 11]])
    with torch.no_grad():
        before, output = model(ids).logits, model.model.layers[0].self_attn.o_proj.weight.clone()
        corrupt_model(model, "reorder_heads")
        after, now = model(ids).logits, model.model.layers[0].self_attn.o_proj.weight
    columns = [
        next(
            old
            for old in range(heads)
            if torch.equal(output[:, old * SIZE : old * SIZE + SIZE], now[:, new * SIZE : new * SIZE + SIZE])
        )
        for new in range(heads)
    ]

    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-5)
    assert sum((old + new) % 2 for new, old in enumerate(columns)) >= heads / 2


def test_subsets_are_drawn_without_repeats():
    random = np.random.default_rng(0)
    assert some_subsets(np.array([0, 2, 4]), 2, 10, random) == [(0, 2), (0, 4), (2, 4)]
    drawn = some_subsets(np.arange(0, 32, 2), 8, 50, random)
    assert len(set(drawn)) == 50 and all(len(set(each)) == 8 for each in drawn)


def test_answers_that_begin_alike_and_heads_that_are_not_there_are_one_sentence(tiny_base):
    tokenizer = load(tiny_base)[1]
    with refused(NotTestable, "'ab'", "'ac'", code="alike"):
        case_of(tokenizer, Comparison(forms=(Text(text="a"),), right="ab", wrong="ac"))
    one = repair(llama(0), [3, 4], [5, 6])
    with refused(StatisticUndefined, (9, 7)):
        patched(llama(0), one, [9], np.ones((1, HEADS), bool))


def test_a_model_with_a_state_beside_attention_is_not_patched():
    model = random_model("falcon_h1")
    one = repair(model, [3, 4, 5], [5, 6, 7])
    with refused(NotTestable, code="more-state"):
        patched(model, one, [0], np.ones((1, 4), bool))


def test_a_share_lies_within_wilsons_bounds_at_its_level():
    random = np.random.default_rng(0)
    for p in (0.05, 0.3, 0.5):
        successes = random.binomial(40, p, size=4000)
        low, high = wilson(successes, np.full(4000, 40))
        assert ((low <= p) & (p <= high)).mean() > 0.93


@pytest.mark.parametrize("shares", [(0, 0, 1, 1), (0.1, 0.4, 0.5, 0.9), (0.5, 0.5, 0.5, 0.5)])
def test_the_largest_step_lies_in_its_interval_at_its_level(shares):
    random, held, tried = np.random.default_rng(1), 0, np.full((1, 4), 30)
    for _ in range(500):
        found = largest_step(random.binomial(30, shares)[None], tried, estimand="x", generalises_over="prompts")
        held += found.low <= np.diff(shares).max() <= found.high

    assert held / 500 >= 0.95 - 3 * (0.95 * 0.05 / 500) ** 0.5


def test_a_change_point_is_told_from_a_smooth_rise():
    tried = np.full(9, 60)
    sharp, smooth = np.where(np.arange(9) < 4, 3, 57), np.round(60 / (1 + np.exp(4 - np.arange(9)))).astype(int)

    assert change_point(sharp, tried)[:3] == (4, 4, 4) and change_point(sharp, tried).over_smooth > 2
    assert change_point(smooth, tried).over_smooth < -2


def test_a_step_needs_two_numbers_of_parts():
    with refused(StatisticUndefined, code="too-few"):
        largest_step(np.array([[3]]), np.array([[4]]), estimand="x", generalises_over="prompts")
    one = largest_step(np.array([[0, 4], [1, 3]]), np.array([[4, 4], [4, 4]]), estimand="x", generalises_over="prompts")
    assert one.generalises_over == "seeds"
