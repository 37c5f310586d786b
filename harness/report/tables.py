"""The tables behind a report, from the rows and the measurements they rest on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

import numpy as np
from tabulate import tabulate

from harness.checkpoints import TRAINING_LOG, training_log
from harness.claims import describe, number, smallest_detectable_effect
from harness.measurements import read
from harness.probes.diversity import ngram_diversity
from harness.probes.entropy import collapse_step, first_repeat_step, loop
from harness.registry import METHODS
from harness.report.escape import escape
from harness.report.outcome import shown
from harness.stats import exactly, mean, share
from harness.store import Store
from harness.types import Checkpoint, Estimate, Evidence, Measurement, Population, Row, Scores, Testbed


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement and the checkpoint it belongs to."""

    evidence: Evidence
    measurement: Measurement

    @property
    def label(self) -> str:
        return f"{self.evidence.method}, seed {self.evidence.seed}"


def collect(rows: Iterable[Row], store: Store, testbed: Testbed) -> list[Measured]:
    """Every measurement that the rows rest on, once: in the order of the methods, seeds and exams."""
    methods, exams = list(METHODS), [exam.name for exam in testbed.exams]
    found = dict.fromkeys(entry for row in rows for entry in row.evidence if entry.key)

    def place(one: Measured) -> tuple[int, int, int]:
        method, exam = one.evidence.method, one.measurement.parameters.get("exam")
        return (
            methods.index(method) if method in methods else len(methods),
            one.evidence.seed,
            exams.index(exam) if exam in exams else len(exams),
        )

    return sorted((Measured(entry, read(store, entry.key)) for entry in found), key=place)


