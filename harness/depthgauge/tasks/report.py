"""The section on tasks: how many items are answered right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Estimate, Scores
from depthgauge.core.testbed import ItemTask
from depthgauge.page.escape import escape
from depthgauge.page.layers import interval, legend_beside, paired, pairs, plain, reference_of
from depthgauge.page.section import Measured, Picture, Section, Setting, Table
from depthgauge.page.tables import cell, level
from depthgauge.stats import share

ALT = "Task accuracy with intervals"
OF_ITEMS = ("score", "answer", "ids")  # arrays with one value an item, in their last dimension
MOST_FLIPPED, WHOLE = 50, 100.0  # rows of a table, and the points of an item that is right
Grouped = dict[str, dict[str, Measured]]  # task -> label of a checkpoint -> what it scored


def show(measured: Sequence[Measured], setting: Setting) -> Iterator[Section]:
    """Accuracy by task and checkpoint, with 95 % intervals over items."""
    measured = with_blocks_joined(measured)
    height = 1.2 + 0.18 * (len(measured) + 2 * len(by_task(measured)))
    picture = Picture("tasks.png", ALT, (10, height), lambda figure: draw(figure, measured, setting), measured)
    yield Section("Tasks", (picture, task_table(measured), *class_tables(measured), *flipped_tables(measured, setting)))


def by_task(measured: Sequence[Measured]) -> Grouped:
    grouped: Grouped = {}
    for entry in measured:
        grouped.setdefault(name_of(entry), {})[entry.label] = entry
    return grouped


def with_blocks_joined(measured: Sequence[Measured]) -> list[Measured]:
    """One measurement a checkpoint and task: of blocks, those that every one of them was asked."""
    blocks: dict[str, dict[str, list[Measured]]] = {}
    for entry in measured:
        blocks.setdefault(name_of(entry), {}).setdefault(entry.label, []).append(entry)
    shared = {task: min(map(len, taken.values())) for task, taken in blocks.items()}
    return [joined(blocks_of_one[: shared[task]]) for task, taken in blocks.items() for blocks_of_one in taken.values()]


def joined(blocks: Sequence[Measured]) -> Measured:
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0].measurement
    of_items = [name for name in OF_ITEMS if name in first.arrays]
    whole = {name: np.concatenate([measurement.arrays[name] for measurement in blocks], axis=-1) for name in of_items}
    return replace(blocks[0], measurement=replace(first, arrays={**first.arrays, **whole}))


def name_of(entry: Measured) -> str:
    """Of a task of our own items, or of a task of lm-eval."""
    parameters = entry.measurement.parameters
    return str(parameters["item_task"] if "item_task" in parameters else parameters["task"])


def points(entry: Measured) -> NDArray[np.float64]:
    """Of each item, the points it got, over all repeats; negative in a metric that falls as models get better."""
    return np.asarray(100 * float(entry.arrays.get("sign", 1)) * entry.arrays["score"].mean(axis=0), float)


def accuracy(entry: Measured) -> Estimate:
    return level(points(entry), "points", "items")


def task_table(measured: Sequence[Measured]) -> Table:
    tasks = by_task(measured)
    sizes = {task: len(points(next(iter(taken.values())))) for task, taken in tasks.items()}
    headers = ["checkpoint", *(f"{escape(task)} (points [95 %], n = {n})" for task, n in sizes.items())]
    labels = dict.fromkeys(entry.label for entry in measured)
    body = [[escape(label), *(task_cell(taken, label) for taken in tasks.values())] for label in labels]
    return Table(headers, body)


def task_cell(taken: dict[str, Measured], label: str) -> str:
    return cell(accuracy(taken[label]) if label in taken else None)


def class_tables(measured: Sequence[Measured]) -> Iterator[Table]:
    """Points by class of items, of tasks that have some: whoever always says the same is right in one class alone."""
    for task, taken in by_task(measured).items():
        by_class = {label: points_by_class(entry) for label, entry in taken.items()}
        classes = dict.fromkeys(name for of_class in by_class.values() for name in of_class)
        if len(classes) > 1:
            sizes = {
                name: len(next(of_class[name] for of_class in by_class.values() if name in of_class))
                for name in classes
            }
            body = [
                [f"{escape(name)} ({sizes[name]})", *(mean_of(of_class.get(name)) for of_class in by_class.values())]
                for name in classes
            ]
            yield Table(["class (items)", *map(escape, by_class)], body, folded=f"{escape(task)} by class, points")


def points_by_class(entry: Measured) -> dict[str, list[float]]:
    """An item's class is what stands in its id before the last '/'."""
    by_class: dict[str, list[float]] = {}
    for name, value in zip(entry.arrays.get("ids", ()), points(entry), strict=False):
        by_class.setdefault(str(name).rpartition("/")[0], []).append(float(value))
    return by_class


