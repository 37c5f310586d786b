"""Reports: the same rows in every format, numbers that cannot lie, and hostile text made harmless."""

import html
import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.core.claim import Claim
from depthgauge.core.estimate import Estimate, Scores
from depthgauge.core.plain import to_plain
from depthgauge.core.result import ClaimResult, Evidence, Outcome, claim_result_from_plain
from depthgauge.core.verdict import at_least, at_most, judge, p_value
from depthgauge.page.escape import escape
from depthgauge.page.section import Table
from depthgauge.pytest_plugin.claims import report_verdict
from depthgauge.report.amounts import claimed, measured
from depthgauge.report.markdown import behind, claims_part, page_of
from depthgauge.report.outcome import (
    Problem,
    adjusted,
    beside,
    by_urgency,
    counts,
    exit_code,
    shown,
)
from depthgauge.report.terminal import claims_table
from depthgauge.stats import sequential_difference, share

SUPPORTED, REFUTED, INCONCLUSIVE, NOT_TESTABLE = Outcome


def row(outcome=SUPPORTED, recorded=(), control=REFUTED, claim="science-gain", **changes):
    estimate = Estimate(
        estimand="science, candidate - base model", unit="points", point=3.25, low=1.0, high=5.5, level=0.95, n=600,
        method="Bonett-Price", generalises_over="items",
    )  # fmt: skip
    fields = dict(
        claim=claim, statement="answers more", suite="test_capability", method="depthscaled", citation="Dangi 2026b",
        published="67.85 against 64.31", region="> 0 points", rationale="r", outcome=outcome, recorded=recorded,
        reason="3.25 [1, 5.5] points lies in > 0", estimate=estimate, control="random_weights", control_outcome=control,
        control_reason="-20", evidence=(Evidence(method="base_model", seed=0, checkpoint="f", key="k",
        probe="depthgauge.tasks:ItemTaskProbe"),),
    )  # fmt: skip
    return ClaimResult(**(fields | changes))


rows = st.builds(
    row,
    outcome=st.sampled_from(Outcome),
    recorded=st.lists(st.sampled_from(Outcome), max_size=3).map(tuple),
    control=st.sampled_from(Outcome),
    reason=st.text(),
    method=st.text(min_size=1),
    estimate=st.one_of(st.none(), st.just(row().estimate)),
    required=st.booleans(),
    lost_capability=st.booleans(),
)


@given(rows)
def test_a_row_reads_back_from_json_as_it_was(one):
    assert claim_result_from_plain(json.loads(json.dumps(to_plain(one)))) == one


# -- what a run comes to ---

INVALID, UNUSABLE, BROKE_OFF = (Problem(exit_code=code, message="m") for code in (21, 4, 1))


@pytest.mark.parametrize(
    "found, problems, status, code",
    [
        ([row()], [], 0, 0),
        ([row(REFUTED, (REFUTED,))], [], 0, 0),
        ([row(REFUTED, (SUPPORTED, REFUTED))], [], 0, 0),
        ([row(REFUTED, (SUPPORTED, INCONCLUSIVE))], [], 0, 1),
        ([row(), row(INCONCLUSIVE)], [], 0, 20),
        ([row(INCONCLUSIVE, (REFUTED, REFUTED))], [], 0, 20),
        ([row(), row(NOT_TESTABLE)], [], 0, 0),
        ([row(NOT_TESTABLE)], [], 0, 20),
        ([row(REFUTED)], [], 0, 1),
        ([row(REFUTED, control=INCONCLUSIVE, required=False, blind=True)], [], 0, 20),
        ([row(), row(REFUTED, control=INCONCLUSIVE, required=False, blind=True)], [], 0, 0),
        ([row(REFUTED, n_comparisons=9, p=0.01, holm_p=0.09)], [], 0, 20),
        ([row(REFUTED, n_comparisons=9)], [], 0, 1),
        ([row(stage="weights"), row(stage="tasks", required=False)], [], 0, 20),
        ([row(SUPPORTED, (REFUTED, REFUTED))], [], 0, 1),
        ([row(SUPPORTED, (REFUTED, SUPPORTED))], [], 0, 0),
        ([row(REFUTED)], [], 1, 1),
        ([row(REFUTED), row(INCONCLUSIVE)], [], 1, 1),
        ([row(REFUTED, required=False), row()], [], 0, 0),
        ([row(INCONCLUSIVE, required=False), row()], [], 0, 0),
        ([row(REFUTED, required=False)], [], 0, 20),
        ([row(), row(NOT_TESTABLE, lost_capability=True)], [], 0, 21),
        ([row()], [INVALID], 1, 21),
        ([row(REFUTED), row(INCONCLUSIVE)], [INVALID], 1, 21),
        ([row(REFUTED)], [INVALID, UNUSABLE], 1, 4),
        ([row()], [BROKE_OFF], 1, 1),
        ([row()], [BROKE_OFF, INVALID], 1, 21),
        ([], [UNUSABLE], 1, 4),
        ([row(REFUTED)], [], 2, 2),
        ([], [], 5, 5),
    ],
)
def test_the_exit_code_says_what_a_job_must_know(found, problems, status, code):
    assert exit_code(found, problems, status) == code


