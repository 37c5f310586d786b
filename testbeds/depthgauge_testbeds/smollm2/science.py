"""Questions on elements and compounds: some to train on, and others, on other substances, for the task.

An answer is read from the first sentence that is said: it counts if that names one candidate of the question's kind,
and the right one. Who lists several has not answered; and as every class has as many questions, whoever always says the
same is right no more often than by chance.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cache
from itertools import cycle
from random import Random
from typing import Literal, NamedTuple

from depthgauge.core.plain import digest
from depthgauge.core.testbed import Item, Reward
from depthgauge_testbeds.smollm2.compounds import ATOMS, SUBSCRIPTS, Compound, composition, compounds
from depthgauge_testbeds.smollm2.elements import Element, elements

Side = Literal["training", "exam"]
SIDES: tuple[Side, ...] = ("exam", "training")
PAIRS = 90
NONMETALS, METALLOIDS = ("nonmetals", "halogens", "noble gases"), "metalloids"
FAMILIES = ("alkali metal", "alkaline earth metal", "halogen", "noble gas")
STATES = ("solid", "liquid", "gas")
SOUGHT = {"C": "carbon", "N": "nitrogen", "O": "oxygen", "S": "sulfur", "H": "hydrogen", "Cl": "chlorine"}
ENGLISH = ("He", "Be", "I", "In", "As", "At", "No", "Am")  # symbols that any sentence may hold
UNSURE = ("astatine", "francium")  # of which no visible amount was ever seen
SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")


class Question(NamedTuple):
    """A question of a kind, about a class of its answers; `sentences` are the options, the right one first."""

    kind: str
    label: str
    about: str
    prompt: str
    answer: str
    sentences: tuple[str, ...]


# -- who is asked about on which side ---


def dealt(stratum: Sequence[str]) -> dict[str, Side]:
    """Half of the names to each side, in an order that depends on the names alone."""
    return dict(zip(sorted(stratum, key=digest), cycle(SIDES)))


@cache
def sides() -> dict[str, Side]:
    """The side of every element and compound: half of each class; a salt goes with its metal."""
    strata: dict[Hashable, list[str]] = {}
    for molecule in elements():
        strata.setdefault((molecule.state, molecule.series), []).append(molecule.name)
    for compound in compounds():
        if not compound.element:
            strata.setdefault(("molecule", compound.state), []).append(compound.name)
    side_of = {name: side for stratum in strata.values() for name, side in dealt(stratum).items()}
    return side_of | {molecule.name: side_of[molecule.element] for molecule in compounds() if molecule.element}


def elements_of(side: Side) -> list[Element]:
    known = (element for element in elements() if sides()[element.name] == side and element.name not in UNSURE)
    return sorted(known, key=lambda element: digest(element.name))


def compounds_of(side: Side) -> list[Compound]:
    return sorted(
        (compound for compound in compounds() if sides()[compound.name] == side),
        key=lambda compound: digest(compound.name),
    )


def balanced(questions: Iterable[Question]) -> Iterator[Question]:
    """As many questions of every class as the rarest has."""
    by_class: dict[str, list[Question]] = {}
    for asked in questions:
        by_class.setdefault(asked.label, []).append(asked)
    fewest = min(map(len, by_class.values()))
    return (asked for listed in by_class.values() for asked in listed[:fewest])


# -- the kinds of questions ---


def symbol(side: Side) -> Iterator[Question]:
    for element in elements_of(side):
        if element.symbol in ENGLISH:
            continue
        others = sorted(
            (other.symbol for other in elements() if other != element), key=lambda other: likeness(element, other)
        )
        sentences = (f"The chemical symbol of {element.name} is {said}." for said in (element.symbol, *others[:3]))
        yield Question(
            "symbol",
            "",
            element.name,
            f"What is the chemical symbol of {element.name}?",
            element.symbol,
            tuple(sentences),
        )


def likeness(element: Element, other: str) -> tuple[bool, str]:
    """Symbols that start as the element's name does come first."""
    return other[0].lower() != element.name[0], digest(element.name + other)


