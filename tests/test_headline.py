"""What happened, in one sentence: tested by its parts, which every outcome must have, and not by its wording."""

from dataclasses import replace

import pytest

from depthgauge.core.estimate import Estimate
from depthgauge.core.result import Outcome
from depthgauge.report.headline import About, headline_of
from depthgauge.report.outcome import Problem, adjusted, beside, exit_code
from tests.test_report import row

SUPPORTED, REFUTED, INCONCLUSIVE, NOT_TESTABLE = Outcome
ABOUT = About(title="merged against base")


def exact(point, unit, where, estimand):
    return Estimate(
        estimand=estimand, unit=unit, point=point, low=point, high=point, level=0.95, n=1, method="exact",
        generalises_over="weights", where=where,
    )  # fmt: skip


def texts(point, low, high, n=64, where=""):
    return Estimate(
        estimand="texts whose residual stream moved", unit="share", point=point, low=low, high=high, level=0.95, n=n,
        method="Clopper-Pearson", generalises_over="texts", where=where,
    )  # fmt: skip


FILES = row(
    REFUTED, claim="same-configuration", stage="files", region="<= 0 differences", bounds=(None, 0.0),
    estimate=exact(1.0, "differences", "rms_norm_eps: 1e-06 -> 0.01", "fields of the configuration"),
)  # fmt: skip
WEIGHTS = row(
    REFUTED, claim="weights-within-margin", stage="weights", region="<= 0.05 share", bounds=(None, 0.05),
    estimate=exact(1.0, "share", "layer 12 gate", "change of a matrix over its norm"),
)  # fmt: skip
STREAM = row(
    REFUTED, claim="residual-stream-within-margin", stage="internals", region="<= 0.1 share", bounds=(None, 0.1),
    estimate=texts(1.0, 0.944, 1.0, where="first at layer 12"),
)  # fmt: skip
TASK = row(
    REFUTED, claim="task-not-worse[gsm8k]", stage="tasks", region=">= -5 points", bounds=(-5.0, None),
    estimate=replace(row().estimate, estimand="gsm8k, candidate - baseline", point=-12.0, low=-15.0, high=-9.0),
)  # fmt: skip
OPEN = replace(STREAM, outcome=INCONCLUSIVE, estimate=texts(0.078, 0.026, 0.173, where="first at layer 29"))
HOLDS = replace(WEIGHTS, outcome=SUPPORTED, estimate=exact(0.02, "share", "layer 3 v", "change of a matrix"))


def said(*rows, problems=(), about=ABOUT):
    return headline_of(rows, problems, exit_code(rows, problems, 0), about)


@pytest.mark.parametrize(
    "found, size, place, allowed, way_out",
    [
        (FILES, "1 difference", "rms_norm_eps: 1e-06 -> 0.01", "no differences", "--all-stages"),
        (WEIGHTS, "100 %", "layer 12 gate", "5 %", "--expect=trained"),
        (STREAM, "100 [94.4, 100] %", "first at layer 12", "10 %", "layer 12"),
        (TASK, "-12 [-15, -9] points", "", "-5 points", "--margin=TASK=POINTS"),
    ],
)
def test_a_block_names_thing_size_place_limit_and_a_way_out(found, size, place, allowed, way_out):
    headline = said(HOLDS, found, about=replace(ABOUT, not_run=("entropy-within-margin",)))

    assert (headline.outcome, headline.about, headline.claim) == ("Blocked", "merged against base", found.claim)
    assert headline.thing == found.estimate.estimand
    assert headline.size.startswith(size) and headline.place == place and allowed in headline.allowed
    assert way_out in headline.advice and "1 later" in " ".join(headline.more)
    for part in (headline.thing, headline.size, headline.place, headline.allowed, headline.advice):
        assert part in str(headline)


def test_the_first_of_several_failures_is_told_and_the_others_counted():
    headline = said(WEIGHTS, FILES, STREAM)

    assert headline.claim == WEIGHTS.claim
    assert "2 more" in " ".join(headline.more)


def test_what_is_open_says_how_many_units_would_settle_it():
    headline = said(HOLDS, OPEN)

    assert (headline.outcome, headline.claim, headline.place) == ("Inconclusive", OPEN.claim, "first at layer 29")
    assert any("more texts" in more for more in headline.more)
    assert "--inconclusive=warn" in headline.advice


