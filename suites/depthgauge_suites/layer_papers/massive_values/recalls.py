"""What a model can be asked to recall: a number or a name that its prompt says, and facts that it has to know."""

from collections.abc import Iterator

from depthgauge.checks.inputs import items
from depthgauge_suites.layer_papers.massive_values import Recall

KEYS = (
    "71432", "58219", "36947", "90485", "24716", "63058", "17593", "85621", "49370", "32864", "76109", "51248",
    "98356", "20673", "64917", "13784", "87025", "45691", "59432", "30817",
)  # fmt: skip
NAMES = (
    "Anna", "Peter", "Maria", "Thomas", "Laura", "Martin", "Julia", "Robert", "Emma", "Daniel",
    "Sarah", "Michael", "Alice", "David", "Helen", "Simon", "Clara", "Victor", "Nora", "Oscar",
)  # fmt: skip
FILLER = (
    "The grass is green. The sky is blue. The sun is bright.",
    "The road goes over the hill and down to the river.",
    "It rained all morning, and in the afternoon the wind came from the west.",
    "There are two chairs and a table in the room, and the window is open.",
)


def recalls() -> Iterator[Recall]:
    """40 that the prompt says, 20 of them numbers, then the facts of the common task."""
    for place, key in enumerate(KEYS):
        prompt = f"The pass key is {key}. Remember it. {filler(place)} The pass key is"
        yield Recall(prompt=prompt, answer=key, source="context")
    for place, name in enumerate(NAMES):
        prompt = f"The name of the new teacher is {name}. {filler(place)} The name of the new teacher is"
        yield Recall(prompt=prompt, answer=name, source="context")
    for item in items.items():
        if item.kind == "facts":
            yield Recall(prompt=item.prompt, answer=item.answer, source="memory")


def filler(place: int) -> str:
    """Three of the four sentences, in another order for each of 24 places."""
    return " ".join(FILLER[(place + step * (1 + 2 * (place // 4 % 2))) % len(FILLER)] for step in range(3))
