"""Circuits: against written-out matrices of the vocabulary's size, closed forms, ablations, and TransformerLens."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from transformers import BertConfig, BertLMHeadModel

from harness.anatomy import block_parts, blocks, norm_of
from harness.errors import InvalidCheckpoint, NotTestable, Undefined
from harness.models import attention_computed_by
from harness.probes import circuits
from harness.probes.attention import BATCH, attention_maps
from harness.probes.circuits import (
    circuit_spectra,
    composition,
    eigenvalue_scores,
    head_scores,
    head_weights,
    in_context_loss,
    logit_attribution,
    numerical_rank,
    offset_scores,
    overlap,
    positivity,
    repeated_sequences,
    singular_values,
    skip_trigrams,
    stable_rank,
    without_heads,
)
from tests.families import CONTEXT, FAMILIES, VOCABULARY, random_model

PROMPTS = [[5, 6, 7, 8, 9, 3], [4, 8, 1], [9, 9, 9, 9, 9, 9], [11]]
EVERY_TOKEN = range(VOCABULARY)
every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(autouse=True)
def one_thread():
    """Models as small as these take ten times as long on two threads that others use too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def uneven_model(family):
    """A random model whose norms and biases are random too: fresh ones are all 1 or 0, and could be forgotten."""
    model = random_model(family)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn(parameter.shape)
    return model


def without_biases(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    return model


def hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def logits_of(model, ids):
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].double().numpy()


def alike(one, other):
    """The cosine of two arrays along their last axis: 1 where one is the other times a positive number."""
    one, other = np.asarray(one), np.asarray(other)
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


# -- weights and circuits --------------------------------------------------------------------------------------------


@every_family
def test_head_weights_give_the_models_own_queries_keys_values_and_outputs(family):
    """At one token nothing is rotated or averaged, and norms only divide by a number: directions are the weights'."""
    model, seen, states, added = without_biases(uneven_model(family)), [], [], []

    def attend(_module, query, key, value, _mask, **_how):
        groups = query.shape[1] // key.shape[1]
        seen.append([query] + [x.repeat_interleave(groups, 1) for x in (key, value)])
        return seen[-1][2].transpose(1, 2), None

    handles = [block.register_forward_pre_hook(lambda _, args: states.append(args[0])) for block in blocks(model)]
    for parts in map(block_parts, blocks(model)):
        module = parts.output if parts.output_norm is None else parts.output_norm
        handles.append(module.register_forward_hook(lambda _, args, output: added.append(output)))
    with attention_computed_by(model, attend, masked=True):
        logits_of(model, [7])
    for handle in handles:
        handle.remove()

    for layer in range(3):
        weights, state = head_weights(model, layer), states[layer][0].double().numpy()
        for own, weight in zip(seen[layer], weights[:3], strict=True):
            assert own.shape[1] == 4
            np.testing.assert_allclose(alike(own[0].double().numpy(), state @ weight), 1, atol=1e-9)
        together = (state @ weights.value @ weights.output).sum(0)
        np.testing.assert_allclose(alike(added[layer][0].double().numpy(), together), 1, atol=1e-9)


