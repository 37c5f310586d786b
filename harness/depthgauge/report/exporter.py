"""What writes the verdicts of a report in another form: a command each, `depthgauge NAME REPORT FILE`.

A package brings one by registering it in a module of the entry point group 'depthgauge': docs/adding-an-exporter.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from depthgauge.core.registry import EXPORTERS


@dataclass(frozen=True, kw_only=True, slots=True)
class Exporter:
    """`write` takes the path of a report.json and that of the file to write. It raises UsageError, in a sentence, for a
    file that it does not replace. `example` ends the command's help.
    """

    name: str
    summary: str
    write: Callable[[Path, Path], None]
    example: str


def write_card(report: Path, file: Path) -> None:
    from depthgauge.report.card import write_card as write

    write(report, file)


def write_results(report: Path, file: Path) -> None:
    from depthgauge.report.results import write_results as write

    write(report, file)


EXPORTERS.register(
    Exporter(
        name="card",
        summary="write the verdicts of a report into a model card, for the hub",
        write=write_card,
        example="depthgauge card reports/merged/report.json runs/merged/README.md",
    )
)
EXPORTERS.register(
    Exporter(
        name="results",
        summary="write the verdicts of a report as a result file of lm-eval",
        write=write_results,
        example="depthgauge results reports/merged/report.json results.json",
    )
)
