"""What any two causal language models can be asked: short texts, plain requests, and a task.

Everything was written for this project. `mmlu_dev`, the development questions of MMLU, is read from the installed
lm-eval: small models are at chance on it, so there it is informational.
"""

from collections.abc import Sequence

from depthgauge.checks.inputs import items, mmlu_dev, texts
from depthgauge.checks.inputs.requests import requests
from depthgauge.core.testbed import Item, ItemTask, Testbed, Text
from depthgauge.probes.attention import MarkedText
from depthgauge.probes.behaviour import Request
from depthgauge.probes.greedy_entropy import Opening
from depthgauge.probes.sinks import Passage
from depthgauge.probes.stopping import ShortQuestion

START_CHARACTERS, QUESTIONS = 280, 64


def task_items(source: Sequence[items.Item]) -> tuple[Item, ...]:
    return tuple(Item(id=item.id, prompt=item.prompt, answer=item.answer, options=item.options) for item in source)


def all_texts() -> tuple[Text, ...]:
    """The start of every text, some 64 tokens, and whole chats: what is said next is compared after each token.

    They are of 40 kinds: none odd of fewer could not show that nine kinds in ten have not changed.
    """
    return tuple(Text(text=start(text.text), kind=text.kind, turns=text.turns) for text in texts.texts())


def start(text: str) -> str:
    """The first whole words of a text."""
    return text[: text.rfind(" ", 0, START_CHARACTERS)] if len(text) > START_CHARACTERS else text


def openings() -> tuple[Opening, ...]:
    """Openings of 40 kinds, too."""
    return tuple(Opening(text) for _, text in texts.openings())


def unmarked() -> tuple[MarkedText, ...]:
    """Texts on which heads are compared: nobody asks for terms in them."""
    return tuple(MarkedText(text=start(text.text)) for text in texts.texts())


def passages() -> tuple[Passage, ...]:
    """Texts for attention sinks: each is longer than the 64 tokens that are looked at."""
    return tuple(Passage(text.text) for text in texts.texts())


def short_questions() -> tuple[ShortQuestion, ...]:
    """Of the task's items that have a prompt as many of each kind as it has, evenly drawn."""
    prompts = [item.prompt for item in items.items() if item.prompt]
    drawn = (prompts[place * len(prompts) // QUESTIONS] for place in range(QUESTIONS))
    return tuple(ShortQuestion(request=f"{prompt} Answer in one or two words.", prompt=prompt) for prompt in drawn)


COMMON = Testbed(
    name="common",
    tasks=(
        ItemTask(name="common", items=lambda: task_items(items.items())),
        ItemTask(name="mmlu_dev", items=lambda: task_items(mmlu_dev.items()), requires=mmlu_dev.REQUIRES),
    ),
    probe_inputs={
        Text: all_texts,
        Opening: openings,
        MarkedText: unmarked,
        Passage: passages,
        Request: requests,
        ShortQuestion: short_questions,
    },
)
