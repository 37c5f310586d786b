"""Which checkpoints a claim is judged on, what is refused before anything is trained, and what is measured once."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from depthgauge.core.claim import Claim
from depthgauge.core.errors import HarnessError, InvalidCheckpoint, InvalidComparison, NotTestable, UsageError
from depthgauge.core.registry import METHODS
from depthgauge.core.verdict import at_least
from depthgauge.measure.base_probe import address, check_language_model
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.measure.training import recipe_of
from depthgauge.runs.session import MethodSession
from depthgauge.stats import exactly
from depthgauge.store.folders import Store
from depthgauge_methods.grpo import BASE
from depthgauge_testbeds.modular_addition import MODULAR_ADDITION
from tests.processes import refused
from tests.tiny import tiny_testbed


@pytest.fixture
def context(tiny_base: Path, tmp_path: Path) -> RunContext:
    return RunContext(testbed=tiny_testbed(tiny_base), store=Store(tmp_path, run="test"), tell=lambda line: None)


def test_a_control_that_is_a_method_is_judged_on_its_first_seed_alone(tmp_path: Path) -> None:
    context = RunContext(testbed=MODULAR_ADDITION, store=Store(tmp_path, run="test"), tell=lambda line: None)
    session = MethodSession(context=context, methods=("grokking_nodecay",), training_seeds=(0, 1, 2), reports=tmp_path)
    claim = Claim(
        id="c", statement="s", citation="here", published="-", region=at_least(1), unit="seeds", control="grokking",
        rationale="r", testbed="modular_addition",
    )  # fmt: skip
    seen = {}

    def test(candidate):
        seen[candidate.name] = candidate.seeds
        return exactly(np.arange(len(candidate.seeds)) + 0.5, estimand="x", unit="seeds")

    row = session.judge(claim, test, "test_made_up.py", "grokking_nodecay", {})

    assert seen == {"grokking_nodecay": (0, 1, 2), "grokking": (0,)}
    assert (row.estimate.n, row.control_outcome) == (3, "REFUTED")


@pytest.mark.parametrize(
    "method, testbed, speaks",
    [("grpo", None, True), ("grpo", "tiny", True), ("grpo", "smollm2", False), ("grokking", "tiny", False)],
)
def test_a_claim_of_one_testbed_speaks_of_every_method_that_is_trained_there(
    context, tmp_path, method, testbed, speaks
):
    session = MethodSession(context=context, methods=(method,), training_seeds=(0,), reports=tmp_path)
    claim = Claim(
        id="c", statement="s", citation="here", published="-", region=at_least(1), unit="points",
        control="random_weights", rationale="r", testbed=testbed,
    )  # fmt: skip

    assert session.applicable_to(claim, ("candidate",)) == ((method,) if speaks else ())


def test_a_language_model_without_a_tokenizer_is_refused_before_anything_is_trained(context, tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "mute", ignore=shutil.ignore_patterns("tokenizer.json"))
    adopted = CheckpointSet(name="adopted-mute", folder=folder, context=context)
    session = MethodSession(
        context=context, methods=("grpo",), training_seeds=(0,), reports=tmp_path / "reports", adopted=adopted
    )

    with refused(InvalidCheckpoint, "tokenizer.json"):
        session.check()


# -- what a candidate measures ---


@dataclass(frozen=True, kw_only=True, slots=True)
class Strange:
    """A probe of nobody's package, whose `run` counts how often it was asked."""

    raises: type[Exception] | None = None
    taken: tuple[list[int], ...] = ([],)
    name: ClassVar[str] = "strange"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "something strange"

    def parameters(self, one):
        return {"raises": str(self.raises)}

    def check(self, checkpoint):
        check_language_model(checkpoint)

    def run(self, one):
        self.taken[0].append(1)
        if self.raises is not None:
            raise self.raises("there is no layer 18")
        return {"layers": np.array(one.model.config.num_hidden_layers)}


@pytest.fixture
def base(context) -> CheckpointSet:
    return CheckpointSet.of(BASE, (0, 1), context)


def test_what_trains_nothing_has_one_seed_and_says_where_its_numbers_are_from(base, context, tiny_base):
    probe = Strange(taken=([],))
    (one,) = base.measure(probe)
    (again,) = base.measure(probe)

    assert base.seeds == (0,)
    assert int(one.arrays["layers"]) == 6
    assert (len(probe.taken[0]), again.key) == (1, one.key)
    (used,) = context.evidence
    assert (used.method, used.key, used.probe) == ("base_model", one.key, address(probe))


def test_a_refusal_is_remembered_and_no_model_is_loaded_to_hear_it_again(base, context):
    probe = Strange(raises=NotTestable, taken=([],))
    for _ in range(2):
        with pytest.raises(NotTestable, match="^there is no layer 18$"):
            base.measure(probe)

    assert len(probe.taken[0]) == 1
    assert not context.evidence


def test_what_a_probe_raises_that_is_not_of_the_house_names_the_probe(base):
    with refused(InvalidComparison, "test_session", "18"):
        base.measure(Strange(raises=KeyError))
    with refused(HarnessError, "Strange", "KeyError"):
        base.measure(Strange(raises=KeyError))


def test_seeds_that_cannot_be_paired_are_no_comparison(context):
    class Pair(Strange):
        def run(self, one, other):
            return {}

    two, three = (CheckpointSet(name="s", folder=context.testbed.base, seeds=seeds, context=context)
                  for seeds in ((0, 1), (0, 1, 2)))  # fmt: skip
    with refused(InvalidComparison, "2", "'s'", "3"):
        two.compare(Pair(), three)


def test_a_misspelt_method_setting_of_a_testbed_is_refused_before_anything_is_trained(context):
    misspelt = replace(context.testbed.training, method_settings={"penalti": 0.1})
    testbed = replace(context.testbed, training=misspelt)

    with refused(UsageError, "'tiny'", "'penalti'", "'penalty'"):
        recipe_of(METHODS["gradreg"], testbed, 0, "cpu")


def test_a_method_setting_of_a_testbed_is_part_of_the_recipe(context):
    given = replace(context.testbed, training=replace(context.testbed.training, method_settings={"penalty": 0.1}))

    assert recipe_of(METHODS["gradreg"], given, 0, "cpu").scale["penalty"] == 0.1
    assert "penalty" not in recipe_of(METHODS["gradreg"], context.testbed, 0, "cpu").scale
