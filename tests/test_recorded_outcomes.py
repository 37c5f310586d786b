"""The record: one rule for what recorded seeds mean, and a record of outcomes of another base is none."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthgauge import record
from depthgauge.core.claim import Claim
from depthgauge.core.errors import InvalidComparison, UsageError
from depthgauge.core.estimate import Estimate
from depthgauge.core.registry import TESTBEDS
from depthgauge.core.result import Outcome
from depthgauge.core.verdict import above
from depthgauge.history.recorded import (
    RecordedOutcomes,
    of_another_base,
    read_recorded_outcomes,
    recorded_outcomes_of,
    write_recorded_outcomes,
)
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.runs.session import MethodSession, chosen_methods
from depthgauge.sources.folder import fingerprint
from depthgauge.store.folders import Store
from depthgauge_methods.grpo import GRPO
from tests.processes import refused
from tests.test_report import row
from tests.tiny import tiny_testbed

SUPPORTED, REFUTED, INCONCLUSIVE, NOT_TESTABLE = Outcome
recorded = st.lists(st.sampled_from([SUPPORTED, REFUTED, INCONCLUSIVE]), max_size=5).map(tuple)


def seeds(*outcomes):
    return {str(seed): {"outcome": str(outcome), "measured": "1 points"} for seed, outcome in enumerate(outcomes)}


# -- the rule ---


@given(recorded)
def test_a_refutation_fails_unless_some_recorded_seed_gave_it(found):
    assert row(REFUTED, found).fails == (REFUTED not in found)


@given(recorded)
def test_a_supported_claim_fails_only_where_every_recorded_seed_refuted_it(found):
    assert row(SUPPORTED, found).fails == (len(found) > 0 and set(found) == {REFUTED})


@given(recorded)
def test_what_is_left_open_fails_nothing_whatever_was_recorded(found):
    assert not row(INCONCLUSIVE, found).fails


@given(recorded, st.sampled_from(Outcome), st.sampled_from(Outcome))
def test_what_is_informational_fails_nothing(found, outcome, control):
    assert not row(outcome, found, control, required=False).fails


# -- the file ---


@pytest.fixture
def testbed(tiny_base, tmp_path):
    return replace(tiny_testbed(tiny_base), recorded_outcomes=tmp_path / "recorded.json")


def test_a_record_reads_back_as_it_was_written_a_line_a_seed(tmp_path):
    recorded_outcomes = RecordedOutcomes(
        base="b", machine="m", claims={"a": {"grpo": seeds(SUPPORTED, REFUTED), "dpo": seeds(REFUTED)}}
    )
    write_recorded_outcomes(tmp_path / "recorded.json", recorded_outcomes)
    text = (tmp_path / "recorded.json").read_text()

    assert read_recorded_outcomes(tmp_path / "recorded.json") == recorded_outcomes
    assert text.count('"outcome"') == 3
    assert max(line.count('"outcome"') for line in text.splitlines()) == 1
    assert text.endswith("}\n")


def test_outcomes_are_in_the_order_of_the_seeds_and_none_where_nothing_is_recorded():
    entry = {"10": {"outcome": "REFUTED"}, "2": {"outcome": "SUPPORTED"}}
    recorded_outcomes = RecordedOutcomes(claims={"c": {"grpo": entry}})

    assert recorded_outcomes.outcomes("c", "grpo") == (SUPPORTED, REFUTED)
    assert recorded_outcomes.outcomes("c", "dpo") == recorded_outcomes.outcomes("d", "grpo") == ()


def test_the_record_of_another_base_is_not_used(testbed, tiny_base):
    claims = {"c": {"grpo": seeds(REFUTED)}}
    write_recorded_outcomes(
        testbed.recorded_outcomes, RecordedOutcomes(base=fingerprint(tiny_base), machine="m", claims=claims)
    )
    own = recorded_outcomes_of(testbed)
    write_recorded_outcomes(testbed.recorded_outcomes, RecordedOutcomes(base="another", machine="m", claims=claims))

    assert own.outcomes("c", "grpo") == (REFUTED,)
    assert recorded_outcomes_of(testbed) == RecordedOutcomes()


def test_a_testbed_without_a_record_or_without_its_file_has_nothing_recorded(testbed):
    assert (
        recorded_outcomes_of(testbed)
        == recorded_outcomes_of(replace(testbed, recorded_outcomes=None))
        == RecordedOutcomes()
    )


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps({"base": "b", "machine": "m", "claims": []}),
        json.dumps({"base": "b", "machine": "m", "claims": {"c": {"grpo": {"outcome": "REFUTED"}}}}),
        json.dumps({"base": "b", "machine": "m", "claims": {"c": {"grpo": {"0": {"outcome": "MAYBE"}}}}}),
        json.dumps({"base": "b", "machine": "m", "claims": {"c": {"grpo": {"first": {"outcome": "REFUTED"}}}}}),
    ],
    ids=["no JSON", "a list", "nothing", "no claims", "no seeds", "no outcome", "no number"],
)
def test_what_is_no_record_is_refused_in_one_sentence(testbed, text):
    testbed.recorded_outcomes.write_text(text)

    with pytest.raises(InvalidComparison, match="is not base, machine and claims.*write it anew with"):
        recorded_outcomes_of(testbed)


# -- what it speaks of ---


def judged(testbed, tmp_path, seeds=(0,), **changes):
    """A row about a claim that is refuted, with one recorded refutation."""
    context = RunContext(testbed=testbed, store=Store(tmp_path / "store", run="r"), tell=lambda line: None)
    recorded_outcomes = RecordedOutcomes(claims={"c": {"grpo": {"0": {"outcome": "REFUTED", "measured": "-1 points"}}}})
    session = MethodSession(
        context=context, methods=("grpo",), training_seeds=seeds, reports=tmp_path, recorded_outcomes=recorded_outcomes,
        **{name: made(context) for name, made in changes.items()},
    )  # fmt: skip
    claim = Claim(
        id="c", statement="s", citation="here", published="-", region=above(0), unit="points", control="random_weights",
        rationale="r",
    )  # fmt: skip

    def test(candidate):
        over = "seeds" if len(candidate.seeds) > 1 else "items"
        return Estimate(estimand="d", unit="points", point=-1, low=-2, high=-0.5, level=0.95, n=9, method="none",
                        generalises_over=over)  # fmt: skip

    return session.judge(claim, test, "test_made_up", GRPO.name, {})


def test_it_speaks_of_one_seed_and_neither_of_a_folder_nor_of_several_seeds(testbed, tmp_path, tiny_base):
    assert judged(testbed, tmp_path).recorded == (REFUTED,)
    assert judged(testbed, tmp_path, seeds=(0, 1)).recorded == ()
    adopted = judged(
        testbed, tmp_path, adopted=lambda context: CheckpointSet(name="a", folder=tiny_base, context=context)
    )
    assert adopted.recorded == ()


def test_a_record_of_another_base_is_said_and_what_records_it_anew(testbed, tiny_base):
    write_recorded_outcomes(testbed.recorded_outcomes, RecordedOutcomes(base="0" * 16, machine="m"))

    said = of_another_base(testbed)

    assert f"records outcomes of base {'0' * 16}, and the base here is {fingerprint(tiny_base)}" in said
    assert f"'depthgauge record {testbed.name}'" in said
    write_recorded_outcomes(testbed.recorded_outcomes, RecordedOutcomes(base=fingerprint(tiny_base), machine="m"))
    assert of_another_base(testbed) == ""


# -- recording ---


@pytest.fixture
def recording(testbed, monkeypatch):
    """Record methods of the testbed, of which a run gives a row each."""
    monkeypatch.setattr(TESTBEDS, "_items", {**TESTBEDS._items, testbed.name: testbed})
    monkeypatch.setattr(record, "machine", lambda: "here")
    monkeypatch.setattr(record, "judged", lambda name, methods, seed, store: [
        replace(row(SUPPORTED), method=method) for method in chosen_methods(methods, testbed)
    ])  # fmt: skip

    def run(methods, seeds=2):
        record.record_outcomes(testbed.name, methods, seeds, testbed.recorded_outcomes.parent / "store")
        return read_recorded_outcomes(testbed.recorded_outcomes).claims[row(SUPPORTED).claim]

    return run


def test_what_is_recorded_of_other_methods_stays(recording):
    every = recording("all")
    assert {"grpo", "gradreg", "depthscaled"} <= every.keys()

    after = recording("grpo", seeds=1)

    assert after.keys() == every.keys()
    assert list(after["grpo"]) == ["0"]
    assert all(after[method] == every[method] for method in every if method != "grpo")


@pytest.mark.parametrize("of, values", [("machine", ["'there'", "'here'"]), ("base", ["'b'"])])
def test_what_another_machine_or_base_recorded_is_neither_mixed_nor_lost(recording, testbed, tiny_base, of, values):
    recording("all")
    known = read_recorded_outcomes(testbed.recorded_outcomes)
    other = replace(known, machine="there") if of == "machine" else replace(known, base="b")
    write_recorded_outcomes(testbed.recorded_outcomes, other)

    with refused(UsageError, *values):
        recording("grpo")
    assert read_recorded_outcomes(testbed.recorded_outcomes) == other
    assert recording("all") and read_recorded_outcomes(testbed.recorded_outcomes) == known