@pytest.mark.parametrize(
    "ps, code",
    [
        ([0.04], 1), ([0.04, 0.9, 0.9], 20), ([0.01, 0.9, 0.9], 1), ([0.016, 0.02, 0.9], 1), ([0.016, 0.04, 0.04], 1),
        ([0.02, 0.02, 0.02], 20),
    ],
)  # fmt: skip
def test_a_refutation_blocks_only_where_it_stands_beside_the_other_required_claims(ps, code):
    """By Holm (1979): the least p times their number, the next times one fewer; 0.9 stands for what holds."""
    found = adjusted([beside(row(REFUTED if p < 0.5 else SUPPORTED, p=p), len(ps)) for p in ps])

    assert exit_code(found, [], 0) == code


def test_a_refutation_that_does_not_stand_says_so():
    (one,) = adjusted([beside(row(REFUTED, p=0.03), 16)])

    assert shown(one) == "REFUTED (not significant after Holm)"
    assert one.holm_p == pytest.approx(16 * 0.03)


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from(Outcome), st.booleans()), max_size=9), st.integers(0, 9))
def test_what_blocks_when_it_is_judged_blocks_when_the_run_is_over(found, not_run):
    """So a stage that ended the run is never taken back: Holm is at most what each refutation had alone."""
    judged = [beside(row(outcome, p=p, required=required), len(found) + not_run) for p, outcome, required in found]
    over = adjusted(judged)

    assert all(after.fails for before, after in zip(judged, over, strict=True) if before.fails)
    assert all((after.holm_p or 0) <= (before.holm_p or 0) for before, after in zip(judged, over, strict=True))


TEXTS, TASK_ITEMS, SHARE_CLAIMS, RUNS = 64, 300, 9, 2000


def simulated_run(random, shares):
    """Every checkpoint lies exactly on its margins: any refutation is a false one."""
    change = random.choice([-1, 0, 1], size=TASK_ITEMS, p=[0.075, 0.9, 0.025])
    return [*(shares[count] for count in random.binomial(TEXTS, 0.1, SHARE_CLAIMS)), task_of(change)]


def task_of(change):
    """A task in which the candidate loses or wins these items of the baseline's, looked at after every block."""
    ids = tuple(map(str, range(TASK_ITEMS)))
    candidate, baseline = (
        Scores(ids=ids, values=100.0 * right[None], unit="points", population="items", right=100.0)
        for right in (change >= 0, change <= 0)
    )
    looks = ((first(candidate, n), first(baseline, n)) for n in range(50, TASK_ITEMS + 1, 50))
    for estimate in sequential_difference(looks, estimand="task, candidate - baseline"):
        found = judged(estimate, at_least(-5))
        if found.outcome is not INCONCLUSIVE:
            break
    return found


def first(scores, n):
    return replace(scores, ids=scores.ids[:n], values=scores.values[:, :n])


def judged(estimate, region):
    verdict = judge(Claim(
        id="c", statement="s", citation="s", published="-", region=region, unit=estimate.unit, control="zero_mlp",
        rationale="r",
    ), estimate)  # fmt: skip
    return row(verdict.outcome, estimate=estimate, p=p_value(estimate, region))


