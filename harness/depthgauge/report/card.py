"""The verdicts of a report in a model card: tasks as evaluation results of the hub, and a table of all verdicts."""

from pathlib import Path
from typing import Any

from depthgauge.core.errors import UsageError
from depthgauge.core.result import ClaimResult
from depthgauge.page.escape import escape
from depthgauge.page.tables import markdown
from depthgauge.report.headline import About, headline_of
from depthgauge.report.markdown import verdicts_table
from depthgauge.report.read import read
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, usable, write_atomically

START, END = "<!-- depthgauge: verdicts -->", "<!-- depthgauge: end -->"  # each a line of its own
OURS = "depthgauge"  # the type of our evaluation results' datasets
EMPTY = "---\nlibrary_name: transformers\n---\n"


def write_card(report: Path, card: Path) -> None:
    """Write a report's verdicts into a model card, in place of those that stand there.

    Other text and metadata are kept, the metadata without its comments. Raises: UsageError if the report is none, the
    card is no markdown, its metadata cannot be read or its marks do not stand once each; StoreUnusable if the card
    cannot be written.
    """
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    rows, code = read(report)
    if card.suffix.lower() != ".md":
        raise UsageError(
            f"{card} is no model card, and is left as it is: name a markdown file, such as README.md.",
            code="not-markdown",
        )
    try:
        model_card = ModelCard(
            card.read_text(encoding="utf-8") if card.is_file() else EMPTY, ignore_metadata_errors=False
        )
    except (OSError, ValueError, YAMLError) as error:
        raise UsageError(f"{card} is no model card: fix the YAML that it starts with ({error}).") from error
    data: Any = model_card.data
    others = [result for result in data.eval_results or () if result.dataset_type != OURS]
    data.eval_results = [*others, *(result_of(row) for row in rows if is_of_a_task(row))] or None
    data.model_name = data.model_name or rows[0].method
    before, after = around_marks(model_card.text, card)
    parts = [before.strip(), f"{START}\n{table_of(rows, code)}\n{END}", after.strip()]
    model_card.text = "\n\n".join(filter(None, parts)) + "\n"
    with usable(card.parent, "CARD", NO_SPACE | FORBIDDEN):
        card.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(card, str(model_card))


def around_marks(text: str, card: Path) -> tuple[str, str]:
    """What stands before the marks and what after them; all is before them where there are none.

    A mark within a line of text is text. Raises: UsageError unless there is one of each, in their order, or none.
    """
    lines = text.split("\n")
    starts, ends = ([i for i, line in enumerate(lines) if line.rstrip() == mark] for mark in (START, END))
    if not starts and not ends:
        return text, ""
    if len(starts) != 1 or len(ends) != 1 or starts > ends:
        raise UsageError(
            f"{card} is left as it is: it has {len(starts)} lines {START} and {len(ends)} lines {END}, between which "
            "verdicts are replaced, and one of each may stand there, in this order: take the others out.",
            code="not-ours",
        )
    return "\n".join(lines[: starts[0]]), "\n".join(lines[ends[0] + 1 :])


def is_of_a_task(row: ClaimResult) -> bool:
    return row.estimate is not None and row.estimate.generalises_over == "items"


def result_of(row: ClaimResult) -> Any:
    """A claim about a task as the hub's evaluation result: what is gained or lost, with its interval in the name."""
    from huggingface_hub import EvalResult

    estimate = row.estimate
    assert estimate is not None
    return EvalResult(
        task_type="text-generation",
        dataset_type=OURS,
        dataset_name=estimate.estimand,
        dataset_config=row.claim,  # the hub takes results of one type and configuration for results of one data set
        metric_type=f"{estimate.unit} of change",
        metric_value=round(estimate.point, 4),
        metric_name=f"{row.claim}, {row.reason}: {row.outcome}",
    )


def table_of(rows: list[ClaimResult], code: int) -> str:
    table = verdicts_table(rows)
    headline = escape(str(headline_of(rows, (), code, About(title=rows[0].method))), longest=None)
    return f"## Judged by depthgauge\n\n{headline}\n\n{markdown(table.headers, table.rows)}"
