"""The page of all claims is made from the registry, and names what it cannot say."""

import subprocess
import sys

import pytest

from depthgauge.core.claim import Claim
from depthgauge.core.errors import UsageError
from depthgauge.core.registry import SUITES, load_entry_points
from depthgauge.core.verdict import above
from depthgauge.history.catalogue import catalogue, record
from depthgauge.history.recorded import RecordedOutcomes
from tests.processes import ROOT, refused

CLAIM = Claim(
    id="c", statement="s", citation="s", published="-", region=above(0), unit="points", control="x", rationale="r"
)


def test_the_page_in_the_docs_is_that_of_the_registry():
    load_entry_points()

    assert (ROOT / "docs" / "claims.md").read_text() == catalogue(["depthgauge.checks", *SUITES]), "run 'make claims'"


def test_what_seeds_gave_is_counted_by_method():
    given = {
        str(seed): {"outcome": outcome, "measured": "1"}
        for seed, outcome in enumerate(("REFUTED", "SUPPORTED", "REFUTED"))
    }
    recorded_outcomes = RecordedOutcomes(claims={"c": {"grpo": given, "gradreg": {"0": given["1"]}}})

    assert record(CLAIM, recorded_outcomes) == "grpo: 2 refuted, 1 supported; gradreg: 1 supported"
    assert record(CLAIM, RecordedOutcomes()) == "-"


@pytest.mark.parametrize(
    "name, value", [("no.such.package", "'no.such.package'"), ("json.tool", "json.tool is no package")]
)
def test_what_is_no_suite_is_one_sentence(name, value):
    with refused(UsageError, value):
        catalogue([name])


def test_the_command_prints_it_and_imports_no_torch():
    code = "import sys; sys.argv[1:] = ['claims']\nfrom depthgauge.cli import main\n"
    code += "try: main()\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "**weights-within-margin**" in done.stdout
