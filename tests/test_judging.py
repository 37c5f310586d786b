"""Checkpoints judged from Python, without pytest."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from depthgauge import TESTBEDS
from depthgauge.api import Runner, compare, verify
from depthgauge.core.claim import Expectation
from depthgauge.core.errors import UsageError
from depthgauge.core.result import Outcome
from depthgauge.executors.engines import Processes
from depthgauge.runs.config import Options
from tests.processes import ROOT, refused, rows
from tests.tiny import save_tiny_base, tiny_testbed

WEIGHTS = "depthgauge_suites.articles.test_weights"


def silent(_):
    pass


@pytest.fixture(scope="module")
def runner(tiny_base, tmp_path_factory):
    """The claims about weights, of any checkpoint of the tiny testbed."""
    if "judged" not in TESTBEDS:
        TESTBEDS.register(tiny_testbed(tiny_base, name="judged"))
    store = tmp_path_factory.mktemp("judging")
    options = Options(method="grpo", testbed="judged", suites=WEIGHTS, store=str(store))
    return Runner(options=options, tell=silent)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return save_tiny_base(tmp_path_factory.mktemp("other") / "checkpoint", seed=1)


def test_the_rows_are_those_of_a_run_of_pytest(runner, other, depthgauge, place):
    found = runner.run(other)
    assert found.problems == ()
    depthgauge(
        "--method=grpo",
        f"--checkpoint={other}",
        suite=ROOT / "suites" / "depthgauge_suites" / "articles" / "test_weights.py",
    )
    told = {row["claim"]: (row["outcome"], row["reason"]) for row in rows(place, "adopted-checkpoint")["verdicts"]}
    assert {row.claim: (row.outcome, row.reason) for row in found.rows} == told
    assert all(claim in str(found) for claim in told)


def test_a_control_is_judged_once_for_all_checkpoints(runner, other, tiny_base):
    runner.run(other)
    known = dict(runner.controls)
    runner.run(save_tiny_base(Path(tiny_base).parent / "third", seed=2))
    assert runner.controls == known and known


@pytest.mark.parametrize("processes", [1, 2])
def test_many_are_judged_in_their_order_and_what_is_none_says_so(runner, other, tiny_base, tmp_path, processes):
    third = save_tiny_base(tmp_path / "third", seed=2)
    alone = [runner.run(folder).rows for folder in (tiny_base, other, third)]
    found = list(runner.run_all([tiny_base, other, tmp_path, third], processes=processes))
    assert [one.rows for one in found] == [alone[0], alone[1], (), alone[2]]
    assert alone[1] != alone[2] and [len(one.problems) for one in found] == [0, 0, 1, 0]
    assert f"{tmp_path} is not a checkpoint" in str(found[2])


def test_several_processes_open_no_model_and_say_what_to_do(runner, other, tmp_path):
    """After torch was used here with threads, its forks would wait for these forever."""
    torch.ones(512, 512) @ torch.ones(512, 512)
    unmeasured = save_tiny_base(tmp_path / "unmeasured", seed=3)
    asks = replace(runner, options=replace(runner.options, suites="depthgauge_suites.articles.test_entropy"))
    assert asks.run(other).problems == ()
    first, second = asks.run_all([other, unmeasured], processes=2)
    assert first.problems == () and second.rows == ()
    assert "measure first, as by prepare" in str(second)


def test_nothing_is_judged_of_none(runner):
    assert list(runner.run_all([], processes=2)) == []


def test_less_than_one_process_is_one_sentence(runner, other):
    with refused(UsageError, "processes=0"):
        list(runner.run_all([other], processes=0))


def test_what_changed_is_judged_likewise(tiny_base, other, tmp_path):
    result = compare(tiny_base, other, expect=Expectation.TRAINED, store=tmp_path, tell=silent)
    found = {row.claim: row for row in result.rows}
    assert found["same-tensors"].outcome is Outcome.SUPPORTED
    assert len({row.claim for row in found.values() if "[" in row.claim}) >= 1  # a claim for each task


@pytest.mark.heavy
def test_an_executor_measures_for_several_at_once(tiny_base, other, tmp_path, monkeypatch):
    monkeypatch.setattr(Processes, "least_s", 0)  # all is handed out, however small
    told = []
    options = Options(baseline=str(tiny_base), store=str(tmp_path))
    runner = Runner(options=options, tell=told.append)
    more = save_tiny_base(tmp_path / "more", seed=3)
    runner.prepare([other, more], "local", workers=2)
    assert any("measuring" in line and "more" in line for line in told)
    told.clear()
    assert runner.run(other).rows and runner.run(more).rows
    assert not any("measuring" in line for line in told)


@pytest.mark.parametrize(
    "asked, sentence",
    [
        ({"method": "nothing"}, "unknown method 'nothing'"),
        ({"method": "grpo", "suites": ["article"]}, "unknown suite 'article'. Did you mean 'articles'?"),
        (
            {"method": "grpo", "testbed": "judged", "suites": ["json.tool"]},
            "json.tool is no package of suites, and has no claim itself",
        ),
        ({"testbed": "nowhere"}, "unknown testbed 'nowhere'"),
        ({}, "is judged by the tasks of a testbed, or beside another checkpoint: add --testbed=NAME of "),
    ],
)
def test_bad_names_are_one_sentence(runner, asked, sentence, other, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        verify(checkpoint=other, store=tmp_path, tell=silent, **asked)


def test_what_cannot_be_judged_is_named_and_the_others_are(tiny_base, other, tmp_path):
    found = compare(tiny_base, other, all_stages=True, store=tmp_path, tell=silent)
    assert found.rows and any("tokens, and 2 to 64 fit" in problem.message for problem in found.problems)
    assert "not judged: " in str(found)


def test_a_method_is_no_checkpoint(runner):
    with refused(UsageError, "--checkpoint=grpo", "--method=grpo"):
        runner.run("grpo")


def test_judging_what_is_measured_imports_no_torch(runner, other):
    runner.run(other)
    code = f"""
