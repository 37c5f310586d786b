"""The graph of methods as a picture and a page, from the registry: `python -m depthgauge_methods.graph DOCS`."""

import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

from depthgauge import METHODS, Method
from depthgauge_methods.settings import GRPOSettings

ROW, INDENT, LEFT, WIDTH, SUMMARY = 26, 28, 12, 1080, 330
PAGE = """# The graph of methods

Each method changes one thing of its parent, so that a difference between two of them has one reason. Those in grey are
trained only when they are asked for by name. Exact forms are in `depthgauge_methods/settings.py`; why noise, schedule
and dose are tested apart is in [the study's plan](study-plan.md).

![Each method below its parent](methods.svg)

`make methods` draws it, and this page, from the registry.

| method | parent | what it is |
|---|---|---|
{rows}

## What holds between them

Tested in `tests/test_ablations.py` and `tests/test_second_pass.py`:

- With a penalty of 0 every method with a second pass is its parent without it, bit for bit.
- `usam` is the gradient at the shifted weights; with the published mix, one half, the update is the mean of two
  gradients.
- The reversed and the scaled penalty sum to the uniform one where all blocks are shifted and noise is off.
- A matched penalty is as long as the scaled one, and points where the uniform one does.
- Scaling rows and scaling columns are transposes of each other.
- Neither the direction of a penalty nor its share of the gradient depends on the length that a loss is divided by.
"""


def below(parent: str | None, depth: int = 0) -> Iterator[tuple[int, Method]]:
    """The methods of GRPO that descend from one, each with how deep it stands, parents before children."""
    for name in METHODS:
        method = METHODS[name]
        if isinstance(method.settings, GRPOSettings) and not method.control and method.parent == parent:
            yield depth, method
            yield from below(name, depth + 1)


def picture() -> str:
    """An SVG: a row a method, joined to its parent by a line."""
    rows = list(below(None))
    height = ROW * len(rows) + 2 * LEFT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    last_at: dict[int, int] = {}  # the row of the newest method of each depth
    for row, (depth, method) in enumerate(rows):
        x, y = LEFT + depth * INDENT, LEFT + row * ROW + 17
        last_at[depth] = row
        if depth:
            top = LEFT + last_at[depth - 1] * ROW + 22
            lines.append(f'<path d="M{x - 18} {top}V{y - 4}H{x - 4}" fill="none" stroke="#888"/>')
        colour = "#666" if method.optional else "#000"
        lines.append(f'<text x="{x}" y="{y}" font-weight="bold" fill="{colour}">{escape(method.name)}</text>')
        lines.append(f'<text x="{SUMMARY}" y="{y}" fill="#444">{escape(method.summary)}</text>')
    return "\n".join([*lines, "</svg>\n"])


def page() -> str:
    rows = (f"| `{method.name}` | {method.parent or '-'} | {method.summary} |" for _, method in below(None))
    return PAGE.format(rows="\n".join(rows))


def main(docs: Path) -> None:
    (docs / "methods.svg").write_text(picture(), encoding="utf-8")
    (docs / "methods.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
