"""Attention heads compared: against transformers' own maps, scipy's divergence row by row, and closed forms."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from transformers import AttentionInterface, BloomConfig, BloomForCausalLM, GptOssConfig, GptOssForCausalLM

from depthgauge.core.errors import InvalidCheckpoint, InvalidComparison, NotTestable, StatisticUndefined
from depthgauge.models import attention
from depthgauge.models.attention import Attention, attention_maps, watch
from depthgauge.models.load import load
from depthgauge.probes.attention.compute import (
    changed_attention,
    divergence,
    head_divergence,
    jensen_shannon_bits,
    top_head_stability,
    top_heads,
)
from depthgauge.probes.attention.fragments import fragment_mask, share_on_fragments
from depthgauge_testbeds.pocket import POCKET
from tests.families import CONTEXT, FAMILIES, VOCABULARY, WINDOW, random_model
from tests.processes import refused

GENERATOR = np.random.default_rng(0)
PROMPTS = [GENERATOR.integers(2, VOCABULARY, size=length).tolist() for length in (7, 12, 7, 3, 7)]
every_family = pytest.mark.parametrize("family", FAMILIES)
# scipy's own divergence is infinite where a mass is as small as 1e-310.
masses = arrays(np.float64, 6, elements=st.sampled_from([0.0, 1e-40, 1e-9, 0.5, 1.0]) | st.floats(1e-300, 1))
distributions = masses.filter(lambda mass: mass.sum() > 1e-3).map(lambda mass: mass / mass.sum())


def eager_maps(model, ids):
    """The peer: (layers, heads, T, T) as transformers hands them out."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        maps = model(torch.tensor([ids]), output_attentions=True).attentions
    model.set_attn_implementation(before)
    return torch.cat(maps).numpy()


def slow_bits(p, q, first_key):
    """scipy's divergence of one head, one row after the other, with the keys from `first_key` on."""
    rows = range(1 + first_key, len(p))
    return np.mean([jensenshannon(p[i, first_key : i + 1], q[i, first_key : i + 1], base=2) ** 2 for i in rows])


def slow_divergence(p, q, width):
    """The five numbers of one head, where a query sees at most `width` keys."""
    cells = [(i, j) for i in range(1, len(p)) for j in range(max(0, i - width + 1), i + 1)]
    mae = np.mean([abs(p[cell] - q[cell]) for cell in cells])
    return [slow_bits(p, q, 0), slow_bits(p, q, 1), mae, p[:, 0].mean(), q[:, 0].mean()]


def windows(family):
    """How many keys a query sees, layer by layer."""
    config = FAMILIES[family]()
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * 3
    sliding = family == "mistral"
    return [WINDOW if sliding or kind == "sliding_attention" else CONTEXT for kind in kinds]


@every_family
def test_maps_are_those_that_transformers_hands_out(family):
    model, ids = random_model(family), PROMPTS[1]
    heads = [(layer, head) for layer in (2, 0, 1) for head in (3, 0, 1, 2)]
    slow = eager_maps(model, ids)

    np.testing.assert_allclose(attention_maps(model, ids, heads), [slow[head] for head in heads], atol=1e-6)


@every_family
def test_divergences_are_scipys_row_by_row(family, monkeypatch):
    """Batched by length on one side, each prompt alone on the other."""
    monkeypatch.setattr(attention, "BATCH", 2)
    model, other = random_model(family, 0), random_model(family, 1)
    found = np.stack(head_divergence(model, other, PROMPTS), axis=-1)

    assert found.shape == (len(PROMPTS), 3, 4, 5) and found.dtype == np.float32
    for prompt, ids in enumerate(PROMPTS):
        maps, other_maps = eager_maps(model, ids), eager_maps(other, ids)
        for layer, width in enumerate(windows(family)):
            for head in range(4):
                slow = slow_divergence(maps[layer, head], other_maps[layer, head], width)
                np.testing.assert_allclose(found[prompt, layer, head], slow, atol=1e-6)


@every_family
def test_watching_changes_nothing_in_what_a_model_computes(family):
    model = random_model(family)
    model.set_attn_implementation("eager")
    ids = torch.tensor(PROMPTS[:1])
    outputs = []
    handle = model.base_model.register_forward_hook(lambda *args: outputs.append(args[2].last_hidden_state))
    with torch.no_grad():
        model(ids)
    watch(model, ids, lambda *args: None)
    handle.remove()

    assert model.config._attn_implementation == "eager"
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-6, rtol=0)


