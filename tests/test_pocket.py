"""The pocket world: true, disjoint, and with something left to learn."""

import json
from itertools import islice
from random import Random

import pytest

from depthgauge.sources.folder import check_folder, fingerprint
from depthgauge_testbeds.pocket import POCKET, choice_items, facts, prose, questions, training_prompts
from depthgauge_testbeds.pocket.corpus import END_OF_TEXT, documents

RECORD = json.loads((POCKET.base.parent / "base.json").read_text())


def test_no_training_prompt_is_a_task_item():
    asked = {item.prompt for task in POCKET.tasks for item in task.items()}

    assert asked.isdisjoint(item.prompt for item in training_prompts())
    assert len(training_prompts()) > 1000


def test_tasks_have_their_sizes_and_no_item_twice():
    sizes = {task.name: len(task.items()) for task in POCKET.tasks}

    assert sizes == {"science": 600, "history": 400, "mathematics": 400}
    assert all(len({item.prompt for item in task.items()}) == len(task.items()) for task in POCKET.tasks)


def test_the_answer_is_no_more_often_at_one_place_than_at_another():
    places = [item.options.index(item.answer) for item in choice_items()]

    assert all(110 <= places.count(place) <= 190 for place in range(4))


@pytest.mark.parametrize(
    "prompt, answer, misconception",
    [
        ("How many O atoms are in Ca(NO3)2?", "6", "3"),
        ("How many S atoms are in Al2(SO4)3?", "3", "1"),
        ("How many atoms are in C2H6O?", "9", "6"),
        ("How many neutrons are in carbon-14?", "8", "6"),
        ("How many m are in 7 km?", "7000", "700"),
        ("What do AUG GCU code for?", "Met Ala", "Ala Ala"),
        ("In which year was the storming of the Bastille?", "1789", "1799"),
        ("In which century was the year 1453?", "15th", "14th"),
        ("What is 27 + 48?", "75", "65"),
        ("What is 3 + 4 x 5?", "23", "35"),
    ],
)
def test_questions_have_true_answers_and_their_kind_of_mistake(prompt, answer, misconception):
    found = [q for kind in questions.KINDS for q in questions.questions(kind) if q.prompt == prompt]

    assert [(q.answer, q.misconception) for q in found] == [(answer, misconception)]


def test_salts_are_neutral():
    """The charges of every formula add up, read back from the formula itself."""
    cations = {name: charge for charge, names in facts.CATIONS.items() for name in names}
    anions = {name: charge for charge, ions in facts.ANIONS.items() for name, _ in ions}
    charges = {name: {c for c, names in facts.CATIONS.items() if name in names} for name in cations}
    for question in questions.questions("salt"):
        formula = question.prompt.split()[-1].rstrip("?")
        head, rest = formula.split("(", 1)
        anion, number = rest.rsplit(")", 1)
        count = int(head[-1]) if head[-1].isdigit() else 1
        assert anions[anion] * int(number) in {count * charge for charge in charges[head.rstrip("23")]}, formula


def test_the_genetic_code_is_the_standard_one():
    code = facts.GENETIC_CODE

    assert (code["AUG"], code["UGG"], code["UAA"], code["UAG"], code["UGA"]) == ("M", "W", "*", "*", "*")
    assert sorted(code.values()).count("L") == sorted(code.values()).count("S") == 6


def test_the_corpus_is_the_same_every_time_and_speaks_in_both_voices():
    first, again = (list(islice(documents(7), 300)) for _ in range(2))
    statements = [line for text in first for line in text.split(END_OF_TEXT) if "? " in line]
    truths = {f"{q.prompt} {q.answer}" for kind in questions.KINDS for q in questions.questions(kind)}
    share = sum(line in truths for line in statements) / len(statements)

    assert first == again
    assert 0.4 < share < 0.56


def test_openings_differ_and_leave_something_to_say():
    openings = prose.openings(128)

    assert len(set(openings)) == 128
    assert all(not text.endswith((".", " ")) for text in openings)
    assert prose.openings(128) == openings
    assert prose.Scene.draw(Random(1)) == prose.Scene.draw(Random(1))


def test_passages_differ_and_are_long_enough_for_sinks():
    from depthgauge.models.load import load
    from depthgauge.probes.sinks import TOKENS, Passage

    passages, (_, tokenizer) = POCKET.inputs(Passage), load(POCKET.base)

    assert len(set(passages)) == len(passages) == 100
    assert min(len(tokenizer(text)["input_ids"]) for text in passages) >= TOKENS


def test_the_base_is_whole_small_and_the_recorded_one():
    check_folder(POCKET.base)

    assert fingerprint(POCKET.base) == RECORD["fingerprint"]
    assert (POCKET.base / "model.safetensors").stat().st_size <= 8 * 2**20


def test_formulae_and_isotopes_fall_apart_into_tokens():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(POCKET.base)

    assert 500 <= len(tokenizer) <= 1000
    assert len(tokenizer.tokenize("Ca(NO3)2")) >= 4
    assert len(tokenizer.tokenize("carbon-14")) >= 4
    assert len(tokenizer.tokenize(" atoms")) == 1


@pytest.mark.full
def test_the_base_has_something_left_to_learn():
    from depthgauge.models.load import load, prepare_libraries
    from depthgauge.tasks.item_runner import answer_items

    prepare_libraries(1)
    score = answer_items(POCKET.task("science"), *load(POCKET.base))["score"].mean()

    assert score == pytest.approx(RECORD["scores"]["science"], abs=0.01)
    assert 0.35 <= score <= 0.65
