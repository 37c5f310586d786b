"""Rewards and prompts of the user's own: what they may do wrong is one sentence, and what was trained is kept."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from depthgauge import METHODS
from depthgauge.core.errors import NotTestable, TrainingFailed, UsageError
from depthgauge.core.method import TrainingJob
from depthgauge.core.testbed import CORRECT, Item, Reward
from depthgauge.measure.training import recipe_of
from depthgauge.models.inputs import as_turn
from depthgauge.models.load import load
from depthgauge.tasks.item_runner import answer_items, parameters
from depthgauge_methods.second_pass.prompts import check_prompts
from depthgauge_methods.second_pass.rewards import pay_one, total
from tests.processes import refused
from tests.tiny import tiny_testbed

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}{% if add_generation_prompt %}d{% endif %}"
ITEM = Item(id="1", prompt="ab", answer="a")
FIRST = Reward(name="first", reward_func=lambda item, said: float(said.startswith(item.answer)))
LONG = Reward(name="long", reward_func=lambda _, said: len(said) / 4, weight=0.5)


def raising(item, said):
    raise KeyError("no such thing")


@pytest.fixture
def chat_base(tiny_base, tmp_path):
    folder = tmp_path / "chat"
    shutil.copytree(tiny_base, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def training_of(base, **changes):
    testbed = tiny_testbed(base, steps=2)
    return replace(testbed, training=replace(testbed.training, **changes))


def train(testbed, folder, method="grpo"):
    folder.mkdir(exist_ok=True)
    job = TrainingJob(method=METHODS[method], testbed=testbed, seed=0, device="cpu", folder=folder, tell=lambda _: None)
    METHODS[method].train(job)
    return json.loads((folder / "training_log.json").read_text())


def test_what_was_said_in_the_last_step_is_kept_with_what_it_was_paid_in_all(chat_base, tmp_path):
    rewards = (
        Reward(name="long", reward_func=lambda _, said: len(said), weight=0.5),
        Reward(name="right", reward_func=lambda item, said: item.answer in said, weight=2.0),
    )
    testbed = training_of(chat_base, chat=True, rewards=rewards)
    log = train(testbed, tmp_path / "trained")
    said = json.loads((tmp_path / "trained" / "completions.json").read_text())
    answers = {item.prompt: item.answer for item in testbed.training.prompts()}

    assert len(said) == testbed.training.scale.completions_per_step
    for one in said:
        paid = 0.5 * len(one["completion"]) + 2.0 * (answers[one["prompt"]] in one["completion"])
        assert one["reward"] == pytest.approx(paid)
    assert np.mean([one["reward"] for one in said]) == pytest.approx(log[-1]["reward"], rel=1e-5)


@pytest.mark.parametrize(
    "reward_func, said",
    [(raising, "raises KeyError"), (lambda *_: math.nan, "pays nan"), (lambda *_: None, "raises TypeErr")],
)
def test_a_reward_that_pays_no_number_is_named_with_what_it_was_asked(reward_func, said):
    with refused(TrainingFailed, "reward 'mine'", said, "'b'", "'ab'"):
        pay_one(Reward(name="mine", reward_func=reward_func), ITEM, "b")


def test_two_rewards_are_added_by_weight_and_logged_as_one():
    logged = {"rewards/first/mean": 0.25, "rewards/long/mean": 0.5}
    assert total((FIRST, LONG), logged) == 0.5


def test_rewards_of_one_name_are_refused(tiny_base):
    with pytest.raises(ValueError, match="rewards of different names"):
        training_of(tiny_base, rewards=(FIRST, FIRST))
    with pytest.raises(ValueError, match="must be an identifier"):
        Reward(name="two words", reward_func=CORRECT.reward_func)


def test_a_chat_is_trained_with_several_rewards(chat_base, tmp_path):
    log = train(training_of(chat_base, chat=True, rewards=(FIRST, LONG)), tmp_path / "out")

    assert [row["step"] for row in log] == [1.0, 2.0]
    assert all(0.125 <= row["reward"] <= 1.125 for row in log)  # a completion of one letter is long by a quarter


def test_what_a_chat_is_asked_is_the_template_and_not_the_prompt(chat_base, tmp_path):
    plain = train(training_of(chat_base), tmp_path / "plain")
    chat = train(training_of(chat_base, chat=True), tmp_path / "chat-out")

    assert plain != chat


def test_rewards_and_chat_are_part_of_the_recipe_and_the_usual_ones_are_not(tiny_base):
    def scale(**changes):
        return recipe_of(METHODS["grpo"], training_of(tiny_base, **changes), 0, "cpu").scale

    assert "rewards" not in scale() and "chat" not in scale()
    assert scale(chat=True)["chat"] is True
    assert scale(rewards=(FIRST, LONG))["rewards"] == [["first", 1.0, 1], ["long", 0.5, 1]]


def test_the_work_before_a_bad_reward_is_kept(tiny_base, tmp_path):
    asked = []

    def breaks_later(item, said):
        asked.append(said)
        return math.nan if len(asked) > 32 else 1.0 * (said == item.answer)

    broken = Reward(name="mine", reward_func=breaks_later)
    testbed = training_of(tiny_base, rewards=(broken,))
    testbed = replace(
        testbed, training=replace(testbed.training, scale=replace(testbed.training.scale, save_every_steps=1))
    )
    with pytest.raises(TrainingFailed):
        train(testbed, tmp_path / "out")
    mended = replace(testbed, training=replace(testbed.training, rewards=(replace(CORRECT, name="mine"),)))
    told = []
    job = TrainingJob(
        method=METHODS["grpo"], testbed=mended, seed=0, device="cpu", folder=tmp_path / "out", tell=told.append
    )
    METHODS["grpo"].train(job)

    assert told[0] == "grpo seed 0: resuming at step 1"


@pytest.mark.parametrize(
    "prompts, values, code",
    [
        ([], [], "empty"),
        ([ITEM, replace(ITEM, id="2")], ["'ab'", "2 times"], None),
        ([replace(ITEM, prompt=" ")], ["'1'", "empty"], None),
        ([replace(ITEM, prompt="a" * 64)], ["64 tokens", "1 of a completion"], None),
    ],
)
def test_prompts_that_cannot_be_asked_are_refused_before_training(tiny_base, prompts, values, code):
    with refused(UsageError, *values, code=code):
        check_prompts(prompts, training_of(tiny_base).training, *load(tiny_base))


def test_a_chat_needs_a_template_that_works(tiny_base, chat_base):
    _, tokenizer = load(tiny_base)
    with refused(NotTestable, code="no-template"):
        as_turn(tokenizer, "ab")
    (chat_base / "chat_template.jinja").write_text("{{ raise_exception('no user here') }}")
    with refused(NotTestable, "'ab'"):
        as_turn(load(chat_base)[1], "ab")


def test_a_task_in_chat_form_asks_the_template_and_pays_its_own_reward(chat_base):
    model, tokenizer = load(chat_base)
    task = tiny_testbed(chat_base).task("history")
    greedy = replace(task, temperature=0.0, repeats=1, max_answer_tokens=1, reward=LONG)
    plain, chat = answer_items(greedy, model, tokenizer), answer_items(replace(greedy, chat=True), model, tokenizer)

    for item, answer, score in zip(task.items(), chat["answer"][0], chat["score"][0], strict=True):
        ids = tokenizer(f"{item.prompt}d", return_tensors="pt")["input_ids"]
        best = model(input_ids=ids).logits[0, -1].argmax()
        assert answer == tokenizer.decode(best, skip_special_tokens=True).strip()
        assert score == len(answer) / 4
    assert not (plain["answer"] == chat["answer"]).all()
    assert parameters(greedy) != parameters(replace(greedy, chat=True))
    assert parameters(greedy) != parameters(replace(greedy, reward=replace(LONG, version=2)))
