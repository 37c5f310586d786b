"""The rows of a task as lm-eval writes them, samples_TASK_DATE.jsonl, and what they say: scores, answers, targets.

A row is read only as it stands on disk, also where it was just made: what is read back from a file cannot differ.
"""

import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint, InvalidComparison, UsageError
from depthgauge.tasks.ties import check_ties

PER_TEXT = ("word_perplexity", "byte_perplexity", "bits_per_byte")
LIKELIHOOD = "perplexity"
LOWER_IS_BETTER = {*PER_TEXT, LIKELIHOOD, "brier_score", "ter", "wer", "mse"}
HASH_DIGITS = 12
LONGEST_ANSWER = 1000  # characters in the array `answer`, whose items all take the package of the longest

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one row says. `thought` is None where nothing was generated."""

    id: str
    score: float
    answer: str
    target: str
    tied: bool
    thought: bool | None


def write_samples(path: Path, samples: NDArray[np.uint8] | Iterable[str]) -> None:
    """Write a file that lm-eval's own tools read, from the array `samples` of a task, or from rows.

    lm-eval finds it where it is called samples_TASK_DATE.jsonl. A group's rows go to one file per task: `by_task`.
    """
    rows = unpack(samples) if isinstance(samples, np.ndarray) else samples
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8", newline="\n")
        aside.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        aside.unlink(missing_ok=True)


def read_samples(
    path: Path, *, metric: str | None = None, higher_is_better: bool | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays `score`, `ids`, `answer`, `target`, `sign`, `metric`, `ties`, `thinking` and `samples` of a file.

    `metric` is a name, or 'NAME,FILTER'; None is the first of the file that has a number per item. Which way is better
    is not in the file: it is taken from the metric's name unless it is said.

    Raises: UsageError, with the line, if a row is malformed or there twice; as `check_ties` and `read_row`.
    """
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a file of samples: {error}.", code="unreadable") from error
    rows = {number: parse(line, path, number) for number, line in enumerate(lines, 1) if line.strip()}
    if not rows:
        raise UsageError(f"{path} holds no samples: write it with lm-eval's --log_samples.", code="empty")
    first = next(iter(rows.values()))
    name, _, wanted = (metric or "").partition(",")
    chosen = {n: row for n, row in rows.items() if row.get("filter") == (wanted or first.get("filter"))}
    if not chosen:
        raise UsageError(f"{path} has no rows of the filter {wanted!r}: its first filter is {first.get('filter')!r}.")
    name = name or first_metric(first, first.get("metrics", ()), str(path))
    answers = [read_line(row, name, path, number) for number, row in chosen.items()]
    better = name not in LOWER_IS_BETTER if higher_is_better is None else higher_is_better
    check_once(answers, list(chosen), path)
    check_ties(sum(answer.tied for answer in answers), len(answers), str(path))
    return arrays(answers, list(chosen.values()), metric=name, sign=1.0 if better else -1.0)


def parse(line: str, path: Path, number: int) -> Row:
    """A line as a row. Raises: UsageError if it is not a JSON object."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {number}: not JSON ({error.msg}), so this is no file of samples.") from error
    if not isinstance(row, dict):
        raise UsageError(f"{path}, line {number}: a sample is a JSON object, and this is a {type(row).__name__}.")
    return row


def read_line(row: Row, metric: str, path: Path, number: int) -> Answer:
    try:
        return read_row(row, metric)
    except KeyError as error:
        raise UsageError(f"{path}, line {number}: the sample has no {error.args[0]!r}.") from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise UsageError(f"{path}, line {number}: not a sample as lm-eval 0.4.13 writes it ({error}).") from error


def check_once(answers: Sequence[Answer], numbers: Sequence[int], path: Path) -> None:
    """Raises: UsageError if two rows answer one item."""
    seen: dict[str, int] = {}
    for answer, number in zip(answers, numbers, strict=True):
        if answer.id in seen:
            raise UsageError(f"{path}, line {number}: answers the same item as line {seen[answer.id]}.")
        seen[answer.id] = number


def on_disk(sample: Row) -> str:
    """A sample dict of lm-eval as the line that lm-eval itself would write."""
    from lm_eval.utils import handle_non_serializable, sanitize_list

    arguments = {
        f"gen_args_{i}": {f"arg_{j}": part for j, part in enumerate(request)}
        for i, request in enumerate(sample["arguments"])
    }
    plain = {
        "arguments": arguments,
        "resps": sanitize_list(sample["resps"]),
        "filtered_resps": sanitize_list(sample["filtered_resps"]),
        "target": str(sample["target"]),
    }
    return json.dumps({**sample, **plain}, default=handle_non_serializable, ensure_ascii=False)


def first_metric(row: Row, names: Iterable[str], what: str) -> str:
    """The first metric with a number per item. Raises: UsageError if there is none."""
    for name in names:
        if name in row and (name in PER_TEXT or is_number(row[name])):
            return name
    raise UsageError(f"{what} has no metric with a number per item: it reports {', '.join(map(str, names)) or 'none'}.")


def is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def read_row(row: Row, metric: str, *, prefix: str = "") -> Answer:
    """The answer, target and score of a row.

    Raises: InvalidCheckpoint if a log-likelihood is not finite; InvalidComparison if the metric is no number.
    """
    requests = list(row["arguments"].values())
    generated = isinstance(requests[0].get("arg_1"), dict)
    if generated:
        answer, tied = "\n".join(texts(row["filtered_resps"])), False
        thought = any("<think>" in text or "</think>" in text for text in texts(row["resps"]))
    else:
        answer, tied = best_option(requests, log_likelihoods(row), metric)
    return Answer(
        id=f"{prefix}{int(row['doc_id'])}:{row['doc_hash'][:HASH_DIGITS]}",
        score=score(row, metric),
        answer=answer[:LONGEST_ANSWER],
        target=target(row, options(requests))[:LONGEST_ANSWER],
        tied=tied,
        thought=thought if generated else None,
    )


def texts(responses: Any) -> list[str]:
    """All texts of a nested list of responses."""
    if isinstance(responses, list | tuple):
        return [text for response in responses for text in texts(response)]
    return [str(responses)]


def log_likelihoods(row: Row) -> NDArray[np.float64]:
    """Of every request of a row, natural log. Raises: InvalidCheckpoint if one is not finite."""
    firsts = [responses[0] for responses in row["resps"]]
    values = np.array(
        [scored[0] if isinstance(scored, list | tuple) else scored for scored in firsts], dtype=np.float64
    )
    if not np.isfinite(values).all():
        raise InvalidCheckpoint(
            f"item {row['doc_id']}: a log-likelihood is {values}, so the checkpoint cannot be scored; lm-eval would "
            "have called it a guess.",
            code="not-finite",
        )
    return values


def options(requests: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a multiple choice is between, without the space before each; empty where there is one request."""
    whole = [request.get("arg_1", "") for request in requests if request["arg_0"] or len(requests) == 1]
    if len(whole) < 2 or len(set(whole)) == 1:
        return []
    spaced = all(text[:1].isspace() for text in whole)
    return [text[1:] if spaced else text for text in whole]


