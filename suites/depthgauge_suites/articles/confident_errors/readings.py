"""What claims ask of `confident_errors`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Scores
from depthgauge.core.testbed import ItemTask
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.articles.confident_errors.probe import ConfidentErrors
from depthgauge_suites.articles.confident_errors.settings import CONFIDENT, TASKS


def confident_errors(candidate: CheckpointSet) -> Scores:
    """Per item, 1 if a wrong option has at least .8 of the probability of all options, else 0.

    Raises: NotTestable if the testbed has no science task of options.
    """
    probe = ConfidentErrors(task=task_of(candidate))
    taken = candidate.measure(probe)
    values = np.stack(
        [(measurement.arrays["share"] >= CONFIDENT) & ~measurement.arrays["right"] for measurement in taken]
    ).astype(float)
    ids = tuple(item.id for item in probe.items)
    return Scores(ids=ids, values=values, unit="share", population="items", right=1.0)


def task_of(candidate: CheckpointSet) -> ItemTask:
    for task in candidate.testbed.tasks:
        if isinstance(task, ItemTask) and task.name in TASKS and task.items()[0].options:
            return task
    raise NotTestable(
        f"testbed {candidate.testbed.name!r} has no science task of options, and sureness is read of those"
    )
