"""Attention to the pieces of terms: against maps computed whole, with closed forms for what is read of them."""

import numpy as np
import pytest
import torch

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.core.estimate import Measurement
from depthgauge.models.attention import attention_maps
from depthgauge.models.load import load
from depthgauge.probes.attention.compute import head_divergence
from depthgauge_suites.articles import routing
from depthgauge_suites.articles.routing.compute import cells_of, pieces_of, routes
from depthgauge_suites.articles.routing.readings import in_top_heads, top
from depthgauge_suites.articles.routing.settings import TOP_HEADS
from depthgauge_testbeds.pocket import POCKET
from tests.families import random_model
from tests.processes import refused

PROMPT = [5, 9, 2, 31, 8, 8, 60]
PIECES = np.array([False, False, True, True, True, False, False])


def test_cells_are_those_of_a_query_and_an_earlier_key_that_is_not_the_first():
    within, between, places = cells_of(PIECES)

    assert places.tolist() == [2, 3, 4]
    assert {tuple(cell) for cell in np.argwhere(within)} == {(3, 2), (4, 2), (4, 3)}
    assert {tuple(cell) for cell in np.argwhere(between)} == {
        (2, 1), (3, 1), (4, 1), (5, 2), (5, 3), (5, 4), (6, 2), (6, 3), (6, 4),
    }  # fmt: skip


@pytest.mark.parametrize(
    "places, tokens", [([2], 5), ([1, 3], 5), ([0, 1], 5), ([3, 4], 5), ([], 5)],
    ids=["one piece", "not in a row", "at the start", "at the end", "none"],
)  # fmt: skip
def test_a_term_without_pieces_or_words_around_it_is_refused(places, tokens):
    with refused(StatisticUndefined, f"its tokens are {places} of {tokens}: choose another term"):
        cells_of(np.isin(np.arange(tokens), places))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_every_number_is_that_of_whole_maps(family):
    model, other = random_model(family, 0), random_model(family, 1)
    found, known = routes(model, other, PROMPT, PIECES), head_divergence(model, other, [PROMPT])
    heads = [(layer, head) for layer in range(3) for head in range(4)]
    change = attention_maps(model, PROMPT, heads).astype(float) - attention_maps(other, PROMPT, heads)
    within, between, _ = cells_of(PIECES)

    for (layer, head), values in zip(heads, change, strict=True):
        slow = {
            "within": np.mean([values[3, 2], values[4, 2], values[4, 3]]),
            "between": np.mean([values[cell] for cell in map(tuple, np.argwhere(between))]),
            "within_size": np.abs(values[within]).mean(),
            "between_size": np.abs(values[between]).mean(),
            "last_piece": values[5:, 4].mean() - values[5:, 2:4].mean(),
        }
        for name, value in slow.items():
            assert getattr(found, name)[layer, head] == pytest.approx(value, abs=1e-6), name
    np.testing.assert_allclose(found.jsd_bits, known.jsd_bits[0], rtol=1e-6)
    np.testing.assert_allclose(found.mae, known.mae[0], rtol=1e-6)


def test_a_model_beside_itself_has_changed_nothing():
    model = random_model("llama")

    assert not any(array.any() for array in routes(model, model, PROMPT, PIECES))


def test_two_models_in_the_other_order_gain_what_they_lost():
    model, other = random_model("qwen3", 0), random_model("qwen3", 1)
    found, swapped = routes(model, other, PROMPT, PIECES), routes(other, model, PROMPT, PIECES)

    for name in ("within", "between", "last_piece"):
        np.testing.assert_allclose(getattr(found, name), -getattr(swapped, name), atol=1e-7)


def test_attention_moved_to_earlier_pieces_is_seen_within_the_term_and_at_no_last_piece():
    """One head's queries are turned so that they look elsewhere: the numbers of no other head of its layer change."""
    model, other = random_model("qwen3"), random_model("qwen3")
    with torch.no_grad():
        other.model.layers[0].self_attn.q_proj.weight[16:32] *= -1
    found = routes(model, other, PROMPT, PIECES)

    assert found.within[0, 1] != 0 and found.last_piece[0, 1] != 0
    assert not found.within[0, [0, 2, 3]].any() and not found.last_piece[0, [0, 2, 3]].any()


