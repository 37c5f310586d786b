"""docs/twins-evidence.md, the page of both experiments, from all lines: `python -m benchmarks.dither.page`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.dither.baselines import FIRST_FOUR
from benchmarks.dither.dithers import DITHERS
from benchmarks.dither.quantisers import QUANTISERS
from depthgauge.checks.test_quantized import SHIFTED
from depthgauge.checks.test_twins import BESIDE_TWINS
from depthgauge.page.tables import markdown

RESULTS, BOUNDS = (Path(__file__).with_name(name) for name in ("results.jsonl", "bounds.jsonl"))
PAGE = Path(__file__).parents[2] / "docs" / "twins-evidence.md"
UNDONE = {"gemma3_text": ("shrink_mlp_norm", "zero_mlp@0.3")}  # by a gain that is 1 + the weight, and a norm after
Line = Mapping[str, Any]

HEAD = f"""# Twins: the evidence

Written by `python -m benchmarks.dither.page` from what `python -m benchmarks.dither` and
`python -m benchmarks.dither.bounds` measured. How twins work is in [quantised checkpoints](quantised.md), and why they
are as they are in [decision 040](decisions/040-twins.md). Baselines have four layers of width 64 and are trained for
seconds, letter by letter, on this documentation: what holds is said of new seeds of these families. The bounds are
those of {", ".join(FIRST_FOUR)}, and read off the others once.

## Which dither

A candidate is a baseline quantised in one of five ways to 4 bits in groups of 32 ({", ".join(QUANTISERS)}); a fault is
planted in what is stored of it, at a layer drawn at random. The largest error of a layer, a head or the next token
over that of ten twins has an interval of 95 %; refuted is what lies above {BESIDE_TWINS}, accepted what lies below.
High ends are of all columns at once here, and lie above those that claims have given since.

- *flip*: rounded to the nearest, and one weight in twenty the other way
- *coin*: within a twentieth of a step of a tie a coin decides
- *jitter*: rounded to the nearest after a shift of up to .15 steps
- *stochastic*: rounded up as often as a weight lies near the level above
"""


def lines_of(path: Path) -> list[Line]:
    return [json.loads(text) for text in path.read_text().splitlines()] if path.is_file() else []


def candidates(lines: Iterable[Line], dither: str) -> list[tuple[str, Mapping[str, Sequence[Any]]]]:
    """Family, and what was judged of each candidate by name, where this dither was tried."""
    return [
        (line["family"], judged[dither])
        for line in lines for judged in line["quantisers"].values() if dither in judged
    ]  # fmt: skip


def dither_table(lines: Sequence[Line]) -> str:
    faults = sorted({fault for _, judged in candidates(lines, "coin") for fault in judged} - {"candidate"})
    headers = ["", *DITHERS]
    rows = [["healthy candidates", *(str(len(candidates(lines, dither))) for dither in DITHERS)]]
    for words, place, reached in (("refuted", 1, max), ("largest high end", 2, max)):
        cells = []
        for dither in DITHERS:
            ends = [judged["candidate"][place] for _, judged in candidates(lines, dither)]
            cells.append(str(sum(end > BESIDE_TWINS for end in ends)) if words == "refuted" else f"{reached(ends):.2f}")
        rows.append([f"healthy, {words}", *cells])
    rows += [[fault, *(caught(lines, dither, fault) for dither in DITHERS)] for fault in faults]
    return markdown(headers, rows)


def caught(lines: Sequence[Line], dither: str, fault: str) -> str:
    """Refuted and at the right layer, of how many; what a family undoes is left out."""
    tried = [
        judged[fault] for family, judged in candidates(lines, dither)
        if fault in judged and not fault.startswith(UNDONE.get(family, ("-",)))
    ]  # fmt: skip
    refuted = [ends for ends in tried if ends[1] > BESIDE_TWINS]
    right = sum(ends[3] in ends[4] for ends in refuted)
    return f"{len(refuted)} of {len(tried)}, layer right in {right}"


def bounds_table(lines: Sequence[Line]) -> str:
    ways = list(lines[0]["ways"]) if lines else []
    headers = ["way", "mean KL, at most", "same likeliest, at least", "shift of a group, at most", "zero off by 1",
               "scale x 2"]  # fmt: skip
    rows = []
    for way in ways:
        measured = [line["ways"][way] for line in lines]
        faults = [
            f"{min(sizes):.2f}"
            if (sizes := [one["faults"][fault] for one in measured if fault in one["faults"]])
            else "-"
            for fault in ("zero + 1", "scale x 2")
        ]
        rows.append([way, f"{max(one['kl'] for one in measured):.4f}", f"{min(one['same'] for one in measured):.3f}",
                     f"{max(one['shift'] for one in measured):.2f}", *faults])  # fmt: skip
    return markdown(headers, rows)


def page(results: Sequence[Line], bounds: Sequence[Line]) -> str:
    parts = [HEAD]
    for words, chosen in (("The first four families", True), ("The other four", False)):
        lines = [line for line in results if (line["family"] in FIRST_FOUR) is chosen]
        parts.append(f"{words}, {len(lines)} baselines:\n\n{dither_table(lines)}\n")
    parts.append(
        "A norm of Gemma 3 that is scaled is left out, as its gain is 1 more than what is stored, and so is a share of "
        "its MLP, which the norm after it undoes.\n\n## What quantisations cost, and where groups are shifted\n\n"
        f"A shift is in steps of the group's own grid; the bound is {SHIFTED}. The last columns are the least shift of "
        "50 groups of every seventh matrix whose zero or scale was made wrong.\n"
    )
    for words, chosen in (("The first four families", True), ("The other four, once", False)):
        lines = [line for line in bounds if line["fixed_on"] is chosen]
        parts.append(f"{words}, {len(lines)} baselines:\n\n{bounds_table(lines)}\n" if lines else "")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(lines_of(RESULTS), lines_of(BOUNDS)))
