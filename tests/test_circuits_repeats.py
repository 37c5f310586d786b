"""Head scores, learning in context and ablation of heads: perfect heads, closed forms, the maps themselves."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from depthgauge.core.errors import InvalidCheckpoint, NotTestable, StatisticUndefined
from depthgauge.models.anatomy import block_parts, blocks
from depthgauge.models.attention import BATCH, attention_maps
from depthgauge.models.logit_attribution import logit_attribution
from depthgauge.probes.circuits import repeats
from depthgauge.probes.circuits.repeats import (
    head_scores,
    in_context_loss,
    offset_scores,
    positional,
    random_targets,
    repeated_sequences,
    without_heads,
)
from tests.families import (
    PROMPTS,
    VOCABULARY,
    encoder,
    every_family,
    hooks,
    logits_of,
    random_model,
    uneven_model,
)
from tests.processes import refused


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
    monkeypatch.setattr(repeats, "watch", lambda model, ids, see: see(0, None, left.pop(0)))
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


def test_a_positional_head_looks_at_one_distance_whatever_the_tokens_are(monkeypatch):
    random = torch.Generator().manual_seed(0)
    heads = torch.stack([pointing(12, lambda i, back=back: i - back) for back in (0, 1, 3)]).expand(40, -1, -1, -1)
    masses = torch.rand(40, 1, 12, 12, generator=random).tril()
    model = with_maps(monkeypatch, torch.cat([heads, masses / masses.sum(-1, keepdim=True)], 1))
    found = head_scores(model, repeated_sequences(model, 40, 6), permutations=99).positional

    # The queries 1 to 5 look; where the key three before is not there, this head looks at the query itself.
    assert found.distance[0, :3].tolist() == [0, 1, 3]
    np.testing.assert_array_equal(found.share[:, 0, :3], np.broadcast_to([1, 1, 0.6], (40, 3)))
    assert (found.p_values[0, :3] == 0.01).all()
    assert found.p_values[0, 3] > 0.05


def test_positional_p_values_are_uniform_where_keys_are_shuffled():
    random = torch.Generator().manual_seed(3)
    queries = np.arange(1, 21)
    looked = queries - random_targets((40 * 300, 21), random)[:, 1:].numpy()
    by_chance = queries - random_targets((499, 40, 21), random)[..., 1:].numpy()
    found = positional(looked.reshape(40, 1, 300, 20).astype(np.int16), by_chance)

    # Counts are whole numbers, and ties make p a little too large: never too small.
    for level in (0.01, 0.05, 0.2):
        assert (found.p_values <= level).mean() <= level + 3 * (level * (1 - level) / 300) ** 0.5
    assert (found.p_values <= 0.2).mean() > 0.1


def test_null_targets_are_the_query_itself_and_every_key_before_it():
    targets = random_targets((2000, 1, 6), torch.Generator().manual_seed(0))[:, 0]

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
    monkeypatch.setattr("depthgauge.models.attention.BATCH", 2)
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


def test_what_cannot_be_measured_says_why():
    model = random_model("llama")
    repeated = repeated_sequences(model, 2, 5)
    for call, values in (
        (lambda: without_heads(model, [(0, 4)]).__enter__(), ["(0, 4)"]),
        (lambda: head_scores(model, [[1, 2, 1, 2]]), ["4 tokens", "6 to 64"]),
        (lambda: head_scores(model, [list(range(40)) * 2]), ["80 tokens", "6 to 64"]),
        (lambda: head_scores(model, [[1, 2, 3, 4, 5, 6]]), ["sequence 0"]),
        (lambda: head_scores(model, [*repeated, repeated[0][:-1]]), ["sequence 2", "9 tokens", "sequence 0", 10]),
        (lambda: head_scores(model, repeated, permutations=0), ["1 permutation", "got 0"]),
        (lambda: repeated_sequences(model, 1, 2), ["3 to 97"]),
        (lambda: repeated_sequences(model, 1, 5, pool=[1, 2, 3, 3]), ["3 to 3"]),
        (lambda: offset_scores(torch.eye(5)), ["got 5 tokens"]),
    ):
        with refused(StatisticUndefined, *values):
            call()
    with refused(StatisticUndefined, code="empty"):
        in_context_loss(model, [])


def test_models_that_see_later_tokens_are_refused():
    model = encoder()

    with refused(NotTestable, "BertLMHeadModel", code="not-causal"):
        head_scores(model, repeated_sequences(model, 2, 5))


def test_numbers_that_are_not_finite_are_no_evidence():
    model = random_model("llama")
    sequences = repeated_sequences(model, 2, 5)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan

    for measure in (head_scores, in_context_loss):
        with refused(InvalidCheckpoint, code="not-finite"):
            measure(model, sequences)
