"""The verdicts of a report in a model card: exams as evaluation results of the hub, and a table of all verdicts."""

import re
from pathlib import Path
from typing import Any

from depthgauge.errors import UsageError
from depthgauge.page.tables import markdown
from depthgauge.report.markdown import verdicts_table
from depthgauge.report.outcome import meaning
from depthgauge.report.read import read
from depthgauge.store.folders import FORBIDDEN, NO_SPACE, usable, write_atomically
from depthgauge.types import Row

START, END = "<!-- depthgauge: verdicts -->", "<!-- depthgauge: end -->"
BETWEEN = re.compile(rf"\n*{re.escape(START)}.*?{re.escape(END)}\n*", re.DOTALL)
OURS = "depthgauge"  # the type of our evaluation results' datasets
EMPTY = "---\nlibrary_name: transformers\n---\n"


def write_card(report: Path, card: Path) -> None:
    """Write a report's verdicts into a model card, in place of those that stand there.

    Other text and metadata are kept, the metadata without its comments. Raises: UsageError if the report is none, or
    the card's metadata cannot be read; StoreUnusable if the card cannot be written.
    """
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    rows, code = read(report)
    try:
        found = ModelCard(card.read_text(encoding="utf-8") if card.is_file() else EMPTY, ignore_metadata_errors=False)
    except (OSError, ValueError, YAMLError) as error:
        raise UsageError(f"{card} is no model card: mend the YAML that it starts with ({error}).") from error
    data: Any = found.data
    others = [one for one in data.eval_results or () if one.dataset_type != OURS]
    data.eval_results = [*others, *(result_of(row) for row in rows if is_of_an_exam(row))] or None
    data.model_name = data.model_name or rows[0].method
    text = BETWEEN.sub("\n\n", found.text).strip()
    found.text = f"{text}\n\n{START}\n{table_of(rows, code)}\n{END}\n".lstrip()
    with usable(card.parent, "CARD", NO_SPACE | FORBIDDEN):
        card.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(card, str(found))


def is_of_an_exam(row: Row) -> bool:
    return row.estimate is not None and row.estimate.generalises_over == "items"


def result_of(row: Row) -> Any:
    """A claim about an exam as the hub's evaluation result: what is gained or lost, with its interval in the name."""
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


def table_of(rows: list[Row], code: int) -> str:
    table = verdicts_table(rows)
    return f"## Judged by depthgauge\n\nExit {code}: {meaning(code, rows)}.\n\n{markdown(table.headers, table.rows)}"
