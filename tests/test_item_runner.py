"""Items of our own have the answers that lm-eval gives them: options and their log-likelihoods, and generated texts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from depthgauge.checks.inputs import COMMON
from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.core.testbed import Item, ItemTask
from depthgauge.models.inputs import as_turn
from depthgauge.models.load import load, prepare_libraries
from depthgauge.tasks.item_runner import answer_items, log_likelihoods, option_texts
from depthgauge_testbeds.pocket import POCKET
from depthgauge_testbeds.smollm2 import SMOLLM2
from tests.processes import refused
from tests.tiny import LETTERS, PROMPTS

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}{% if add_generation_prompt %}d{% endif %}"
OPTIONS = ("a", "ab", "abc", "abd", "d", "dab")
LONG = "abcd" * 20  # 80 tokens, of a context of 64


def check_same_answers(task, model, tokenizer):
    """Scores and answers of each repeat, the texts of all requests, and log-likelihoods in float32's digits."""
    from tests.lm_eval_peer import answers_of_lm_eval

    found, items = answer_items(task, model, tokenizer), task.items()
    for repeat in range(task.repeats):
        peer = answers_of_lm_eval(task, model, tokenizer, repeat)
        assert found["answer"][repeat].tolist() == peer.answers
        assert found["score"][repeat].tolist() == peer.scores
    if items[0].options:
        prompts = [as_turn(tokenizer, item.prompt) if task.chat else item.prompt for item in items]
        texts = option_texts(task, items, prompts)
        assert texts == peer.texts
        # lm-eval adds up in float32, whose spacing at 300 nats is 3e-5.
        found_values = log_likelihoods(texts, model, tokenizer)
        np.testing.assert_allclose(found_values, peer.log_likelihoods, rtol=np.finfo(np.float32).eps, atol=1e-5)
    return found


def every(step, task):
    return replace(task, items=lambda: task.items()[::step])


@pytest.mark.parametrize("task", [*POCKET.tasks, COMMON.task("common")], ids=lambda task: task.name)
def test_the_pocket_model_answers_as_in_lm_eval(task):
    prepare_libraries(1)
    model, tokenizer = load(POCKET.base)
    found = check_same_answers(every(6, task), model, tokenizer)

    assert len(set(found["answer"].ravel().tolist())) > 3


@pytest.mark.heavy
@pytest.mark.skipif(not SMOLLM2.base.is_dir(), reason="SmolLM2 is not here: 'make smollm2' brings it")
@pytest.mark.parametrize("task", [*SMOLLM2.tasks, *COMMON.tasks], ids=lambda task: task.name)
def test_smollm2_answers_as_in_lm_eval(task):
    prepare_libraries(2)
    model, tokenizer = load(SMOLLM2.base)
    check_same_answers(every(12, task), model, tokenizer)


@pytest.fixture
def tiny(tiny_base):
    model, tokenizer = load(tiny_base)
    yield model, tokenizer
    tokenizer.chat_template = None


def choice(*prompts, options=OPTIONS, **settings):
    items = [Item(id=str(i), prompt=prompt, answer=options[0], options=options) for i, prompt in enumerate(prompts)]
    return ItemTask(name="choice", items=lambda: items, **settings)


def question(*prompts, **settings):
    items = [Item(id=str(i), prompt=prompt, answer="a") for i, prompt in enumerate(prompts)]
    return ItemTask(name="question", items=lambda: items, **settings)


@pytest.mark.parametrize(
    "prompts",
    [
        ("ab", "abc", "d"),
        ("ab ", "abc  ", "d\n"),
        ("ab", "ab", "abab", "abab"),
        (LONG, LONG[1:], "ab"),
        tuple(a + b + c for a in LETTERS for b in LETTERS for c in LETTERS) * 2,
    ],
    ids=["words", "spaces at the end", "the same again", "longer than the context", "several batches"],
)
def test_options_are_scored_as_in_lm_eval(tiny, prompts):
    check_same_answers(choice(*prompts), *tiny)


def test_a_chat_s_options_are_scored_as_in_lm_eval(tiny):
    tiny[1].chat_template = TEMPLATE
    check_same_answers(choice("ab", "cd", chat=True), *tiny)


@pytest.mark.parametrize("sampled", [{}, {"temperature": 0.8, "repeats": 2}], ids=["greedy", "sampled"])
@pytest.mark.parametrize("chat", [False, True], ids=["plain", "chat"])
def test_answers_are_generated_as_in_lm_eval(tiny, sampled, chat):
    tiny[1].chat_template = TEMPLATE if chat else None
    prompts = [first + second * n for n in range(1, 9) for first in LETTERS for second in LETTERS]
    check_same_answers(question(*prompts, LONG, max_answer_tokens=8, chat=chat, **sampled), *tiny)


def test_an_answer_ends_where_the_model_ends_it(tiny):
    model, tokenizer = tiny
    task = question(*PROMPTS, max_answer_tokens=6)
    whole = answer_items(task, model, tokenizer)["answer"][0]

    def end_at_third(module, inputs, kwargs, output):
        if output.past_key_values.get_seq_length() > 3:  # two tokens of a prompt, and two that were said
            output.logits[:, -1, tokenizer.eos_token_id] = 1e6

    hook = model.register_forward_hook(end_at_third, with_kwargs=True)
    try:
        said = check_same_answers(task, model, tokenizer)["answer"][0]
    finally:
        hook.remove()

    assert all(text.startswith(start) for text, start in zip(whole, said, strict=True))
    assert max(map(len, whole)) > max(map(len, said)) == 2


def test_an_option_after_no_prompt_is_scored_after_the_first_token(tiny):
    model, tokenizer = tiny
    found = log_likelihoods([("", "ab"), ("  ", "b")], model, tokenizer)
    for value, text in zip(found, ("ab", "  b"), strict=True):
        ids = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]
        with torch.no_grad():
            logps = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        assert value == pytest.approx(sum(float(logps[i, ids[i + 1]]) for i in range(len(ids) - 1)), abs=1e-5)


def test_options_of_other_lengths_that_read_the_same_are_scored_on_their_own_tokens(tiny):
    """Where lm-eval takes the first rows of the longest: here the last token is one option, and two are another."""
    together = log_likelihoods([("abc", "d"), ("ab", "cd")], *tiny)
    alone = [log_likelihoods([pair], *tiny)[0] for pair in (("abc", "d"), ("ab", "cd"))]

    assert together == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("text", [("ab", ""), ("ab", LONG)], ids=["no token", "more than the context"])
def test_an_option_that_cannot_be_scored_is_a_sentence(tiny, text):
    with pytest.raises(NotTestable, match=r"has (0|80) tokens, and 1 to 64 can be scored"):
        log_likelihoods([text], *tiny)


def test_an_answer_without_room_for_a_prompt_is_a_sentence(tiny):
    with refused(NotTestable, "'question'", "64 tokens of 64"):
        answer_items(question("ab", max_answer_tokens=64), *tiny)
    with refused(NotTestable, "''"):
        answer_items(question("ab", ""), *tiny)


def test_a_generated_answer_from_logits_that_are_not_finite_is_refused(tiny):
    model, tokenizer = tiny
    hook = model.lm_head.register_forward_hook(lambda *args: args[2] * float("nan"))
    try:
        with refused(InvalidCheckpoint, code="not-finite"):
            answer_items(question("ab"), model, tokenizer)
    finally:
        hook.remove()
