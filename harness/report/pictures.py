"""Which pictures stand beside a report: those of what was measured. Importing this loads matplotlib, for a second."""

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.report import circuits_plots, grokking_plots, inside_plots, plots
from harness.report.tables import Measured
from harness.types import Testbed, language

PICTURES: dict[str, tuple[str, Callable[[Sequence[Measured], Path], None]]] = {
    "exams.png": ("exam", plots.exam_bars),
    "entropy.png": ("entropy", plots.entropy_traces),
    "weights.png": ("weights", inside_plots.movement),
    "heads.png": ("attention", inside_plots.changed_heads),
    "read_out.png": ("tokenization", inside_plots.read_outs),
    "circuits.png": ("circuits", circuits_plots.head_grids),
    "progress.png": ("progress", grokking_plots.progress),
    "frequencies.png": ("fourier", grokking_plots.frequencies),
    "attention.png": ("fourier", grokking_plots.attention),
}


def draw(measured: Sequence[Measured], testbed: Testbed, folder: Path) -> None:
    """Write every picture whose probe was used."""
    probes = {one.measurement.probe for one in measured}
    for name, (probe, picture) in PICTURES.items():
        if probe in probes:
            picture(measured, folder / name)
    if "noise_trace" in probes:
        inside_plots.noise_curves(measured, language(testbed).landmarks, folder / "noise.png")
