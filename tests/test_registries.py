"""What holds of all that is registered: claims, commands and suites; and the tool names none of the studies."""

import argparse
import re

import pytest

from depthgauge import api
from depthgauge.cli import COMMANDS, parser
from depthgauge.core.registry import (
    CORRUPTIONS,
    METHODS,
    SUITES,
    TESTBEDS,
    load_entry_points,
    makes_a_checkpoint,
)  # fmt: skip
from depthgauge.runs.cases import claim_of
from tests.processes import ROOT

load_entry_points()
CLAIMS = {claim_of(test).id: claim_of(test) for _, test in api.tests_in(("depthgauge.checks", "depthgauge_suites"))}


def named_control(claim):
    return claim.control.partition("@")[0]


def test_there_are_claims():
    assert len(CLAIMS) > 60


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_a_claim_has_a_control_that_is_registered_and_can_refute_it(claim):
    name = named_control(claim)

    assert makes_a_checkpoint(name)
    assert name not in claim.about
    if name in CORRUPTIONS and CORRUPTIONS[name].kind == "harmless":
        assert not claim.region.contains(0, 0), "what changes nothing cannot refute that nothing changed"


def parsers_of(one, name=""):
    """The parser of every command, and of those below one, by the words that call it."""
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield f"{name} {word}".strip(), below
                yield from parsers_of(below, f"{name} {word}".strip())


PARSERS = dict(parsers_of(parser()))


def test_there_are_commands():
    assert PARSERS.keys() >= {*COMMANDS, "store gc"}


@pytest.mark.parametrize("name", PARSERS)
def test_a_command_has_help_with_an_example_of_itself(name, capsys):
    with pytest.raises(SystemExit) as ended:
        PARSERS[name].parse_args(["--help"])
    _, _, examples = capsys.readouterr().out.partition("examples:\n")
    lines = [line.strip() for line in examples.splitlines() if line.strip().startswith("depthgauge ")]

    assert ended.value.code == 0
    assert lines and all(f"{line} ".startswith(f"depthgauge {name} ") for line in lines)


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_says_what_it_is_and_has_claims(suite):
    assert SUITES[suite].summary
    assert api.tests_in(tuple(SUITES[suite].modules))


# -- the tool knows no study ---

# Names of suites, testbeds and methods that are words of English or of the field, and the class LoRA of a testbed.
WORDS = {"circuits", "gift", "induction", "lora", "pocket", "science", "showers"}
ARTICLES = ("dangi", "ascent_step", "landmarks", "depth-scaled", "noise_trace", "camel", "gpqa")
OWN_SUITES = {name for name in SUITES if all(module.startswith("depthgauge.") for module in SUITES[name].modules)}
STUDIES = sorted({*METHODS, *TESTBEDS, *SUITES} - OWN_SUITES - WORDS - {"base_model"})


def words_in(text, names):
    found = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, names))})(?![\w-])", re.IGNORECASE)
    return sorted({match[1].lower() for match in found.finditer(text)})


def test_no_file_of_the_tool_names_a_method_a_testbed_a_suite_or_an_article():
    assert len(STUDIES) > 20
    files = sorted((ROOT / "harness").rglob("*.py")) + sorted((ROOT / "harness").rglob("*.j2"))
    named = {str(file.relative_to(ROOT)): words_in(file.read_text(), [*STUDIES, *ARTICLES]) for file in files}

    assert {file: words for file, words in named.items() if words} == {}


def test_a_name_that_is_planted_is_seen():
    assert words_in("METHODS['depthscaled']", STUDIES) == ["depthscaled"]
    assert words_in("the ascent_step of Dangi (2026)", ARTICLES) == ["ascent_step", "dangi"]
    assert words_in("a method that trains", STUDIES) == []
