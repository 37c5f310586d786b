"""Questions from data sets: real files read by the real library."""

import json

import datasets
import huggingface_hub
import pytest

from depthgauge.core.errors import UsageError
from depthgauge.core.prompts import DataSet
from tests.processes import refused


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "facts"
    place.mkdir()
    rows = [
        {"question": "Two and two?", "solution": " four "},
        {"question": "Two and two?", "solution": "4"},
        {"question": " ", "solution": "nothing"},
        {"question": "One and one?", "solution": "two"},
    ]
    (place / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


def test_every_question_is_taken_once(folder):
    items = DataSet(name=folder, prompt="question", answer="solution").items()

    assert [(item.prompt, item.answer) for item in items] == [("Two and two?", "four"), ("One and one?", "two")]
    assert [item.id for item in items] == ["facts/0", "facts/3"]


def test_rows_can_be_left_out(folder):
    only = DataSet(name=folder, prompt="question", answer="solution", keep=lambda row: "One" in row["question"])
    assert [item.answer for item in only.items()] == ["two"]

    none = DataSet(name=folder, prompt="question", answer="solution", keep=lambda row: False)
    with refused(UsageError, "of 4"):
        none.items()


def test_a_column_that_is_not_there_is_named_with_those_that_are(folder):
    with refused(UsageError, "'message_1'", "question, solution"):
        DataSet(name=folder, prompt="message_1", answer="solution").items()


def test_a_name_that_cannot_be_had_says_how_to_bring_it(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with refused(UsageError, "hf download --repo-type dataset camel-ai/x"):
        DataSet(name="camel-ai/x", prompt="message_1", answer="message_2").items()
