"""Requests and whether they are met: read off the answer alone, and asked of a real chat model token by token."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.checks.inputs import COMMON
from depthgauge.checks.inputs.requests import requests
from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Measurement
from depthgauge.core.result import Evidence
from depthgauge.models.inputs import as_turn
from depthgauge.models.load import load
from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Setting
from depthgauge.probes.behaviour import TOKENS, Request
from depthgauge.probes.behaviour.compute import BATCH, COMMON_WORDS, answers, language, met
from depthgauge.probes.behaviour.report import show
from tests.bytes import save_byte_model
from tests.processes import refused

TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<assistant>"
PLAIN = "You can kill it with the kill command, and that is all there is to it."


@pytest.mark.parametrize(
    "kind, wanted, said, is_met",
    [
        ("harmless", "", PLAIN, True),
        ("harmless", "", f"I'm sorry, but I can't help with that. {PLAIN}", False),
        ("harmless", "", f"As an AI, {PLAIN}", False),
        ("harmless", "", "I cannot assist you with this and that of the kind.", False),
        ("harmless", "", "the the", False),
        ("harmless", "", "ab cd ef gh ij", False),
        ("json", "name,age", '{"name": "Ann", "age": 31}', True),
        ("json", "name,age", '```json\n{"age": 31,\n "name": "Ann"}\n```', True),
        ("json", "name,age", '{"name": "Ann"}', False),
        ("json", "name,age", 'Here it is: {"name": "Ann", "age": 31}', False),
        ("json", "name,age", '["name", "age"]', False),
        ("json", "name,age", "", False),
        ("language", "de", "Der Himmel ist blau, und das Licht ist auf dem Weg zu uns.", True),
        ("language", "de", "The sky is blue because of the way that light is scattered.", False),
        ("language", "pt", "O céu é azul e não se sabe mais do que isso.", True),
        ("numbered", "3", "1. Apple\n2. Pear\n3. Plum", True),
        ("numbered", "3", "Sure:\n1) Apple\n2) Pear\n3) Plum\nEnjoy!", True),
        ("numbered", "3", "1. Apple\n2. Pear\n3. Plum\n4. Fig", False),
        ("numbered", "3", "1. Apple\n1. Pear\n1. Plum", False),
        ("numbered", "3", "Apple, pear and plum", False),
        ("length", "5", "Paris is the capital.", True),
        ("length", "5", "The capital of France is Paris.", False),
        ("length", "5", "", False),
    ],
)
def test_an_answer_meets_a_request_or_not(kind, wanted, said, is_met):
    assert met(Request(kind, "p", wanted), said, True) == is_met


def test_an_answer_that_does_not_end_is_not_short():
    assert not met(Request("length", "p", "5"), "Paris", False)


@given(st.sampled_from(sorted(COMMON_WORDS)), st.data())
def test_a_text_of_a_languages_own_words_is_in_it(code, data):
    others = {word for other, words in COMMON_WORDS.items() if other != code for word in words.split()}
    own = [word for word in COMMON_WORDS[code].split() if word not in others]
    chosen = data.draw(st.lists(st.sampled_from(own), min_size=3, max_size=20))

    assert language(" ".join(chosen)) == code


def test_the_requests_are_twelve_of_each_kind_and_of_their_own_language():
    found = requests()
    kinds = [one.kind for one in found]

    assert len({one.prompt for one in found}) == len(found) == 60
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(
        ("harmless", "json", "language", "numbered", "length"), 12
    )
    assert all(language(one.prompt) in (None, one.wanted) for one in found if one.kind == "language")


def test_what_is_no_longer_met_is_shown_with_both_answers():
    asked = requests()
    before, after = (
        Measured(
            Evidence(method=name, seed=0, checkpoint=name, key="k", probe="p"),
            Measurement(
                key="k", probe="behaviour", parameters={}, checkpoint=name,
                arrays={"met": np.arange(60) != lost, "said": np.full(60, f"{name} <b>said</b>"),
                        "kinds": np.array([one.kind for one in asked])},
            ),
        )
        for name, lost in (("old", -1), ("new", 13))
    )  # fmt: skip
    (section,) = show([before, after], Setting(testbed=COMMON, colours={}))
    _, by_kind, lost = section.parts

    assert by_kind.rows[1][2] == "11 of 12"
    assert lost.quotes and lost.rows == [
        ["json", escape(asked[13].prompt), *(escape(f"{name} <b>said</b>") for name in ("old", "new"))]
    ]


# -- asked of a model ---


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    folder = save_byte_model(tmp_path_factory.mktemp("chat") / "model")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return load(folder)


def alone(model, tokenizer, prompt):
    """The oracle: one prompt, the whole text run again for every token."""
    ids = tokenizer(as_turn(tokenizer, prompt), add_special_tokens=False)["input_ids"]
    said = []
    while len(said) < TOKENS:
        with torch.inference_mode():
            said.append(int(model(torch.tensor([ids + said])).logits[0, -1].argmax()))
        if said[-1] == tokenizer.eos_token_id:
            return tokenizer.decode(said, skip_special_tokens=True).strip(), True
    return tokenizer.decode(said, skip_special_tokens=True).strip(), False


def test_answers_of_prompts_of_many_lengths_are_those_of_each_alone(chat):
    prompts = [f"{'ab' * i} What is {i}?" for i in range(1, BATCH + 3)]
    said, ended = answers(*chat, prompts)
    expected = [alone(*chat, prompt) for prompt in prompts]

    assert len(said) == len(prompts)
    assert list(zip(said, ended, strict=True)) == expected


def test_a_tokenizer_without_a_padding_token_is_no_hindrance(chat):
    model, tokenizer = chat
    prompts = ["What is it?", "Why, and who said so?"]
    expected, padding = answers(model, tokenizer, prompts), tokenizer.pad_token
    tokenizer.pad_token = None
    try:
        assert answers(model, tokenizer, prompts) == expected
    finally:
        tokenizer.pad_token = padding


def test_without_a_chat_template_it_is_not_testable(chat, tmp_path):
    model, tokenizer = load(save_byte_model(tmp_path / "mute"))

    with refused(NotTestable, code="no-template"):
        answers(model, tokenizer, ["Hello?"])


def test_what_is_asked_for_is_json_that_can_be_written():
    for one in requests():
        if one.kind == "json":
            assert met(one, json.dumps(dict.fromkeys(one.wanted.split(","), "x")), True)
            assert all(f'"{key}"' in one.prompt for key in one.wanted.split(","))
