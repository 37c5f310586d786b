"""What the gate requires is decided before the candidate is seen, and no claim is stricter for what it cannot see."""

from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import control_power
from benchmarks.coverage import scores
from benchmarks.gate_quality.before import in_words
from benchmarks.task_power import CLAIM, said
from depthgauge import ItemTask, at_least, at_most, compare
from depthgauge.checks import test_internals as internals
from depthgauge.checks import test_quantized as quantized
from depthgauge.checks import test_weights as weights
from depthgauge.core.claim import TWICE, Margin
from depthgauge.core.errors import InvalidComparison
from depthgauge.core.estimate import Measurement
from depthgauge.core.result import Outcome, Verdict
from depthgauge.core.testbed import Item, Testbed, Text, kinds_of
from depthgauge.core.verdict import judge
from depthgauge.corruptions import CORRUPTIONS, corrupt
from depthgauge.history.catalogue import claims_of
from depthgauge.report.outcome import adjusted, beside, exit_code, seeing
from depthgauge.runs.comparison import ComparisonSession, detectable_points
from depthgauge.runs.session import Session
from depthgauge.stats import share
from depthgauge.tasks import ItemTaskProbe, groups_of, independent_items, scores_of
from tests.processes import refused
from tests.test_formats import BASE, copied  # noqa: F401

REFUTED, SUPPORTED, NOT_TESTABLE = Outcome.REFUTED, Outcome.SUPPORTED, Outcome.NOT_TESTABLE
INTERNAL = internals.test_what_comes_next_has_not_changed.__claim__


def session_with(**margins):
    """As much of a session as decides about a task."""
    session = SimpleNamespace(context=SimpleNamespace(missing=None), margins=margins)
    for name in ("margin_of", "power_note", "with_power"):
        setattr(session, name, partial(getattr(ComparisonSession, name), session))
    return session


def task_of(items, groups=None):
    made = [
        Item(id=str(i), prompt=f"{i}?", answer="a", options=("a", "b"), group=f"fact {i % groups}" if groups else "")
        for i in range(items)
    ]
    return ItemTask(name="quiz", items=lambda: made)


def asked(session, task):
    baseline = SimpleNamespace(testbed=Testbed(name="t", tasks=(task,)))
    return session.with_power(CLAIM, {"task": "quiz", "baseline": baseline})


def test_a_task_is_required_by_its_items_and_its_margin_alone():
    assert asked(session_with(), task_of(320)).required
    small = asked(session_with(), task_of(300))
    assert not small.required
    assert "300 items show a loss of 5.11 points" in small.rationale
    assert "more than its margin of 5, so the task is informational" in small.rationale


def test_a_wider_margin_makes_a_small_task_required_and_items_about_one_fact_count_once():
    wide = {"[quiz]": Margin(10, "points", "asked for")}
    claim = CLAIM.within(wide["[quiz]"])
    session = session_with(**wide)
    baseline = SimpleNamespace(testbed=Testbed(name="t", tasks=(task_of(100),)))

    assert session.margin_of("quiz") == 10 and session.margin_of("other") == 5
    assert session.with_power(claim, {"task": "quiz", "baseline": baseline}).required
    assert not asked(session_with(), task_of(400, groups=40)).required
    assert independent_items(SimpleNamespace(testbed=Testbed(name="t", tasks=(task_of(400, 40),))), "quiz") == 40


def test_a_noisy_candidate_that_lost_seven_points_is_not_accepted():
    """30 % of 449 answers changed and 7 points lost: nine in ten were accepted, as such noise settled nothing."""
    random = np.random.default_rng(0)
    found = [said(random, 0.3, 7, 449) for _ in range(60)]

    assert Counter(one.now for one in found)[0] == 0
    assert Counter(one.before for one in found)[0] > 40
    assert detectable_points(449) < 5


def row_of(outcome, control, claim=INTERNAL):
    verdict = Verdict(claim=claim, outcome=outcome, reason="r")
    found = Session.row(None, "checks", "new", verdict, Verdict(claim=claim, outcome=control, reason="c"), ())
    return replace(found, stage=claim.stage.name.lower())


@pytest.mark.parametrize("control", [SUPPORTED, Outcome.INCONCLUSIVE, NOT_TESTABLE])
def test_a_refutation_whose_control_is_not_refuted_blocks_nothing(control):
    proven, unproven, other = row_of(REFUTED, REFUTED), row_of(REFUTED, control), row_of(SUPPORTED, REFUTED)

    assert proven.fails and exit_code([proven, other], (), 0) == 1
    assert unproven.blind and not unproven.required and not unproven.fails
    assert exit_code([unproven, other], (), 0) == 0
    assert seeing([unproven, other]) == "1 of 2 required claims could see anything"


def test_a_run_in_which_no_required_claim_about_behaviour_could_see_anything_is_inconclusive():
    weights = replace(row_of(SUPPORTED, REFUTED), stage="weights")

    assert exit_code([weights, row_of(REFUTED, SUPPORTED)], (), 0) == 20
    assert exit_code([weights, row_of(SUPPORTED, REFUTED)], (), 0) == 0
    assert exit_code([weights], (), 0) == 0  # none was asked for, as with --last-stage=weights


def test_what_is_read_exactly_blocks_beside_any_number_of_claims():
    exact = beside(row_of(REFUTED, REFUTED), 1000)

    assert exact.p is None and adjusted([exact])[0].fails


