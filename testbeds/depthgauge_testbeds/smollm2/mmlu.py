"""The development questions of MMLU (Hendrycks et al. 2021, arXiv:2009.03300), as lm-eval ships them, with answers."""

import re

from depthgauge.checks.inputs.mmlu_dev import shipped
from depthgauge.core.testbed import Item

LETTERS = ("A", "B", "C", "D")
QUESTION = re.compile(
    r"^Q: (?P<asked>.+?)\n(?P<options>\(A\).+?\(B\).+?\(C\).+?\(D\).+?)\nA: .*?The answer is \((?P<answer>[ABCD])\)",
    re.DOTALL | re.MULTILINE,
)


def items() -> tuple[Item, ...]:
    """Questions with their options, of which a letter is to be said: five a subject, less those that do not parse."""
    return tuple(
        Item(
            id=f"{subject} {i}",
            prompt=f"{match['asked']}\n{match['options']}\nAnswer:",
            answer=match["answer"],
            options=LETTERS,
        )
        for subject, text in sorted(shipped().items())
        for i, match in enumerate(QUESTION.finditer(text))
    )
