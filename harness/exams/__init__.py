"""Exams: what a checkpoint answers. Items of ours, by a runner of ours, or tasks of lm-eval as they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from depthgauge.errors import InvalidComparison
from depthgauge.exams.blocks import blocks_of, places_in
from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Exam, Measurement, Scores, Task


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class InlineExam:
    """An exam of our own items, or one block of it. Arrays: `score` and `answer` (repeats, items), `ids` and `ties`."""

    exam: Exam
    block: int | None = None
    name: ClassVar[str] = "exam"
    version: ClassVar[int] = 1

    @property
    def what(self) -> str:
        return f"the {self.exam.name} exam"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        from depthgauge.exams.item_runner import parameters

        return parameters(self.asked)

    @property
    def asked(self) -> Exam:
        if self.block is None:
            return self.exam
        items = self.exam.items()
        chosen = [items[place] for place in places_in(self.block, len(items))]
        return replace(self.exam, items=lambda: chosen)

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.exams.item_runner import answer_items

        return answer_items(self.asked, one.model, one.tokenizer)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class TaskExam:
    """A task of lm-eval as it is, or one block of it. Arrays: `score` (repeats, items), and what `take_task` adds."""

    task: Task
    block: int | None = None
    name: ClassVar[str] = "task"
    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = Task.requires

    @property
    def what(self) -> str:
        return f"the lm-eval task {self.task.name}"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        from depthgauge.exams.tasks import parameters

        return parameters(self.task, self.block)

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.exams.tasks import take_task

        return take_task(self.task, one.model, one.tokenizer, folder=one.folder, block=self.block)


def scores(subject: Subject, name: str) -> Scores:
    """Per item of an exam of the testbed: points (0 to 100) where it is right or wrong, else the task's own metric.

    Repeated answers to an item are averaged. A task's metric is times 100, and times -100 where it falls as models get
    better. Raises: NotTestable if the testbed has no such exam.
    """
    probe = probe_of(subject.testbed.exam(name))
    return scores_of(probe, subject.measure(probe))


def blocks_beside(subject: Subject, other: Subject, name: str) -> Iterator[tuple[Scores, Scores]]:
    """The scores of both in all the items asked so far, block by block: who has seen enough asks no further.

    Raises: as `scores`.
    """
    exam = subject.testbed.exam(name)
    mine: list[Scores] = []
    its: list[Scores] = []
    count, block = 1, 0
    while block < count:
        probe = probe_of(exam, block)
        taken = subject.measure(probe, kept=other.checkpoints)
        mine.append(scores_of(probe, taken))
        its.append(scores_of(probe, other.measure(probe, kept=subject.checkpoints)))
        yield joined(mine), joined(its)
        count, block = blocks_of(size_of(exam, taken[0])), block + 1


def probe_of(exam: Exam | Task, block: int | None = None) -> InlineExam | TaskExam:
    return TaskExam(task=exam, block=block) if isinstance(exam, Task) else InlineExam(exam=exam, block=block)


def size_of(exam: Exam | Task, block: Measurement) -> int:
    """How many items the whole exam has; of a task, whoever answered a block of it knows."""
    return int(block.arrays["of"]) if isinstance(exam, Task) else len(exam.items())


def scores_of(probe: InlineExam | TaskExam, taken: Sequence[Measurement]) -> Scores:
    """Raises: InvalidComparison if a task's data changed between seeds."""
    values = np.stack([100 * float(one.arrays.get("sign", 1)) * one.arrays["score"].mean(axis=0) for one in taken])
    once = len(taken[0].arrays["score"]) == 1
    right = 100.0 if once and np.isin(values, (0.0, 100.0)).all() else None
    return Scores(ids=ids_of(probe, taken), values=values, unit="points", population="items", right=right)


def ids_of(probe: InlineExam | TaskExam, taken: Sequence[Measurement]) -> tuple[str, ...]:
    if isinstance(probe, InlineExam):
        return tuple(item.id for item in probe.asked.items())
    ids = tuple(map(str, taken[0].arrays["ids"]))
    if any(tuple(map(str, one.arrays["ids"])) != ids for one in taken):  # they hold a hash of each document
        raise InvalidComparison(f"the data of task {probe.task.name!r} changed between seeds: measure them anew.")
    return ids


def joined(blocks: Sequence[Scores]) -> Scores:
    """The scores of several blocks as of one exam."""
    return replace(
        blocks[0],
        ids=tuple(name for one in blocks for name in one.ids),
        values=np.concatenate([one.values for one in blocks], axis=1),
        right=blocks[0].right if all(one.right == blocks[0].right for one in blocks) else None,
    )
