"""Pairs of decimals of which the longer one is smaller, each compared in five forms of one question.

Every form ends with what both numbers share, so that their answers begin with different digits.
"""

from collections.abc import Iterator

from depthgauge.core.testbed import Text
from depthgauge_suites.layer_papers.head_sharing import Comparison

WHOLE = range(1, 11)
FRACTIONS = (
    ("8", "11"), ("9", "12"), ("7", "13"), ("5", "31"), ("6", "14"), ("4", "15"), ("3", "21"), ("9", "32"),
)  # fmt: skip


def comparisons() -> Iterator[Comparison]:
    """80 of them, the larger number first."""
    for whole in WHOLE:
        for right, wrong in FRACTIONS:
            larger, smaller = f"{whole}.{right}", f"{whole}.{wrong}"
            asked = f"Which is bigger: {larger} or {smaller}?"
            chat = Text(text=f"The bigger number is {whole}.", kind="chat", turns=(("user", asked),))
            plain = (
                f"Q: {asked}\nA: {whole}.",
                f"{asked} Answer: {whole}.",
                f"The bigger of {larger} and {smaller} is {whole}.",
                f"The larger of the two numbers {smaller} and {larger} is {whole}.",
            )
            forms = (*(Text(text=text) for text in plain), chat)
            yield Comparison(forms=forms, right=right, wrong=wrong)
