"""Which layer learns a task best when it alone is trained with the head, all else frozen (arXiv:2306.12198)."""

from depthgauge_suites.layer_papers.unfreezing.probe import ANSWERS, Example, UnfreezingTask
from depthgauge_suites.layer_papers.unfreezing.readings import accuracies

__all__ = [
    "ANSWERS",
    "Example",
    "UnfreezingTask",
    "accuracies",
]
