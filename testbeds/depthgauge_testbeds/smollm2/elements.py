"""The chemical elements, from mendeleev 1.3: `python -m depthgauge_testbeds.smollm2.elements` writes them anew."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("elements.json")
LAST = 96  # curium: what is known of heavier ones is known of a few atoms
ROOM_K = 293.15


class Element(NamedTuple):
    """`mass` in daltons; `state` at 20 degrees Celsius: 'solid', 'liquid' or 'gas'."""

    number: int
    symbol: str
    name: str
    series: str
    mass: float
    state: str


@cache
def elements() -> tuple[Element, ...]:
    """The first 96, by atomic number."""
    return tuple(Element(*row) for row in json.loads(FILE.read_text(encoding="utf-8")))


def state(melting_k: float | None, boiling_k: float | None) -> str:
    """An element without a melting point sublimes, or is a gas that never freezes at this pressure."""
    if boiling_k is not None and boiling_k < ROOM_K:
        return "gas"
    return "liquid" if melting_k is not None and melting_k < ROOM_K else "solid"


def from_mendeleev() -> Iterator[Element]:
    from mendeleev import get_all_elements

    for element in sorted(get_all_elements(), key=lambda listed: listed.atomic_number)[:LAST]:
        yield Element(
            number=element.atomic_number,
            symbol=element.symbol,
            name=element.name.lower(),
            series=element.series.lower(),
            mass=round(element.atomic_weight, 3),
            state=state(element.melting_point, element.boiling_point),
        )


def main() -> None:
    rows: list[Any] = [list(element) for element in from_mendeleev()]
    FILE.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
