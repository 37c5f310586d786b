"""What any two causal language models can be asked: short texts of eight kinds, and an exam that small models pass.

Everything was written for this project. `mmlu_dev`, the development questions of MMLU, is read from the installed
lm-eval: small models are at chance on it, so there it gates nothing.
"""

from collections.abc import Sequence

from depthgauge import TESTBEDS, Exam, Testbed
from depthgauge.probes.attention import MarkedText
from depthgauge.probes.greedy_trace import Opening
from depthgauge.probes.sinks import Passage
from depthgauge.testbeds.common import items, mmlu_dev, texts
from depthgauge.types import Item, Text


def exam_items(source: Sequence[items.Item]) -> tuple[Item, ...]:
    return tuple(Item(id=one.id, prompt=one.prompt, answer=one.answer, options=one.options) for one in source)


def all_texts() -> tuple[Text, ...]:
    return tuple(Text(text=one.text, kind=one.kind, turns=one.turns) for one in texts.texts())


def unmarked() -> tuple[MarkedText, ...]:
    """Every other text, where attention is compared: nobody asks for terms in them."""
    return tuple(MarkedText(text=one.text) for one in texts.texts()[::2])


def passages() -> tuple[Passage, ...]:
    """Texts for attention sinks: each is longer than the 64 tokens that are looked at."""
    return tuple(Passage(one.text) for one in texts.texts()[::2])


COMMON = TESTBEDS.register(
    Testbed(
        name="common",
        exams=(
            Exam(name="common", items=lambda: exam_items(items.items())),
            Exam(name="mmlu_dev", items=lambda: exam_items(mmlu_dev.items())),
        ),
        materials={
            Text: all_texts,
            Opening: texts.openings,
            MarkedText: unmarked,
            Passage: passages,
        },
    )
)
