"""The articles' own opening: one text, whose numbers are those of the greedy trace of many."""

from types import SimpleNamespace

import numpy as np
import pytest

from depthgauge.core.estimate import Measurement
from depthgauge.models.load import load
from depthgauge.probes.greedy_entropy.entropy import entropy_trace
from depthgauge_suites.articles import published_opening
from depthgauge_suites.articles.published_opening import probe
from depthgauge_suites.articles.published_opening.probe import OPENING, PublishedTrace
from depthgauge_testbeds.pocket import POCKET


class Said:
    """A candidate of two seeds: one repeats twenty tokens, the other says 80 different ones."""

    def inputs(self, _kind):
        return (OPENING,)

    def measure(self, _probe):
        said = (np.arange(80) % 20, np.arange(80))
        return [
            Measurement(key="k", probe="p", parameters={}, checkpoint="c", arrays={"token_ids": ids}) for ids in said
        ]


def test_a_loop_of_twenty_tokens_has_the_published_diversity_of_that_loop():
    assert published_opening.loops(Said()).tolist() == [1.0, 0.0]
    assert published_opening.repeats(Said(), 2).tolist() == [20 / 79, 1.0]
    assert published_opening.repeats(Said(), 3) == pytest.approx([20 / 78, 1.0])


def test_the_trace_is_that_of_the_opening_among_others(monkeypatch):
    monkeypatch.setattr(probe, "STEPS", 8)
    model, tokenizer = load(POCKET.base)
    found = PublishedTrace(opening=OPENING).run(SimpleNamespace(model=model, tokenizer=tokenizer))
    trace = entropy_trace(model, tokenizer, [OPENING, "The fox slept"], steps=8)

    assert found["token_ids"].tolist() == trace.token_ids[0].tolist()
    np.testing.assert_allclose(found["entropy_nats"], trace.entropy_nats[0], atol=1e-4)
    assert str(found["text"]) == tokenizer.decode(trace.token_ids[0])
