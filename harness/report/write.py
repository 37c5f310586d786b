"""A report on disk: report.md with its plots, and report.json with the same rows."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
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
    folder: Path, rows: Sequence[Row], problems: Sequence[Problem], run: Run, code: int, store: Store
) -> None:
    """Write report.md, report.json and the plots of one method; markdown also goes to $GITHUB_STEP_SUMMARY."""
    from harness.report import (  # matplotlib takes a second, which only a written report needs
        circuits_plots,
        grokking_plots,
        inside_plots,
        plots,
    )

    folder.mkdir(parents=True, exist_ok=True)
    measured = tables.collect(rows, store, run.testbed)
    probes = {one.measurement.probe for one in measured}
    if "exam" in probes:
        plots.exam_bars(measured, folder / "exams.png")
    if "entropy" in probes:
        plots.entropy_traces(measured, folder / "entropy.png")
    if "noise_trace" in probes:
        inside_plots.noise_curves(measured, language(run.testbed).landmarks, folder / "noise.png")
    if "weights" in probes:
        inside_plots.movement(measured, folder / "weights.png")
    if "attention" in probes:
        inside_plots.changed_heads(measured, folder / "heads.png")
    if "tokenization" in probes:
        inside_plots.read_outs(measured, folder / "read_out.png")
    if "circuits" in probes:
        circuits_plots.head_grids(measured, folder / "circuits.png")
    if "progress" in probes:
        grokking_plots.progress(measured, folder / "progress.png")
    if "fourier" in probes:
        grokking_plots.frequencies(measured, folder / "frequencies.png")
        grokking_plots.attention(measured, folder / "attention.png")
    page = markdown_page(rows, problems, run, code, measured, probes)
    write_atomically(folder / "report.md", page)
    write_atomically(folder / "report.json", json.dumps(json_page(rows, problems, run, code), indent=1) + "\n")
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as file:
            file.write(page)


def markdown_page(
    rows: Sequence[Row],
    problems: Sequence[Problem],
    run: Run,
    code: int,
    measured: Sequence[tables.Measured],
    probes: set[str],
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
        title=f"{escape(rows[0].method)} on {run.testbed.name}",
        counts=counts(rows),
        code=code,
        meaning=EXIT_MEANINGS.get(code, "see pytest"),
        judged=f"{len(rows)} claims",
        number=len(rows),
        false_alarms=f"{0.025 * len(rows):.1f}",
        problems=[escape(problem.message) for problem in problems],
        claims=tables.claims_table(rows),
        exams=tables.exam_table(measured) if "exam" in probes else "",
        traces=tables.trace_table(measured) if "entropy" in probes else "",
        texts=tables.text_table(measured, language(run.testbed).probe_prompts()[0]) if "entropy" in probes else "",
        noise=inside.noise_table(measured, language(run.testbed).landmarks) if "noise_trace" in probes else "",
        layers=inside.layer_table(measured) if "noise_trace" in probes else "",
        weights=inside.weights_table(measured) if "weights" in probes else "",
        moved_heads=inside.moved_heads_table(measured) if "weights" in probes else "",
        attention=inside.attention_table(measured) if "attention" in probes else "",
        heads=inside.heads_table(measured) if "attention" in probes else "",
        fragments=inside.fragments_table(measured) if "tokenization" in probes else "",
        read_out=inside.read_out_table(measured) if "tokenization" in probes else "",
        circuits=circuits.circuits_table(measured) if "circuits" in probes else "",
        head_scores=circuits.heads_table(measured) if "circuits" in probes else "",
        phases=grokking.phases_table(measured) if "progress" in probes else "",
        measures=grokking.measures_table(measured) if "fourier" in probes else "",
        frequencies=grokking.frequencies_table(measured) if "fourier" in probes else "",
        last_token=grokking.attention_table(measured) if "fourier" in probes else "",
        training=tables.training_table(rows) if has_log else "",
        environment=tables.markdown(["run", ""], facts),
        fingerprints=tables.fingerprint_table(rows),
    )


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
