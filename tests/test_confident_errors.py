"""Confident errors against probabilities that are known."""

import numpy as np
import torch

from depthgauge import ItemTask, Testbed
from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.core.estimate import Measurement
from depthgauge.core.testbed import Item
from depthgauge.models.load import load
from depthgauge.tasks.item_runner import answer_items, log_likelihoods
from depthgauge_suites.articles.confident_errors import compute, confident_errors
from depthgauge_suites.articles.confident_errors.compute import options_chosen
from depthgauge_testbeds.pocket import POCKET
from tests.processes import refused

ITEMS = tuple(Item(id=str(i), prompt="1 + 1 is", answer="2", options=("2", "3", "4")) for i in range(7))
TASK = ItemTask(name="science", items=lambda: ITEMS)


def test_the_share_is_that_of_the_options_probabilities(monkeypatch):
    probabilities = [0.5, 0.3, 0.1, 0.01, 0.08, 0.01]
    monkeypatch.setattr(compute, "log_likelihoods", lambda *_: np.log(probabilities))
    found = options_chosen(TASK, ITEMS[:2], torch.nn.Identity(), None)

    np.testing.assert_allclose(found["share"], [5 / 9, 0.8])
    assert found["right"].tolist() == [True, False]
    monkeypatch.setattr(compute, "log_likelihoods", lambda *_: [0.0, float("-inf"), 0.0])
    with refused(InvalidCheckpoint, code="not-confident"):
        options_chosen(TASK, ITEMS[:1], torch.nn.Identity(), None)


def test_the_option_chosen_is_the_task_s_and_its_share_that_of_a_softmax():
    model, tokenizer = load(POCKET.base)
    task = POCKET.task("science")
    items = task.items()[::150]
    found = options_chosen(task, items, model, tokenizer)
    scores = answer_items(ItemTask(name="science", items=lambda: items), model, tokenizer)["score"][0]
    nats = np.array(
        log_likelihoods([(one.prompt, f" {option}") for one in items for option in one.options], model, tokenizer)
    )
    odds = np.exp(nats.reshape(len(items), -1))

    assert found["right"].tolist() == (scores == 1).tolist()
    np.testing.assert_allclose(found["share"], odds.max(1) / odds.sum(1), rtol=1e-6)


class Chosen:
    """A candidate of whose options shares and rightness were measured."""

    def __init__(self, tasks, **arrays):
        self.testbed, self.arrays = Testbed(name="toys", tasks=tasks), arrays

    def measure(self, _probe):
        return (Measurement(key="k", probe="p", parameters={}, checkpoint="c", arrays=self.arrays),)


def test_an_error_counts_where_it_is_sure():
    found = confident_errors(Chosen((TASK,), share=np.array([0.8, 0.79, 0.99]), right=np.array([False, False, True])))
    assert found.ids == ("0", "3", "6") and found.values.tolist() == [[1.0, 0.0, 0.0]]


def test_a_testbed_whose_science_has_no_options_is_not_testable():
    bare = ItemTask(name="science", items=lambda: (Item(id="1", prompt="q", answer="a"),))
    with refused(NotTestable, "'toys'", "science"):
        confident_errors(Chosen((bare,)))