def test_a_model_is_itself_again_after_an_exception_in_the_middle():
    model, before = random_model("llama"), dict(AttentionInterface._global_mapping)
    implementation = model.config._attn_implementation

    def fail(layer, seen, weights):
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        watch(model, torch.tensor(PROMPTS[:1]), fail)

    assert model.config._attn_implementation == implementation
    assert AttentionInterface._global_mapping == before


def test_maps_of_one_layer_are_all_that_is_held(monkeypatch):
    alive, most, weights = weakref.WeakSet(), [], Attention.weights

    def counted(self):
        maps = weights(self)
        alive.add(maps)
        most.append(len(alive))
        return maps

    monkeypatch.setattr(Attention, "weights", counted)
    head_divergence(random_model("llama", 0), random_model("llama", 1), PROMPTS)

    assert len(most) == 3 * 3 * 3 and max(most) == 2  # lengths by layers by one map kept none, two compared


@given(distributions, distributions)
def test_divergence_is_that_of_scipy_symmetric_and_at_most_a_bit(p, q):
    bits = float(jensen_shannon_bits(torch.tensor(p), torch.tensor(q)))

    assert bits == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-6)
    assert bits == pytest.approx(float(jensen_shannon_bits(torch.tensor(q), torch.tensor(p))), rel=1e-12, abs=1e-15)
    assert 0 <= bits <= 1 + 1e-12
    assert float(jensen_shannon_bits(torch.tensor(p), torch.tensor(p))) == 0


def test_divergence_has_its_published_and_its_extreme_values():
    certain, even = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])

    assert float(jensen_shannon_bits(certain, even)) * np.log(2) == pytest.approx(0.46450140402245893**2)
    assert float(jensen_shannon_bits(certain, certain.flip(0))) == pytest.approx(1)


@pytest.mark.parametrize("step", [1e-3, 1e-5, 1e-7])
def test_tiny_divergences_keep_their_digits(step):
    """To second order it is the sum of (p - q)^2 / (8 p), in nats."""
    p = torch.tensor([0.3, 0.7], dtype=torch.float64)
    q = p + torch.tensor([step, -step], dtype=torch.float64)
    second_order = float(((p - q) ** 2 / p).sum()) / 8 / np.log(2)

    assert float(jensen_shannon_bits(p, q)) == pytest.approx(second_order, rel=4 * step + 1e-7)


def test_a_row_without_mass_beside_the_sink_adds_nothing_to_the_sink_free_divergence():
    cells = torch.ones(4, 4).tril() > 0
    to_sink, uniform = torch.zeros(1, 1, 4, 4), torch.tril(torch.ones(1, 1, 4, 4) / torch.arange(1, 5)[:, None])
    to_sink[..., 0] = 1
    half = to_sink.clone()
    half[..., 3, :] = torch.tensor([0.4, 0.6, 0, 0])

    assert divergence(to_sink, uniform, cells)[0, 0, 1] == 0
    slow = jensenshannon([1, 0, 0], [1, 1, 1], base=2) ** 2 / 2
    assert float(divergence(half, uniform, cells)[0, 0, 1]) == pytest.approx(slow)


def test_heads_whose_queries_are_zero_attend_uniformly():
    model = random_model("llama")
    for layer in model.model.layers:
        torch.nn.init.zeros_(layer.self_attn.q_proj.weight)
    found = head_divergence(model, random_model("llama", 1), [list(range(2, 66))])

    np.testing.assert_allclose(found.sink, 0.0741, atol=5e-5)


@pytest.mark.parametrize("family", ["qwen3", "llama", "gemma3"])
def test_a_repeated_token_leaves_attention_to_distance_alone(family):
    """Gu et al. (2025), appendix C: every position has the same state, so no first token can be special."""
    model, ids = random_model(family), [7] * 32
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    for state in states:
        torch.testing.assert_close(state, state[:, :1].expand_as(state), atol=2e-4, rtol=2e-4)

    above = np.triu(np.ones((32, 32)), 1)
    for rows in np.log(attention_maps(model, ids, [(1, head) for head in range(4)]) + above):
        for distance in range(4):
            relative = [rows[i, i - distance] - rows[i, i] for i in range(distance, 32)]
            np.testing.assert_allclose(relative, relative[0], atol=2e-3)


