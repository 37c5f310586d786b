"""Diversity and entropy against closed forms and slow oracles."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.core.errors import InvalidCheckpoint, StatisticUndefined
from depthgauge.models.load import load
from depthgauge.probes.greedy_entropy import Opening, distance_by_step
from depthgauge.probes.greedy_entropy.diversity import ngram_diversity
from depthgauge.probes.greedy_entropy.entropy import (
    collapse_step,
    entropy_trace,
    first_repeat_step,
    keeps_a_cache,
    loop,
    loop_length,
    one_by_one,
    smoothed,
    token_entropy,
)
from tests.processes import refused

tokens = st.lists(st.integers(0, 3), min_size=1, max_size=40)


@given(tokens, st.integers(1, 5))
def test_diversity_is_unique_ngrams_over_all_ngrams(ids, n):
    if len(ids) < n:
        with refused(StatisticUndefined, code="too-few"):
            ngram_diversity(ids, n)
        return
    slow = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]

    assert ngram_diversity(ids, n) == len({*slow}) / len(slow)


def test_diversity_of_the_published_loops():
    """Loops of 20, 40 and 21 tokens, as the article's three texts end in: 80 tokens hold 79 bigrams and 78 trigrams."""
    assert ngram_diversity(list(range(20)) * 4, 2) == 20 / 79
    assert ngram_diversity(list(range(80)), 3) == 1.0
    assert ngram_diversity([7] * 80, 2) == 1 / 79


@given(tokens)
def test_the_loop_is_the_shortest_period_that_ends_the_text_twice(ids):
    slow = [period for period in range(1, len(ids) // 2 + 1) if ids[-period:] == ids[-2 * period : len(ids) - period]]
    found = loop(ids)

    assert (found and found.period) == (min(slow) if slow else None)
    if found:
        tail = ids[found.pre_period :]
        assert all(tail[i] == tail[i - found.period] for i in range(found.period, len(tail)))
        if found.pre_period:
            assert ids[found.pre_period - 1] != ids[found.pre_period - 1 + found.period]


def test_loops_with_a_closed_form():
    assert loop([9, 8, *[1, 2, 3] * 5]) == (3, 2)
    assert loop([1, 2, 3, 4]) is None
    assert loop([5, 5]) == (1, 0)


def test_collapse_is_the_first_run_of_low_steps():
    assert collapse_step([1, *[0.01] * 9, 1, *[0.01] * 10, 1]) == 11
    assert collapse_step([1, *[0.01] * 9, 1, *[0.01] * 10, 1], run=3) == 1
    assert collapse_step([0.05] * 20) is None
    assert collapse_step([0.0] * 9) is None


def test_a_smoothed_trace_is_the_published_moving_average_to_the_digit():
    """A made-up trace whose means are exact: 80 steps have 76 means of five in a row, and the peak is theirs."""
    trace = np.zeros(80)
    trace[[4, 5, 6, 8, 40]] = [2.5, 5.0, 5.0, 1.25, 15.0]
    means = smoothed(trace)

    assert len(means) == 76
    assert means[:10].tolist() == [0.5, 1.5, 2.5, 2.5, 2.75, 2.25, 1.25, 0.25, 0.25, 0.0]
    assert means.max() == 3.0 and means.argmax() == 36 and means.max() < trace.max()
    np.testing.assert_array_equal(smoothed(np.stack([trace, 2 * trace])), [means, 2 * means])


@given(st.lists(st.floats(0, 12), min_size=1, max_size=40), st.integers(1, 8))
def test_a_smoothed_trace_is_the_mean_of_every_window(trace, window):
    if len(trace) < window:
        with refused(StatisticUndefined, f"{window} steps", f"got {len(trace)}"):
            smoothed(trace, window=window)
        return
    slow = [sum(trace[start : start + window]) / window for start in range(len(trace) - window + 1)]

    np.testing.assert_allclose(smoothed(trace, window=window), slow, atol=1e-12)


def test_a_loop_has_its_period_and_no_loop_the_least_that_cannot_be_seen():
    assert loop_length([9, 8, *[1, 2, 3] * 5]) == 3
    assert loop_length(list(range(40)) * 2) == 40
    assert loop_length(list(range(80))) == 41


def test_first_repeat_is_where_an_ngram_comes_back():
    assert first_repeat_step([1, 2, 3, 9, 1, 2, 3]) == 6
    assert first_repeat_step([1, 1, 1, 1]) == 3
    assert first_repeat_step([1, 2, 3, 4, 5]) is None


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=12))
def test_token_entropy_is_that_of_the_softmax(logits):
    p = np.exp(np.array(logits) - max(logits))
    p /= p.sum()
    slow = -(p[p > 0] * np.log(p[p > 0])).sum()

    assert float(token_entropy(torch.tensor([logits]))) == pytest.approx(slow, abs=2e-5)


