"""Sums and word problems with four options each, made by rule; no method trains on them."""

from collections.abc import Callable, Iterator
from random import Random

from depthgauge.core.plain import digest
from depthgauge.core.testbed import Item

OF_EACH_KIND = 50
THINGS = ("apples", "books", "coins", "marbles", "stamps", "pencils", "eggs", "shells")
NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry")


def addition(random: Random) -> tuple[str, int]:
    a, b = random.randint(2, 30), random.randint(2, 30)
    return f"{a} + {b} =", a + b


def subtraction(random: Random) -> tuple[str, int]:
    a, b = sorted((random.randint(2, 40), random.randint(2, 40)))
    return f"{b} - {a} =", b - a


def multiplication(random: Random) -> tuple[str, int]:
    a, b = random.randint(2, 9), random.randint(2, 9)
    return f"{a} x {b} =", a * b


def sequence(random: Random) -> tuple[str, int]:
    """The next number of an even march."""
    start, step = random.randint(1, 20), random.choice((1, 2, 3, 5, 10))
    return ", ".join(str(start + step * place) for place in range(5)) + ",", start + 5 * step


def gain(random: Random) -> tuple[str, int]:
    name, thing, a, b = random.choice(NAMES), random.choice(THINGS), random.randint(2, 20), random.randint(2, 9)
    return f"{name} has {a} {thing} and gets {b} more. Now the number of {thing} that {name} has is", a + b


def loss(random: Random) -> tuple[str, int]:
    name, thing, a, b = random.choice(NAMES), random.choice(THINGS), random.randint(10, 20), random.randint(2, 9)
    return f"{name} has {a} {thing} and gives {b} away. Now the number of {thing} that {name} has is", a - b


KINDS: tuple[Callable[[Random], tuple[str, int]], ...] = (
    addition, subtraction, multiplication, sequence, gain, loss,
)  # fmt: skip


def items() -> tuple[Item, ...]:
    """300 items, 50 of each kind, whose options are near the answer."""
    return tuple(item for kind in KINDS for item in of_kind(kind))


def of_kind(kind: Callable[[Random], tuple[str, int]]) -> Iterator[Item]:
    random, seen = Random(kind.__name__), set[str]()
    while len(seen) < OF_EACH_KIND:
        prompt, answer = kind(random)
        if prompt not in seen:
            seen.add(prompt)
            options = sorted(map(str, near(answer, random)), key=lambda option: digest(f"{prompt} {option}"))
            yield Item(
                id=f"{kind.__name__}/{prompt}", prompt=prompt, answer=str(answer), options=tuple(options)
            )  # fmt: skip


def near(answer: int, random: Random) -> set[int]:
    """The answer and three other numbers of 0 or more: off by little, or by ten."""
    options = {answer}
    while len(options) < 4:
        options.add(max(0, answer + random.choice((-10, -3, -2, -1, 1, 2, 3, 10))))
    return options
