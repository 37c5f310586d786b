"""Which heads repair an answer that depends on how the question is put (arXiv:2508.19414), by activation patching."""

from depthgauge_suites.layer_papers.head_sharing.probe import HeadSharing
from depthgauge_suites.layer_papers.head_sharing.readings import curve, depends_on_form, repaired_by
from depthgauge_suites.layer_papers.head_sharing.settings import Comparison

__all__ = [
    "Comparison",
    "HeadSharing",
    "curve",
    "depends_on_form",
    "repaired_by",
]
