"""Items of our own: scores against a slow oracle, and every guard seen to hold."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from depthgauge.core.errors import InvalidCheckpoint, InvalidComparison, NotTestable
from depthgauge.core.randomness import undisturbed
from depthgauge.core.testbed import Item, ItemTask
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import load
from depthgauge.store.folders import Store
from depthgauge.tasks import blocks_beside, scores
from depthgauge.tasks.item_runner import answer_items, parameters
from tests.processes import refused
from tests.tiny import LETTERS, PROMPTS, save_tiny_base, tiny_testbed


@pytest.fixture
def tiny(tiny_base):
    return load(tiny_base)


@pytest.fixture
def testbed(tiny_base):
    return tiny_testbed(tiny_base)


def log_likelihood(model, tokenizer, prompt, continuation):
    context, whole = (tokenizer(text)["input_ids"] for text in (prompt, prompt + continuation))
    with torch.no_grad():
        logps = model(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(float(logps[i - 1, whole[i]]) for i in range(len(context), len(whole)))


def test_a_choice_task_takes_the_likeliest_option(tiny, testbed):
    task = testbed.task("science")
    taken = answer_items(task, *tiny)

    for item, answer, score in zip(task.items(), taken["answer"][0], taken["score"][0], strict=True):
        likelihoods = {option: log_likelihood(*tiny, item.prompt, f" {option}") for option in item.options}
        assert answer == max(likelihoods, key=lambda option: likelihoods[option])
        assert score == (answer == item.answer)


def test_a_sampled_task_is_repeated_with_other_samples_and_is_reproducible(tiny, testbed):
    task = testbed.task("history")
    first, again = answer_items(task, *tiny), answer_items(task, *tiny)

    assert first["score"].shape == (3, len(PROMPTS))
    assert np.array_equal(first["answer"], again["answer"])
    assert not np.array_equal(first["answer"][0], first["answer"][1])
    assert all(
        score == (answer == "a")
        for answers, scores in zip(first["answer"], first["score"], strict=True)
        for answer, score in zip(answers, scores, strict=True)
    )


def test_a_greedy_generated_task_says_what_the_model_says(tiny, testbed):
    task = replace(testbed.task("history"), temperature=0.0, repeats=1, max_answer_tokens=1)
    model, tokenizer = tiny
    taken = answer_items(task, model, tokenizer)

    for prompt, answer in zip(PROMPTS, taken["answer"][0], strict=True):
        with torch.no_grad():
            best = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1].argmax()
        assert answer == tokenizer.decode(best, skip_special_tokens=True).strip()


def test_two_checkpoints_are_asked_block_by_block_and_no_further_than_is_wanted(testbed, tiny_base, tmp_path):
    items = [
        Item(
            id=f"{i}",
            prompt=LETTERS[i % 4] + LETTERS[i // 4 % 4] + LETTERS[i // 16 % 4],
            answer="a",
            options=("a", "b"),
        )
        for i in range(130)
    ]
    asked = replace(testbed, tasks=(ItemTask(name="long", items=lambda: items),))
    context = RunContext(testbed=asked, store=Store(tmp_path / "store", run="test"), tell=lambda line: None)
    after = CheckpointSet(name="new", folder=save_tiny_base(tmp_path / "new", seed=1), context=context)
    baseline = CheckpointSet(name="old", folder=tiny_base, context=context)
    looks = blocks_beside(after, baseline, "long")
    first = next(looks)
    measured = len(list((tmp_path / "store" / "measurements").iterdir()))
    last = list(looks)[-1]

    assert [len(one.ids) for one in first] == [65, 65]
    assert measured == 2
    for block_by_block, candidate in zip(last, (after, baseline), strict=True):
        whole = scores(candidate, "long")
        assert dict(zip(block_by_block.ids, block_by_block.values[0], strict=True)) == dict(
            zip(whole.ids, whole.values[0], strict=True)
        )
        assert block_by_block.right == whole.right == 100


def test_mode_and_random_states_are_left_as_found(tiny, testbed):
    model, tokenizer = tiny
    model.train()
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    try:
        answer_items(testbed.task("history"), model, tokenizer)
        assert model.training
    finally:
        model.eval()

    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def test_mode_is_restored_after_an_exception(tiny):
    model, _ = tiny

    def fail():
        with undisturbed(model):
            model.train()
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert not model.training


def test_log_likelihoods_that_are_not_finite_are_refused(tiny, testbed):
    model, tokenizer = tiny
    handle = model.lm_head.register_forward_hook(lambda *args: args[2] * float("nan"))
    try:
        with refused(InvalidCheckpoint, code="not-finite"):
            answer_items(testbed.task("science"), model, tokenizer)
    finally:
        handle.remove()


def test_ties_are_counted_and_too_many_refused(tiny, testbed):
    model, tokenizer = tiny
    handle = model.lm_head.register_forward_hook(lambda *args: args[2] * 0)
    try:
        with refused(InvalidComparison, "16 of 16", "'science'"):
            answer_items(testbed.task("science"), model, tokenizer)
    finally:
        handle.remove()


def test_two_models_in_one_process_do_not_share_answers(tiny, testbed):
    model, tokenizer = tiny
    before = answer_items(testbed.task("science"), model, tokenizer)["answer"]
    handle = model.lm_head.register_forward_hook(lambda *args: -args[2])
    try:
        reversed_ = answer_items(testbed.task("science"), model, tokenizer)["answer"]
    finally:
        handle.remove()

    assert not np.array_equal(before, reversed_)


def test_an_edited_item_is_another_task(testbed):
    task = testbed.task("science")
    edited = replace(task, items=lambda: (replace(task.items()[0], prompt="edited"), *task.items()[1:]))

    assert parameters(task) != parameters(edited)
    assert parameters(task) == parameters(testbed.task("science"))


def test_prompts_reach_the_model_without_a_chat_template(tiny):
    model, tokenizer = tiny
    tokenizer.chat_template = "{% for m in messages %}XX{{ m['content'] }}{% endfor %}"
    try:
        task = ItemTask(name="x", items=lambda: (Item(id="1", prompt="ab", answer="a", options=("a", "b")),) * 1)
        taken = answer_items(task, model, tokenizer)
    finally:
        tokenizer.chat_template = None

    likelihoods = [log_likelihood(model, tokenizer, "ab", f" {option}") for option in "ab"]
    assert taken["answer"][0][0] == "ab"[int(np.argmax(likelihoods))]


def test_a_claim_on_a_task_that_a_testbed_lacks_is_not_testable(testbed):
    with refused(NotTestable, "'geography'", "science, history, mathematics"):
        testbed.task("geography")


def test_a_greedy_task_cannot_be_repeated():
    with pytest.raises(ValueError, match="answered once"):
        ItemTask(name="x", items=lambda: (), repeats=3)
