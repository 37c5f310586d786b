"""Exams: what a checkpoint answers. Items of ours, or tasks of lm-eval as they are; lm-eval answers both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.errors import InvalidComparison
from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Exam, Scores, Task


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class InlineExam:
    """An exam of our own items. Arrays: `score` and `answer` (repeats, items), `ids` (items,) and `ties`."""

    exam: Exam
    name: ClassVar[str] = "exam"
    version: ClassVar[int] = 1

    @property
    def what(self) -> str:
        return f"the {self.exam.name} exam"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        from depthgauge.exams.lm_eval import parameters

        return parameters(self.exam)

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.exams.lm_eval import take_exam

        return take_exam(self.exam, one.model, one.tokenizer)


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class TaskExam:
    """A task of lm-eval as it is. Arrays: `score` (1, items), `ids` (items,), and what `tasks.take_task` adds."""

    task: Task
    name: ClassVar[str] = "task"
    version: ClassVar[int] = 1

    @property
    def what(self) -> str:
        return f"the lm-eval task {self.task.name}"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        from depthgauge.exams.tasks import parameters

        return parameters(self.task)

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.exams.tasks import take_task

        return take_task(self.task, one.model, one.tokenizer, folder=one.folder)


def scores(subject: Subject, name: str) -> Scores:
    """Per item of an exam of the testbed: points (0 to 100) where it is right or wrong, else the task's own metric.

    Repeated answers to an item are averaged. Raises: NotTestable if the testbed has no such exam.
    """
    exam = subject.testbed.exam(name)
    if isinstance(exam, Task):
        return task_scores(subject, exam)
    taken = subject.measure(InlineExam(exam=exam))
    values = np.stack([100 * one.arrays["score"].mean(axis=0) for one in taken])
    ids = tuple(item.id for item in exam.items())
    right = 100.0 if exam.repeats == 1 and np.isin(values, (0.0, 100.0)).all() else None
    return Scores(ids=ids, values=values, unit="points", population="items", right=right)


def task_scores(subject: Subject, task: Task) -> Scores:
    """Per item, the task's metric times 100, in points; a metric that falls as models get better, times -100."""
    taken = subject.measure(TaskExam(task=task))
    values = np.stack([100 * float(one.arrays["sign"]) * one.arrays["score"].mean(axis=0) for one in taken])
    ids = tuple(map(str, taken[0].arrays["ids"]))
    if any(tuple(map(str, one.arrays["ids"])) != ids for one in taken):  # they hold a hash of each document
        raise InvalidComparison(f"the data of task {task.name!r} changed between seeds: measure them anew.")
    right = 100.0 if np.isin(values, (0.0, 100.0)).all() else None
    return Scores(ids=ids, values=values, unit="points", population="items", right=right)