def markdown(headers: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return tabulate(body, headers=headers, tablefmt="github", disable_numparse=True)


def claims_table(rows: Sequence[Row]) -> str:
    headers = ("claim", "source", "published", "measured [95 % interval]", "claimed", "n",
               "smallest detectable effect", "verdict", "reason", "control")  # fmt: skip
    return markdown(headers, [claim_cells(row) for row in rows])


def in_a_cell(text: str) -> str:
    """What a claim's author wrote, with nothing escaped but what would end its cell."""
    return text.replace("|", "&#124;")


def claim_cells(row: Row) -> tuple[str, ...]:
    estimate = row.estimate
    return (
        f"**{row.claim}**: {in_a_cell(row.statement)}. *{in_a_cell(row.rationale)}*",
        in_a_cell(row.source),
        in_a_cell(row.published),
        describe(estimate) if estimate else "-",
        escape(row.region),
        f"{estimate.n} {estimate.generalises_over}" if estimate else "-",
        f"{number(smallest_detectable_effect(estimate))} {estimate.unit}" if estimate else "-",
        f"**{shown(row)}**",
        escape(row.reason),
        f"{row.control}: {row.control_outcome}",
    )


def exam_estimates(measured: Iterable[Measured]) -> dict[str, dict[str, Estimate]]:
    """Exam -> checkpoint -> accuracy in points."""
    found: dict[str, dict[str, Estimate]] = {}
    for one in measured:
        if one.measurement.probe == "exam":
            name = str(one.measurement.parameters["exam"])
            found.setdefault(name, {})[one.label] = level(
                100 * one.measurement.arrays["score"].mean(0), "points", "items"
            )
    return found


def exam_table(measured: Sequence[Measured]) -> str:
    exams = exam_estimates(measured)
    names = list(dict.fromkeys(one.label for one in measured if one.measurement.probe == "exam"))
    headers = ["checkpoint", *(f"{exam} (points [95 %], n = {next(iter(e.values())).n})" for exam, e in exams.items())]
    body = [[escape(name), *(cell(exams[exam].get(name)) for exam in exams)] for name in names]
    return markdown(headers, body)


def level(values: np.ndarray, unit: str, population: Population) -> Estimate:
    """A mean with its interval: exact for points of 0 or 100 and shares of 0 or 1, else Student's t.

    Values that do not vary have no width: they are known, as how a word is cut is known.
    """
    ids, whole = tuple(map(str, range(len(values)))), {"points": 100.0, "share": 1.0}.get(unit)
    if whole is not None and np.isin(values, (0.0, whole)).all():
        exact = share(Scores(ids=ids, values=values[None] / whole, unit="share", population=population), estimand=unit)
        return replace(exact, unit=unit, point=whole * exact.point, low=whole * exact.low, high=whole * exact.high)
    if np.ptp(values) == 0:
        return exactly(values[:1].astype(float), estimand=unit, unit=unit)
    return mean(Scores(ids=ids, values=values[None].astype(float), unit=unit, population=population), estimand=unit)


def cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if estimate.low == estimate.high:
        return number(estimate.point)
    return f"{number(estimate.point)} [{number(estimate.low)}, {number(estimate.high)}]"


TRACE_SUMMARIES: dict[str, Callable[[Measurement], str]] = {
    "mean entropy (nats)": lambda m: cell(level(m.arrays["entropy_nats"].mean(1), "nats", "prompts")),
    "peak entropy (nats)": lambda m: cell(level(m.arrays["entropy_nats"].max(1), "nats", "prompts")),
    "prompts that collapse": lambda m: ratio(collapse_step(row) for row in m.arrays["entropy_nats"]),
    "median collapse step": lambda m: middle(collapse_step(row) for row in m.arrays["entropy_nats"]),
    "median first-repeat step": lambda m: middle(first_repeat_step(row) for row in m.arrays["token_ids"]),
    "prompts that end in a loop": lambda m: ratio(loop(row) for row in m.arrays["token_ids"]),
    "median loop period (tokens)": lambda m: middle(one and one.period for one in map(loop, m.arrays["token_ids"])),
    "median pre-period (tokens)": lambda m: middle(one and one.pre_period for one in map(loop, m.arrays["token_ids"])),
    "bigram diversity": lambda m: cell(level(diversities(m, 2), "ratio", "prompts")),
    "trigram diversity": lambda m: cell(level(diversities(m, 3), "ratio", "prompts")),
}


def diversities(measurement: Measurement, n: int) -> np.ndarray:
    return np.array([ngram_diversity(row, n) for row in measurement.arrays["token_ids"]])


def ratio(found: Iterable[object]) -> str:
    seen = [one is not None for one in found]
    return f"{sum(seen)} of {len(seen)}"


def middle(found: Iterable[float | None]) -> str:
    seen = [one for one in found if one is not None]
    return f"{median(seen):g}" if seen else "-"


def trace_table(measured: Sequence[Measured]) -> str:
    traces = [one for one in measured if one.measurement.probe == "entropy"]
    body = [[name, *(summary(one.measurement) for one in traces)] for name, summary in TRACE_SUMMARIES.items()]
    return markdown(["greedy trace of 80 tokens", *(escape(one.label) for one in traces)], body)


def text_table(measured: Sequence[Measured], prompt: str) -> str:
    """What each checkpoint says after the first probe prompt, escaped."""
    traces = [one for one in measured if one.measurement.probe == "entropy"]
    body = [[escape(one.label), escape(str(one.measurement.arrays["text"][0]))] for one in traces]
    return markdown(["checkpoint", f"after: {escape(prompt)}"], body)


TRAINING_COLUMNS = (
    "reward", "entropy", "grad_norm", "frac_reward_zero_std", "penalty_ratio", "moved_frac", "degenerate_steps",
    "train_loss", "test_loss", "test_accuracy",
)  # fmt: skip


def training_table(rows: Iterable[Row]) -> str:
    """First and last quarter of every trained checkpoint's log, in the columns that one of them has."""
    entries = {(e.method, e.seed): e for row in rows for e in row.evidence if Path(e.folder, TRAINING_LOG).is_file()}
    logs = {}
    for (method, seed), entry in sorted(entries.items()):
        checkpoint = Checkpoint(name=method, seed=seed, folder=Path(entry.folder), fingerprint=entry.checkpoint)
        logs[f"{escape(method)}, seed {seed}"] = training_log(checkpoint)
    columns = [name for name in TRAINING_COLUMNS if any(name in row for log in logs.values() for row in log)]
    body = [
        [label, f"{log[-1]['step']:.0f}" if log else "0", *(from_to(log, name) for name in columns)]
        for label, log in logs.items()
    ]
    return markdown(["checkpoint", "steps", *columns], body)


def from_to(log: Sequence[Mapping[str, float]], column: str) -> str:
    quarter = max(1, len(log) // 4)
    ends = [[row[column] for row in part if column in row] for part in (log[:quarter], log[-quarter:])]
    return " to ".join(f"{fmean(end):.3g}" for end in ends) if all(ends) else "-"


def fingerprint_table(rows: Iterable[Row]) -> str:
    found = sorted({(e.method, e.seed, e.checkpoint) for row in rows for e in row.evidence})
    return markdown(
        ["checkpoint", "fingerprint"], [[f"{escape(m)}, seed {s}", f"`{print_}`"] for m, s, print_ in found]
    )
