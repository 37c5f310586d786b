"""The common probe inputs: as many as they say, all different, and answered at no favourite place."""

from collections import Counter, defaultdict

import pytest

from depthgauge.checks.inputs import items, mmlu_dev, texts

KINDS = 40
LEAST = {"grammar": 100, "facts": 100, "opposites": 50, "categories": 50, "sums": 60}


def by_kind() -> dict[str, list[items.Item]]:
    kinds = defaultdict(list)
    for item in items.items():
        kinds[item.kind].append(item)
    return dict(kinds)


def test_texts_and_openings_are_each_of_a_kind_of_their_own():
    """One of a kind: eight of one kind say little more than one, and an interval counts kinds."""
    assert len({text.kind for text in texts.texts()}) == len(texts.texts()) == KINDS
    assert len({kind for kind, _ in texts.openings()}) == len(texts.openings()) == KINDS


def test_all_texts_differ_and_none_is_over_its_length():
    written = [text.text for text in texts.texts()]

    assert len(set(written)) == KINDS
    assert all(200 <= len(text) <= 530 and len(text.split()) <= 110 for text in written)


def test_instructions_alone_have_turns_and_end_with_the_assistant():
    for text in texts.texts():
        assert bool(text.turns) == text.kind.startswith("chat")
        assert not text.turns or text.turns[-1][0] == "assistant"
        assert all(role in {"system", "user", "assistant"} and content in text.text for role, content in text.turns)


def test_openings_differ_and_are_unfinished():
    openings = [text for _, text in texts.openings()]
    sentences = openings[:32]  # the rest is code

    assert len(set(openings)) == KINDS
    assert all(opening == opening.strip() for opening in openings)
    assert not any(sentence.endswith((".", "!", "?")) for sentence in sentences)
    assert all(4 <= len(opening.split()) <= 20 for opening in openings)
    assert not any(text.text.startswith(opening) for text in texts.texts() for opening in openings)


def test_each_kind_of_item_has_its_size():
    sizes = {kind: len(members) for kind, members in by_kind().items()}

    assert sizes.keys() == LEAST.keys() and all(sizes[kind] >= least for kind, least in LEAST.items())
    assert sum(sizes.values()) >= 360


def test_no_item_is_asked_twice():
    asked = items.items()
    prompts = [item.prompt for item in asked if item.kind != "grammar"]

    assert len({item.id for item in asked}) == len(asked)
    assert len(set(prompts)) == len(prompts)
    assert all((item.prompt == "") == (item.kind == "grammar") for item in asked)


def test_the_answer_is_one_of_two_to_four_different_options():
    for item in items.items():
        assert item.answer in item.options
        assert len(set(item.options)) == len(item.options) == (2 if item.kind == "grammar" else 4)


def test_no_option_of_a_prompt_begins_another():
    asked = [item for item in items.items() if item.kind != "grammar"]

    assert not [item.id for item in asked for a in item.options for b in item.options if a != b and b.startswith(a)]


def test_the_two_sentences_of_a_minimal_pair_differ_in_a_word_or_two():
    for item in by_kind()["grammar"]:
        right, wrong = (Counter(option.split()) for option in item.options)
        assert (right - wrong).total() <= 2 and abs(right.total() - wrong.total()) <= 2, item.id


@pytest.mark.parametrize("kind", LEAST)
def test_the_answer_is_no_more_often_at_one_place_than_at_another(kind):
    members = by_kind()[kind]
    places = Counter(item.options.index(item.answer) for item in members)

    assert max(places.values()) <= 1.6 * len(members) / len(members[0].options)


@pytest.mark.parametrize("kind", LEAST)
def test_who_always_gives_the_commonest_answer_gets_few_items_of_a_kind(kind):
    answers = Counter(item.answer for item in by_kind()[kind])

    assert max(answers.values()) <= 0.25 * answers.total()


def test_items_and_the_order_of_their_options_are_the_same_every_time():
    assert items.items() == items.items()


def test_the_questions_of_mmlu_parse():
    asked = mmlu_dev.items()

    assert len(asked) >= 281
    assert len({item.id for item in asked}) == len(asked)
    assert len({item.id.split("/")[1] for item in asked}) == 57
    assert {item.answer for item in asked} == set("ABCD")
    assert max(Counter(item.answer for item in asked).values()) <= 1.6 * len(asked) / 4


def test_a_question_of_mmlu_ends_where_the_letter_belongs():
    for item in mmlu_dev.items():
        assert item.options == ("A", "B", "C", "D") and item.prompt.endswith("\nAnswer:")
        assert all(f"\n{letter}. " in item.prompt for letter in item.options)