import sys
from pathlib import Path
from depthgauge import TESTBEDS
from depthgauge.runs.config import Options
from depthgauge.api import Runner, compare, verify
from tests.tiny import tiny_testbed
TESTBEDS.register(tiny_testbed(Path({str(TESTBEDS["judged"].base)!r}), name="judged"))
place = Path({runner.options.store!r})
options = Options(method="grpo", testbed="judged", suites={WEIGHTS!r}, store=str(place))
again = Runner(options=options, tell=sys.exit)
assert again.run({str(other)!r}).rows
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.heavy
def test_the_pages_examples_run(tiny_base, other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    first, second, third, _ = (  # the last loads a model of the user's
        block.replace("org/base", str(tiny_base)).replace("runs/checkpoint-100", str(other)) for block in blocks
    )
    names = {"text": "ab" * 64, "checkpoints": [other]}
    exec(first, names)
    assert names["result"].rows
    exec(second.replace('executor="slurm", workers=32', 'executor="local", workers=1'), names)
    assert names["verdicts"][other].rows
    third = third.replace("sinks.strength(candidate).values.shape", "None")  # whose texts are longer than this model
    exec(third.replace("candidate.measure", "taken = candidate.measure"), names)
    assert names["taken"].shape[0] == 1


@pytest.mark.parametrize("claim, said", [("weights-within-margin", False), ("task-not-worse", True)])
def test_what_a_task_can_show_is_said_where_it_is_asked_and_nowhere_else(
    tiny_base, other, tmp_path, monkeypatch, claim, said
):
    lines = []

    def stop(*_):
        raise UsageError("far enough.")

    monkeypatch.setattr(Runner, "judged", stop)
    with refused(UsageError):
        compare(tiny_base, other, claims=(claim,), store=tmp_path, tell=lines.append)

    assert any("items show a loss of" in line for line in lines) is said
