"""What claims ask of `unfreezing`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Profiles
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.layer_papers.unfreezing.probe import UnfreezingTask, UnfrozenLayers


def accuracies(candidate: CheckpointSet, name: str) -> Profiles:
    """Per item of a task, 100 points where it is answered rightly with each layer trained alone, or 0.

    Raises: NotTestable if the testbed has no such task, or the checkpoint was not trained one layer at a time.
    """
    items = next((task.item_task.items() for task in candidate.inputs(UnfreezingTask) if task.name == name), None)
    if items is None:
        raise NotTestable(f"the testbed has no task {name!r} that layers are trained on")
    taken = candidate.measure(UnfrozenLayers(task=name, prompts=tuple(item.prompt for item in items)))
    values = 100 * np.stack([measurement.arrays["right"].T for measurement in taken]).astype(float)
    columns = tuple(map(str, range(values.shape[2])))
    ids = tuple(item.id for item in items)
    return Profiles(ids=ids, columns=columns, values=values, unit="points", population="items")
