"""The questions of the smollm2 testbed: true, balanced, on other substances in the task, and not to be gamed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.core.testbed import Item
from depthgauge_testbeds.smollm2 import mathematics, probe_inputs, science
from depthgauge_testbeds.smollm2.compounds import composition, compounds
from depthgauge_testbeds.smollm2.elements import elements

QUESTIONS = (*science.questions("exam"), *science.questions("training"))
NAMES = {one.name for one in elements()} | {one.name for one in compounds()}


def said(question, text):
    return science.names_the_answer(
        Item(id=science.item_id(question), prompt=question.prompt, answer=question.answer), text
    )


def test_there_are_at_least_four_hundred_questions_on_each_side_and_none_twice():
    for side in science.SIDES:
        assert len(science.questions(side)) >= 400
    assert len({one.prompt for one in QUESTIONS}) == len(QUESTIONS)


def test_training_and_task_ask_about_no_element_or_compound_in_common():
    asked = {side: {name for name in NAMES if science.sides()[name] == side} for side in science.SIDES}
    for side, other in (science.SIDES, science.SIDES[::-1]):
        for question in science.questions(side):
            words = question.about.partition(" in ")[2] or question.about
            named = set(words.replace(" or ", " and ").split(" and "))
            assert named <= asked[side]
            assert named.isdisjoint(asked[other])


def test_a_salt_is_asked_about_where_its_metal_is():
    sides = science.sides()
    assert all(sides[one.name] == sides[one.element] for one in compounds() if one.element)


def test_every_class_of_a_kind_has_as_many_questions():
    for side in science.SIDES:
        counts = Counter((one.kind, one.label) for one in science.questions(side) if one.label)
        for kind in {kind for kind, _ in counts}:
            assert len({count for (its, _), count in counts.items() if its == kind}) == 1


@pytest.mark.parametrize("kind", ["metal", "state", "family", "substance"])
def test_who_always_says_the_same_is_right_by_chance(kind):
    asked = [one for one in science.questions("exam") if one.kind == kind]
    classes = {one.answer for one in asked}
    for always in classes:
        assert sum(said(one, f"It is a {always}.") for one in asked) == len(asked) / len(classes)


def test_the_right_sentence_is_paid_and_no_other():
    for question in QUESTIONS:
        assert [said(question, sentence) for sentence in question.sentences] == [1.0] + [0.0] * (
            len(question.sentences) - 1
        )


@given(st.sampled_from(QUESTIONS), st.data())
def test_who_names_two_candidates_has_not_answered(question, data):
    kin = [one for one in QUESTIONS if one.kind == question.kind and one.answer != question.answer]
    other = data.draw(st.sampled_from(kin)).answer
    if question.kind == "formula" and composition(other) == composition(question.answer):
        return
    first, second = data.draw(st.permutations([question.answer, other]))
    assert said(question, f"It is {first} or {second}.") == 0


def test_only_the_first_sentence_is_read():
    iron = next(one for one in QUESTIONS if one.kind == "metal" and one.answer == "metal")
    assert said(iron, "It is a metal. It is not a nonmetal.") == 1
    assert said(iron, "That is hard to say. It is a metal.") == 0


def test_a_formula_counts_however_its_atoms_are_grouped():
    methanol = next(one for one in QUESTIONS if one.about == "methanol" and one.kind == "formula")
    assert said(methanol, "Methanol (CH₃OH) is CH3OH.") == 1
    assert said(methanol, "The formula of methanol is CH4O2.") == 0


def test_formulae_are_those_of_the_handbook():
    known = {one.name: one.formula for one in compounds()}
    expected = {
        "calcium chloride": "CaCl2", "aluminum sulfate": "Al2(SO4)3", "magnesium hydroxide": "Mg(OH)2",
        "sodium carbonate": "Na2CO3", "aluminum oxide": "Al2O3", "aluminum phosphate": "AlPO4", "zinc oxide": "ZnO",
        "barium phosphate": "Ba3(PO4)2", "silver nitrate": "AgNO3",
    }  # fmt: skip
    assert {name: known[name] for name in expected} == expected
    assert all(composition(one.formula) for one in compounds())


def test_two_elements_are_liquid_and_eleven_are_gases():
    states = {state: {one.name for one in elements() if one.state == state} for state in science.STATES}
    assert states["liquid"] == {"bromine", "mercury"}
    assert states["gas"] == {
        "hydrogen", "helium", "nitrogen", "oxygen", "fluorine", "neon", "chlorine", "argon", "krypton", "xenon",
        "radon",
    }  # fmt: skip


def test_options_are_the_same_questions_and_hold_the_answer():
    for asked, chosen in zip(science.items("exam"), science.with_options("exam"), strict=True):
        assert (asked.id, asked.prompt) == (chosen.id, chosen.prompt)
        assert chosen.answer in chosen.options
        assert len(set(chosen.options)) == len(chosen.options) >= 2


def test_mathematics_is_right_and_has_four_options():
    items = mathematics.items()
    assert len(items) == len({item.id for item in items}) == 300
    for item in items:
        assert len(set(item.options)) == 4
        assert item.answer in item.options
        if item.prompt.endswith("="):
            assert eval(item.prompt[:-1].replace("x", "*")) == int(item.answer)


def test_every_marked_formula_stands_in_its_sentence():
    texts = probe_inputs.marked_texts()
    assert len(texts) > 40
    assert all(term in one.text for one in texts for term in one.terms)
