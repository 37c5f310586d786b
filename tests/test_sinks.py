"""Attention sinks, against closed forms and the models' own maps."""

import numpy as np
import pytest
import torch

from depthgauge.core.errors import StatisticUndefined
from depthgauge.models import attention
from depthgauge.models.attention import attention_maps, first_token_attention
from depthgauge.probes.sinks.compute import sink_rate, sink_strength
from tests.families import PROMPTS, random_model
from tests.processes import refused


def test_attention_to_the_first_token_in_closed_form():
    """Uniform rows give the harmonic number H_T / T; rows that look at the first token alone give 1."""
    uniform = torch.tril(torch.ones(64, 64)) / torch.arange(1, 65)[:, None]
    alpha = float(first_token_attention(uniform))

    assert alpha == pytest.approx(sum(1 / i for i in range(1, 65)) / 64) == pytest.approx(0.0741, abs=5e-5)
    assert sink_rate(np.array([alpha])) == 0
    assert sink_rate(first_token_attention(torch.eye(64)[:1].expand(3, 64, 64)).numpy()) == 1


def test_sink_strength_is_the_mean_attention_to_the_first_token(monkeypatch):
    monkeypatch.setattr(attention, "BATCH", 2)
    model = random_model("llama")
    found = sink_strength(model, PROMPTS)

    assert found.shape == (len(PROMPTS), 3, 4)
    for ids, by_head in zip(PROMPTS, found, strict=True):
        heads = [(layer, head) for layer in range(3) for head in range(4)]
        np.testing.assert_allclose(by_head.ravel(), attention_maps(model, ids, heads)[..., 0].mean(-1), atol=1e-6)


def test_sink_rate_counts_heads_above_the_threshold_on_each_prompt():
    assert sink_rate(np.array([[[0.31, 0.3], [0.1, 0.9]], [[0.0, 0.0], [0.5, 0.0]]])) == 3 / 8
    assert sink_rate(np.array([[[0.31]]]), epsilon=0.5) == 0
    with refused(StatisticUndefined, code="empty"):
        sink_rate(np.empty((0, 2, 2)))
