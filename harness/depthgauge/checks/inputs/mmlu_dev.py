"""The development questions of MMLU, read from the lm-eval package that is installed; nothing of them is kept here."""

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from depthgauge.checks.inputs.items import Item
from depthgauge.core.installed import check_installed

REQUIRES = ("lm-eval",)
SHIPPED = "tasks/mmlu/flan_cot_fewshot/_cot_prompts.json"
LETTERS = ("A", "B", "C", "D")
QUESTION = re.compile(
    r"(?P<question>.+?)\s*\n\(A\) (?P<A>.+?)\s\(B\) (?P<B>.+?)\s\(C\) (?P<C>.+?)\s\(D\) (?P<D>.+?)"
    r"\nA:.*The answer is \((?P<answer>[A-D])\)",
    re.DOTALL,
)


def items() -> tuple[Item, ...]:
    """281 questions of 57 subjects with their letters as options, in the order of the file.

    MMLU has five development questions a candidate, 285 in all; lm-eval ships 282, as three subjects (college
    chemistry, formal logic, human aging) come with four. Of the 282 one is left out: it has five options (college
    chemistry, lines of an EPR spectrum), and its answer is E. The questions are as shipped, blemishes included: one
    is asked twice, one has an option twice, one begins with a line of the solution before it.
    """
    return tuple(item for subject, text in shipped().items() for item in _items(subject, text))


def shipped() -> dict[str, str]:
    """What the file says for each subject, found without importing lm-eval, which would import much else.

    Raises: UsageError where lm-eval is not installed.
    """
    check_installed(REQUIRES, "a task of MMLU's development questions")
    spec = find_spec("lm_eval")
    assert spec is not None and spec.origin is not None
    prompts: dict[str, str] = json.loads((Path(spec.origin).parent / SHIPPED).read_text(encoding="utf-8"))
    return prompts


def _items(subject: str, text: str) -> Iterator[Item]:
    for number, block in enumerate(re.split(r"\nQ: ", text)[1:], start=1):
        match = QUESTION.match(block)
        if match:
            options = "\n".join(f"{letter}. {match[letter].strip()}" for letter in LETTERS)
            prompt = f"{match['question'].strip()}\n{options}\nAnswer:"
            yield Item(f"mmlu_dev/{subject}/{number}", "mmlu_dev", prompt, match["answer"], LETTERS)
