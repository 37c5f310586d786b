"""What GitHub shows of a run: an annotation for each claim that blocks or is inconclusive, and one comment that is
kept.

Workflow commands and their escapes: docs.github.com, "Workflow commands for GitHub Actions"; the comment is made by the
REST API for issues, as a pull request is one.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from depthgauge.core.errors import UsageError
from depthgauge.core.result import ClaimResult
from depthgauge.page.escape import one_line
from depthgauge.report.outcome import Problem, by_urgency, inconclusive, shown

MARK = "<!-- depthgauge: {} -->"  # by which the comment on a checkpoint is found again
LONGEST_COMMENT = 65_000  # characters; GitHub takes 65,536
IN_DATA = {"%": "%25"}
IN_PROPERTIES = IN_DATA | {":": "%3A", ",": "%2C"}
PATIENCE_S = 30


def annotations(rows: Sequence[ClaimResult], problems: Sequence[Problem]) -> Iterator[str]:
    """A line for each problem and each claim that blocks (errors), and for each required one inconclusive
    (warnings).
    """
    for problem in problems:
        yield command("error", "not judged", problem.message)
    for row in by_urgency(rows):
        if row.fails or (row.required and row.lost_capability):
            yield command("error", f"{row.claim}: {shown(row)}", row.reason)
        elif row.required and inconclusive(row):
            yield command("warning", f"{row.claim}: {shown(row)}", row.reason)


def command(level: str, title: str, message: str) -> str:
    return f"::{level} title={escaped(title, IN_PROPERTIES)}::{escaped(message, IN_DATA)}"


def escaped(text: str, escapes: Mapping[str, str]) -> str:
    """A text on one line, that ends no command and starts none."""
    return "".join(escapes.get(letter, letter) for letter in one_line(text))


def comment(page: Path) -> str:
    """Write a page as the pull request's one comment, over what stood there before; what was done, in a sentence.

    From a fork, whose token may not write, nothing is sent. Raises: UsageError outside a workflow, or as `asked`.
    """
    event = event_of(os.environ)
    pull = event.get("pull_request")
    if pull is None:
        return "this run is of no pull request, so there is nothing to comment on"
    if (pull["head"]["repo"] or {}).get("full_name") != os.environ["GITHUB_REPOSITORY"]:  # None of a deleted fork
        return "the pull request comes from a fork, whose token may not write: the summary of the run has the verdicts"
    mark = MARK.format(page.resolve().parent.name)
    body = f"{mark}\n{text_of(page)}"[:LONGEST_COMMENT]
    comments = f"repos/{os.environ['GITHUB_REPOSITORY']}/issues/{pull['number']}/comments"
    ours = (
        posted for posted in pages(comments) if posted["user"]["type"] == "Bot" and str(posted["body"]).startswith(mark)
    )
    old = next(ours, None)
    if old is None:
        asked("POST", comments, {"body": body})
        return "commented"
    asked("PATCH", f"repos/{os.environ['GITHUB_REPOSITORY']}/issues/comments/{old['id']}", {"body": body})
    return "the comment is written anew"


def event_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """What started the workflow. Raises: UsageError outside one."""
    lacking = [name for name in ("GITHUB_EVENT_PATH", "GITHUB_REPOSITORY", "GITHUB_TOKEN") if not environment.get(name)]
    if lacking:
        raise UsageError(
            f"there is no {lacking[0]} in the environment: a comment is written from a workflow of GitHub, in a step "
            "that is given GITHUB_TOKEN."
        )
    event: dict[str, Any] = json.loads(Path(environment["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    return event


def text_of(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{page} cannot be read: {error.strerror}; it is written beside report.md.") from error


def pages(path: str) -> Iterator[dict[str, Any]]:
    """All entries of a list that GitHub gives a hundred at a time."""
    number = 1
    while page := asked("GET", f"{path}?per_page=100&page={number}"):
        yield from page
        number += 1


def asked(verb: str, path: str, body: dict[str, str] | None = None) -> Any:
    """GitHub's answer. Raises: UsageError, with what it said, if it refuses or is away."""
    import requests

    address = f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}/{path}"
    headers = {"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"}
    try:
        reply = requests.request(verb, address, json=body, headers=headers, timeout=PATIENCE_S)
        reply.raise_for_status()
        return reply.json()
    except requests.RequestException as error:
        raise UsageError(
            f"GitHub does not take the comment ({error}): give the job the permission 'pull-requests: write', or leave "
            "the comment out."
        ) from error