def metal(side: Side) -> Iterator[Question]:
    def asked() -> Iterator[Question]:
        for element in elements_of(side):
            if element.series != METALLOIDS:
                kinds = ("nonmetal", "metal") if element.series in NONMETALS else ("metal", "nonmetal")
                yield choice("metal", element.name, f"Is {element.name} a metal or a nonmetal?", kinds)

    return balanced(asked())


def state(side: Side) -> Iterator[Question]:
    def asked() -> Iterator[Question]:
        known = [(element.name, element.state) for element in elements_of(side)]
        known += [(compound.name, compound.state) for compound in compounds_of(side) if not compound.element]
        for name, right in known:
            others = (said for said in STATES if said != right)
            yield choice("state", name, f"Is {name} a solid, a liquid or a gas at room temperature?", (right, *others))

    return balanced(asked())


def family(side: Side) -> Iterator[Question]:
    def asked() -> Iterator[Question]:
        for element in elements_of(side):
            right = (
                element.series.removesuffix("es")
                if element.series == "noble gases"
                else element.series.removesuffix("s")
            )
            if right in FAMILIES and element.name != "hydrogen":
                others = (said for said in FAMILIES if said != right)
                prompt = f"Is {element.name} an alkali metal, an alkaline earth metal, a halogen or a noble gas?"
                yield choice("family", element.name, prompt, (right, *others))

    return balanced(asked())


def substance(side: Side) -> Iterator[Question]:
    def asked() -> Iterator[Question]:
        known = [(element.name, ("element", "compound")) for element in elements_of(side)]
        known += [(compound.name, ("compound", "element")) for compound in compounds_of(side)]
        for name, kinds in known:
            yield choice("substance", name, f"Is {name} an element or a compound?", kinds)

    return balanced(asked())


def choice(kind: str, name: str, prompt: str, kinds: tuple[str, ...]) -> Question:
    """A question of what the substance of that name is, the right class first."""
    said = tuple(f"{name.capitalize()} is {'an' if kind[0] in 'aeiou' else 'a'} {kind}." for kind in kinds)
    return Question(kind, kinds[0], name, prompt, kinds[0], said)


def heavier(side: Side) -> Iterator[Question]:
    known, random = elements_of(side), Random(side)
    pairs: dict[frozenset[str], Question] = {}
    while len(pairs) < PAIRS:
        light, heavy = sorted(random.sample(known, 2), key=lambda element: element.mass)
        key = frozenset((light.name, heavy.name))
        if heavy.mass < 1.2 * light.mass or key in pairs:
            continue
        label, (first, second) = in_turn(heavy.name, light.name, len(pairs))
        said = (f"The heavier atom is {name}." for name in (heavy.name, light.name))
        prompt = f"Which atom is heavier, {first} or {second}?"
        pairs[key] = Question("heavier", label, f"{first} and {second}", prompt, heavy.name, tuple(said))
    return iter(pairs.values())


def contains(side: Side) -> Iterator[Question]:
    known, random = compounds_of(side), Random(side)
    pairs: dict[tuple[str, frozenset[str]], Question] = {}
    while len(pairs) < PAIRS:
        sought = random.choice(list(SOUGHT))
        having, lacking = (drawn.name for drawn in random.sample(known, 2))
        key = (sought, frozenset((having, lacking)))
        if sought not in atoms(having) or sought in atoms(lacking) or key in pairs:
            continue
        label, (first, second) = in_turn(having, lacking, len(pairs))
        said = (f"The one that contains {SOUGHT[sought]} is {name}." for name in (having, lacking))
        about, prompt = (
            f"{SOUGHT[sought]} in {first} or {second}",
            f"Which contains {SOUGHT[sought]}, {first} or {second}?",
        )
        pairs[key] = Question("contains", label, about, prompt, having, tuple(said))
    return iter(pairs.values())


def in_turn(right: str, wrong: str, number: int) -> tuple[str, tuple[str, str]]:
    """The class of a question between two, and its order: every other one names the right one first."""
    return ("named second", (wrong, right)) if number % 2 else ("named first", (right, wrong))


def formula(side: Side) -> Iterator[Question]:
    for compound in compounds_of(side):
        sentences = (
            f"The chemical formula of {compound.name} is {said}."
            for said in (compound.formula, *misread(compound.formula))
        )
        yield Question(
            "formula",
            "",
            compound.name,
            f"What is the chemical formula of {compound.name}?",
            compound.formula,
            tuple(sentences),
        )