@pytest.mark.parametrize("domain", ["chemistry", "physics"])
def test_the_texts_of_pocket_have_terms_of_several_pieces(domain):
    _, tokenizer = load(POCKET.base)
    texts = [each for each in POCKET.inputs(routing.RoutingText) if each.domain == domain]

    assert len(texts) == {"chemistry": 10, "physics": 7}[domain] == len({each.term for each in texts})
    assert len({each.text for each in texts}) == len(texts)
    for each in texts:
        cells_of(pieces_of(tokenizer, each.text, each.term))


# -- readings ---


class Changed:
    """A candidate whose routes on four texts, two of each domain, were measured: arrays (4, 3, 8)."""

    testbed = POCKET
    name = "changed"

    def __init__(self, **arrays):
        zero = np.zeros((4, 3, 8))
        names = ("jsd_bits", "mae", "within", "between", "within_size", "between_size", "last_piece")
        self.arrays = dict.fromkeys(names, zero) | arrays

    def inputs(self, _kind):
        return tuple(
            routing.RoutingText(text=str(place), term="t", domain="physics" if place > 1 else "chemistry")
            for place in range(4)
        )

    def compare(self, _probe, _other):
        return (Measurement(key="k", probe="p", parameters={}, checkpoint="c", arrays=self.arrays),)


def ramp(*, rising=True):
    values = np.arange(24.0).reshape(3, 8)
    return np.broadcast_to(values if rising else values[::-1, ::-1], (4, 3, 8))


def test_the_same_ranking_has_nothing_apart_and_the_opposite_all_that_it_can():
    assert TOP_HEADS == 20
    same = routing.apart_in_rankings(Changed(jsd_bits=ramp(), mae=3 * ramp()), None)
    opposite = routing.apart_in_rankings(Changed(jsd_bits=ramp(), mae=ramp(rising=False)), None)

    assert same.values.tolist() == [[0.0] * 4]
    np.testing.assert_allclose(opposite.values, [[4 / 20] * 4])  # of 24 heads four are in each ranking alone


def test_numbers_are_means_over_the_most_changed_heads_alone():
    values = np.zeros((4, 3, 8))
    values[:, 0, :4] = 99  # the four least changed
    values[:, 2, 7] = 20

    assert in_top_heads({"jsd_bits": ramp()}, values).tolist() == [1.0] * 4
    assert set(top(ramp()[0]).tolist()) == set(range(4, 24))
    gained = routing.gain_within(Changed(jsd_bits=ramp(), within=values, between=values / 4), None)
    assert gained.values.tolist() == [[0.75] * 4]


def test_the_share_between_pieces_and_words_is_half_where_both_change_alike():
    size = ramp()
    alike, kept = (
        routing.share_between(Changed(jsd_bits=size, within_size=size, between_size=part * size), None)
        for part in (1, 0.25)
    )
    assert alike.values.tolist() == [[0.5] * 4]
    np.testing.assert_allclose(kept.values, 0.2)


def test_a_domain_has_its_own_texts():
    last_piece = np.zeros((4, 3, 8))
    last_piece[2:] = 5
    found = routing.gain_of_last(Changed(jsd_bits=ramp(), last_piece=last_piece), None, "physics")

    assert found.ids == ("2", "3") and found.values.tolist() == [[5.0, 5.0]]
    depth = routing.depth_of_change(Changed(jsd_bits=ramp()), None, "chemistry")
    assert depth.values.tolist() == [[(4 * 0 + 8 * 1 + 8 * 2) / 20] * 2]
    none = Changed()
    none.inputs = lambda _kind: Changed.inputs(none, _kind)[:2]
    with refused(NotTestable, "physics"):
        routing.gain_of_last(none, None, "physics")
