"""The development questions of MMLU (Hendrycks et al. 2021, arXiv:2009.03300), as lm-eval ships them, with answers."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

from depthgauge.types import Item

PLACE = Path("tasks", "mmlu", "flan_cot_fewshot", "_cot_prompts.json")
LETTERS = ("A", "B", "C", "D")
QUESTION = re.compile(
    r"^Q: (?P<asked>.+?)\n(?P<options>\(A\).+?\(B\).+?\(C\).+?\(D\).+?)\nA: .*?The answer is \((?P<answer>[ABCD])\)",
    re.DOTALL | re.MULTILINE,
)


def items() -> tuple[Item, ...]:
    """Questions with their options, of which a letter is to be said: five a subject, less those that do not parse."""
    shipped = json.loads(folder_of_lm_eval().joinpath(PLACE).read_text())
    return tuple(
        Item(
            id=f"{subject} {i}",
            prompt=f"{found['asked']}\n{found['options']}\nAnswer:",
            answer=found["answer"],
            options=LETTERS,
        )
        for subject, text in sorted(shipped.items())
        for i, found in enumerate(QUESTION.finditer(text))
    )


def folder_of_lm_eval() -> Path:
    """Where it is installed; it takes seconds to import."""
    spec = find_spec("lm_eval")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])