def misread(right: str) -> tuple[str, str, str]:
    """The formula with one atom more of its first element, of its last, and of both."""
    parts = ATOMS.findall(right)

    def more(*places: int) -> str:
        counts = [int(count or 1) + (place in places) for place, (_, count) in enumerate(parts)]
        written = iter(f"{name}{count if count > 1 else ''}" for (name, _), count in zip(parts, counts, strict=True))
        return ATOMS.sub(lambda _: next(written), right)

    last = len(parts) - 1
    return more(0), more(last), more(0, last)


KINDS: dict[str, Callable[[Side], Iterator[Question]]] = {
    "symbol": symbol, "metal": metal, "state": state, "family": family, "substance": substance, "heavier": heavier,
    "contains": contains, "formula": formula,
}  # fmt: skip


@cache
def atoms(name: str) -> frozenset[str]:
    (candidate,) = (candidate for candidate in compounds() if candidate.name == name)
    return frozenset(composition(candidate.formula) or ())


@cache
def questions(side: Side) -> tuple[Question, ...]:
    return tuple(question for kind in KINDS.values() for question in kind(side))


# -- the answer that a text gives ---


def in_first_sentence(kind: str, said: str) -> set[Hashable]:
    """The candidates of a kind that the first sentence of a text names."""
    first = SENTENCE_END.split(said.strip(), maxsplit=1)[0]
    words = [word.strip(".,;:!?*\"'`") for word in first.translate(SUBSCRIPTS).split()]
    if kind == "symbol":
        return {word.strip("()") for word in words} & {
            element.symbol for element in elements() if element.symbol not in ENGLISH
        }
    if kind == "formula":
        return set(formulae(words))
    matched = wording(kind).findall(first.lower().replace("non-metal", "nonmetal"))
    return set(matched)


def formulae(words: Iterable[str]) -> Iterator[Hashable]:
    """What is written as a formula: known symbols, with a number or more than one of them."""
    for word in words:
        bare = word[1:-1] if word.startswith("(") and word.endswith(")") else word
        if sum(map(str.isupper, bare)) > 1 or any(map(str.isdigit, bare)):
            parts = composition(bare)
            if parts is not None:
                yield frozenset(parts.items())


@cache
def wording(kind: str) -> re.Pattern[str]:
    """Any candidate of a kind, as whole words; the longer ones first, as 'sodium chloride' is no 'sodium'."""
    names = {
        "metal": ("metal", "nonmetal", "metalloid"), "state": STATES, "family": FAMILIES,
        "substance": ("element", "compound"), "heavier": tuple(element.name for element in elements()),
        "contains": tuple(compound.name for compound in compounds()),
    }[kind]  # fmt: skip
    return re.compile(rf"\b(?:{'|'.join(sorted(map(re.escape, names), key=len, reverse=True))})\b")


def names_the_answer(item: Item, said: str) -> float:
    """1 where the first sentence names one candidate of the item's kind, and the right one; else 0."""
    kind = item.id.partition("/")[0]
    right: Hashable = item.answer
    if kind == "formula":
        right = frozenset((composition(item.answer) or {}).items())
    return float(in_first_sentence(kind, said) == {right})


REWARD = Reward(name="names_the_answer", reward_func=names_the_answer)


# -- items ---


def item_id(question: Question) -> str:
    """'kind/class/subject': the report tells scores by kind and class."""
    label = f"{question.kind}/{question.label}" if question.label else question.kind
    return f"{label}/{question.about}"


def items(side: Side) -> tuple[Item, ...]:
    """Questions whose answers are said."""
    return tuple(
        Item(id=item_id(question), prompt=question.prompt, answer=question.answer, group=question.about)
        for question in questions(side)
    )


def with_options(side: Side) -> tuple[Item, ...]:
    """The same, answered by the likelihood of whole sentences: what is known, however it is said."""
    return tuple(
        Item(
            id=item_id(question),
            prompt=question.prompt,
            answer=question.sentences[0],
            options=tuple(sorted(question.sentences, key=lambda sentence: digest(question.prompt + sentence))),
            group=question.about,
        )
        for question in questions(side)
    )
