"""Logit attribution: it sums to the logits, and each part is what its ablation takes."""

import numpy as np
import pytest
import torch

from depthgauge.core.errors import InvalidCheckpoint, NotTestable, StatisticUndefined
from depthgauge.models.anatomy import block_parts, blocks, final_norm
from depthgauge.models.logit_attribution import logit_attribution
from depthgauge.probes.circuits.repeats import without_heads
from tests.families import (
    CONTEXT,
    EVERY_TOKEN,
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


@every_family
def test_contributions_sum_to_the_models_logits(family):
    model = uneven_model(family)
    found = logit_attribution(model, PROMPTS, [EVERY_TOKEN] * 4)
    scale = np.abs(found.logits).max()
    cap = getattr(model.config, "final_logit_softcapping", None)
    capped = found.logits if cap is None else cap * np.tanh(found.logits / cap)

    assert found.heads.shape == (4, 3, 4, VOCABULARY) and found.mlps.shape == (4, 3, VOCABULARY)
    # Float32: up to 2.3e-6 on a CPU without vector instructions. A part that is forgotten is 1e-3 and more.
    np.testing.assert_allclose(found.total(), found.logits, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(capped, [logits_of(model, ids)[-1] for ids in PROMPTS], rtol=0, atol=1e-5 * scale)
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
    norm = final_norm(model)
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


def test_what_cannot_be_attributed_says_why():
    model = random_model("llama")
    for call, message in (
        (lambda: logit_attribution(model, [[1] * (CONTEXT + 1)], [[1]]), "has 65 tokens, and 1 to 64 are allowed"),
        (lambda: logit_attribution(model, [[1], [2]], [[1], [1, 2]]), r"as many targets, got \[1, 2\] for 2"),
        (lambda: logit_attribution(model, [[1]], [2]), r"a list of targets, such as .*, got \[2\]"),
        (lambda: logit_attribution(model, [[1]], [[-1]]), r"no token -1 \(a target of prompt 0\)"),
    ):
        with pytest.raises(StatisticUndefined, match=message):
            call()


def test_logits_that_are_not_finite_are_not_attributed():
    model = random_model("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan

    with refused(InvalidCheckpoint, code="not-finite"):
        logit_attribution(model, PROMPTS, [[1]] * 4)


def test_a_model_whose_heads_cannot_be_told_apart_is_refused():
    with pytest.raises(NotTestable, match="its heads cannot be told apart"):
        logit_attribution(encoder(), PROMPTS, [[1]] * 4)
