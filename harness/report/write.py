"""A report on disk: report.md with its plots, and report.json with the same rows."""

import importlib.metadata
import json
import os
import platform
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from harness.checkpoints import TRAINING_LOG
from harness.report import circuits, grokking, inside, tables
from harness.report.escape import escape
from harness.report.outcome import EXIT_MEANINGS, Problem, counts
from harness.store import Store, write_atomically
from harness.types import Row, Testbed, language, to_plain

SCHEMA = 1
PACKAGES = ("depthgauge", "torch", "transformers", "trl", "lm-eval", "datasets", "numpy", "scipy", "pytest")
TEMPLATE = Path(__file__).with_name("report.md.j2")

# Name in the template -> the probe that it shows, and the table.
TABLES: dict[str, tuple[str, Callable[[Sequence[tables.Measured]], str]]] = {
    "exams": ("exam", tables.exam_table),
    "traces": ("entropy", tables.trace_table),
    "layers": ("noise_trace", inside.layer_table),
    "weights": ("weights", inside.weights_table),
    "moved_heads": ("weights", inside.moved_heads_table),
    "attention": ("attention", inside.attention_table),
    "heads": ("attention", inside.heads_table),
    "sinks": ("sinks", inside.sinks_table),
    "fragments": ("tokenization", inside.fragments_table),
    "read_out": ("tokenization", inside.read_out_table),
    "circuits": ("circuits", circuits.circuits_table),
    "head_scores": ("circuits", circuits.heads_table),
    "phases": ("progress", grokking.phases_table),
    "measures": ("fourier", grokking.measures_table),
    "frequencies": ("fourier", grokking.frequencies_table),
    "last_token": ("fourier", grokking.attention_table),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What ran, where, and for how long."""

    testbed: Testbed
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    device: str
    started: float
    elapsed_s: float

    def plain(self) -> dict[str, Any]:
        return {
            "testbed": self.testbed.name,
            "methods": list(self.methods),
            "seeds": list(self.seeds),
            "device": self.device,
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
            | {"python": platform.python_version()},
            "started": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            "elapsed_s": round(self.elapsed_s, 1),
        }


def write_report(
    folder: Path, method: str, rows: Sequence[Row], problems: Sequence[Problem], run: Run, code: int, store: Store
) -> None:
    """Write report.md, report.json and the plots of one method; markdown also goes to $GITHUB_STEP_SUMMARY."""
    from harness.report.pictures import draw  # matplotlib takes a second, which only a written report needs

    folder.mkdir(parents=True, exist_ok=True)
    measured = tables.collect(rows, store, run.testbed)
    draw(measured, run.testbed, folder)
    page = markdown_page(method, rows, problems, run, code, measured)
    write_atomically(folder / "report.md", page)
    write_atomically(folder / "report.json", json.dumps(json_page(rows, problems, run, code), indent=1) + "\n")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(page)
        except OSError as error:
            warnings.warn(f"the report is not in $GITHUB_STEP_SUMMARY, {summary}: {error.strerror}", stacklevel=2)


def markdown_page(
    method: str,
    rows: Sequence[Row],
    problems: Sequence[Problem],
    run: Run,
    code: int,
    measured: Sequence[tables.Measured],
) -> str:
    plain = run.plain()
    has_log = any(Path(e.folder, TRAINING_LOG).is_file() for row in rows for e in row.evidence)
    facts = [
        ["testbed", plain["testbed"]],
        ["device", f"{plain['device']} ({platform.machine()}, {os.cpu_count()} cores)"],
        ["seeds", ", ".join(map(str, plain["seeds"]))],
        ["started", plain["started"]],
        ["elapsed", f"{plain['elapsed_s']} s"],
        ["versions", ", ".join(f"{name} {version}" for name, version in plain["versions"].items())],
    ]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(TEMPLATE.read_text()).render(
        title=f"{escape(method)} on {run.testbed.name}",
        counts=counts(rows),
        code=code,
        meaning=EXIT_MEANINGS.get(code, "see pytest"),
        judged=f"{len(rows)} claims",
        number=len(rows),
        false_alarms=f"{0.025 * len(rows):.1f}",
        problems=[escape(problem.message) for problem in problems],
        claims=tables.claims_table(rows),
        **tables_shown(measured, run.testbed),
        training=tables.training_table(rows) if has_log else "",
        environment=tables.markdown(["run", ""], facts),
        fingerprints=tables.fingerprint_table(rows),
    )


def tables_shown(measured: Sequence[tables.Measured], testbed: Testbed) -> dict[str, str]:
    """Every table of the template, empty where its probe was not used."""
    probes = {one.measurement.probe for one in measured}
    shown = {name: table(measured) if probe in probes else "" for name, (probe, table) in TABLES.items()}
    noise = inside.noise_table(measured, language(testbed).landmarks) if "noise_trace" in probes else ""
    texts = tables.text_table(measured, language(testbed).probe_prompts()[0]) if "entropy" in probes else ""
    return shown | {"noise": noise, "texts": texts}


def json_page(rows: Sequence[Row], problems: Sequence[Problem], run: Run, code: int) -> dict[str, Any]:
    """The record: every field of every row but the folders, which belong to one machine."""
    verdicts = []
    for row in rows:
        plain = to_plain(row)
        plain["evidence"] = [{k: v for k, v in entry.items() if k != "folder"} for entry in plain["evidence"]]
        verdicts.append(plain)
    not_judged = [problem.message for problem in problems]
    return {
        "schema": SCHEMA,
        "run": run.plain(),
        "verdicts": verdicts,
        "not_judged": not_judged,
        "exit_code": code,
    }