@pytest.mark.heavy
def test_a_whole_run_blocks_a_checkpoint_on_its_margins_in_at_most_one_of_twenty():
    """2,000 simulated runs of ten required claims; each alone is refuted as often as its interval errs, the task under
    constant looking.
    """
    random = np.random.default_rng(0)
    right = np.arange(TEXTS)[None] < np.arange(TEXTS + 1)[:, None]
    shares = [
        judged(share(Scores(ids=tuple(map(str, range(TEXTS))), values=one[None].astype(float), unit="share",
                            population="texts", right=1.0), estimand="texts"), at_most(0.1))
        for one in right
    ]  # fmt: skip
    runs = [simulated_run(random, shares) for _ in range(RUNS)]
    refuted = [tuple(sorted(one.p for one in run if one.outcome is REFUTED)) for run in runs]

    assert np.mean([bool(ps) for ps in refuted]) > 0.1
    assert np.mean([bool(ps) and blocks(ps) for ps in refuted]) <= 0.05


@cache
def blocks(ps):
    """Whether these refutations block a run of ten required claims."""
    return exit_code(adjusted([beside(row(REFUTED, p=p), 1 + SHARE_CLAIMS) for p in ps]), [], 0) == 1


@pytest.mark.parametrize("open_row", [row(INCONCLUSIVE), beside(row(REFUTED, p=0.03), 16), row(NOT_TESTABLE)])
def test_what_is_left_open_is_accepted_where_a_warning_is_enough(open_row):
    assert exit_code([open_row], [], 0) == 20
    assert exit_code([open_row], [], 0, inconclusive_fails=False) == 0
    assert exit_code([open_row, row(REFUTED)], [], 0, inconclusive_fails=False) == 1


@given(rows)
def test_pytest_fails_a_claim_where_the_exit_code_says_so_and_nowhere_else(one):
    try:
        report_verdict(one)
    except (pytest.skip.Exception, pytest.xfail.Exception):
        failed = False
    except pytest.fail.Exception:
        failed = True
    else:
        failed = False

    assert failed == one.fails


def test_a_verdict_is_shown_with_what_was_recorded_and_what_its_control_did():
    assert shown(row()) == "SUPPORTED"
    assert shown(row(REFUTED)) == "REFUTED"
    assert shown(row(REFUTED, (REFUTED, REFUTED))) == "REFUTED (of 2 seeds 2 refuted)"
    assert shown(row(SUPPORTED, (SUPPORTED, REFUTED, INCONCLUSIVE))) == (
        "SUPPORTED (of 3 seeds 1 supported, 1 refuted, 1 inconclusive)"
    )
    unproven = row(control=SUPPORTED, required=False, blind=True)
    assert shown(unproven) == "SUPPORTED (informational); CONTROL SUPPORTED"
    assert shown(row(REFUTED, required=False)) == "REFUTED (informational)"
    assert shown(row(NOT_TESTABLE, lost_capability=True)) == "NOT_TESTABLE (the baseline can carry it)"
    assert counts([row(), row(), row(INCONCLUSIVE)]) == "2 SUPPORTED, 1 INCONCLUSIVE"
    assert counts([row(), row(REFUTED), row(REFUTED, (REFUTED,))]) == "1 SUPPORTED, 2 REFUTED (1 known to fail)"


