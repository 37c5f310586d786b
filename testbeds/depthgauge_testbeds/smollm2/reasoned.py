"""Questions of science with reasoning, which a base answers wrongly and confidently all the same.

`python -m depthgauge_testbeds.smollm2.reasoned` searches for them with SmolLM2 and writes reasoned.json, with the
probability of each wrong answer. Another base needs a search of its own: `... reasoned FOLDER FILE`.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from depthgauge.core.errors import HarnessError
from depthgauge_suites.articles.noise_trace import ReasonedQuestion
from depthgauge_suites.articles.noise_trace.search import Reasoned, confident_and_wrong, read, write
from depthgauge_testbeds.smollm2 import weights
from depthgauge_testbeds.smollm2.elements import elements

FILE = Path(__file__).with_name("reasoned.json")
QUESTIONS = 24
NEUTRONS = """Question: How many neutrons are in an atom of {name}-{mass}?
Reasoning: {Name} has the atomic number {protons}, so its atoms have {protons} protons. The mass number of {mass} \
counts protons and neutrons together.
Answer: The number of neutrons is"""
ATOMS = """Question: How many atoms of oxygen are in {formula}?
Reasoning: The formula has {groups} groups of {anion}, and every group has {each} atoms of oxygen.
Answer: The number of atoms of oxygen is"""
CATIONS = {2: ("Mg", "Ca", "Zn", "Sr", "Ba", "Cu", "Fe", "Mn", "Co", "Ni"), 3: ("Al", "Fe", "Cr")}  # by charge
OXYGEN = {"NO3": 3, "ClO3": 3, "ClO4": 4, "HCO3": 3, "H2PO4": 4, "HSO4": 4}  # of anions of a single charge


def candidates() -> Iterator[Reasoned]:
    """Neutrons of isotopes and oxygen of salts, where the answer is no number of the question or the reasoning."""
    for element in elements():
        for mass in {round(element.mass) + shift for shift in (-1, 0, 1)}:
            if mass > element.number:
                text = NEUTRONS.format(
                    name=element.name, Name=element.name.capitalize(), protons=element.number, mass=mass
                )
                yield from unnamed(text, mass - element.number, ".\nSo the number of neutrons is")
    for groups, cations in CATIONS.items():
        for cation in cations:
            for anion, each in OXYGEN.items():
                text = ATOMS.format(formula=f"{cation}({anion}){groups}", groups=groups, anion=anion, each=each)
                yield from unnamed(text, groups * each, ".\nSo the number of atoms of oxygen is")


def unnamed(prompt: str, right: int, again: str) -> Iterator[Reasoned]:
    """The question, unless its prompt names the answer."""
    if str(right) not in prompt:
        yield Reasoned(prompt, str(right), again)


def reasoned_questions() -> tuple[ReasonedQuestion, ...]:
    """What the search found for SmolLM2."""
    return read(FILE)


def main(arguments: Sequence[str]) -> None:
    from depthgauge.models.load import load_uncached

    base, file = map(Path, arguments) if arguments else (weights.folder(), FILE)
    try:
        write(file, confident_and_wrong(*load_uncached(base), candidates(), number=QUESTIONS))
    except HarnessError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
