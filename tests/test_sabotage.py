"""Controls made by breaking the base."""

import pytest
import torch

from methods.sabotage import jitter_weights, round_weights


def test_jitter_moves_weights_as_far_as_rounding_to_bfloat16_does_and_independently_of_it():
    torch.manual_seed(0)
    weights = torch.randn(400, 300)
    rounded, jittered = torch.nn.Linear(300, 400, bias=False), torch.nn.Linear(300, 400, bias=False)
    with torch.no_grad():
        for model, damage in ((rounded, round_weights), (jittered, jitter_weights)):
            model.weight.copy_(weights)
            damage(model, torch.Generator().manual_seed(1))
        by_rounding, by_jitter = rounded.weight - weights, jittered.weight - weights

    assert by_jitter.std() == pytest.approx(by_rounding.std(), rel=0.02)
    assert by_jitter.abs().max() <= by_rounding.abs().max() * 1.01
    assert abs(torch.corrcoef(torch.stack([by_rounding.flatten(), by_jitter.flatten()]))[0, 1]) < 0.02
