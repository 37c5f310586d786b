"""The files of two checkpoint folders beside each other: what needs neither measuring nor reading of weights."""

from depthgauge.probes.files.probe import FilesDifference
from depthgauge.probes.files.readings import differences

__all__ = [
    "FilesDifference",
    "differences",
]
