"""A run of a part of the claims does not replace a report that says more of the same checkpoint: it lies beside."""

import json

import pytest

from depthgauge.api import compare
from depthgauge.report.folder import PART
from tests.tiny import save_tiny_base

ONE = "rows-within-margin"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def judged(base, store, tmp_path):
    """Compare the candidate up to the stage of weights; the run."""
    candidate = save_tiny_base(tmp_path / "new", seed=1)

    def judge(**options):
        given = {"last_stage": "weights", "all_stages": True} | options
        given |= {"store": store, "report_dir": tmp_path / "reports"}
        return compare(base, candidate, **given, tell=lambda line: None)

    return judge


def claims_in(folder):
    return {row["claim"] for row in json.loads((folder / "report.json").read_text())["verdicts"]}


def test_one_claim_alone_leaves_the_whole_report_as_it_was_and_says_where_its_own_lies(judged, tmp_path):
    whole = judged()
    before = (tmp_path / "reports" / "new" / "report.md").read_text()
    part = judged(claims=(ONE,))

    assert (tmp_path / "reports" / "new" / "report.md").read_text() == before
    assert whole.reports == (tmp_path / "reports" / "new" / "report.md",)
    assert part.reports == (tmp_path / "reports" / f"new{PART}" / "report.md",)
    assert claims_in(tmp_path / "reports" / f"new{PART}") == {ONE}
    assert any(str(tmp_path / "reports" / "new") in note for note in part.notes)
    assert not any("reports" in note for note in whole.notes)


def test_a_lower_last_stage_is_a_part_too_and_the_whole_replaces_a_part(judged, tmp_path):
    judged(last_stage="files")
    first = claims_in(tmp_path / "reports" / "new")
    judged()
    judged(last_stage="files")

    assert ONE not in first and ONE in claims_in(tmp_path / "reports" / "new")
    assert claims_in(tmp_path / "reports" / f"new{PART}") == first


def test_a_candidate_that_was_saved_anew_has_no_older_report_that_says_more(judged, tmp_path):
    judged()
    save_tiny_base(tmp_path / "new", seed=2)
    judged(claims=(ONE,))

    assert claims_in(tmp_path / "reports" / "new") == {ONE}
    assert not (tmp_path / "reports" / f"new{PART}").exists()


def test_what_is_expected_anew_replaces_what_was_expected_before(judged, tmp_path):
    judged()
    judged(expect="trained")

    assert "weights-changed" in claims_in(tmp_path / "reports" / "new")
    assert not (tmp_path / "reports" / f"new{PART}").exists()


def test_a_claim_of_ones_own_lies_beside_the_claims_that_ship(judged, tmp_path, base, store, monkeypatch):
    from depthgauge.api import Runner
    from depthgauge.runs.config import options_from

    judged()
    (tmp_path / "test_own_claim_alone.py").write_text(
        "from depthgauge import at_most, claim\n"
        "from depthgauge.checks.claims import change_claim\n"
        "from depthgauge.probes import weights\n"
        "from depthgauge.stats import greatest_exactly\n\n\n"
        "@claim(change_claim('own', 'is own', at_most(9), 'share', 'ours'))\n"
        "def test_own(candidate, baseline):\n"
        "    return greatest_exactly(weights.relative_change(candidate, baseline), estimand='change')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = {"baseline": str(base), "checkpoint": str(tmp_path / "new"), "store": str(store)}
    given = options_from(options | {"report_dir": str(tmp_path / "reports")})
    Runner(options=given, checks=("test_own_claim_alone",), tell=lambda line: None).run()

    assert claims_in(tmp_path / "reports" / f"new{PART}") == {"own"}
    assert ONE in claims_in(tmp_path / "reports" / "new")