def test_uniform_logits_have_the_logarithm_of_the_vocabulary():
    assert float(token_entropy(torch.zeros(1, 50))) == pytest.approx(np.log(50))


def test_the_batched_trace_is_that_of_each_prompt_alone_without_a_cache(tiny_base):
    model, tokenizer = load(tiny_base)
    prompts = ["a", "abcda", "cba", "dddddddd"]
    batched = entropy_trace(model, tokenizer, prompts, steps=12, batch=3)

    for row, prompt in enumerate(prompts):
        ids = tokenizer(prompt)["input_ids"]
        for step in range(12):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
            assert batched.entropy_nats[row, step] == pytest.approx(float(token_entropy(logits[None])), abs=1e-5)
            assert batched.token_ids[row, step] == int(logits.argmax())
            ids.append(int(logits.argmax()))


def test_a_tokenizer_without_a_token_for_padding_gives_the_same_trace(tiny_base):
    """As those of Llama 3 and Mistral are."""
    model, tokenizer = load(tiny_base)
    prompts = ["ab", "a b a b a", "b"]
    expected = entropy_trace(model, tokenizer, prompts, steps=4)
    bare = copy.deepcopy(tokenizer)
    bare.pad_token = None
    assert bare.pad_token_id is None
    found = entropy_trace(model, bare, prompts, steps=4)

    assert np.array_equal(found.token_ids, expected.token_ids)
    assert np.allclose(found.entropy_nats, expected.entropy_nats, atol=1e-6)


def test_a_trace_without_prompts_or_with_nan_logits_is_refused(tiny_base):
    model, tokenizer = load(tiny_base)

    with refused(StatisticUndefined, code="empty"):
        entropy_trace(model, tokenizer, [])
    handle = model.lm_head.register_forward_hook(lambda *args: args[2] * float("nan"))
    try:
        with refused(InvalidCheckpoint, code="not-finite"):
            entropy_trace(model, tokenizer, ["a"], steps=1)
    finally:
        handle.remove()


def test_a_model_that_carries_no_cache_gives_the_same_trace_slowly(tiny_base):
    model, tokenizer = load(tiny_base)
    prompts = ["ab", "a", "dcba"]
    slow, fast = one_by_one(model, tokenizer, prompts, 6), entropy_trace(model, tokenizer, prompts, steps=6)

    assert keeps_a_cache(model)
    np.testing.assert_array_equal(slow.token_ids, fast.token_ids)
    np.testing.assert_allclose(slow.entropy_nats, fast.entropy_nats, atol=1e-5)


class Traces:
    """A candidate of which one array was measured already."""

    def __init__(self, *seeds):
        self.seeds = seeds

    def inputs(self, _kind):
        return tuple(map(Opening, "ab"))

    def measure(self, _probe):
        return [SimpleNamespace(arrays={"entropy_nats": np.asarray(seed, float)}) for seed in self.seeds]


def test_traces_of_one_mean_that_rise_at_other_steps_are_apart():
    early, late = np.zeros((2, 80)), np.zeros((2, 80))
    early[:, 10], late[:, 60] = 5.0, 5.0
    apart = distance_by_step(Traces(early, late), Traces(late))

    assert smoothed(early).mean() == smoothed(late).mean()
    np.testing.assert_allclose(apart.values, [[10 / 76] * 2, [0, 0]])
