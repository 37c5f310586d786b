"""Every question of the pocket world, with its true answer and the misconception of the careless voice.

A kind of question is a function that lists all its questions in a fixed order. `split` then deals each kind to the
task or to the RL prompts by a hash of the question itself, so the two are disjoint by construction.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from depthgauge_testbeds.pocket import facts


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, its answer, and the fixed mistake that the careless voice makes on this kind of question.

    `near` are two further wrong answers: with the answer and the misconception they make a four-option item.
    """

    kind: str
    prompt: str
    answer: str
    misconception: str
    near: tuple[str, str]

    def __post_init__(self) -> None:
        if len({self.answer, self.misconception, *self.near}) != 4:
            raise ValueError(f"the four options of {self.prompt!r} must differ, got {self}")

    @property
    def options(self) -> tuple[str, ...]:
        """The four options in an order that depends on the question alone: no random state, no cache, no seed."""
        options = (self.answer, self.misconception, *self.near)
        return tuple(sorted(options, key=lambda option: digest(f"{self.prompt}|{option}")))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def numeric(kind: str, prompt: str, answer: int, misconception: int, step: int = 1) -> Iterator[Question]:
    """One question with whole-number options; none where the misconception happens to be right."""
    if misconception == answer or misconception < 0:
        return
    near = (value for value in (answer + step, answer - step, answer + 2 * step) if value >= 0)
    first, second, *_ = [value for value in near if value != misconception]
    yield Question(
        kind=kind, prompt=prompt, answer=str(answer), misconception=str(misconception), near=(str(first), str(second))
    )


def salts() -> Iterator[Question]:
    """Atoms of one element in a salt; the careless voice forgets to multiply by the subscript of the bracket."""
    for charge, cations in facts.CATIONS.items():
        for cation in cations:
            for anion_charge, anions in facts.ANIONS.items():
                for anion, atoms in anions:
                    if charge == anion_charge or (charge, anion_charge) == (4, 2):
                        continue  # no bracket, or a formula that is usually reduced
                    formula = f"{cation}{anion_charge if anion_charge > 1 else ''}({anion}){charge}"
                    for element, count in atoms.items():
                        if element == cation:
                            continue
                        prompt = f"How many {element} atoms are in {formula}?"
                        yield from numeric("salt", prompt, count * charge, count)


def molecules() -> Iterator[Question]:
    """All atoms of a molecule of carbon, hydrogen and oxygen; the careless voice counts the hydrogen only."""
    families: tuple[tuple[str, Callable[[int], tuple[int, int, int]], range], ...] = (
        ("alkane", lambda n: (n, 2 * n + 2, 0), range(2, 21)),
        ("alkene", lambda n: (n, 2 * n, 0), range(2, 21)),
        ("alkyne", lambda n: (n, 2 * n - 2, 0), range(2, 21)),
        ("alcohol", lambda n: (n, 2 * n + 2, 1), range(2, 21)),
        ("ketone", lambda n: (n, 2 * n, 1), range(3, 21)),
        ("acid", lambda n: (n, 2 * n, 2), range(2, 21)),
        ("diol", lambda n: (n, 2 * n + 2, 2), range(2, 21)),
        ("triol", lambda n: (n, 2 * n + 2, 3), range(3, 21)),
        ("hydroxy acid", lambda n: (n, 2 * n, 3), range(2, 21)),
        ("diacid", lambda n: (n, 2 * n - 2, 4), range(2, 21)),
        ("sugar", lambda n: (n, 2 * n, n), range(3, 9)),
    )
    seen: set[str] = set()
    for _, atoms, carbons in families:
        for n in carbons:
            carbon, hydrogen, oxygen = atoms(n)
            formula = f"C{carbon}H{hydrogen}" + (f"O{oxygen if oxygen > 1 else ''}" if oxygen else "")
            if formula in seen:
                continue
            seen.add(formula)
            yield from numeric("molecule", f"How many atoms are in {formula}?", carbon + hydrogen + oxygen, hydrogen)


