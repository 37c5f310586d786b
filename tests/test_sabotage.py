"""Controls made by breaking the base."""

import numpy as np
import pytest
import torch

from depthgauge.methods.sabotage import jitter_weights, round_weights


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
