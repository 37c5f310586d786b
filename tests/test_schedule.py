"""Depth schedules: closed forms for 36 layers, laws for every depth; and targets by where each family has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.families import FAMILIES, random_model
from depthgauge.core.errors import UsageError
from depthgauge.models.anatomy import blocks
from depthgauge_methods.second_pass.schedule import (
    block_of,
    depth_scale,
    noise_targets,
    noisy_blocks,
    strength_of,
    strengths,
)
from tests.processes import refused

depths = st.integers(min_value=4, max_value=120)
WITHOUT_TARGETS = ("mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma", "zamba2")
FUSED = {"gpt2": {"c_attn", "c_proj"}, "gpt_neox": {"query_key_value", "dense"}, "falcon": {"query_key_value", "dense"},
         "bloom": {"query_key_value", "dense"}, "mpt": {"Wqkv", "out_proj"}, "codegen": {"qkv_proj", "out_proj"},
         "phi3": {"qkv_proj", "o_proj"}}  # fmt: skip
OUTPUT = {"opt": "out_proj", "phi": "dense", "gptj": "out_proj", "gpt_neo": "out_proj", "lfm2": "out_proj"}

QUICK = ("llama", "gpt2", "gpt_neox", "opt", "phi", "falcon", "bloom", "mamba")
quick_or_heavy = pytest.mark.parametrize(
    "family", [family if family in QUICK else pytest.param(family, marks=pytest.mark.heavy) for family in FAMILIES]
)


def test_thirty_six_layers_follow_the_article():
    scale = [depth_scale(block, 36) for block in range(36)]

    assert scale[:6] == [0.0] * 6
    assert scale[6:22] == [(block - 5) / 17 for block in range(6, 22)]
    assert scale[22:] == [1.0] * 14


@given(depths)
def test_strength_never_falls_with_depth_and_ends_at_one(num_blocks):
    scale = [depth_scale(block, num_blocks) for block in range(num_blocks)]

    assert scale == sorted(scale)
    assert all(0 <= value <= 1 for value in scale)
    assert scale[-1] == 1.0


@given(depths)
def test_noise_and_regularisation_share_no_block(num_blocks):
    places = {str(block): block for block in range(num_blocks)}
    regularised = {int(name) for name in strengths(places, num_blocks=num_blocks, depth="scaled")}
    noisy = set(noisy_blocks(num_blocks, "early"))

    assert regularised.isdisjoint(noisy)
    assert regularised | noisy == set(range(num_blocks))
    assert len(noisy_blocks(num_blocks, "late")) == len(noisy) and num_blocks - 1 in noisy_blocks(num_blocks, "late")


@given(depths)
def test_reversed_and_scaled_sum_to_uniform_and_a_step_is_where_the_ramp_has_ended(num_blocks):
    for block in range(num_blocks):
        scaled = strength_of(block, num_blocks, "scaled")
        assert scaled + strength_of(block, num_blocks, "reversed") == strength_of(block, num_blocks, "uniform") == 1
        assert strength_of(block, num_blocks, "stepped") == (scaled == 1)


def test_a_model_too_shallow_for_the_schedule_is_refused_in_one_sentence():
    with refused(UsageError, "3 blocks", "at least 4"):
        noisy_blocks(3, "early")


@quick_or_heavy
def test_noise_finds_the_attention_of_every_family_or_says_that_there_is_none(family):
    model = random_model(family)
    parameters = dict(model.named_parameters())
    places = block_of(model)
    if family in WITHOUT_TARGETS:
        with refused(UsageError, "blocks 0, 1, 2"):
            noise_targets(model, range(3))
    else:
        targets = noise_targets(model, range(3))
        projections = {name.rsplit(".", 2)[-2] for name in targets}
        assert all(parameters[name].ndim == 2 for name in targets)
        assert projections >= FUSED.get(family, {OUTPUT.get(family, "o_proj")})
        assert any(word in projection for projection in projections for word in ("q", "W", "attn"))
        assert {places[name] for name in targets} <= set(range(3))
        assert not any("mlp" in name or "norm" in name or "experts" in name for name in targets)
    inside = {id(p) for p in blocks(model).parameters()}
    assert set(places) == {name for name, p in parameters.items() if id(p) in inside}
    assert not any("embed" in name or "lm_head" in name for name in strengths(places, num_blocks=3, depth="uniform"))
