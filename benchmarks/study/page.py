"""The study's page: how far it has come, where the search for a collapse stands, and what the plan's claims came to."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.study.contrasts import contrasts_table
from benchmarks.study.pictures import drawn, pictures_of
from benchmarks.study.plan import (
    FACTORS,
    HORIZONS,
    SEEDS,
    STEPS,
    Cell,
    Results,
    Setting,
    collapsed,
    dropped,
    qualified,
)
from benchmarks.study.tables import table
from depthgauge.page.style import write_picture
from depthgauge.page.tables import markdown
from depthgauge.store.folders import write_atomically


def searched_so_far(results: Results) -> str:
    """Of each setting and horizon: how many seeds' checkpoints collapsed, of how many."""
    lines = []
    for steps in STEPS:
        for factor in FACTORS:
            for horizon in HORIZONS:
                setting = Setting(steps, factor, horizon)
                counts = [collapsed(results, name, setting) for name in ("grpo", "gradreg")]
                state = "dropped" if dropped(results, steps, factor) else "open"
                lines.append(
                    [
                        str(steps),
                        str(factor),
                        str(horizon),
                        *(f"{each.count(True)} of {len(each)}" for each in counts),
                        state,
                    ]
                )
    return markdown(["steps", "penalty, times", "horizon", "grpo collapsed", "gradreg collapsed", "setting"], lines)


def page(results: Results, planned: Sequence[Cell]) -> str:
    """How many cells of each phase there are, and where the search stands."""
    counts = []
    for phase in dict.fromkeys(cell.phase for cell in planned):
        names = [cell.name for cell in planned if cell.phase == phase]
        there = [results[name] for name in names if name in results]
        counts.append([phase, str(len(there)), str(len(names)), str(sum("failed" in one for one in there))])
    return (
        "# The study: how far it has come\n\n"
        "Made by `make study` of the files in cells/; the plan is docs/study-plan.md. Numbers of a phase that is not\n"
        "complete decide nothing.\n\n"
        f"{markdown(['phase', 'cells there', 'planned', 'failed'], counts)}\n\n"
        f"## The search for a collapse\n\n{verdict(results, planned)}\n\n{searched_so_far(results)}\n"
        + "".join(of_testbed(results, testbed) for testbed in SEEDS if drawn(results, testbed))
    )


def of_testbed(results: Results, testbed: str) -> str:
    """The claims of the plan on one testbed, once it has a cell of the main study, and the pictures."""
    pictures = "\n\n".join(f"![{each.alt}]({each.name}.png)" for each in pictures_of(results, testbed))
    return (
        f"\n## The main study on {testbed}\n\n"
        "Differences paired by training seed, with t-intervals over seeds: they speak of this base and no other. The\n"
        "first contrast of each claim decides, after Holm's correction, once no cell of these is missing.\n\n"
        f"{contrasts_table(results, testbed)}\n\n{pictures}\n"
    )


def verdict(results: Results, planned: Sequence[Cell]) -> str:
    if any(cell.name not in results for cell in planned if cell.phase == "search"):
        return "The search is not complete."
    found = qualified(results)
    if found is None:
        return "The search is complete, and no setting qualifies."
    return (
        f"The first setting that qualifies: {found.steps} steps, {found.factor} times the penalty, "
        f"horizon {found.horizon}."
    )


def write_tables(folder: Path, results: Results, planned: Sequence[Cell]) -> None:
    write_atomically(folder / "cells.csv", table(results))
    write_atomically(folder / "README.md", page(results, planned))
    for testbed in SEEDS:
        for picture in pictures_of(results, testbed):
            write_picture(folder / f"{picture.name}.png", picture)