def test_at_least_one_unit_is_missing_from_what_is_open():
    near = replace(OPEN, estimate=texts(0.05, 0.02, 0.08))

    assert any("about 1 more" in more for more in said(HOLDS, near).more)


def test_only_what_has_items_is_said_to_want_more_of_them():
    open_task = replace(TASK, outcome=INCONCLUSIVE, estimate=replace(TASK.estimate, point=-4.0, low=-8.0, high=0.0))

    assert "--tasks" in said(HOLDS, open_task).advice
    assert "--tasks" not in said(HOLDS, OPEN).advice


def test_what_is_open_beside_ten_twins_asks_for_twenty():
    near = replace(OPEN, estimate=replace(OPEN.estimate, n=10, generalises_over="roundings"))

    assert "--twins=20" in said(HOLDS, near).advice and "--inconclusive" not in said(HOLDS, near).advice


def test_a_refutation_that_chance_explains_is_inconclusive_and_says_so():
    (found,) = adjusted([beside(replace(STREAM, p=0.03), 16)])

    headline = said(HOLDS, found)
    assert headline.outcome == "Inconclusive" and "16" in headline.more[0]


def test_an_invalid_comparison_says_what_the_candidate_lacks():
    lost = replace(STREAM, outcome=NOT_TESTABLE, estimate=None, lost_capability=True, reason="it has no layer 3")

    headline = said(HOLDS, lost)
    assert (headline.outcome, headline.claim) == ("Invalid", lost.claim)
    assert "it has no layer 3" in headline.thing and headline.advice


def test_an_error_is_the_headline_where_it_decides_the_run():
    headline = said(HOLDS, problems=[Problem(exit_code=21, message="merged has no tensor x: save it again.")])

    assert headline.outcome == "Invalid" and headline.thing == "merged has no tensor x: save it again"


def test_an_acceptance_says_what_is_nearest_to_its_limit_and_what_was_not_seen():
    aside = replace(STREAM, outcome=NOT_TESTABLE, estimate=None, required=False, blind=True)
    far = replace(HOLDS, claim="far", estimate=exact(0.001, "share", "layer 1 q", "change of a matrix"))
    headline = said(far, HOLDS, aside, about=replace(ABOUT, limits=("--last-stage=weights",)), problems=())

    assert headline.outcome == "Inconclusive"  # nothing that was asked about behaviour could see anything
    headline = said(far, HOLDS, replace(aside, stage=""), about=replace(ABOUT, limits=("--last-stage=weights",)))
    assert (headline.outcome, headline.claim, headline.size) == ("Accepted", HOLDS.claim, "2 % exactly")
    assert headline.place == "layer 3 v" and "5 %" in headline.allowed and "accept" in headline.advice
    assert any("--last-stage=weights" in more for more in headline.more)
    assert headline.thing.startswith("2 of 3 required claims could see anything, and 2 hold")


def test_equal_content_is_accepted_with_nothing_different():
    headline = headline_of((), (), 0, replace(ABOUT, equal="merged is base, bit for bit"))

    assert headline.outcome == "Accepted" and "0" in headline.size and headline.place and headline.advice


def test_a_run_in_which_nothing_could_be_tested_says_why():
    blind = replace(STREAM, outcome=NOT_TESTABLE, estimate=None, reason="the control zero_mlp is not refuted")

    assert "zero_mlp" in said(blind).thing
    informational = said(replace(STREAM, required=False))
    assert informational.outcome == "Inconclusive" and "informational" in informational.thing


def test_a_method_against_its_base_names_the_seed_that_would_tell():
    loss = replace(TASK, claim="gain-over-base[science]", stage="", region="> 0 points", bounds=(0.0, None))
    headline = said(loss, about=About(title="grpo on pocket"))

    assert headline.outcome == "Blocked" and headline.about == "grpo on pocket"
    assert "0 points" in headline.allowed and "--seeds" in headline.advice


def test_what_is_refuted_without_a_proven_control_blocks_nothing():
    unproven = replace(WEIGHTS, control="zero_mlp", control_outcome=SUPPORTED, required=False, blind=True)

    assert said(WEIGHTS).outcome == "Blocked"
    assert said(HOLDS, unproven).outcome == "Accepted"
    assert said(HOLDS, unproven).thing.startswith("1 of 2 required claims could see anything")