def test_a_model_does_not_differ_from_itself():
    model = random_model("qwen3")
    found = head_divergence(model, model, PROMPTS)

    assert not found.jsd_bits.any() and not found.jsd_sink_free_bits.any() and not found.mae.any()
    np.testing.assert_array_equal(found.sink, found.other_sink)


def test_the_order_of_two_models_swaps_their_sinks_and_nothing_else():
    model, other = random_model("gemma2", 0), random_model("gemma2", 1)
    found, swapped = head_divergence(model, other, PROMPTS), head_divergence(other, model, PROMPTS)

    np.testing.assert_allclose(found[:3], swapped[:3], rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(found[3:], swapped[:2:-1])


def test_one_changed_head_is_found_and_no_head_before_it_moves():
    model, other = random_model("qwen3"), random_model("qwen3")
    with torch.no_grad():
        other.model.layers[1].self_attn.q_proj.weight[2 * 16 : 3 * 16] *= -1  # the queries of head 2
    jsd_bits = head_divergence(model, other, PROMPTS).jsd_bits

    assert not jsd_bits[:, 0].any() and not jsd_bits[:, 1, [0, 1, 3]].any() and (jsd_bits[:, 1, 2] > 0).all()
    assert top_heads(jsd_bits[:, :2], 1) == [(1, 2)]


@every_family
def test_changed_attention_is_the_difference_of_the_maps_summed_over_queries(family):
    model, other = random_model(family, 0), random_model(family, 1)
    prompts = [*PROMPTS, [3, 4]]

    for ids, changed in zip(prompts, changed_attention(model, other, prompts), strict=True):
        slow = np.abs(eager_maps(model, ids) - eager_maps(other, ids))[:, :, 1:].sum(2)
        np.testing.assert_allclose(changed, slow, atol=1e-5)


def test_top_heads_are_ranked_by_their_mean_with_ties_in_order():
    by_prompt = np.array([[[0.0, 5.0], [1.0, 3.0]], [[0.0, 1.0], [1.0, 3.0]]])

    assert top_heads(by_prompt, 3) == [(0, 1), (1, 1), (1, 0)]
    for k in (0, 5):
        with refused(StatisticUndefined, k, 4):
            top_heads(by_prompt, k)


def test_stability_is_the_share_of_resamples_that_agree():
    """Of two prompts the four resamples are equally likely, and one of them holds the other head's prompt alone."""
    by_prompt = np.array([[[9.0, 1.0, 0.0]], [[9.0, 0.0, 1.1]]])
    share = top_head_stability(by_prompt, 2, resamples=4000)

    assert share[0] == 1 and share[1] == pytest.approx(0.75, abs=0.03)
    np.testing.assert_array_equal(share, top_head_stability(by_prompt, 2, resamples=4000))
    assert share[1] != top_head_stability(by_prompt, 2, resamples=4000, seed=1)[1]
    with refused(StatisticUndefined, code="too-few"):
        top_head_stability(by_prompt[:1], 1)


def test_models_of_different_shapes_are_refused():
    smaller = BloomForCausalLM(BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4))

    with refused(InvalidComparison, "3 layers of 4", "2 of 4"):
        head_divergence(random_model("llama"), smaller, PROMPTS)


def bloom(seed=0):
    """A family that computes its attention without transformers' interface."""
    torch.manual_seed(seed)
    return BloomForCausalLM(BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4)).eval()