def neutrons() -> Iterator[Question]:
    """Neutrons of an isotope; the careless voice gives the protons."""
    for name, protons, weight in facts.ELEMENTS:
        for mass in range(weight - facts.ISOTOPE_REACH, weight + facts.ISOTOPE_REACH + 1):
            yield from numeric("neutrons", f"How many neutrons are in {name}-{mass}?", mass - protons, protons)


def units() -> Iterator[Question]:
    """Metric conversion; the careless voice is wrong by one power of ten."""
    for source, target, factor, careless in facts.UNITS:
        for amount in range(2, 60):
            prompt = f"How many {target} are in {amount} {source}?"
            yield from numeric("units", prompt, amount * factor, amount * careless, step=factor)


def codons() -> Iterator[Question]:
    """Two codons to two amino acids; the careless voice reads the second codon only, twice."""
    sense = [codon for codon, acid in facts.GENETIC_CODE.items() if acid != "*"]
    names = facts.AMINO_ACID_NAMES
    for first in sense:
        for second in sense:
            first_acid, two = (names[facts.GENETIC_CODE[codon]] for codon in (first, second))
            if first_acid == two:
                continue
            third = next(name for name in names.values() if name not in (first_acid, two))
            yield Question(
                kind="codons",
                prompt=f"What do {first} {second} code for?",
                answer=f"{first_acid} {two}",
                misconception=f"{two} {two}",
                near=(f"{two} {first_acid}", f"{first_acid} {third}"),
            )


def years() -> Iterator[Question]:
    """The year of an event; the careless voice is ten years late."""
    for event, year in facts.EVENTS:
        yield from numeric("year", f"In which year was {event}?", year, year + 10)


def ordinal(number: int) -> str:
    suffix = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def centuries() -> Iterator[Question]:
    """The century of a year; the careless voice just reads the hundreds."""
    for year in range(1101, 2000):
        century = (year - 1) // 100 + 1
        if year // 100 == century:
            continue  # the last year of a century, where reading the hundreds is right
        yield Question(
            kind="century",
            prompt=f"In which century was the year {year}?",
            answer=ordinal(century),
            misconception=ordinal(century - 1),
            near=(ordinal(century + 1), ordinal(century + 2)),
        )


def sums() -> Iterator[Question]:
    """Two-digit addition with a carry; the careless voice forgets the carry."""
    for a in range(11, 100):
        for b in range(11, 100):
            yield from numeric("sum", f"What is {a} + {b}?", a + b, a + b - 10 if a % 10 + b % 10 > 9 else a + b)


def orders() -> Iterator[Question]:
    """Order of operations; the careless voice calculates from left to right."""
    for a in range(1, 10):
        for b in range(1, 10):
            for c in range(2, 10):
                yield from numeric("order", f"What is {a} + {b} x {c}?", a + b * c, (a + b) * c)


CHEMISTRY, PHYSICS, BIOLOGY = ("salt", "molecule"), ("neutrons", "units"), ("codons",)
KINDS: dict[str, Callable[[], Iterator[Question]]] = {
    "salt": salts, "molecule": molecules, "neutrons": neutrons, "units": units, "codons": codons,
    "year": years, "century": centuries, "sum": sums, "order": orders,
}  # fmt: skip

# Task items by kind. Science totals 600, history 400 and mathematics 400.
TASKS: dict[str, dict[str, int]] = {
    "science": {"salt": 140, "molecule": 60, "neutrons": 110, "units": 90, "codons": 200},
    "history": {"year": 90, "century": 310},
    "mathematics": {"sum": 250, "order": 150},
}
SUBJECTS = {kind: subject for subject, kinds in TASKS.items() for kind in kinds}


@cache
def questions(kind: str) -> tuple[Question, ...]:
    """All questions of a kind, in the order of a hash of the question: the order is random-looking and fixed."""
    return tuple(sorted(KINDS[kind](), key=lambda question: digest(question.prompt)))


def exam(subject: str) -> tuple[Question, ...]:
    """The test items of a task: the first so many questions of each of its kinds."""
    return tuple(q for kind, number in TASKS[subject].items() for q in questions(kind)[:number])


def training(subject: str) -> tuple[Question, ...]:
    """The questions of a subject that are in no task."""
    return tuple(q for kind, number in TASKS[subject].items() for q in questions(kind)[number:])
