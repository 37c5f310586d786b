"""Reports: the same rows in every format, numbers that cannot lie, and hostile text made harmless."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.page.escape import escape
from depthgauge.page.tables import claims_table
from depthgauge.report.outcome import Problem, counts, exit_code, shown, verdict_table
from depthgauge.types import Estimate, Evidence, Outcome, Row, row_from_plain, to_plain


def row(
    outcome=Outcome.SUPPORTED, expected=Outcome.SUPPORTED, control=Outcome.REFUTED, claim="science-gain", **changes
):
    estimate = Estimate(
        estimand="science, subject - base", unit="points", point=3.25, low=1.0, high=5.5, level=0.95, n=600,
        method="Bonett-Price", generalises_over="items",
    )  # fmt: skip
    fields = dict(
        claim=claim, statement="answers more", suite="test_capability", method="depthscaled", source="Dangi 2026b",
        published="67.85 against 64.31", region="> 0 points", rationale="r", outcome=outcome, expected=expected,
        reason="3.25 [1, 5.5] points lies in > 0", estimate=estimate, control="untrained", control_outcome=control,
        control_reason="-20", evidence=(Evidence(method="base", seed=0, checkpoint="f", folder="/x", key="k"),),
    )  # fmt: skip
    return Row(**(fields | changes))


rows = st.builds(
    row,
    outcome=st.sampled_from(Outcome),
    expected=st.sampled_from(Outcome),
    control=st.sampled_from(Outcome),
    reason=st.text(),
    method=st.text(min_size=1),
    estimate=st.one_of(st.none(), st.just(row().estimate)),
)


@given(rows)
def test_a_row_reads_back_from_json_as_it_was(one):
    assert row_from_plain(json.loads(json.dumps(to_plain(one)))) == one


@pytest.mark.parametrize(
    "found, problems, status, code",
    [
        ([row()], [], 0, 0),
        ([row(Outcome.REFUTED, Outcome.REFUTED)], [], 0, 0),
        ([row(), row(Outcome.INCONCLUSIVE)], [], 0, 20),
        ([row(), row(Outcome.NOT_TESTABLE)], [], 0, 0),
        ([row(Outcome.NOT_TESTABLE)], [], 0, 20),
        ([row(Outcome.REFUTED)], [], 0, 1),
        ([row(control=Outcome.INCONCLUSIVE)], [], 0, 1),
        ([row(Outcome.SUPPORTED, Outcome.REFUTED)], [], 0, 1),
        ([row(Outcome.REFUTED)], [], 1, 1),
        ([row(Outcome.REFUTED), row(Outcome.INCONCLUSIVE)], [], 1, 1),
        ([row()], [Problem(exit_code=21, message="m")], 1, 21),
        ([], [Problem(exit_code=4, message="m")], 1, 4),
        ([row(Outcome.REFUTED)], [], 2, 2),
        ([], [], 5, 5),
    ],
)
def test_the_exit_code_says_what_a_job_must_know(found, problems, status, code):
    assert exit_code(found, problems, status) == code


def test_a_verdict_is_shown_with_what_was_expected_and_what_its_control_did():
    assert shown(row()) == "SUPPORTED"
    assert shown(row(Outcome.REFUTED)) == "REFUTED"
    assert shown(row(Outcome.REFUTED, Outcome.REFUTED)) == "REFUTED (as recorded)"
    assert shown(row(Outcome.SUPPORTED, Outcome.REFUTED)) == "SUPPORTED (recorded: REFUTED)"
    assert shown(row(control=Outcome.SUPPORTED)) == "SUPPORTED; CONTROL SUPPORTED"
    assert counts([row(), row(), row(Outcome.INCONCLUSIVE)]) == "2 SUPPORTED, 1 INCONCLUSIVE"


def test_the_terminal_table_reads_as_expected():
    assert verdict_table([row()]) == (
        "claim         method       measured [95 %]       claimed     verdict\n"
        "------------  -----------  --------------------  ----------  ---------\n"
        "science-gain  depthscaled  3.25 [1, 5.5] points  > 0 points  SUPPORTED"
    )


def test_the_claims_table_has_a_line_for_every_row_and_survives_a_pipe():
    table = claims_table([row(), row(Outcome.INCONCLUSIVE, claim="other", reason="a | b <script>", rationale="|g|")])
    lines = table.splitlines()

    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert "2.3 points" not in lines[0] and "3.22 points" in lines[2]
    assert "<script>" not in table


@given(st.text(max_size=300))
def test_no_text_can_become_markup_a_cell_or_a_line(text):
    escaped = escape(text)

    assert not set(escaped) & set("<>|`*_[]()!\n\r\\")
    assert "www.e" not in escape("www.example.org")
    assert escaped.isprintable()


def test_harmless_text_reads_the_same_when_rendered():
    import html

    text = "The <b>rich</b> | flavor [of](http://x) `roasted` *tomatoes*, 'quoted' & \"said\""
    assert html.unescape(escape(text)) == text


def test_long_text_is_cut():
    assert len(escape("a" * 1000)) == 403
