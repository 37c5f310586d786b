"""Sections as one markdown page."""

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2

from depthgauge.core.result import FAMILYWISE_ERROR_RATE, ClaimResult
from depthgauge.core.verdict import number, smallest_detectable_effect
from depthgauge.page.escape import escape
from depthgauge.page.section import Marked, Part, Picture, Section, Table
from depthgauge.page.tables import markdown
from depthgauge.report.amounts import claimed, measured_where
from depthgauge.report.outcome import Problem, by_urgency, shown

LEAST_P = 0.0001
TEMPLATE = Path(__file__).with_name("report.md.j2")


def page_of(*, title: str, summary: Sequence[str], parts: Sequence[Section], headline: str = "") -> str:
    """The page; a `headline` comes first, and the title after it."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.tests["table"] = lambda part: isinstance(part, Table)
    environment.tests["picture"] = lambda part: isinstance(part, Picture)
    environment.tests["marked"] = lambda part: isinstance(part, Marked)
    environment.filters["escaped"] = escape
    environment.filters["markdown"] = lambda table: markdown(table.headers, table.rows)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title, headline=headline, summary=summary, sections=parts
    )


def claims_part(rows: Sequence[ClaimResult], problems: Sequence[Problem]) -> Section:
    """The verdicts, and below them what they mean, and what stands behind each."""
    verdicts = verdicts_part(rows, problems)
    meaning = [chances(rows)] if rows else []
    return Section(verdicts.title, [*verdicts.parts, *meaning, *map(behind, by_urgency(rows))])


def verdicts_part(rows: Sequence[ClaimResult], problems: Sequence[Problem]) -> Section:
    """The verdicts alone, those of informational claims folded, and what was not judged."""
    parts: list[Part] = [f"> Not judged: {escape(problem.message)}" for problem in problems]
    required, informational = ([row for row in rows if row.required is wanted] for wanted in (True, False))
    if required:
        parts.append(verdicts_table(required))
    if informational:
        parts.append(replace(verdicts_table(informational), folded=f"{len(informational)} informational"))
    return Section("Claims", parts)


def verdicts_table(rows: Sequence[ClaimResult]) -> Table:
    """A narrow table, failures first."""
    body = [
        (f"**{row.claim}**", escape(measured_where(row)), escape(claimed(row)), f"**{shown(row)}**", holm(row))
        for row in by_urgency(rows)
    ]
    return Table(("claim", "measured [95 % interval]", "claimed", "verdict", "Holm's p"), body)


def chances(rows: Sequence[ClaimResult]) -> str:
    """What the verdicts mean, alone and together."""
    n_comparisons = max((row.n_comparisons for row in rows), default=0)
    together = (
        f"Holm's p is adjusted for the {n_comparisons} required claims of this run, and only a refutation with one "
        f"below {FAMILYWISE_ERROR_RATE} blocks: any of them blocks a harmless checkpoint in at most one run of 20."
        if n_comparisons
        else "Holm's p is adjusted for all claims of this report."
    )
    return (
        "An interval at 95 % inside the claimed region is SUPPORTED, one outside REFUTED, any other INCONCLUSIVE. "
        f"{together} Every claim has a control, a checkpoint that must refute it."
    )


def holm(row: ClaimResult) -> str:
    if row.holm_p is None:
        return "-"
    return f"{row.holm_p:.2g}" if row.holm_p >= LEAST_P else f"< {LEAST_P:g}"


def behind(row: ClaimResult) -> str:
    """One claim's block: what is claimed and why, from where, on how much evidence, against which control."""
    lines = [
        f"{plain(row.statement)}. *{plain(row.rationale)}*",
        f"**Reason:** {escape(row.reason)}",
        f"**Source:** {plain(row.citation)}; published: {plain(row.published)}",
        f"**Evidence:** {evidence_of(row)}",
        f"**Control:** `{row.control}` is {row.control_outcome}: {escape(row.control_reason)}",
    ]
    body = "\n".join(f"- {line}" for line in lines)
    return f"<details><summary>{escape(row.claim)}: {shown(row)}</summary>\n\n{body}\n\n</details>"


def plain(text: str) -> str:
    """What a claim's author wrote: markup is theirs, but for what would end its block."""
    return text.replace("<", "&lt;").replace("|", "&#124;")


def evidence_of(row: ClaimResult) -> str:
    estimate = row.estimate
    if estimate is None:
        return "none"
    if estimate.exact:
        return "known exactly: it is read off the weights, and no sample stands between"
    effect = f"{number(smallest_detectable_effect(estimate))} {estimate.unit}"
    clusters = f" in {estimate.clusters} clusters" if estimate.clusters else ""
    kind = f"n = {estimate.n} {estimate.generalises_over}{clusters}, {estimate.method}"
    return f"{kind}; minimum detectable effect (80 % power): {effect}"


def environment_part(rows: Sequence[ClaimResult], run: dict[str, Any]) -> Section:
    facts = [
        ["testbed", run["testbed"]],
        ["device", f"{run['device']} in {run['dtype']} ({platform.machine()}, {os.cpu_count()} cores)"],
        ["seeds", ", ".join(map(str, run["seeds"]))],
        ["started", run["started"]],
        ["elapsed", f"{run['elapsed_s']} s"],
        ["versions", ", ".join(f"{name} {version}" for name, version in run["versions"].items())],
    ]
    checkpoints = sorted({(e.method, e.seed, e.checkpoint) for row in rows for e in row.evidence})
    prints = [[f"{escape(name)}, seed {seed}", f"`{fingerprint}`"] for name, seed, fingerprint in checkpoints]
    return Section("Environment", [Table(["run", ""], facts), Table(["checkpoint", "fingerprint"], prints)])
