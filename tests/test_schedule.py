"""Depth schedules: closed forms for 36 layers, laws for every depth."""

from hypothesis import given
from hypothesis import strategies as st

from depthgauge_methods.second_pass.schedule import block_of, depth_scale, noise_targets, strengths

depths = st.integers(min_value=3, max_value=120)


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
    names = [f"model.layers.{block}.self_attn.{p}_proj.weight" for block in range(num_blocks) for p in "qkvo"]

    regularised = {block_of(name) for name in strengths(names, num_blocks=num_blocks, depth="scaled")}
    noisy = {block_of(name) for name in noise_targets(names, num_blocks=num_blocks)}

    assert regularised.isdisjoint(noisy)
    assert regularised | noisy == set(range(num_blocks))


def test_only_blocks_are_regularised_and_only_attention_matrices_are_noisy():
    names = [
        "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight", "model.layers.0.mlp.up_proj.weight",
        "model.layers.0.self_attn.q_norm.weight", "model.layers.0.self_attn.q_proj.weight",
    ]  # fmt: skip

    assert set(strengths(names, num_blocks=36, depth="uniform")) == set(names[3:])
    assert noise_targets(names, num_blocks=36) == {names[5]}
