"""Tasks: what a checkpoint answers. Items of ours, by a runner of ours, or tasks of lm-eval as they are."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.errors import InvalidComparison
from depthgauge.core.estimate import Measurement, Scores
from depthgauge.core.method import Checkpoint
from depthgauge.core.testbed import ItemTask, LmEvalTask
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.tasks.blocks import blocks_of, places_in


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class ItemTaskProbe:
    """A task of our own items, or one block of it. Arrays: `score` and `answer` (repeats, items), `ids` and `ties`."""

    task: ItemTask
    block: int | None = None
    name: ClassVar[str] = "item_task"
    version: ClassVar[int] = 1

    @property
    def description(self) -> str:
        return f"the {self.task.name} task"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        from depthgauge.tasks.item_runner import parameters

        return parameters(self.asked)

    @property
    def asked(self) -> ItemTask:
        if self.block is None:
            return self.task
        items = self.task.items()
        chosen = [items[place] for place in places_in(self.block, len(items))]
        return replace(self.task, items=lambda: chosen)

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.tasks.item_runner import answer_items

        return answer_items(self.asked, checkpoint.model, checkpoint.tokenizer)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class LmEvalTaskProbe:
    """A task of lm-eval as it is, or one block of it. Arrays: `score` (repeats, items), and what `run_lm_eval_task`
    adds.
    """

    task: LmEvalTask
    block: int | None = None
    name: ClassVar[str] = "task"
    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = LmEvalTask.requires

    @property
    def description(self) -> str:
        return f"the lm-eval task {self.task.name}"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        from depthgauge.tasks.lm_eval_tasks import parameters

        return parameters(self.task, self.block)

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.tasks.lm_eval_tasks import run_lm_eval_task

        return run_lm_eval_task(
            self.task, checkpoint.model, checkpoint.tokenizer, folder=checkpoint.folder, block=self.block
        )


def scores(candidate: CheckpointSet, name: str) -> Scores:
    """Per item of a task of the testbed: points (0 to 100) where it is right or wrong, else the task's own metric.

    Repeated answers to an item are averaged. A task's metric is times 100, and times -100 where it falls as models get
    better. Raises: NotTestable if the testbed has no such task.
    """
    probe = probe_of(candidate.testbed.task(name))
    return scores_of(probe, candidate.measure(probe))


def blocks_beside(candidate: CheckpointSet, other: CheckpointSet, name: str) -> Iterator[tuple[Scores, Scores]]:
    """The scores of both in all the items asked so far, block by block: who has seen enough asks no further.

    Raises: as `scores`.
    """
    task = candidate.testbed.task(name)
    after: list[Scores] = []
    before: list[Scores] = []
    count, block = 1, 0
    while block < count:
        probe = probe_of(task, block)
        taken = candidate.measure(probe, keep_loaded=other.checkpoints)
        after.append(scores_of(probe, taken))
        before.append(scores_of(probe, other.measure(probe, keep_loaded=candidate.checkpoints)))
        yield joined(after), joined(before)
        count, block = blocks_of(size_of(task, taken[0])), block + 1


def probe_of(task: ItemTask | LmEvalTask, block: int | None = None) -> ItemTaskProbe | LmEvalTaskProbe:
    return (
        LmEvalTaskProbe(task=task, block=block)
        if isinstance(task, LmEvalTask)
        else ItemTaskProbe(task=task, block=block)
    )


def size_of(task: ItemTask | LmEvalTask, block: Measurement) -> int:
    """How many items the whole task has; of a task, whoever answered a block of it knows."""
    return int(block.arrays["of"]) if isinstance(task, LmEvalTask) else len(task.items())


def scores_of(probe: ItemTaskProbe | LmEvalTaskProbe, taken: Sequence[Measurement]) -> Scores:
    """Raises: InvalidComparison if a task's data changed between seeds, or its items repeat."""
    values = np.stack(
        [
            100 * float(measurement.arrays.get("sign", 1)) * measurement.arrays["score"].mean(axis=0)
            for measurement in taken
        ]
    )
    once = len(taken[0].arrays["score"]) == 1
    right = 100.0 if once and np.isin(values, (0.0, 100.0)).all() else None
    ids = ids_of(probe, taken)
    if len(set(ids)) < len(ids):
        twice = next(name for name, times in Counter(ids).items() if times > 1)
        raise InvalidComparison(
            f"task {probe.task.name!r} has {len(ids)} items and {len(set(ids))} ids, as {twice!r} repeats: what is "
            "asked twice says nothing new; leave it out, or give each item an id of its own."
        )
    return Scores(ids=ids, values=values, unit="points", population="items", right=right, clusters=groups_of(probe))


def groups_of(probe: ItemTaskProbe | LmEvalTaskProbe) -> tuple[str, ...]:
    """As `groups_in` of our own tasks, but none where no item names one; items of lm-eval's are taken to stand for
    themselves.
    """
    grouped = isinstance(probe, ItemTaskProbe) and any(item.group for item in probe.task.items())
    return groups_in(probe.asked) if grouped and isinstance(probe, ItemTaskProbe) else ()


def groups_in(task: ItemTask) -> tuple[str, ...]:
    """What each item asks about, itself where it names no group."""
    return tuple(item.group or item.id for item in task.items())


def independent_items(baseline: CheckpointSet, name: str) -> int:
    """How many items, or groups of them, a task of the testbed has; the baseline tells of a task of lm-eval.

    Raises: as `scores`.
    """
    task = baseline.testbed.task(name)
    if isinstance(task, ItemTask):
        return len(set(groups_in(task)))
    return size_of(task, baseline.measure(probe_of(task, 0))[0])


def ids_of(probe: ItemTaskProbe | LmEvalTaskProbe, taken: Sequence[Measurement]) -> tuple[str, ...]:
    if isinstance(probe, ItemTaskProbe):
        return tuple(item.id for item in probe.asked.items())
    ids = tuple(map(str, taken[0].arrays["ids"]))
    if any(
        tuple(map(str, measurement.arrays["ids"])) != ids for measurement in taken
    ):  # they hold a hash of each document
        raise InvalidComparison(f"the data of task {probe.task.name!r} changed between seeds: measure them anew.")
    return ids


def joined(blocks: Sequence[Scores]) -> Scores:
    """The scores of several blocks as of one task."""
    return replace(
        blocks[0],
        ids=tuple(name for block in blocks for name in block.ids),
        values=np.concatenate([block.values for block in blocks], axis=1),
        clusters=tuple(group for block in blocks for group in block.clusters),
        right=blocks[0].right if all(block.right == blocks[0].right for block in blocks) else None,
    )
