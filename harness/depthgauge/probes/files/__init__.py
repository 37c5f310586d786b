"""The files of two checkpoint folders beside each other: what needs neither measuring nor reading of weights."""

from depthgauge.probes.files.probe import FilesDifference
from depthgauge.probes.files.readings import FIELDS_OF, differences

__all__ = [
    "FIELDS_OF",
    "FilesDifference",
    "differences",
]
