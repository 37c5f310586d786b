"""Massive values: sizes against a slow oracle, planted ones found and destroyed, and what has none said."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.models.attention import layers_attended_by
from depthgauge.stats import exactly
from depthgauge_suites.layer_papers.massive_values import (
    FACTOR,
    before_rotation,
    is_massive,
    shared_beyond_chance,
    slowness_of,
)
from depthgauge_suites.layer_papers.massive_values.ablation import (
    Numbers,
    as_many_others,
    moments,
    recall,
    replacing,
    tokenized,
)
from depthgauge_suites.layer_papers.massive_values.compute import read, speeds, starts
from tests.corrupted import corrupt_model
from tests.processes import refused

LAYERS, HEADS, GROUPS, SIZE = 3, 4, 2, 16
SLOW = SIZE // 2 - 1  # the slowest of the pairs that rotate together, d and d + SIZE / 2


def llama(seed, **options):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=40, hidden_size=HEADS * SIZE, intermediate_size=32, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=GROUPS, max_position_embeddings=64, **options,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def plant(model, dimensions, factor=40.0):
    """Make numbers of every head massive, in queries and in keys."""
    with torch.no_grad():
        for block in model.model.layers:
            for module in (block.self_attn.q_proj, block.self_attn.k_proj):
                module.weight.view(-1, SIZE, HEADS * SIZE)[:, dimensions] *= factor
    return model


def rows(seed, number=6, length=12):
    return torch.randint(0, 40, (number, length), generator=torch.Generator().manual_seed(seed)).tolist()


def test_sizes_are_those_of_a_loop_before_and_after_rotation():
    model, ids = llama(0), rows(0)
    found = read(model, ids)
    states, turned = {}, {}
    for layer, block in enumerate(model.model.layers):
        for name in ("q", "k", "v"):
            module = getattr(block.self_attn, f"{name}_proj")
            module.register_forward_hook(
                lambda _m, _i, out, key=(name, layer): states.setdefault(key, []).append(
                    out[0].reshape(len(out[0]), -1, SIZE)
                )
            )
    with torch.no_grad():
        for row in ids:
            model(input_ids=torch.tensor([row]))
        cosine, sine = model.model.rotary_emb(torch.zeros(1), torch.arange(len(ids[0]))[None])
    for (name, layer), texts in states.items():
        halves = [torch.cat([-t[..., SIZE // 2 :], t[..., : SIZE // 2]], -1) for t in texts]
        rotated = [t * cosine[0][:, None] + h * sine[0][:, None] for t, h in zip(texts, halves, strict=True)]
        turned[name, layer] = torch.cat(texts if name == "v" else rotated).double().square().mean(0).sqrt()
        if name != "v":
            slow = torch.cat(texts).double().square().mean(0).sqrt()
            np.testing.assert_allclose(found[f"{name}_projected"][layer], slow, rtol=1e-5)
    for (name, layer), slow in turned.items():
        np.testing.assert_allclose(found[name][layer], slow, rtol=1e-5)
        assert is_massive(found[name])[layer].sum() == sum(
            float(slow[h, d]) > FACTOR * float(slow.mean()) for h in range(len(slow)) for d in range(SIZE)
        )


@pytest.mark.parametrize("seed", range(5))
def test_planted_ones_are_found_where_they_are_and_fresh_weights_have_none(seed):
    ids = rows(seed)
    planted, fresh = read(plant(llama(seed), [SLOW]), ids), read(llama(seed), ids)

    for side in "qk":
        assert {int(d) for _, _, d in np.argwhere(is_massive(planted[side]))} == {SLOW}
        assert is_massive(planted[side]).sum() == LAYERS * planted[side].shape[1]
        assert not is_massive(fresh[side]).any()
    assert not is_massive(planted["v"]).any()
    assert shared_beyond_chance(is_massive(planted["q"])).min() > 0.5
    assert slowness_of(is_massive(before_rotation(planted)), planted["speeds"]).min() > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_scattered_heads_share_no_dimensions_rotate_fast_and_are_massive_as_often(seed):
    model, ids = plant(llama(seed), [SLOW]), rows(seed)
    before = read(model, ids)
    corrupt_model(model, "shuffle_head_dimensions", seed=seed)
    after = read(model, ids)

    assert is_massive(after["q_projected"]).sum() == is_massive(before["q_projected"]).sum()
    assert slowness_of(is_massive(before_rotation(after)), after["speeds"]).max() < 0.5
    assert (
        np.nanmean(shared_beyond_chance(is_massive(after["q"])))
        < 0.5
        < shared_beyond_chance(is_massive(before["q"])).min()
    )


@pytest.mark.parametrize("seed", range(5))
def test_where_attention_rests_on_the_massive_numbers_others_can_go_and_these_cannot(seed):
    model, ids = llama(seed), rows(seed)
    with torch.no_grad():
        for block in model.model.layers:
            for module in (block.self_attn.q_proj, block.self_attn.k_proj):
                kept = module.weight.view(-1, SIZE, HEADS * SIZE)
                kept[:, [d for d in range(SIZE) if d != SLOW]] *= 1e-6
    found = moments(model, ids)
    chosen, means = (
        Numbers(*(is_massive(np.sqrt(found[side][1])) for side in "qk")), Numbers(*(found[side][0] for side in "qk")),
    )  # fmt: skip
    asked = [(row[:-2], row[-2:]) for row in ids]
    intact, massive = recall(model, asked), recall(model, asked, replacing(chosen, means))
    others = recall(model, asked, replacing(as_many_others(chosen, np.random.default_rng(seed)), means))

    np.testing.assert_allclose(others, intact, atol=1e-6)
    assert np.abs(massive[:, 0] - intact[:, 0]).max() > 1e-4


def test_an_answers_log_probability_is_that_of_a_slow_loop():
    model, ids = llama(3), rows(3, length=9)
    asked = [(row[: 4 + i % 2], row[4 + i % 2 : 7]) for i, row in enumerate(ids)]
    slow = []
    with torch.no_grad():
        for prompt, answer in asked:
            logs = [
                model(torch.tensor([[*prompt, *answer[:i]]])).logits[0, -1].log_softmax(-1) for i in range(len(answer))
            ]
            slow.append([sum(float(each[t]) for each, t in zip(logs, answer, strict=True)),
                         all(int(each.argmax()) == t for each, t in zip(logs, answer, strict=True))])  # fmt: skip

    np.testing.assert_allclose(recall(model, asked), slow, atol=1e-5)


@given(st.integers(0, 99), st.integers(0, 8))
def test_as_many_others_are_destroyed_and_none_that_is_massive(seed, most):
    random = np.random.default_rng(seed)
    dense = [random.random((LAYERS, heads, SIZE)) < most / 40 for heads in (HEADS, GROUPS)]
    chosen = Numbers(*dense)
    others = as_many_others(chosen, random)
    for layer in range(LAYERS):
        massive, other = (np.concatenate([side[layer] for side in each]) for each in (chosen, others))
        pairs = massive.any(0).reshape(2, -1).any(0).sum()
        assert not (massive.any(0) & other.any(0)).any()
        assert other.sum() == massive.sum() or pairs > SIZE // 4
        assert sorted(other.sum(0)) == sorted(massive.sum(0)) or pairs > SIZE // 4


def test_sharing_is_none_by_chance():
    random, found = np.random.default_rng(0), []
    for _ in range(400):
        massive = np.zeros((1, HEADS, SIZE), bool)
        for head in massive[0]:
            head[random.choice(SIZE, 2, replace=False)] = True
        found.append(shared_beyond_chance(massive)[0])

    assert abs(np.mean(found)) < 4 * np.std(found) / 20


def test_numbers_that_turn_fast_rank_low_and_a_model_without_rotation_has_no_speeds():
    assert np.argmin(speeds(llama(0))) in (SLOW, SIZE - 1) and speeds(llama(0))[0] == pytest.approx(1)
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=64, n_embd=32, n_layer=2, n_head=4)).eval()
    found = read(gpt2, rows(0))
    assert "speeds" not in found and found["q"].shape == (2, 4, 8)


def test_the_answer_begins_where_it_parts_from_the_prompt_alone(tiny_base):
    from depthgauge.models.load import load

    tokenizer = load(tiny_base)[1]
    assert tokenized(tokenizer, "ab", "cd") == ([3, 4], [2, 5, 6])


def test_one_head_a_layer_and_a_text_of_one_token_are_one_sentence(tiny_base):
    from depthgauge.models.load import load

    with refused(NotTestable, code="alone"):
        shared_beyond_chance(np.ones((2, 1, 4), bool))
    with refused(StatisticUndefined, "1 tokens"):
        starts(*load(tiny_base), ["a"])


def test_an_attention_is_taken_over_for_one_run_and_given_back():
    model, ids = llama(0), torch.tensor(rows(0))
    with torch.no_grad():
        before = model(ids).logits
        with layers_attended_by(model, lambda _, attention, value: torch.zeros_like(attention.query)):
            assert not torch.allclose(model(ids).logits, before)
        assert torch.equal(model(ids).logits, before)


def test_the_share_beyond_values_is_exact():
    assert exactly(np.array([0.25]), estimand="x", unit="share").low == 0.25
