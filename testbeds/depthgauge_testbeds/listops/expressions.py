"""ListOps (Nangia and Bowman 2018, arXiv:1804.06028): nested lists of digits, and what they come to.

An expression is an operator with two to four arguments, digits or expressions: `[MAX29[MIN47]0]` comes to 9. Operators
are the largest, the smallest and the median, of an even number the lower of the two in the middle. The sum modulo ten
is left out: a model of this size learns it more slowly.
"""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from depthgauge.core.errors import UsageError

LEVELS, LONGEST, ARGUMENTS = 3, 40, (2, 4)  # of lists in lists; in tokens; of an operator
DIGIT_SHARE = 0.4  # of the arguments that could be lists
CLOSE = "]"
Operator = Callable[[Sequence[int]], int]
OPERATORS: dict[str, Operator] = {
    "[MAX": max,
    "[MIN": min,
    "[MED": lambda values: sorted(values)[(len(values) - 1) // 2],
}
TOKEN = re.compile("|".join([*map(re.escape, OPERATORS), CLOSE, "[0-9]"]))


class Expression(NamedTuple):
    """Its tokens, and at each one what the list that ends there comes to: None inside of lists."""

    tokens: tuple[str, ...]
    values: tuple[int | None, ...]

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def value(self) -> int | None:
        return self.values[-1]


def draw(random: Random) -> Expression:
    """A list of one to three levels and at most 40 tokens."""
    while True:
        expression = parse(written(random, random.choice(range(1, LEVELS + 1))))
        if len(expression.tokens) <= LONGEST:
            return expression


def written(random: Random, levels: int) -> str:
    """A list with at most so many levels."""
    arguments = (
        str(random.randrange(10)) if levels == 1 or random.random() < DIGIT_SHARE else written(random, levels - 1)
        for _ in range(random.randint(*ARGUMENTS))
    )
    return random.choice(tuple(OPERATORS)) + "".join(arguments) + CLOSE


def parse(text: str) -> Expression:
    """An expression and what its lists come to. Raises: UsageError, naming what is wrong with it."""
    tokens = tuple(TOKEN.findall(text))
    if "".join(tokens) != text or not tokens:
        raise unparsed(text, f"it is made of {', '.join(OPERATORS)}, digits and {CLOSE!r}, and holds one token or more")
    values: list[int | None] = []
    lists: list[tuple[Operator, list[int]]] = []
    for place, token in enumerate(tokens):
        if not lists and (place or token not in OPERATORS):
            raise unparsed(text, f"token {place}, {token!r}, stands in no list")
        ended = None
        if token == CLOSE:
            operator, arguments = lists.pop()
            if not arguments:
                raise unparsed(text, f"the list that ends at token {place} is empty")
            ended = operator(arguments)
        if token in OPERATORS:
            lists.append((OPERATORS[token], []))
        elif lists:
            lists[-1][1].append(int(token) if ended is None else ended)
        values.append(ended)
    if lists:
        raise unparsed(text, "it ends within a list")
    return Expression(tokens, tuple(values))


def unparsed(text: str, why: str) -> UsageError:
    return UsageError(f"{text!r} is no ListOps expression such as [MAX29[MIN47]0]: {why}.")