def test_norms_are_told_apart_by_what_they_do():
    gemma = block_parts(blocks(uneven_model("gemma3"))[0]).norm
    layer_norm, bare = torch.nn.LayerNorm(32), torch.nn.LayerNorm(32, elementwise_affine=False)
    with torch.no_grad():
        layer_norm.weight.copy_(torch.linspace(-1, 2, 32))
        layer_norm.bias.copy_(torch.linspace(3, 4, 32))

    found = norm_of(layer_norm, 32)
    assert found.centred and norm_of(bare, 32).centred and not norm_of(gemma, 32).centred
    torch.testing.assert_close(found.scale, layer_norm.weight.detach().double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.bias, layer_norm.bias.detach().double(), atol=0, rtol=0)
    torch.testing.assert_close(norm_of(bare, 32).scale, torch.ones(32).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(norm_of(gemma, 32).scale, (1 + gemma.weight).detach().double(), atol=0, rtol=0)


@pytest.mark.parametrize("kind", [torch.nn.LayerNorm, torch.nn.RMSNorm])
def test_a_norm_is_folded_into_the_weights_on_either_side_of_it(kind):
    norm, x = kind(32, eps=1e-12).double(), torch.randn(5, 32).double()
    reading, writing = torch.randn(32, 7).double(), torch.randn(5, 32).double()
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-1, 2, 32))
        read, written = norm(x) @ reading, norm(x @ x.T @ writing)
    parts = norm_of(norm, 32)

    np.testing.assert_allclose(alike(read, x @ circuits.read_through(parts, reading)), 1)
    np.testing.assert_allclose(alike(written, x @ x.T @ circuits.written_through(parts, writing)), 1)