def flipped_tables(measured: Sequence[Measured], setting: Setting) -> Iterator[Table]:
    """Of each task that is answered once, the items that a checkpoint answers right and the reference wrong, or the
    other way round: what was lost first.
    """
    for task, taken in by_task(measured).items():
        shown, questions = list(taken.values()), asked_in(task, setting)
        before = reference_of(shown)
        for compared in pairs(shown, points):
            rows = list(flipped_rows(compared, before, questions))
            if rows:
                label = escape(compared.label)
                said = f"{escape(task)}: {len(rows)} items that {label} answers otherwise, lost ones first"
                said += f", {MOST_FLIPPED} of them" if len(rows) > MOST_FLIPPED else ""
                said += f": {flips(compared, before)} of all flipped"
                headers = ["item", "question", f"{escape(before.label)} says", f"{escape(compared.label)} says", ""]
                yield Table(headers, rows[:MOST_FLIPPED], folded=said, quotes=True)


def flips(entry: Measured, before: Measured) -> str:
    """The share of items that went from right to wrong or back, with its exact interval: answers change where accuracy
    does not (Dutta et al. 2024, arXiv:2407.09141).
    """
    changed = np.abs(points(entry) - points(before)) == WHOLE
    ids = tuple(map(str, range(len(changed))))
    scores = Scores(ids=ids, values=changed[None].astype(float), unit="share", population="items")
    return cell(share(scores, estimand="flipped"))


def asked_in(task: str, setting: Setting) -> dict[str, str]:
    """The question of every item, by its id; of a task of lm-eval, whose documents are not kept, none."""
    task_asked = next((asked for asked in setting.testbed.tasks if asked.title == task), None)
    return {} if not isinstance(task_asked, ItemTask) else {item.id: item.prompt for item in task_asked.items()}


def flipped_rows(entry: Measured, before: Measured, questions: Mapping[str, str]) -> Iterator[list[str]]:
    change = points(entry) - points(before)
    said, was = (each.arrays["answer"].reshape(-1, len(change)) for each in (entry, before))
    if len(said) > 1:
        return
    for i in np.argsort(change, kind="stable"):
        if abs(change[i]) == WHOLE:
            name = str(entry.arrays["ids"][i])
            asked = questions.get(name, "").strip()
            cells = (name.removesuffix(asked), asked or "-", str(was[0][i]), str(said[0][i]))
            yield [*map(escape, cells), "**lost**" if change[i] < 0 else "won"]


def mean_of(values: Sequence[float] | None) -> str:
    return "-" if values is None else f"{np.mean(values):.0f}"


# -- the picture ---


def draw(figure: Any, measured: Sequence[Measured], setting: Setting) -> None:
    """A block of points a task: accuracy on the left, the paired difference to the reference on the right."""
    tasks = by_task(measured)
    left, right = figure.subplots(1, 2, sharey=True)
    middles, top = [], 0.0
    for taken in tasks.values():
        draw_tasks(left, right, list(taken.values()), top, setting)
        middles.append(top + (len(taken) - 1) / 2)
        top += len(taken) + 1
    left.set_yticks(middles, [plain(task) for task in tasks])
    left.set_ylim(top - 1, -1)
    left.set(xlabel="points", title="Accuracy, 95 % intervals over items")
    right.set(xlabel="points", title=f"Paired difference to {plain(reference_of(measured).label)}")
    right.axvline(0, color=setting.colour(reference_of(measured)), linewidth=0.8)
    right.tick_params(left=False)
    legend_beside(right, left)


def draw_tasks(left: Any, right: Any, taken: Sequence[Measured], top: float, setting: Setting) -> None:
    """One task's points, from `top` down."""
    reference, compared = reference_of(taken), pairs(taken, points)
    for place, entry in enumerate(taken):
        interval(left, accuracy(entry), top + place, entry, taken, setting)
        change = paired(scores(entry), scores(reference)) if entry in compared else None
        if change is not None:
            interval(right, change, top + place, entry, taken, setting)


def scores(entry: Measured) -> Scores:
    values = points(entry)
    right = 100.0 if len(entry.arrays["score"]) == 1 and np.isin(values, (0.0, 100.0)).all() else None
    ids = tuple(map(str, entry.arrays.get("ids", range(len(values)))))
    return Scores(ids=ids, values=values[None], unit="points", population="items", right=right)