def test_a_task_whose_items_repeat_is_refused_in_a_sentence():
    once = task_of(3)
    twice = replace(once, items=lambda: [*once.items(), once.items()[0]])
    probe = ItemTaskProbe(task=twice)
    taken = Measurement(key="", probe="", parameters={}, checkpoint="", arrays={"score": np.ones((1, 4))})

    with refused(InvalidComparison, "4 items", "3 ids", "'0'"):
        scores_of(probe, [taken])
    assert groups_of(ItemTaskProbe(task=once)) == ()
    assert groups_of(ItemTaskProbe(task=task_of(4, 2))) == ("fact 0", "fact 1", "fact 0", "fact 1")


def test_texts_have_kinds_all_or_none():
    texts = [Text(text=name, kind=kind) for name, kind in (("a", "x"), ("b", "y"), ("c", "x"))]

    assert kinds_of(texts) == ("x", "y", "x")
    assert kinds_of([Text(text="a"), Text(text="b")]) == kinds_of(texts[::2]) == ()
    with pytest.raises(Exception, match="text 3 of 4 has no kind, and others have"):
        kinds_of([*texts, Text(text="d")])


# -- controls at twice the margin ---


def test_a_control_follows_the_margin_that_its_claim_is_given():
    claim = weights.test_no_matrix_moved_far.__claim__
    wider = claim.within(Margin(0.2, "share", "asked for"))
    bits = quantized.test_no_quantised_matrix_moved_further_than_its_bits.__claim__

    assert (claim.negative_control, wider.negative_control) == ("zero_mlp@0.1", "zero_mlp@0.4")
    assert [bits.for_bits(each).negative_control for each in (8, 4)] == [f"noise_in_one_layer@{m}" for m in (0.1, 0.7)]
    with pytest.raises(ValueError, match="stands at a margin, and <= 0 has none"):
        replace(claim, region=at_most(0)).negative_control  # noqa: B018


@pytest.mark.parametrize("expect, package", [("equal", weights), ("quantized", quantized)])
def test_controls_of_what_is_read_exactly_stand_at_twice_the_margin(expect, package, copied, tmp_path):  # noqa: F811
    claims = {test.__claim__.id: test.__claim__ for test in claims_of(package)}
    near = [name for name, claim in claims.items() if claim.control.endswith(TWICE) and claim.expect == expect]
    candidate = copied("ct-w4") if expect == "quantized" else tmp_path / "noisy"
    if expect == "equal":
        corrupt(BASE, candidate, CORRUPTIONS["bfloat16_noise"])
    rows = compare(
        BASE, candidate, expect=expect, claims=near, all_stages=True, store=tmp_path / "store",
        tell=lambda line: None,
    ).rows  # fmt: skip

    assert len(rows) == len(near) >= 2
    for row in rows:
        (margin,) = (end for end in row.bounds if end is not None)
        assert row.control.endswith(f"@{2 * margin:g}") and row.control_outcome is REFUTED
        assert float(row.control_reason.split()[0]) == pytest.approx(2 * margin, rel=0.05)


def trial(outcome, point, n=40, dose=1.0, claim=INTERNAL, method="Clopper-Pearson"):
    estimate = replace(share(scores(np.zeros(n)), estimand="x"), point=point, high=1, method=method)
    return control_power.Trial(claim=claim, control="zero_mlp", dose=dose, outcome=outcome, estimate=estimate)


def test_the_power_at_twice_the_margin_is_that_of_the_units():
    estimate = trial(REFUTED, 1).estimate
    random = np.random.default_rng(0)
    drawn = [judge(INTERNAL, share(scores(random.random(40) < 0.2), estimand="x")).outcome for _ in range(2000)]
    fewer = replace(INTERNAL, region=at_least(-0.1))
    lost = replace(estimate, method="Bonett-Price", n=128)

    assert control_power.power_at_twice(INTERNAL, estimate) == pytest.approx(drawn.count(REFUTED) / 2000, abs=0.04)
    assert control_power.power_at_twice(fewer, lost) > 0.8 > control_power.power_at_twice(fewer, replace(lost, n=40))
    assert control_power.power_at_twice(INTERNAL, replace(estimate, method="exact")) == 1
    assert control_power.power_at_twice(INTERNAL, replace(estimate, method="Student t")) is None
    assert control_power.power_at_twice(replace(INTERNAL, region=at_most(0)), replace(estimate, method="exact")) is None


def test_the_table_of_controls_has_the_share_refuted_by_dose():
    exact = weights.test_no_matrix_moved_far.__claim__
    found = [trial(SUPPORTED, 0.0, dose=0.3), trial(REFUTED, 1.0), trial(SUPPORTED, 0.0, dose=0.3), trial(REFUTED, 0.5),
             trial(REFUTED, 0.1, dose=0.1, claim=exact, method="exact")]  # fmt: skip
    _, _, first, second = control_power.text(found).splitlines()

    assert all(cell in first for cell in ("| 0.75 ", "41% by 40", "zero_mlp 0.3: 0/2, 1: 2/2"))
    assert all(cell in second for cell in ("<= 0.05 share", "| 0.1 ", "always", "0.1: 1/1"))
    assert control_power.doses(exact) == ("zero_mlp", [0.1])
    assert control_power.doses(INTERNAL) == ("zero_mlp", [0.1, 0.3, 0.6, 1])


def test_what_a_gate_says_is_read_off_its_headline():
    blocked = "Blocked: a against b: error: 7.6 [7.3, 8.1] times (layer 1 head 2), at most 2.5 [within-twins]."

    assert in_words(f"measuring\n{blocked}") == "blocked by within-twins, layer 1 head 2"
    assert in_words("Accepted: a against b: 3 hold [x].") == "accepted"
    with pytest.raises(ValueError, match="no headline in 'nothing'"):
        in_words("nothing")