def best_option(
    requests: Sequence[Mapping[str, Any]], likelihoods: NDArray[np.float64], metric: str
) -> tuple[str, bool]:
    """The option that the metric takes for the answer, and whether another one was as good.

    Where the prompts differ and not what follows them, the number of the best one; '' where there is one request.
    """
    if len(requests) == 1:
        return "", False
    names = options(requests)
    values = likelihoods[: len(names) or None]
    if metric == "acc_norm" and names:
        values = values / [len(name) for name in names]
    elif metric == "acc_bytes" and names:
        values = values / [len(name.encode()) for name in names]
    elif metric == "acc_mutual_info" and len(likelihoods) == 2 * len(values):
        values = values - likelihoods[len(values) :]
    best = int(values.argmax())
    return names[best] if names else str(best), bool((values == values[best]).sum() > 1)


def target(row: Row, names: Sequence[str]) -> str:
    """The right answer; the number of an option becomes its text, where no option is that number itself."""
    text = str(row["target"])
    if text.isdigit() and text not in names and int(text) < len(names):
        return names[int(text)]
    return text


def score(row: Row, metric: str) -> float:
    """The metric of one item: of a text its bits per byte, of a `perplexity` the negative log-likelihood in nats."""
    value = row[metric]
    if metric in PER_TEXT and isinstance(value, list | tuple):
        return bits_per_byte(row, float(value[0]))
    if not is_number(value) or not math.isfinite(value):
        raise InvalidComparison(
            f"item {row['doc_id']}: {metric} is {value!r}, not one finite number: choose another metric of the task."
        )
    return -float(value) if metric == LIKELIHOOD else float(value)


def bits_per_byte(row: Row, log_likelihood: float) -> float:
    """Of the bytes that the task counts, or of the text itself. Raises: InvalidComparison if there are none."""
    counted = row.get("bits_per_byte", row.get("byte_perplexity"))
    length = counted[1] if counted else len(row["arguments"]["gen_args_0"]["arg_0"].encode())
    if not length > 0:
        raise InvalidComparison(f"item {row['doc_id']} is an empty text, which has no bits per byte.")
    return float(-log_likelihood / (length * math.log(2)))


def arrays(answers: Sequence[Answer], rows: Sequence[Row], *, metric: str, sign: float) -> dict[str, NDArray[Any]]:
    """What a task is stored as."""
    thoughts = [answer.thought for answer in answers if answer.thought is not None]
    return {
        "score": np.array([[answer.score for answer in answers]], dtype=np.float64),
        "sign": np.array(sign),
        "ids": np.array([answer.id for answer in answers], dtype=np.str_),
        "answer": np.array([answer.answer for answer in answers], dtype=np.str_),
        "target": np.array([answer.target for answer in answers], dtype=np.str_),
        "metric": np.array("bits_per_byte" if metric in PER_TEXT else metric),
        "ties": np.array(sum(answer.tied for answer in answers)),
        "thinking": np.array(float(np.mean(thoughts)) if thoughts else 0.0),
        "samples": pack(json.dumps(row, ensure_ascii=False) for row in rows),
    }


def pack(rows: Iterable[str]) -> NDArray[np.uint8]:
    """Rows as compressed bytes: as an array of texts, each would take the package of the longest, four bytes a
    letter.
    """
    return np.frombuffer(zlib.compress("\n".join(rows).encode("utf-8"), 6), dtype=np.uint8)


def unpack(samples: NDArray[np.uint8]) -> list[str]:
    """The inverse of `pack`: JSON lines."""
    text = zlib.decompress(samples.tobytes()).decode("utf-8")
    return text.split("\n") if text else []


def by_task(taken: Mapping[str, NDArray[Any]]) -> dict[str, list[str]]:
    """The rows of a group, by task; those of a single task under ''."""
    rows: dict[str, list[str]] = {}
    for name, row in zip(taken["ids"], unpack(taken["samples"]), strict=True):
        rows.setdefault(str(name).rpartition("/")[0], []).append(row)
    return rows