def written_out(model, layer, head):
    """The OV and QK circuits as matrices of all tokens by all tokens, (V, V), from a Llama's own weights."""
    attention, norm = model.model.layers[layer].self_attn, model.model.layers[layer].input_layernorm
    rows, shared = slice(8 * head, 8 * head + 8), slice(8 * (head // 2), 8 * (head // 2) + 8)
    embeddings = model.model.embed_tokens.weight.double()
    unembeddings = model.lm_head.weight.double() * model.model.norm.weight.double()
    seen = embeddings * norm.weight.double()
    values = seen @ attention.v_proj.weight.double()[shared].T
    ov = values @ attention.o_proj.weight.double()[:, rows].T @ unembeddings.T
    queries, keys = attention.q_proj.weight.double()[rows], attention.k_proj.weight.double()[shared]
    return ov.detach().numpy(), (seen @ queries.T @ (seen @ keys.T).T).detach().numpy()


def test_eigenvalue_scores_are_those_of_circuits_written_out_over_the_vocabulary(monkeypatch):
    monkeypatch.setattr(circuits, "CHUNK", 10)
    model = uneven_model("llama")
    found = eigenvalue_scores(model)

    assert found.ov.shape == found.qk.shape == (3, 4)
    for layer, head in np.ndindex(3, 4):
        for scores, circuit in zip(found, written_out(model, layer, head), strict=True):
            eigenvalues = np.linalg.eigvals(circuit)
            slow = eigenvalues.real.sum() / np.abs(eigenvalues).sum()
            assert scores[layer, head] == pytest.approx(slow, abs=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_a_head_that_writes_what_it_reads_copies_and_one_that_writes_the_opposite_does_not(family, sign):
    model = without_biases(random_model(family))
    model.get_output_embeddings().weight = model.get_input_embeddings().weight
    attention = block_parts(blocks(model)[1]).attention
    with torch.no_grad():
        if family == "gpt2":
            attention.c_attn.weight[:, 32:64] = attention.c_attn.weight[:, :32]
            attention.c_proj.weight.copy_(sign * attention.c_attn.weight[:, 64:].T)
        else:
            size = attention.head_dim
            for head in range(4):
                group = slice(size * (head // 2), size * (head // 2 + 1))
                rows = slice(size * head, size * (head + 1))
                attention.o_proj.weight[:, rows] = sign * attention.v_proj.weight[group].T
                attention.q_proj.weight[rows] = attention.k_proj.weight[group]
    found = eigenvalue_scores(model)

    np.testing.assert_allclose(found.ov[1], sign, atol=1e-6)
    np.testing.assert_allclose(found.qk[1], 1, atol=1e-6)
    assert (np.abs(found.ov[[0, 2]]) < 0.95).all()


def test_positivity_in_closed_form():
    turn = np.array([[0.0, -1], [1, 0]])

    np.testing.assert_allclose(positivity(np.stack([np.eye(2), -np.eye(2), turn, np.diag([3.0, -1])])), [1, -1, 0, 0.5])


@every_family
def test_spectra_and_ranks_are_those_of_circuits_written_out(family):
    model = uneven_model(family)
    found = circuit_spectra(model)
    size = found.ov.shape[-1]
    for layer in range(3):
        weights = head_weights(model, layer)
        for spectra, circuit in (
            (found.ov, weights.value @ weights.output),
            (found.qk, weights.query @ weights.key.swapaxes(1, 2)),
        ):
            slow = np.linalg.svd(circuit, compute_uv=False)
            np.testing.assert_allclose(spectra[layer], slow[:, :size], rtol=1e-9, atol=1e-12)
            slow_rank = np.linalg.norm(circuit, axis=(1, 2)) ** 2 / np.linalg.norm(circuit, 2, axis=(1, 2)) ** 2
            np.testing.assert_allclose(stable_rank(spectra[layer]), slow_rank)
            np.testing.assert_array_equal(numerical_rank(spectra[layer], 32), np.linalg.matrix_rank(circuit))


def test_a_head_of_lower_rank_is_found_though_its_weights_were_rounded():
    model = random_model("llama")
    projection = model.model.layers[2].self_attn.v_proj.weight
    with torch.no_grad():
        projection[:8] = torch.randn(8, 3) @ torch.randn(3, 32)
    ranks = numerical_rank(circuit_spectra(model).ov, 32)

    np.testing.assert_array_equal(ranks[2], [3, 3, 8, 8])
    assert (ranks[:2] == 8).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_a_circuit_is_does_not_depend_on_how_it_is_factored(seed):
    """W_V A and the inverse of A times W_O are the same head as W_V and W_O."""
    random = np.random.default_rng(seed)
    left, right, other_left, other_right = (random.standard_normal(s) for s in [(2, 12, 4), (2, 4, 12)] * 2)
    a = np.linalg.qr(random.standard_normal((2, 4, 4)))[0] * random.uniform(0.5, 2, (2, 1, 4))
    again = left @ a, np.linalg.inv(a) @ right

    np.testing.assert_allclose(singular_values(*again), singular_values(left, right), rtol=1e-9)
    np.testing.assert_allclose(positivity(again[1] @ again[0]), positivity(right @ left), atol=1e-7)
    np.testing.assert_allclose(overlap(*again, other_left, other_right), overlap(left, right, other_left, other_right))
    np.testing.assert_allclose(overlap(other_left, other_right, *again), overlap(other_left, other_right, left, right))


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2", "gpt_neox"])
def test_composition_is_that_of_circuits_written_out(family):
    model = uneven_model(family)
    found = composition(model, 0, 2, draws=3)
    first, second = head_weights(model, 0), head_weights(model, 2)

    for one, two in np.ndindex(4, 4):
        ov = first.value[one] @ first.output[one]
        qk = second.query[two] @ second.key[two].T
        for scores, later in zip(found[:3], (qk, qk.T, second.value[two] @ second.output[two]), strict=True):
            slow = np.linalg.norm(ov @ later) / np.linalg.norm(ov) / np.linalg.norm(later)
            assert scores[one, two] + found.baseline == pytest.approx(slow, rel=1e-9)


def test_random_factors_compose_as_their_dimension_says():
    """The squared ratio is 1/D on average; nothing is left of random heads, and much of a planted one."""
    model = random_model("llama")
    attention = model.model.layers[2].self_attn
    with torch.no_grad():
        attention.q_proj.weight[:8] = model.model.layers[0].self_attn.o_proj.weight[:, 24:].T
    found = composition(model, 0, 2, draws=200)

    assert found.baseline == pytest.approx(32**-0.5, rel=0.02)
    np.testing.assert_array_equal(found.key, composition(model, 0, 2, draws=200).key)
    for scores in (found.key, found.value, found.query[:, 1:], found.query[:3]):
        assert np.abs(scores).max() < 0.06 and abs(scores.mean()) < 0.02
    assert found.query[3, 0] > 0.15


def test_skip_trigrams_are_the_largest_cells_of_circuits_written_out(monkeypatch):
    monkeypatch.setattr(circuits, "CHUNK", 10)
    model, sources = uneven_model("llama"), [3, 50, 96]
    found = skip_trigrams(model, 1, 2, sources, 5)
    ov, qk = written_out(model, 1, 2)

    for row, source in enumerate(sources):
        for ids, scores, slow in (
            (found.outputs[row], found.output_scores[row], ov[source]),
            (found.queries[row], found.query_scores[row], qk[:, source]),
        ):
            np.testing.assert_array_equal(ids, np.argsort(-slow)[:5])
            np.testing.assert_allclose(scores, np.sort(slow)[::-1][:5], rtol=1e-9)


# -- heads on repeated tokens ----------------------------------------------------------------------------------------


def pointing(length, target):
    """The map whose query i looks at target(i) alone, and at itself where that is no key."""
    maps = torch.zeros(length, length)
    for i in range(length):
        maps[i, target(i) if 0 <= target(i) <= i else i] = 1
    return maps


@pytest.mark.parametrize("length", [20, 21])
def test_perfect_heads_score_one_and_nothing_elsewhere(length):
    maps = torch.stack([pointing(length, lambda i, back=back: i - back) for back in (1, 10, 9)])

    np.testing.assert_array_equal(offset_scores(maps), np.eye(3))


@pytest.mark.parametrize("length", [20, 21])
def test_uniform_attention_scores_the_mean_of_one_over_the_keys_seen(length):
    uniform = torch.ones(2, length, length).tril() / torch.arange(1, length + 1)[:, None]
    second_half = np.mean([1 / (i + 1) for i in range(length - 10, length)])
    previous, duplicate, induction = offset_scores(uniform)

    np.testing.assert_allclose(previous, np.mean([1 / (i + 1) for i in range(1, length)]), rtol=1e-6)
    np.testing.assert_allclose(duplicate, second_half, rtol=1e-6)
    np.testing.assert_allclose(induction, second_half, rtol=1e-6)


def with_maps(monkeypatch, maps):
    """Let a model of one layer attend to `maps` (S, H, T, T)."""
    left = list(maps.split(BATCH))
    monkeypatch.setattr(circuits, "watch", lambda model, ids, see: see(0, None, left.pop(0)))
    config = SimpleNamespace(num_hidden_layers=1, num_attention_heads=maps.shape[1], max_position_embeddings=64)
    unembed = SimpleNamespace(weight=torch.zeros(VOCABULARY, 1))
    return SimpleNamespace(
        config=SimpleNamespace(get_text_config=lambda: config), get_output_embeddings=lambda: unembed, device="cpu"
    )


def test_p_values_are_uniform_where_keys_are_shuffled(monkeypatch):
    """Uneven attention over keys in any order: each score's p-values in 200 heads, against the uniform law."""
    length, random = 12, torch.Generator().manual_seed(1)
    masses = torch.rand(40, 200, length, length, generator=random).pow(6).tril()
    maps = masses / masses.sum(-1, keepdim=True)
    model = with_maps(monkeypatch, maps)
    found = head_scores(model, repeated_sequences(model, 40, 6), permutations=199)

    for p_values in found.p_values:
        assert p_values.shape == (1, 200) and p_values.min() >= 1 / 200
        assert kstest(p_values[0], "uniform").pvalue > 1e-3
        assert (p_values <= 0.05).mean() == pytest.approx(0.05, abs=0.04)


def test_null_targets_are_the_query_itself_and_every_key_before_it():
    targets = circuits.random_targets((2000, 1, 6), torch.Generator().manual_seed(0))[:, 0]

    for query in range(6):
        counts = np.bincount(targets[:, query], minlength=6)
        assert not counts[query + 1 :].any()
        np.testing.assert_allclose(counts[: query + 1] / 2000, 1 / (query + 1), atol=0.04)


def test_p_values_find_the_head_that_has_the_pattern_and_no_other(monkeypatch):
    heads = [pointing(12, lambda i, back=back: i - back) for back in (1, 6, 5, 2)]
    uniform = torch.ones(12, 12).tril() / torch.arange(1, 13)[:, None]
    model = with_maps(monkeypatch, torch.stack([*heads, uniform]).expand(40, -1, -1, -1))
    found = head_scores(model, repeated_sequences(model, 40, 6), permutations=99)

    np.testing.assert_array_equal(np.array(found.p_values)[:, 0, :3] == 0.01, np.eye(3) == 1)
    assert (np.array(found.p_values)[:, 0, 3:] > 0.1).all()
    np.testing.assert_array_equal(np.array(found.p_values)[:, 0, 4], 1)  # every target of an even map scores the same


@pytest.mark.parametrize("start", [None, 0])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_head_scores_are_read_off_the_models_maps(family, start, monkeypatch):
    monkeypatch.setattr("harness.probes.attention.BATCH", 2)
    model = random_model(family)
    sequences = repeated_sequences(model, 3, 7, start=start)
    found = head_scores(model, sequences, permutations=9).scores
    heads, length = list(np.ndindex(3, 4)), len(sequences[0])

    assert found.previous.shape == (3, 3, 4) and length == 14 + (start is not None)
    for number, ids in enumerate(sequences):
        for (layer, head), rows in zip(heads, attention_maps(model, ids, heads), strict=True):
            second = range(length - 7, length)
            slow = [
                np.mean([rows[i, i - 1] for i in range(1, length)]),
                np.mean([rows[i, i - 7] for i in second]),
                np.mean([rows[i, i - 6] for i in second]),
            ]
            np.testing.assert_allclose([scores[number, layer, head] for scores in found], slow, atol=1e-6)


def test_head_scores_are_the_same_again_with_the_same_seed():
    model = random_model("qwen3")
    sequences = repeated_sequences(model, 4, 5)
    once, again = (head_scores(model, sequences, permutations=50, seed=3) for _ in range(2))

    np.testing.assert_array_equal(once.p_values, again.p_values)
    assert (np.array(once.p_values) != head_scores(model, sequences, permutations=50).p_values).any()


def test_repeated_sequences_say_different_tokens_of_the_pool_twice():
    model, pool = random_model("llama"), range(40, 60)
    sequences = repeated_sequences(model, 30, 8, seed=1, pool=pool)

    for ids in sequences:
        assert ids[:8] == ids[8:] and len(set(ids)) == 8 and set(ids) <= set(pool)
    assert set().union(*sequences) == set(pool)
    assert repeated_sequences(model, 30, 8, seed=1, pool=pool, start=2) == [[2, *ids] for ids in sequences]
    assert repeated_sequences(model, 30, 8, seed=2, pool=pool) != sequences


@pytest.mark.parametrize("start", [None, 0])
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_in_context_loss_is_that_of_the_same_tokens_the_first_and_the_second_time(family, start):
    model = random_model(family)
    sequences = repeated_sequences(model, 3, 6, start=start)
    found = in_context_loss(model, sequences)
    lead = 0 if start is None else 1

    for number, ids in enumerate(sequences):
        logits = logits_of(model, ids)
        nats = [np.logaddexp.reduce(logits[i - 1]) - logits[i - 1, ids[i]] for i in range(1, len(ids))]
        for half, loss in enumerate((found.first[number], found.repeated[number])):
            places = range(lead + 6 * half + 1, lead + 6 * half + 6)
            assert loss == pytest.approx(np.mean([nats[i - 1] for i in places]), abs=1e-6)


# -- ablation --------------------------------------------------------------------------------------------------------


@every_family
def test_ablated_heads_are_heads_whose_output_weights_are_zero(family):
    model, other = uneven_model(family), uneven_model(family)
    heads, ids = [(2, 1), (0, 3), (0, 0)], PROMPTS[0]
    before = logits_of(model, ids)
    for layer, head in heads:
        output = block_parts(blocks(other)[layer]).output
        size = 32 * (2 if family in ("qwen3", "gemma2", "gemma3") else 1) // 4
        with torch.no_grad():
            weight = output.weight if family == "gpt2" else output.weight.T
            weight[head * size : (head + 1) * size] = 0
    with without_heads(model, heads):
        ablated = logits_of(model, ids)

    np.testing.assert_allclose(ablated, logits_of(other, ids), atol=1e-5)
    assert np.abs(ablated - before).max() > 0.01
    np.testing.assert_array_equal(logits_of(model, ids), before)


def test_no_hook_is_left_behind_after_an_exception():
    model = random_model("gpt2")
    seen = []

    def fail(*_):
        seen.append(hooks(model))
        raise RuntimeError("in the end")

    model.lm_head.forward = fail
    with pytest.raises(RuntimeError, match="in the end"), without_heads(model, [(0, 1), (2, 2), (2, 3)]):
        logits_of(model, [1])
    with pytest.raises(RuntimeError, match="in the end"):
        logit_attribution(model, PROMPTS, [[1]] * 4)

    assert seen == [2, 2 + 3 * 2 + 2]
    assert hooks(model) == 0


# -- the logits as a sum ---------------------------------------------------------------------------------------------


@every_family
def test_contributions_sum_to_the_models_logits(family):
    model = uneven_model(family)
    found = logit_attribution(model, PROMPTS, [EVERY_TOKEN] * 4)
    scale = np.abs(found.logits).max()
    cap = getattr(model.config, "final_logit_softcapping", None)
    capped = found.logits if cap is None else cap * np.tanh(found.logits / cap)

    assert found.heads.shape == (4, 3, 4, VOCABULARY) and found.mlps.shape == (4, 3, VOCABULARY)
    np.testing.assert_allclose(found.total(), found.logits, rtol=0, atol=2e-6 * scale)
    np.testing.assert_allclose(capped, [logits_of(model, ids)[-1] for ids in PROMPTS], rtol=0, atol=2e-6 * scale)
    assert found.position.any() == (family == "gpt2")
    for part in (found.token, *found.heads.reshape(4, 12, -1).swapaxes(0, 1), *found.mlps.swapaxes(0, 1)):
        assert np.abs(part).max() > 1e-3 * scale
    assert hooks(model) == 0


def test_the_bias_of_an_output_matrix_is_a_constant():
    model = random_model("llama")
    before = logit_attribution(model, PROMPTS, [EVERY_TOKEN] * 4)
    model.lm_head.bias = torch.nn.Parameter(torch.linspace(-1, 1, VOCABULARY))
    found = logit_attribution(model, PROMPTS, [EVERY_TOKEN] * 4)

    assert not before.constant.any()
    np.testing.assert_array_equal(found.constant[0], torch.linspace(-1, 1, VOCABULARY).double())
    np.testing.assert_allclose(found.total(), found.logits, atol=1e-5)


def test_contributions_to_chosen_targets_are_columns_of_those_to_all():
    model, targets = uneven_model("gemma2"), [[3, 4], [96, 0], [7, 7], [1, 2]]
    every, found = (logit_attribution(model, PROMPTS, t) for t in ([EVERY_TOKEN] * 4, targets))

    for prompt, wanted in enumerate(targets):
        for part, whole in zip(found, every, strict=True):
            np.testing.assert_allclose(part[prompt], whole[prompt][..., wanted], atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_a_last_heads_contribution_is_what_its_ablation_takes_from_the_state_before_the_final_norm(family):
    """Where the last block's MLP is 0, or does not read its attention, a last head acts on the logits directly."""
    model, states = uneven_model(family), []
    norm = circuits.final_norm(model)
    if family != "gpt_neox":
        mlp = block_parts(blocks(model)[2]).mlp
        with torch.no_grad():
            (mlp.down_proj if family == "llama" else mlp.c_proj).weight.zero_()
    handle = norm.register_forward_hook(lambda _, args, output: states.append(args[0][0, -1].double()))
    logits_of(model, PROMPTS[0])
    for head in range(4):
        with without_heads(model, [(2, head)]):
            logits_of(model, PROMPTS[0])
    handle.remove()
    whole, removed = states[0], states[0] - torch.stack(states[1:])
    if family != "llama":
        whole, removed = whole - whole.mean(), removed - removed.mean(-1, keepdim=True)
    normed = removed / whole.square().mean().sqrt() * norm.weight.double()
    slow = normed @ model.get_output_embeddings().weight.double().T

    found = logit_attribution(model, PROMPTS[:1], [EVERY_TOKEN])
    np.testing.assert_allclose(found.heads[0, 2], slow.detach(), atol=2e-5)


def test_a_model_with_a_part_that_is_not_known_is_refused():
    model = random_model("llama")
    model.model.layers[1].register_forward_hook(lambda _, args, output: 1.5 * output)

    with pytest.raises(NotTestable, match="LlamaForCausalLM that are known here sum to logits that are off by"):
        logit_attribution(model, PROMPTS, [[1]] * 4)


# -- errors ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_measured_says_why():
    model = random_model("llama")
    repeated = repeated_sequences(model, 2, 5)
    for call, message in (
        (lambda: head_weights(model, 3), r"there is no head \(3, 0\): the model has 3 layers of 4"),
        (lambda: without_heads(model, [(0, 4)]).__enter__(), r"there is no head \(0, 4\)"),
        (lambda: skip_trigrams(model, 0, -1, [1], 2), r"there is no head \(0, -1\)"),
        (lambda: skip_trigrams(model, 0, 0, [97], 2), "id from 0 to 96, got 97"),
        (lambda: skip_trigrams(model, 0, 0, [1], 98), "top 98 of 97 tokens"),
        (lambda: composition(model, 2, 2), "not layer 2: swap the two"),
        (lambda: head_scores(model, [[1, 2, 1, 2]]), "has 4 tokens, and 6 to 64 are allowed"),
        (lambda: head_scores(model, [list(range(40)) * 2]), "has 80 tokens, and 6 to 64 are allowed"),
        (lambda: head_scores(model, [[1, 2, 3, 4, 5, 6]]), "sequence 0 does not say its tokens twice"),
        (lambda: head_scores(model, [*repeated, repeated[0][:-1]]), "sequence 2 has 9 tokens, sequence 0 has 10"),
        (lambda: head_scores(model, repeated, permutations=0), "at least 1 permutation, got 0"),
        (lambda: in_context_loss(model, []), "give at least one"),
        (lambda: repeated_sequences(model, 1, 2), "3 to 97 different tokens"),
        (lambda: repeated_sequences(model, 1, 5, pool=[1, 2, 3, 3]), "3 to 3 different tokens"),
        (lambda: offset_scores(torch.eye(5)), "got 5 tokens: lengthen"),
        (lambda: logit_attribution(model, [[1] * (CONTEXT + 1)], [[1]]), "has 65 tokens, and 1 to 64 are allowed"),
        (lambda: logit_attribution(model, [[1], [2]], [[1], [1, 2]]), r"as many targets, got \[1, 2\] for 2"),
        (lambda: logit_attribution(model, [[1]], [[-1]]), "got -1 in sequence 0"),
        (lambda: positivity(np.zeros((3, 2, 2, 2))), r"head \(0, 0\) \(layer, head\) has no eigenvalue but 0"),
        (lambda: stable_rank(np.zeros(3)), "stable rank of a circuit that is 0"),
        (lambda: overlap(*map(np.zeros, [(1, 4, 2), (1, 2, 4)] * 2)), "composition with a circuit that is 0"),
    ):
        with pytest.raises(Undefined, match=message):
            call()


def test_models_with_other_parts_are_refused():
    shape = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    encoder = BertLMHeadModel(BertConfig(vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, **shape)).eval()
    quantised = random_model("llama")
    quantised.model.layers[0].self_attn.q_proj = torch.nn.Identity()

    with pytest.raises(NotTestable, match="its heads cannot be told apart"):
        logit_attribution(encoder, PROMPTS, [[1]] * 4)
    with pytest.raises(NotTestable, match="BertLMHeadModel has tokens that see those after them"):
        head_scores(encoder, repeated_sequences(encoder, 2, 5))
    with pytest.raises(NotTestable, match="a Identity keeps its weights in a form that is not known"):
        head_weights(quantised, 0)


def test_numbers_that_are_not_finite_are_no_evidence():
    model = random_model("llama")
    sequences = repeated_sequences(model, 2, 5)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan

    for measure in (head_scores, in_context_loss):
        with pytest.raises(InvalidCheckpoint, match="NaN or infinite"):
            measure(model, sequences)


# -- the peer --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    """GPT-2 and the same weights in TransformerLens, which wants a tokenizer that came from a folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lens = pytest.importorskip("transformer_lens.model_bridge")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({str(i): i for i in EVERY_TOKEN}, unk_token="0"))
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="2", eos_token="0", pad_token="1", unk_token="0"
    ).save_pretrained(tmp_path)
    model = uneven_model("gpt2")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    peer = lens.TransformerBridge.boot_transformers(
        "gpt2", hf_model=uneven_model("gpt2"), tokenizer=tokenizer, device="cpu"
    )
    return model, peer


def test_transformer_lens_sees_the_same_heads(bridge):
    model, peer = bridge
    sequences = repeated_sequences(model, 3, 8)
    found = head_scores(model, sequences, permutations=1).scores
    _, cache = peer.run_with_cache(torch.tensor(sequences))

    for layer in range(3):
        patterns = cache[f"blocks.{layer}.attn.hook_pattern"]
        for scores, offset, rows in ((found.previous, -1, 15), (found.duplicate, -8, 8), (found.induction, -7, 8)):
            theirs = patterns.diagonal(offset, -2, -1)[..., -rows:].mean(-1)
            np.testing.assert_allclose(scores[:, layer], theirs.detach(), atol=1e-5)


def test_transformer_lens_attributes_the_same_logits(bridge):
    """Its own final norm is applied without its scale, which is put into the output matrix here."""
    model, peer = bridge
    found = logit_attribution(model, PROMPTS[:1], [EVERY_TOKEN])
    _, cache = peer.run_with_cache(torch.tensor(PROMPTS[:1]))
    output = (model.lm_head.weight * model.transformer.ln_f.weight).T

    for ours, stack in (
        (found.heads[0].reshape(12, -1), cache.stack_head_results(layer=-1, pos_slice=-1)),
        (found.mlps[0], torch.stack([cache[f"blocks.{layer}.hook_mlp_out"][:, -1] for layer in range(3)])),
        (found.token, cache["hook_embed"][None, :, -1]),
        (found.position, cache["hook_pos_embed"][None, :, -1]),
    ):
        theirs = cache.apply_ln_to_stack(stack, layer=-1, pos_slice=-1)[:, 0] @ output
        np.testing.assert_allclose(ours, theirs.detach(), atol=1e-5)


def test_transformer_lens_folds_the_same_norms_into_the_same_weights(bridge):
    """In its compatibility mode it also takes their mean out of the weights that write."""
    model, peer = bridge
    peer.enable_compatibility_mode()
    for layer in range(3):
        weights = head_weights(model, layer)
        theirs = [getattr(peer, name)[layer].detach() for name in ("W_Q", "W_K", "W_V", "W_O")]
        centred = weights.output - weights.output.mean(-1, keepdims=True)
        for ours, peers in zip((*weights[:3], centred), theirs, strict=True):
            np.testing.assert_allclose(ours, peers, atol=1e-5)
