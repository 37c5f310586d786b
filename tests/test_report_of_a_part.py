"""A run of a part of the claims does not replace a report that says more of the same checkpoint: it lies beside."""

import json
from dataclasses import replace

import pytest

from depthgauge.api import compare
from depthgauge.core.record import ReportRecord, RunRecord, is_part
from depthgauge.report.folder import PART
from tests.test_report import row
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


def record(*claims, fingerprint="a", limits=(), not_judged=()):
    run = RunRecord(
        testbed="t", judged=("new",), checkpoints={"candidate": ("new", fingerprint)}, limits=limits, seeds=(0,),
        device="cpu", dtype="float32", versions={}, started="2026-01-01T00:00:00+00:00", elapsed_s=1.0,
    )  # fmt: skip
    rows = tuple(replace(row(), claim=claim) for claim in claims)
    return ReportRecord(run=run, verdicts=rows, not_judged=not_judged, not_run=(), exit_code=0)


WHOLE = record("a", "b")


@pytest.mark.parametrize(
    "new, old, part",
    [
        (record("a"), WHOLE, True),
        (record("a", "b"), WHOLE, False),
        (record("a", "b", "c"), WHOLE, False),
        (record("own"), WHOLE, True),
        (record("b", "c"), WHOLE, False),
        (record("a", fingerprint="b"), WHOLE, False),
        (record("a", not_judged=("b: broke off",)), WHOLE, False),
        (record(), WHOLE, False),
        (record("a"), record(not_judged=("b: broke off",)), False),
        (record("own"), record("a", limits=("-k a",)), False),
    ],
)
def test_what_says_less_of_the_same_checkpoint_is_a_part(new, old, part):
    assert is_part(new, old) is part


@pytest.mark.heavy
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


@pytest.mark.heavy
def test_a_lower_last_stage_is_a_part_too_and_the_whole_replaces_a_part(judged, tmp_path):
    judged(last_stage="files")
    first = claims_in(tmp_path / "reports" / "new")
    judged()
    judged(last_stage="files")

    assert ONE not in first and ONE in claims_in(tmp_path / "reports" / "new")
    assert claims_in(tmp_path / "reports" / f"new{PART}") == first


@pytest.mark.heavy
def test_a_candidate_that_was_saved_anew_has_no_older_report_that_says_more(judged, tmp_path):
    judged()
    save_tiny_base(tmp_path / "new", seed=2)
    judged(claims=(ONE,))

    assert claims_in(tmp_path / "reports" / "new") == {ONE}
    assert not (tmp_path / "reports" / f"new{PART}").exists()


@pytest.mark.heavy
def test_what_is_expected_anew_replaces_what_was_expected_before(judged, tmp_path):
    judged()
    judged(expect="trained")

    assert "weights-changed" in claims_in(tmp_path / "reports" / "new")
    assert not (tmp_path / "reports" / f"new{PART}").exists()


@pytest.mark.heavy
def test_a_claim_of_ones_own_lies_beside_the_claims_that_ship(judged, tmp_path, base, store, monkeypatch):
    from depthgauge.api import Runner
    from depthgauge.runs.config import options_from

    judged()
    report = tmp_path / "reports" / "new" / "report.json"
    record = json.loads(report.read_text())  # whole: all stages of two models would take a minute
    report.write_text(json.dumps(record | {"run": record["run"] | {"limits": []}}))
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


@pytest.mark.heavy
def test_two_parts_that_have_no_claim_in_common_replace_each_other(judged, tmp_path):
    judged(claims=(ONE,))
    judged(claims=("weights-within-margin",))

    assert claims_in(tmp_path / "reports" / "new") == {"weights-within-margin"}
    assert not (tmp_path / "reports" / f"new{PART}").exists()


@pytest.mark.heavy
def test_a_report_in_which_nothing_was_judged_is_replaced(judged, tmp_path):
    report = judged().reports[0].with_name("report.json")
    record = json.loads(report.read_text())
    report.write_text(json.dumps(record | {"verdicts": [], "not_judged": ["it broke off"]}))
    judged(claims=(ONE,))

    assert claims_in(tmp_path / "reports" / "new") == {ONE}
