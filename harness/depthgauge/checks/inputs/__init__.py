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

OF_EACH_KIND, START_CHARACTERS, QUESTIONS = 5, 280, 64


def task_items(source: Sequence[items.Item]) -> tuple[Item, ...]:
    return tuple(Item(id=one.id, prompt=one.prompt, answer=one.answer, options=one.options) for one in source)


def all_texts() -> tuple[Text, ...]:
    """The start of every text, some 64 tokens, and whole chats: what is said next is compared after each token."""
    return tuple(Text(text=start(one.text), kind=one.kind, turns=one.turns) for one in texts.texts())


def start(text: str) -> str:
    """The first whole words of a text."""
    return text[: text.rfind(" ", 0, START_CHARACTERS)] if len(text) > START_CHARACTERS else text


def five_of_each_kind() -> tuple[str, ...]:
    """The texts on which attention is watched, which costs more than running them.

    They are 40: fewer could not show that nine in ten have not changed, even if none has.
    """
    places: dict[str, int] = {}
    chosen = []
    for one in texts.texts():
        places[one.kind] = places.get(one.kind, 0) + 1
        if places[one.kind] <= OF_EACH_KIND:
            chosen.append(one.text)
    return tuple(chosen)


def openings() -> tuple[Opening, ...]:
    """Three of four openings: 80 words said after each cost more than all else that is asked."""
    return tuple(Opening(text) for place, text in enumerate(texts.openings()) if place % 4 < 3)


def unmarked() -> tuple[MarkedText, ...]:
    """Texts on which heads are compared: nobody asks for terms in them."""
    return tuple(MarkedText(text=start(text)) for text in five_of_each_kind())


def passages() -> tuple[Passage, ...]:
    """Texts for attention sinks: each is longer than the 64 tokens that are looked at."""
    return tuple(map(Passage, five_of_each_kind()))


def short_questions() -> tuple[ShortQuestion, ...]:
    """Of the task's items that have a prompt as many of each kind as it has, evenly drawn."""
    prompts = [one.prompt for one in items.items() if one.prompt]
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