def test_a_family_that_computes_its_attention_itself_is_read_off_what_it_returns():
    model, other, ids = bloom(0), bloom(1), PROMPTS[1]
    before = model.config._attn_implementation
    heads = [(layer, head) for layer in range(2) for head in range(4)]
    slow = eager_maps(model, ids)
    maps, found = attention_maps(model, ids, heads), np.stack(head_divergence(model, other, [ids]), axis=-1)

    np.testing.assert_allclose(maps, [slow[head] for head in heads], atol=1e-6)
    for (layer, head), theirs in zip(heads, attention_maps(other, ids, heads), strict=True):
        expected = slow_divergence(slow[layer, head], theirs, CONTEXT)
        np.testing.assert_allclose(found[0, layer, head], expected, atol=1e-6)
    assert model.config._attn_implementation == before


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda maps: None, "BloomForCausalLM computes its attention by itself, and returns no map of every head"),
        (lambda maps: maps[:1], "returns no map of every head"),
        (lambda maps: tuple(2 * one for one in maps), "BloomForCausalLM returns attention maps whose rows do not sum"),
    ],
    ids=["none", "of one layer", "of other sums"],
)
def test_models_that_hand_out_no_attention_weights_are_not_testable(change, sentence):
    def changed(_module, _inputs, output):
        output.attentions = change(output.attentions) if output.attentions else None
        return output

    model = bloom()
    model.transformer.register_forward_hook(changed)
    with pytest.raises(NotTestable, match=sentence):
        attention_maps(model, PROMPTS[0], [(0, 0)])


def test_attention_with_learned_sinks_is_not_testable():
    oss = GptOssForCausalLM(
        GptOssConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            num_local_experts=2,
            num_experts_per_tok=1,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=1,
        )
    )

    with refused(NotTestable, "GptOssForCausalLM", "sinks"):
        attention_maps(oss, PROMPTS[0], [(0, 0)])


@pytest.mark.parametrize(
    "prompts, values",
    [
        ([], "at least one"),
        ([[2, 3, 4], [2]], ["prompt 1", "1 tokens", "3 to 64"]),
        ([[2] * 65], ["prompt 0", "65 tokens"]),
        ([[2, 3, 4000]], ["token 4000", "prompt 0"]),
    ],
)
def test_prompts_too_short_or_too_long_are_refused(prompts, values):
    model = random_model("gpt2")

    with refused(StatisticUndefined, *values):
        head_divergence(model, model, prompts)


def test_a_head_that_is_not_there_is_refused():
    with refused(StatisticUndefined, (0, 4)):
        attention_maps(random_model("llama"), PROMPTS[0], [(0, 0), (0, 4)])


def test_attention_that_is_not_finite_is_refused():
    model, broken = random_model("llama"), random_model("llama")
    torch.nn.init.constant_(broken.model.layers[1].self_attn.q_proj.weight, float("nan"))

    with refused(InvalidCheckpoint, code="not-finite"):
        head_divergence(model, broken, PROMPTS)
    with refused(InvalidCheckpoint, code="not-finite"):
        attention_maps(broken, PROMPTS[0], [(1, 0)])


# -- what changed attention falls on ---


@pytest.fixture(scope="module")
def tokenizer():
    return load(POCKET.base)[1]


def test_the_pieces_of_a_term_are_marked_wherever_it_stands(tokenizer):
    mask = fragment_mask(tokenizer, "The H2SO4 met the H2SO4.", ["H2SO4"])

    assert [tokenizer.decode([i]) for i in np.array(tokenizer("The H2SO4 met the H2SO4.")["input_ids"])[mask]] == [
        " H", "2", "SO", "4", " H", "2", "SO", "4",
    ]  # fmt: skip


def test_a_term_that_is_not_there_is_refused(tokenizer):
    with refused(StatisticUndefined, "'NaOH'"):
        fragment_mask(tokenizer, "The H2SO4", ["NaOH"])


def test_change_spread_evenly_over_what_each_query_sees_is_chance():
    tokens, rows = 9, np.tril(np.ones((9, 9))) / np.arange(1, 10)[:, None]
    mask = np.zeros(tokens, bool)
    mask[[2, 5, 6]] = True
    found, chance = share_on_fragments(rows[None, None, 1:].sum(axis=2), mask)

    assert found == pytest.approx(chance)


def test_change_on_fragments_alone_is_all_on_them():
    mask = np.array([False, True, False, False])

    assert share_on_fragments(np.array([[[9.0, 1.0, 0.0, 0.0]]]), mask)[0] == 1.0
    with refused(StatisticUndefined, code="unchanged"):
        share_on_fragments(np.zeros((1, 1, 4)), mask)
    with refused(StatisticUndefined, code="unchanged"):
        share_on_fragments(np.ones((1, 1, 4)), np.zeros(4, bool))
