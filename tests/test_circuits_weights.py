"""Circuits: against matrices of the vocabulary's size written out, and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthgauge.core.errors import InvalidCheckpoint, NotTestable, StatisticUndefined
from depthgauge.models.anatomy import block_parts, blocks, norm_of
from depthgauge.models.attention import attention_computed_by
from depthgauge.probes.circuits import weights as circuit_weights
from depthgauge.probes.circuits.weights import (
    circuit_spectra,
    composition,
    eigenvalue_scores,
    head_weights,
    numerical_rank,
    overlap,
    positivity,
    singular_values,
    skip_trigrams,
    stable_rank,
)
from tests.families import alike, every_family, logits_of, random_model, uneven_model, without_biases
from tests.processes import refused


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

    np.testing.assert_allclose(alike(read, x @ circuit_weights.read_through(parts, reading)), 1)
    np.testing.assert_allclose(alike(written, x @ x.T @ circuit_weights.written_through(parts, writing)), 1)


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
    monkeypatch.setattr(circuit_weights, "CHUNK", 10)
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
    monkeypatch.setattr(circuit_weights, "CHUNK", 10)
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


def test_what_cannot_be_measured_says_why():
    model = random_model("llama")
    for call, values, code in (
        (lambda: head_weights(model, 3), ["(3, 0)", "3 layers of 4"], None),
        (lambda: skip_trigrams(model, 0, -1, [1], 2), ["(0, -1)"], None),
        (lambda: skip_trigrams(model, 0, 0, [97], 2), ["token 97", "0 to 96"], None),
        (lambda: skip_trigrams(model, 0, 0, [1], 98), ["top 98", "97 tokens"], None),
        (lambda: skip_trigrams(model, 0, 0, [], 2), [], "empty"),
        (lambda: composition(model, 0, 1, draws=0), ["1 draw", "got 0"], None),
        (lambda: composition(model, 2, 2), ["layer 2"], None),
        (lambda: positivity(np.zeros((3, 2, 2, 2))), ["(0, 0)", "eigenvalue"], None),
        (lambda: stable_rank(np.zeros(3)), ["stable rank"], "zero"),
        (lambda: overlap(*map(np.zeros, [(1, 4, 2), (1, 2, 4)] * 2)), ["composition"], "zero"),
    ):
        with refused(StatisticUndefined, *values, code=code):
            call()


def test_weights_that_are_not_finite_have_no_circuits():
    model = random_model("llama")
    with torch.no_grad():
        model.model.layers[0].self_attn.v_proj.weight[0, 0] = torch.nan

    for call in (
        lambda: eigenvalue_scores(model),
        lambda: circuit_spectra(model),
        lambda: composition(model, 0, 1),
        lambda: skip_trigrams(model, 0, 0, [1], 2),
    ):
        with refused(InvalidCheckpoint, code="not-finite"):
            call()


def test_projections_in_an_unknown_form_are_refused():
    quantised = random_model("llama")
    quantised.model.layers[0].self_attn.q_proj = torch.nn.Identity()

    with refused(NotTestable, "Identity"):
        head_weights(quantised, 0)
