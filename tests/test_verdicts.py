"""What becomes of a verdict: words, exit codes and records, by real pytest processes with made-up estimates."""

import pytest

from depthgauge.history.recorded import RecordedOutcomes, write_recorded_outcomes
from depthgauge.report.folder import report_folder
from depthgauge.sources.folder import fingerprint
from tests.processes import refusal, rows

MADE_UP_SUITE = """
from depthgauge import Claim, above, claim
from depthgauge.core.errors import NotTestable
from depthgauge.core.estimate import Estimate


def made_up(id):
    return claim(Claim(id=id, statement="s", citation="here", published="-", region=above(0), unit="points",
                       control="random_weights", rationale="r"))


def estimate(low, high):
    return Estimate(estimand="d", unit="points", point=(low + high) / 2, low=low, high=high, level=0.95, n=9,
                    method="none", generalises_over="items")


@made_up("holds")
def test_holds(candidate):
    return estimate(-2, -1) if candidate.name == "random_weights" else estimate(1, 2)


@made_up("fails")
def test_fails(candidate):
    return estimate(-2, -1)


@made_up("unsure")
def test_unsure(candidate):
    return estimate(-2, -1) if candidate.name == "random_weights" else estimate(-1, 2)


@made_up("blind")
def test_blind(candidate):
    return estimate(1, 2)


@made_up("impossible")
def test_impossible(candidate):
    if candidate.name != "random_weights":
        raise NotTestable("there is no layer 18")
    return estimate(-2, -1)


@made_up("empty")
def test_empty(candidate):
    pass


@made_up("crashes")
def test_crashes(candidate):
    return 1 / 0
"""


@pytest.fixture
def made_up(depthgauge, place, tiny_base):
    """Run claims with made-up estimates, against a record of outcomes: verdict, word in the terminal, and exit code."""
    folder = place / "made_up"
    folder.mkdir(exist_ok=True)
    (folder / "test_made_up.py").write_text(MADE_UP_SUITE)

    def run(names, recorded=None):
        """`recorded` maps claim and method to the outcomes of the seeds 0, 1, ..., by their first letters."""
        if recorded:
            claims = {claim: {method: seeds(letters)} for (claim, method), letters in recorded.items()}
            recorded_outcomes = RecordedOutcomes(base=fingerprint(tiny_base), machine="this one", claims=claims)
            write_recorded_outcomes(tiny_base / "recorded.json", recorded_outcomes)
        try:
            return depthgauge("--method=grpo", "-rxs", "-k", names, suite=folder)
        finally:
            (tiny_base / "recorded.json").unlink(missing_ok=True)

    return run


OUTCOMES = {outcome[0]: str(outcome) for outcome in ("SUPPORTED", "REFUTED", "INCONCLUSIVE")}


def seeds(letters):
    return {str(seed): {"outcome": OUTCOMES[one], "measured": "-1.4 points"} for seed, one in enumerate(letters)}


@pytest.mark.parametrize(
    "names, recorded, code, sentence",
    [
        ("holds", {}, 0, "1 passed"),
        ("fails", {}, 1, "fails is REFUTED: -1.5 [-2, -1] points lies outside > 0"),
        ("fails", {("fails", "grpo"): "SSR"}, 0, "1 xfailed"),
        ("fails", {("fails", "grpo"): "SSI"}, 1, "1 failed"),
        ("fails", {("fails", "gradreg"): "RRR"}, 1, "1 failed"),
        (
            "holds",
            {("holds", "grpo"): "RR"},
            1,
            "every recorded seed refuted holds, and it passes unexpectedly: 1.5 [1, 2]",
        ),
        ("holds", {("holds", "grpo"): "RS"}, 0, "1 passed"),
        ("unsure", {("unsure", "grpo"): "RR"}, 20, "1 inconclusive"),
        ("unsure or holds", {}, 20, "1 passed"),
        ("unsure or fails", {}, 1, "1 failed"),
        ("blind", {}, 20, "Inconclusive"),
        ("impossible", {}, 20, "1 not testable"),
        ("impossible or holds", {}, 0, "1 passed"),
        ("empty", {}, 21, "the test of claim 'empty' must return an Estimate, got NoneType"),
        ("nothing_of_that_name", {}, 5, "deselected"),
    ],
)
def test_verdicts_become_words_and_exit_codes(made_up, names, recorded, code, sentence):
    done = made_up(names, recorded)

    assert sentence in refusal(done)
    assert done.returncode == code
    assert (f"exit {code}:" in done.stdout) == (code != 5)


def test_rs_says_why_a_claim_was_not_testable_or_is_open(made_up):
    done = made_up("impossible or unsure or holds")
    reasons = [line for line in done.stdout.splitlines() if line.startswith(("NOT_TESTABLE ", "INCONCLUSIVE "))]

    assert any("impossible" in line and "there is no layer 18" in line for line in reasons), done.stdout
    assert any("unsure" in line and "[-1, 2]" in line for line in reasons), done.stdout
    assert len(reasons) == 2


def test_a_claim_that_breaks_off_is_in_the_record_beside_those_that_were_judged(made_up, place):
    done = made_up("crashes or holds")
    record = rows(place, "grpo")

    assert (done.returncode, record["exit_code"]) == (1, 1)
    assert [row["claim"] for row in record["verdicts"]] == ["holds"]
    assert "test_crashes[grpo] broke off" in record["not_judged"][0]
    assert "ZeroDivisionError" in record["not_judged"][0]


def test_a_run_in_which_nothing_was_judged_leaves_no_older_report_behind(made_up, place):
    made_up("holds")
    made_up("crashes")
    record = rows(place, "grpo")

    assert (record["verdicts"], record["exit_code"], len(record["not_judged"])) == ([], 1, 1)
    assert "broke off" in (place / "reports" / "grpo" / "report.md").read_text()


def test_reports_that_cannot_be_written_are_one_sentence_after_the_verdicts(made_up, depthgauge, place):
    made_up("holds")
    (report_folder(place / "blocked", "grpo").make() / "report.md").mkdir()
    done = depthgauge("--method=grpo", "-k", "holds", suite=place / "made_up", reports="blocked")

    assert "cannot be written" in refusal(done) and "with --report-dir" in done.stdout
    assert "SUPPORTED" in done.stdout
    assert done.returncode == 4


def test_a_recorded_refutation_says_how_many_seeds_gave_it(made_up, place):
    made_up("fails", {("fails", "grpo"): "SRI"})
    report = (place / "reports" / "grpo" / "report.md").read_text()

    assert "REFUTED (of 3 seeds 1 supported, 1 refuted, 1 inconclusive)" in report
    assert rows(place, "grpo")["verdicts"][0]["recorded"] == ["SUPPORTED", "REFUTED", "INCONCLUSIVE"]


def test_what_another_machine_recorded_of_another_base_is_not_used(made_up, tiny_base, depthgauge, place):
    made_up("fails")
    claims = {"fails": {"grpo": seeds("R")}}
    write_recorded_outcomes(
        tiny_base / "recorded.json", RecordedOutcomes(base="another", machine="another", claims=claims)
    )
    try:
        done = depthgauge("--method=grpo", "-k", "fails", suite=place / "made_up")
    finally:
        (tiny_base / "recorded.json").unlink()

    assert done.returncode == 1
