"""Every thing has one name, that of the field: docs/glossary.md. What it was called before comes back nowhere.

Names in the code, options, ids of claims and keys of JSON are held to the whole list of retired words, prose to those
that were coined here: "model family" and "reference answer" are English.
"""

import ast
import json
import re
from dataclasses import fields
from itertools import chain
from pathlib import Path

import pytest

from depthgauge.cli import parser
from depthgauge.core.claim import Claim
from depthgauge.core.estimate import Measurement
from depthgauge.core.method import Method
from depthgauge.core.registry import CORRUPTIONS, METHODS, load_entry_points
from depthgauge.core.result import ClaimResult
from depthgauge.core.testbed import Reward, Testbed
from depthgauge.history.accepted import AcceptedBaseline
from depthgauge.history.catalogue import claims_of, suites_in
from depthgauge.measure.context import Job
from depthgauge.runs.config import OPTIONS, Options

ROOT = Path(__file__).resolve().parents[1]
CODE = ("harness", "methods", "suites", "benchmarks", "tests")
# Parts of names, between underscores or capitals.
PARTS = {"exam", "exams", "tier", "tiers", "ledger", "ledgers", "workshop", "scaffolding", "economy", "foresight"}
NAMES = {
    "ANCHOR", "Accepted", "ChangeSession", "GATES", "Given", "GreedyTrace", "InlineExam", "Needs", "Opened", "Question",
    "Reference", "Shared", "Subject", "Undefined", "Unmade", "although_refuted", "anchor", "anchor_source",
    "as_recorded", "asked_for", "foresight", "gating", "greedy_trace", "launches", "left_open", "material", "materials",
    "new_source", "not_standing", "now_holds", "old_says", "old_source", "olds", "only_old", "open_fails", "pays",
    "produce", "row_from_plain", "seal", "sealed", "speaks_about", "take_exam", "take_task", "taken_now", "wake",
}  # fmt: skip
PRONOUNS = {"found", "it", "its", "mine", "one", "told"}  # for what has a name of its own, in all that is installed
# Words that are fine elsewhere, and no field of these.
FIELDS = {
    Claim: {"source", "gates", "tier"},
    ClaimResult: {"source", "gates", "only_old", "place", "family", "stands", "as_recorded", "now_holds"},
    Measurement: {"refusal"},
    Method: {"alone", "launches"},
    Reward: {"pays", "at_once"},
    Testbed: {"exams", "materials", "ledger", "needs"},
    Job: {"whose"},
    AcceptedBaseline: {"last", "anchor"},
    Options: {"exam", "exam_path", "against", "base", "plan", "every_tier", "last_tier", "trust_exam_code"},
}
SPELLED = {
    "--against", "--exam", "--exam-path", "--trust-exam-code", "--every-tier", "--last-tier", "--plan", "--base",
    "--anchor", "--although-refuted", "--references",
}  # fmt: skip
CLAIMS = {
    "weights-unmoved", "norms-and-embeddings-unmoved", "weights-moved", "no-layer-out-of-line", "loops-no-more",
    "heads-look-where-they-did", "does-what-it-is-asked", "sinks-still-there", "induction-still-there",
    "penalty-is-felt", "perturbation-is-numerically-there", "formulae-fragment",
}  # fmt: skip
CONTROLS = {
    "amnesic", "beheaded", "chaotic", "fading", "faint", "flattened", "gutted", "jittered", "lopsided", "misfiled",
    "misled", "misrewarded", "nudged", "rekeyed", "reordered", "rounded", "scattered", "scrambled", "sharpened",
    "silenced", "spelling", "stale", "untrained",
}  # fmt: skip
COINED = (
    r"\bledgers?\b", r"\bexams?\b", r"\btiers?\b", r"\bgates nothing\b", r"\bleft open\b", r"\bfour times in five\b",
    r"\bworkshops?\b", r"\bscaffolding\b", r"\b(?:cannot|can|to) be had\b", r"\banchor\b", r"\bmaterials\b",
    r"\brooms\b", r"\bdoors\b", r"\bmend\b",
)  # fmt: skip
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def names_in(tree):
    """Every name that a file gives to something: functions, classes, arguments, variables and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def parts_of(name):
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}


def keys_in(value):
    if isinstance(value, dict):
        yield from value
        yield from chain.from_iterable(map(keys_in, value.values()))
    elif isinstance(value, list):
        yield from chain.from_iterable(map(keys_in, value))


def options_of(command):
    """Every option of a parser and of the commands below it."""
    for action in command._actions:
        yield from action.option_strings
        for below in action.choices.values() if isinstance(action.choices, dict) else ():
            yield from options_of(below)


def test_the_lists_find_what_they_name():
    assert PARTS & parts_of("last_tier") and PARTS & parts_of("InlineExam") and not PARTS & parts_of("examined")
    assert list(names_in(ast.parse("def take_exam(exam): x = 1"))) == ["take_exam", "exam", "x"]
    assert set(keys_in({"a": [{"b": {"c": 1}}]})) == {"a", "b", "c"}
    assert any(re.search(pattern, "two of three were left open") for pattern in COINED)


@pytest.mark.parametrize("folder", CODE)
def test_no_name_in_the_code_is_a_retired_one(folder):
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__).resolve()
        for name in names_in(ast.parse(path.read_text(encoding="utf-8")))
        if name in NAMES or PARTS & parts_of(name)
    }
    assert not found


@pytest.mark.parametrize("folder", ["harness", "methods", "suites", "testbeds"])
def test_no_name_in_what_is_installed_is_a_pronoun(folder):
    called = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in names_in(ast.parse(path.read_text(encoding="utf-8")))
        if name in PRONOUNS
    }
    assert not called


@pytest.mark.parametrize("held", FIELDS, ids=lambda held: held.__name__)
def test_no_field_is_a_retired_one(held):
    assert not FIELDS[held] & ({field.name for field in fields(held)} | set(vars(held)))


def test_no_option_is_a_retired_one():
    spelled = {option.spelled for option in OPTIONS} | set(options_of(parser()))
    assert "--baseline" in spelled and "--tasks" in spelled
    assert not SPELLED & spelled


def test_no_claim_method_or_control_has_a_retired_name():
    load_entry_points()
    modules = [module for package in ("depthgauge.checks", "depthgauge_suites") for module in suites_in(package)]
    ids = {test.__claim__.id for module in modules for test in claims_of(module)}
    assert "weights-within-margin" in ids
    assert not CLAIMS & ids
    assert not (CONTROLS | {"base"}) & {*METHODS, *CORRUPTIONS}


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "reports").rglob("*.json"), *(ROOT / "testbeds").rglob("recorded.json")]), ids=str
)
def test_no_key_of_a_record_is_a_retired_one(path):
    keys = set(keys_in(json.loads(path.read_text(encoding="utf-8"))))
    assert not keys & (FIELDS[ClaimResult] | CLAIMS | CONTROLS | {"new", "old", "tier", "against"} | NAMES | PARTS)


def test_every_name_of_the_glossary_is_in_the_code():
    rows = [
        line.split("|")[3] for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line.startswith("| ")
    ]
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "harness").rglob("*.py"))
    known = set(re.findall(r"\w+", code)) | {option.spelled for option in OPTIONS} | set(options_of(parser()))
    named = [name for row in rows[2:] for name in re.findall(r"`([^`]+)`", row)]
    assert len(named) > 50
    assert not [name for name in named if re.split(r"[ .]", name.removesuffix(".json"))[-1] not in known | {"NAME"}]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_uses_a_word_that_was_coined_here(path):
    prose = re.sub(r"^```.*?^```$|`[^`\n]+`", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = [match[0] for pattern in COINED for match in re.finditer(pattern, prose, re.IGNORECASE)]
    assert not found