def test_failures_are_read_first_then_what_is_open():
    found = [row(NOT_TESTABLE), row(), row(INCONCLUSIVE), row(REFUTED, (REFUTED,)), row(REFUTED)]

    assert by_urgency(found) == [found[i] for i in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_terminals_table_fits_its_width_and_holds_every_claim(width):
    text = claims_table([row(bounds=(0.0, None)), row(REFUTED, claim="weights-within-margin")], width)
    words = text.split()

    assert max(map(len, text.splitlines())) <= width
    assert words.index("REFUTED") < words.index("SUPPORTED")
    assert {"science-gain", "weights-within-margin", "3.25", "[1,", "5.5]", "points"} <= {*words}
    assert "more than 0 points" in " ".join(words)


def test_shares_read_in_per_cent_and_counts_in_their_number():
    share_of_texts = replace(row().estimate, unit="share", point=0.078, low=0.026, high=0.173)
    one = replace(row().estimate, unit="differences", point=1.0, low=1.0, high=1.0, method="exact")

    assert measured(share_of_texts) == "7.8 [2.6, 17.3] %"
    assert measured(one) == "1 difference exactly"
    assert claimed(row(region="<= 0.05 share", bounds=(None, 0.05))) == "at most 5 %"
    assert claimed(row(region="<= 0 differences", bounds=(None, 0.0))) == "no differences"
    assert claimed(row(region="-0.1 to 0.1 share", bounds=(-0.1, 0.1))) == "between -10 and 10 %"


# -- the page ---


def page(*found, problems=()):
    return page_of(title="t", summary=["one", "two"], parts=[claims_part(found, problems)], headline="Blocked")


def test_the_claims_table_is_narrow_and_has_a_line_for_every_row_and_survives_a_pipe():
    (table,) = (part for part in claims_part([row(), row(region="a | b <script>", claim="other")], []).parts
                if isinstance(part, Table))  # fmt: skip
    lines = [line for line in page(row(), row(region="a | b <script>", claim="other")).splitlines() if "|" in line]

    assert len(table.headers) == 5 and len(table.rows) == 2
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert "<script>" not in page(row(region="<script>"))


def test_every_claim_has_a_folded_block_with_all_that_stands_behind_it():
    block = behind(row(reason="<script> | *", control_reason="-20", rationale="a pipe | and <b>"))

    assert block.startswith("<details><summary>science-gain: SUPPORTED</summary>\n\n")
    assert block.endswith("\n\n</details>")
    for text in ("answers more", "Dangi 2026b", "67.85 against 64.31", "n = 600 items, Bonett-Price", "3.22 points"):
        assert text in block
    assert "**Control:** `random_weights` is REFUTED: -20" in block
    assert set(re.findall("<[^>]*>", block)) == {"<details>", "<summary>", "</summary>", "</details>"}
    assert "|" not in block


def test_what_could_not_be_judged_stands_above_the_claims():
    text = page(row(), problems=[Problem(exit_code=21, message="it <broke> off")])

    assert "> Not judged: it &#60;broke> off" in text
    assert text.index("Not judged") < text.index("| claim")


# -- hostile text ---


def rendered(text):
    """What stands there when every entity is read again."""
    return html.unescape(text)


@given(st.text(max_size=300))
def test_no_text_can_become_markup_a_cell_or_a_line(text):
    escaped = escape(text)

    assert not set(escaped) & set("|`*~$\n\r\\")
    assert not re.search(r"<[A-Za-z/!?]", escaped)  # a tag, a comment, a declaration
    assert not re.search(r"\](?=[(\[:])", escaped)  # a link, and what one refers to
    assert not re.search(r"(?<!\w)_|_(?!\w)", escaped)  # emphasis
    assert not re.search(r"://|@\w", escaped)  # an address that links itself, a mention
    assert "www.e" not in escape("www.example.org")
    assert escaped.isprintable()


def test_harmless_text_reads_the_same_when_rendered():
    text = "The <b>rich</b> | flavor [of](http://x) `roasted` *tomatoes*, 'quoted' & \"said\" &amp; _so_"
    assert rendered(escape(text)) == text


def test_text_that_is_no_markup_is_left_as_it_is():
    text = "a_claim-name of layer 3 (head 2): 1.5 [0.2, 3.1] points > 0, <= 50 % + more!"
    assert escape(text) == text


def test_long_text_is_cut():
    assert len(escape("a" * 1000)) == 403


def test_p_is_adjusted_for_all_claims_of_a_report_by_holm():
    found = adjusted([row(p=0.01), row(NOT_TESTABLE, p=None), row(p=0.04), row(p=0.03)])

    assert [one.holm_p for one in found] == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert adjusted([]) == []


def test_a_page_opens_with_what_happened():
    assert page(row()).startswith("**Blocked**\n")


def test_informational_claims_are_folded_below_the_required_ones():
    required, informational = (
        part for part in claims_part([row(required=False, claim="aside"), row()], []).parts if isinstance(part, Table)
    )

    assert [cells[0] for cells in required.rows] == ["**science-gain**"] and not required.folded
    assert [cells[0] for cells in informational.rows] == ["**aside**"] and informational.folded


def test_holms_p_stands_beside_each_verdict():
    part = claims_part(adjusted([row(p=0.01), row(REFUTED, p=1e-9), row(INCONCLUSIVE, p=0.5)]), [])
    table = next(one for one in part.parts if isinstance(one, Table))

    assert table.headers[-1] == "Holm's p"
    assert [cells[-1] for cells in table.rows] == ["< 0.0001", "0.5", "0.02"]
