"""Controls made by breaking the base."""

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from depthgauge import METHODS
from depthgauge.methods.sabotage import (
    BREAK,
    NUDGE,
    behead,
    jitter_weights,
    nudge_weights,
    round_weights,
    scramble_late_layers,
)
from depthgauge.methods.second_pass.schedule import block_of
from depthgauge.methods.settings import Sabotage
from depthgauge.models.load import fresh
from depthgauge.probes.circuits.compute import best, read_scores
from tests.families import random_model


def test_jitter_moves_weights_as_far_as_rounding_to_bfloat16_does_and_independently_of_it():
    torch.manual_seed(0)
    weights = torch.randn(400, 300)
    rounded, jittered = torch.nn.Linear(300, 400, bias=False), torch.nn.Linear(300, 400, bias=False)
    with torch.no_grad():
        for model, damage in ((rounded, round_weights), (jittered, jitter_weights)):
            model.weight.copy_(weights)
            damage(model, torch.Generator().manual_seed(1))
        by_rounding, by_jitter = ((model.weight - weights).flatten().numpy() for model in (rounded, jittered))

    assert by_jitter.std() == pytest.approx(by_rounding.std(), rel=0.02)
    between_1_and_2 = (weights.abs().floor() == 1).flatten().numpy()
    assert np.abs(by_jitter[between_1_and_2]).max() <= 2**-8  # half a step of 2 ** -7
    assert abs(np.corrcoef(by_rounding, by_jitter)[0, 1]) < 0.02


def test_a_nudged_base_has_every_weight_moved_equally_far_and_half_of_them_up(tiny_base):
    model, _ = fresh(tiny_base)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        nudge_weights(model, torch.Generator().manual_seed(0))
    moved = torch.cat([(p - before[name]).flatten() for name, p in model.named_parameters()])

    torch.testing.assert_close(moved.abs(), torch.full_like(moved, NUDGE), rtol=1e-2, atol=0)
    assert (moved > 0).float().mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "phi3", "gpt_neox"])
def test_a_beheaded_base_has_one_head_that_looks_everywhere_alike_and_all_others_as_they_were(family):
    """Queries apart, or in one matrix with keys and values: end to end, or head by head."""
    model = random_model(family)
    model.set_attn_implementation("eager")
    ids = torch.tensor([[3, 4, 5, 6, 3, 5]])
    with torch.no_grad():
        layer, head = best(read_scores(model)["previous"].mean(0))
        before = model(ids, output_attentions=True).attentions
        behead(model, torch.Generator())
        after = model(ids, output_attentions=True).attentions
    evenly = torch.ones(6, 6).tril() / torch.arange(1, 7)[:, None]
    others = [each for each in range(before[layer].shape[1]) if each != head]

    torch.testing.assert_close(
        after[layer][0, head], evenly, rtol=5e-3, atol=1e-6
    )  # a norm of queries adds to their size
    assert not torch.allclose(before[layer][0, head], evenly, rtol=5e-3)
    assert torch.equal(after[layer][0, others], before[layer][0, others])
    assert all(torch.equal(after[below], before[below]) for below in range(layer))


def test_a_scrambled_base_has_lost_its_late_layers_alone(tiny_base):
    model, _ = fresh(tiny_base)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        scramble_late_layers(model, torch.Generator().manual_seed(0))
    moved = {block_of(name) for name, p in model.named_parameters() if not torch.equal(p, before[name])}

    assert moved == {3, 4, 5}
    weight = "model.layers.4.mlp.up_proj.weight"
    assert float((dict(model.named_parameters())[weight] - before[weight]).detach().std()) == pytest.approx(
        float(before[weight].std()), rel=0.2
    )


def test_every_kind_of_sabotage_is_a_control_and_every_such_control_is_carried_out():
    kinds = set(get_args(get_type_hints(Sabotage)["kind"]))
    settings = [METHODS[name].settings for name in METHODS]
    named = {its.kind for its in settings if isinstance(its, Sabotage)}

    assert kinds == named == {*BREAK, "misfiled"}
