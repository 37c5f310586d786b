"""What claims ask of `unfreezing`: readings, from a subject's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Profiles
from depthgauge.measure.subject import Subject
from depthgauge_suites.layer_papers.unfreezing.probe import Task, UnfrozenLayers


def accuracies(subject: Subject, name: str) -> Profiles:
    """Per item of an exam, 100 points where it is answered rightly with each layer trained alone, or 0.

    Raises: NotTestable if the testbed has no such task, or the checkpoint was not trained one layer at a time.
    """
    items = next((task.exam.items() for task in subject.material(Task) if task.name == name), None)
    if items is None:
        raise NotTestable(f"the testbed has no task {name!r} that layers are trained on")
    taken = subject.measure(UnfrozenLayers(exam=name, prompts=tuple(item.prompt for item in items)))
    values = 100 * np.stack([one.arrays["right"].T for one in taken]).astype(float)
    columns = tuple(map(str, range(values.shape[2])))
    ids = tuple(item.id for item in items)
    return Profiles(ids=ids, columns=columns, values=values, unit="points", population="items")
