"""Paths through heads: they sum to the logits in every family, agree with ablation, and find a planted one."""

import numpy as np
import pytest
import torch

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.models import paths
from depthgauge.models.logit_attribution import logit_attribution
from depthgauge.models.paths import follow, record, through
from tests.families import PROMPTS, encoder, every_family, hooks, uneven_model
from tests.processes import refused

TARGET, OTHER, ALL = 3, 7, 1000
# Their norms compute in float64 where the model does; transformers' RMS norms go by way of float32, 6e-8 of a number.
EXACT = {"gpt2", "neox", "gpt_neox", "opt", "gptj", "phi"}


@every_family
def test_the_parts_of_all_paths_sum_to_the_logits(family):
    for model, near in (
        (uneven_model(family), 1e-4),
        (uneven_model(family).double(), 1e-10 if family in EXACT else 1e-6),
    ):
        run = record(model, PROMPTS[0], TARGET, OTHER)
        for longest, chains in ((0, 1), (1, 13), (3, 125)):
            found = follow(run, least=0.0, longest=longest, most=ALL)
            total = sum(reads.total() for reads in found.values())
            assert len(found) == chains
            assert total == pytest.approx(run.logit, rel=0, abs=near * max(1, abs(run.logit)))
        assert hooks(model) == 0


def test_what_is_read_of_the_logits_alone_is_direct_logit_attribution():
    model = uneven_model("llama")
    found = follow(record(model, PROMPTS[0], TARGET, OTHER), least=0.0, longest=0, most=ALL)[()]
    direct = logit_attribution(model, PROMPTS[:1], [[TARGET, OTHER]])

    np.testing.assert_allclose(found.heads, direct.heads[0, ..., 0] - direct.heads[0, ..., 1], atol=1e-5)
    assert found.mlps == pytest.approx(float((direct.mlps[0, :, 0] - direct.mlps[0, :, 1]).sum()), abs=1e-5)


def test_a_chain_carries_what_its_head_does_whatever_it_is_cut_into():
    run = record(uneven_model("gpt2").double(), PROMPTS[0], TARGET, OTHER)
    direct, once, twice = (follow(run, least=0.0, longest=longest, most=ALL) for longest in (0, 1, 2))
    for layer in range(3):
        for head in range(4):
            below = sum(its.total() for chain, its in twice.items() if chain[:1] == ((layer, head),))
            assert once[((layer, head),)].total() == pytest.approx(float(direct[()].heads[layer, head]), abs=1e-10)
            assert below == pytest.approx(float(direct[()].heads[layer, head]), abs=1e-10)


def test_only_heads_that_add_enough_are_followed_and_each_costs_one_pull(monkeypatch):
    run, pulls = record(uneven_model("llama"), PROMPTS[0], TARGET, OTHER), []
    monkeypatch.setattr(paths, "through", lambda *given: pulls.append(given) or through(*given))
    direct = follow(run, least=9.0, longest=0, most=ALL)[()].heads
    least = float(direct.abs().flatten().sort().values[-4])
    found = follow(run, least=least, longest=1, most=ALL)

    assert {chain[0] for chain in found if chain} == {
        tuple(place) for place in (direct.abs() >= least).nonzero().tolist()
    }
    assert len(pulls) == len(found) - 1 == 4
    assert len(follow(run, least=0.0, longest=3, most=7)) == 8
    assert not found[()].heads[tuple(zip(*[chain[0] for chain in found if chain], strict=True))].any()


def test_what_a_head_reads_of_one_below_is_what_that_one_adds_through_it():
    """With maps and norms held, what a head writes reaches the logit by its direct path and through all heads above."""
    run = record(uneven_model("gpt2").double(), PROMPTS[0], TARGET, OTHER)
    found = follow(run, least=0.0, longest=3, most=ALL)
    first, *above = run.layers
    stream = first.maps[2] @ first.values.detach()[2] @ first.output[2]
    for layer in above:
        normed = (stream - stream.mean(-1, keepdim=True)) * layer.before.norm.scale * layer.before.inverse
        stream = stream + sum(
            layer.maps[head] @ (normed @ matrix_of_values(layer, head)) @ layer.output[head] for head in range(4)
        )

    carried = sum(its.total() for chain, its in found.items() if chain and chain[-1] == (0, 2))
    assert carried == pytest.approx(float((run.field * stream).sum()), abs=1e-9)


def matrix_of_values(layer, head):
    """From what a head reads to its values, by what each value gets of each number."""
    rows = [torch.autograd.grad(one, layer.read, retain_graph=True)[0][0, 0] for one in layer.values[head, 0]]
    return torch.stack(rows).T


def test_an_encoder_and_a_token_that_is_unknown_are_one_sentence():
    with pytest.raises(NotTestable):
        record(encoder(), PROMPTS[0], TARGET)
    with refused(StatisticUndefined, 9999):
        record(uneven_model("llama"), PROMPTS[0], 9999)
