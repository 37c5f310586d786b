"""Two checkpoints and one command: in this process where the command does not matter, else as a process of pytest."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from _pytest.mark.expression import Expression
from safetensors.numpy import load_file, save_file

from depthgauge import Expectation, api
from depthgauge.cli import parser
from depthgauge.core.errors import UsageError
from depthgauge.runs.config import options_from
from depthgauge.store.folders import read_manifest
from tests.bytes import save_byte_model
from tests.processes import refusal, refused

CHECKS = "depthgauge.checks"
STAGES = ("files", "weights", "internals", "generation", "tasks")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("change")


@pytest.fixture(scope="module")
def baseline(place):
    return save_byte_model(place / "old")


@pytest.fixture(scope="module")
def shaken(place, baseline):
    """A copy with a little noise in every weight."""

    def shake(tensors):
        for tensor in tensors.values():
            tensor *= 1 + 1e-5

    return edited(baseline, place / "shaken", shake)


@pytest.fixture
def run_pytest(place, baseline):
    """Run the suite of change on a candidate as a process of pytest, from another folder."""

    def run(candidate, *options, compared_to=baseline):
        command = [sys.executable, "-m", "pytest", "--pyargs", CHECKS, f"--checkpoint={candidate}"]
        command += [f"--baseline={compared_to}", f"--store={place / 'store'}"]
        command += [f"--report-dir={place / 'reports'}", *map(str, options)]
        return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=600)

    return run


@pytest.fixture(scope="module")
def compare(place, baseline):
    """The command `depthgauge compare` in this process, from another folder; `claims` are chosen as by pytest's -k."""

    def run(candidate, *options, compared_to=baseline, claims=""):
        words = ["compare", str(compared_to), str(candidate), f"--store={place / 'store'}", *options]
        words += [f"--report-dir={place / 'reports'}"]
        words += [f"--claims={','.join(ids_of(claims))}"] if claims else []
        said = io.StringIO()
        with contextlib.chdir(place), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            arguments = parser().parse_args(words)
            code = arguments.run(arguments)
        return SimpleNamespace(returncode=code, stdout=said.getvalue(), stderr="")

    return run


def ids_of(expression, *expected):
    """The ids of the claims whose test or id has words of an expression such as 'matrix or stream'; where expectations
    are given, of those that are of one of them.
    """
    chosen = Expression.compile(expression)
    claims = {test.__claim__: f"{suite} {test.__name__} {test.__claim__.id}" for suite, test in api.tests_in((CHECKS,))}
    return [
        claim.id
        for claim, text in claims.items()
        if chosen.evaluate(text.__contains__) and (not expected or claim.expect in (None, *expected))
    ]


def edited(baseline, folder, edit):
    """A copy of a checkpoint whose tensors were edited in place."""
    shutil.copytree(baseline, folder)
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def zero_mlp(layer):
    def edit(tensors):
        for name in tensors:
            if f"layers.{layer}.mlp." in name:
                tensors[name][:] = 0

    return edit


def record(place, name):
    return json.loads((place / "reports" / name / "report.json").read_text())


def outcomes(place, name):
    return {row["claim"]: row for row in record(place, name)["verdicts"]}


def test_a_zeroed_mlp_is_refuted_and_its_layer_named_first(run_pytest, baseline, place):
    candidate = edited(baseline, place / "broken", zero_mlp(2))
    done = run_pytest(candidate, "-k", "matrix or stream or likeliest", "--all-stages")
    rows = outcomes(place, "broken")
    page = (place / "reports" / "broken" / "report.md").read_text()

    assert done.returncode == 1
    assert rows["weights-within-margin"]["outcome"] == "REFUTED"
    assert rows["weights-within-margin"]["estimate"]["where"].startswith("layer 2 ")
    assert rows["residual-stream-within-margin"]["estimate"]["where"] == "first at layer 2"
    assert re.search(r"layer (\d+)", page)[1] == "2"
    assert "## Activation difference" in page and "## Weights" in page


@pytest.fixture(scope="module")
def rows_of_shaken(compare, shaken, place):
    """Its outcomes of every claim, before another test judges it again."""
    done = compare(shaken)

    assert done.returncode in (0, 20), done.stdout[-2000:]
    return outcomes(place, "shaken")


@pytest.mark.heavy
def test_a_copy_with_a_little_noise_has_not_changed(rows_of_shaken):
    rows = rows_of_shaken

    assert {row["outcome"] for row in rows.values()} <= {"SUPPORTED", "NOT_TESTABLE"}
    assert rows["weights-within-margin"]["outcome"] == "SUPPORTED"
    assert rows["next-token-within-margin"]["outcome"] == "SUPPORTED"


@pytest.mark.heavy
def test_a_task_at_chance_level_cannot_see_damage_and_says_so(rows_of_shaken):
    row = rows_of_shaken["task-not-worse[common]"]

    assert row["outcome"] == "NOT_TESTABLE"
    assert "the control 'no_attention' is not refuted, so the claim cannot see damage" in row["reason"]
    assert not row["required"]


def test_a_copy_in_shards_has_not_changed_and_the_run_stops_there(compare, baseline, place):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(baseline).save_pretrained(place / "shards", max_shard_size="20KB")
    AutoTokenizer.from_pretrained(baseline).save_pretrained(place / "shards")
    done = compare(place / "shards")

    assert len(list((place / "shards").glob("*.safetensors"))) > 1
    assert done.returncode == 0
    assert "Accepted: shards is old, bit for bit" in refusal(done)
    assert {"report.md", "report.html", "report.json", "summary.md"} <= set(os.listdir(place / "reports" / "shards"))
    assert '"shards"' in (place / "reports" / "history.jsonl").read_text()


def test_another_configuration_is_a_change_though_the_tensors_are_the_same(compare, baseline, place):
    config = json.loads((baseline / "config.json").read_text())
    shutil.copytree(baseline, place / "rope")
    (place / "rope" / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-2}))
    done = compare(place / "rope", claims="matrix or stream")

    assert done.returncode == 1
    assert outcomes(place, "rope")["weights-within-margin"]["outcome"] == "SUPPORTED"
    assert outcomes(place, "rope")["residual-stream-within-margin"]["estimate"]["where"] == "first at layer 0"


def test_what_the_files_say_ends_a_run_before_anything_is_measured(compare, baseline, place):
    config = json.loads((baseline / "config.json").read_text())
    rope = config["rope_parameters"] | {"rope_theta": 5e5}
    shutil.copytree(baseline, place / "theta")
    (place / "theta" / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))
    done = compare(place / "theta")
    rows = outcomes(place, "theta")

    assert done.returncode == 1
    assert {claim for claim, row in rows.items() if row["outcome"] == "REFUTED"} == {"same-configuration"}
    assert len(rows) == len(ids_of("test_files", Expectation.EQUAL))
    assert record(place, "theta")["not_run"][0] == "weights-within-margin"
    assert record(place, "theta")["not_run"][-1] == "task-not-worse[common]"
    for said in (done.stdout, (place / "reports" / "theta" / "report.md").read_text()):
        assert "rope_parameters.rope_theta: 10000.0 -> 500000.0" in said


@pytest.mark.heavy
def test_a_stage_that_blocks_ends_the_run_for_all_workers_unless_every_stage_is_asked_for(run_pytest, baseline, place):
    candidate = edited(baseline, place / "gone", zero_mlp(1))
    chosen = ("-k", "same-tensors or matrix or stream or next", "-n", "2")
    ended = run_pytest(candidate, *chosen)
    spared = record(place, "gone")["not_run"]
    whole = run_pytest(candidate, *chosen, "--all-stages")

    assert (ended.returncode, whole.returncode) == (1, 1)
    internals = [
        "next-token-within-margin", "mean-divergence-within-margin", "worst-token-within-margin",
        "residual-stream-within-margin",
    ]  # fmt: skip
    assert set(spared) == set(internals)
    assert record(place, "gone")["not_run"] == []
    assert set(outcomes(place, "gone")) == {"same-tensors", "weights-within-margin", *internals}


@pytest.mark.heavy
def test_a_run_that_pytest_ends_at_the_first_failure_leaves_no_worker_waiting(run_pytest, baseline, place):
    (place / "test_mine.py").write_text("def test_mine():\n    raise AssertionError('mine')\n")
    candidate = edited(baseline, place / "scaled", lambda tensors: tensors["model.norm.weight"].__imul__(1.0001))
    done = run_pytest(candidate, place / "test_mine.py", "-n", "2", "-x", "-k", "mine or same or matrix or next")

    assert done.returncode in (1, 2), done.stdout[-2000:]
    assert "stopping after 1 failures" in done.stdout


def test_each_claim_on_files_is_refuted_by_the_old_ones_broken_on_purpose(compare, baseline, place):
    edited(baseline, place / "nudge_weights", lambda tensors: tensors["model.norm.weight"].__imul__(1.0001))
    done = compare(place / "nudge_weights", claims="same")
    rows = outcomes(place, "nudge_weights")

    assert done.returncode == 0, done.stdout[-2000:]
    assert len(rows) == len(ids_of("test_files", Expectation.EQUAL))
    assert {row["outcome"] for row in rows.values()} == {"SUPPORTED"}
    assert {row["control_outcome"] for row in rows.values()} == {"REFUTED"}


SAID_NEXT = {"next-token-within-margin", "mean-divergence-within-margin", "worst-token-within-margin"}


@pytest.mark.parametrize(
    "name, changes, testable, sentence",
    [
        ("tokenizer", {"letters": "ab"}, {"weights-within-margin"}, "another tokenizer than its base"),
        ("depth", {"layers": 2}, SAID_NEXT, "is in"),
    ],
)
def test_what_can_be_compared_is_and_the_rest_is_a_sentence_and_exit_21(
    compare, place, name, changes, testable, sentence
):
    candidate = save_byte_model(place / name, **changes)
    done = compare(candidate, claims="matrix or next or stream or heads_look")
    rows = outcomes(place, name)

    assert done.returncode == 21
    assert "Traceback" not in done.stdout
    assert {claim for claim, row in rows.items() if row["outcome"] != "NOT_TESTABLE"} <= testable
    assert any(sentence in row["reason"] for row in rows.values())
    assert all(row["lost_capability"] for row in rows.values() if row["outcome"] == "NOT_TESTABLE")


# -- a trained successor ---


@pytest.fixture(scope="module")
def parent(place):
    return save_byte_model(place / "parent", layers=8)


def learnt(tensors):
    """Every weight moves, and no layer more than another."""
    for tensor in tensors.values():
        tensor *= 1 + 1e-3


@pytest.fixture(scope="module")
def child(parent, place):
    return edited(parent, place / "child", learnt)


def test_a_trained_successor_has_moved_and_has_no_layer_out_of_line(compare, parent, child, place):
    done = compare(child, "--expect=trained", claims="moved or line", compared_to=parent)
    rows = outcomes(place, "child")

    assert done.returncode == 0, done.stdout[-2000:]
    assert "expected to be a trained successor" in (place / "reports" / "child" / "report.md").read_text()
    assert set(rows) == {"weights-changed", "no-outlier-layer"}
    assert {row["outcome"] for row in rows.values()} == {"SUPPORTED"}
    assert rows["no-outlier-layer"]["estimate"]["point"] == pytest.approx(1, abs=0.1)


def test_a_successor_with_one_layer_out_of_line_is_blocked_and_the_layer_named(compare, parent, place):
    def fault(tensors):
        learnt(tensors)
        zero_mlp(5)(tensors)

    done = compare(edited(parent, place / "faulty", fault), "--expect=trained", claims="line", compared_to=parent)
    (row,) = outcomes(place, "faulty").values()

    assert done.returncode == 1
    assert row["outcome"] == "REFUTED"
    assert row["estimate"]["where"].startswith("layer 5 ")


def test_a_stale_checkpoint_is_accepted_as_equal_and_blocked_as_trained(compare, parent, place):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(parent).save_pretrained(place / "again", max_shard_size="20KB")
    AutoTokenizer.from_pretrained(parent).save_pretrained(place / "again")
    as_equal, as_trained = (
        compare(place / "again", f"--expect={one}", compared_to=parent) for one in ("equal", "trained")
    )

    assert (as_equal.returncode, as_trained.returncode) == (0, 1)
    assert "nothing was trained, and --expect=trained blocks what is stale" in refusal(as_trained)


def test_the_baseline_again_in_bfloat16_is_stale_and_said_to_be_rounded(compare, parent, place):
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(parent, place / "rounded")
    AutoModelForCausalLM.from_pretrained(parent, dtype=torch.bfloat16).save_pretrained(place / "rounded")
    done = compare(place / "rounded", "--expect=trained", claims="moved", compared_to=parent)
    row = outcomes(place, "rounded")["weights-changed"]

    assert done.returncode == 1, done.stdout[-2000:]
    assert row["outcome"] == "REFUTED"
    assert "differ by rounding to bfloat16 alone" in row["estimate"]["where"]


def test_claims_of_one_expectation_are_not_collected_under_the_other(run_pytest, parent, child):
    collected = {
        expected: set(re.findall(r"::(test_\w+)", done.stdout))
        for expected in ("equal", "trained")
        if (done := run_pytest(child, f"--expect={expected}", "--collect-only", "-q", compared_to=parent))
    }

    assert collected["equal"] - collected["trained"] >= {"test_no_matrix_moved_far", "test_heads_look_where_they_did"}
    assert collected["trained"] - collected["equal"] == {
        test.__name__ for _, test in api.tests_in((CHECKS,)) if test.__claim__.expect is Expectation.TRAINED
    }
    assert "test_it_is_not_worse_in_the_task" in collected["equal"] & collected["trained"]


def test_only_claims_about_change_are_collected_with_baseline_and_none_without(run_pytest, baseline, place):
    changed = run_pytest(edited(baseline, place / "one", zero_mlp(0)), "--collect-only", "-q")
    command = [sys.executable, "-m", "pytest", "--pyargs", CHECKS, "--collect-only", "-q"]
    without = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)

    assert set(re.findall(r"(test_\w+\.py)::", changed.stdout)) == {
        "test_floor.py", *(f"test_{stage}.py" for stage in STAGES)
    }  # fmt: skip
    assert "test_it_is_not_worse_in_the_task[one-common]" in changed.stdout
    assert without.returncode == 4 and "name what to judge" in refusal(without)


def test_models_run_in_bfloat16_and_the_key_says_so(compare, shaken, place):
    runs = [compare(shaken, *options, claims="next") for options in ([], ["--dtype=bfloat16"])]
    described = [read_manifest(folder).description for folder in (place / "store").glob("measurements/*")]
    dtypes = {one["parameters"].get("dtype") for one in described if one["probe"] == "divergence"}

    assert {done.returncode for done in runs} <= {0, 1, 20}
    assert dtypes == {None, "bfloat16"}


@pytest.mark.parametrize(
    "options, said",
    [
        ({"method": "grpo"}, ["--method", "--baseline"]),
        ({"seeds": 2}, ["--seeds"]),
        ({"inconclusive": "maybe"}, ["--inconclusive=maybe", "fail", "warn"]),
        ({"expect": "better"}, ["--expect=better", "equal", "trained"]),
        ({"tasks": ""}, ["common", "mmlu_dev"]),
        ({"margin": "common=-1"}, ["--margin=common=-1"]),
        ({"margin": "comon=3"}, ["--margin=comon=3", "TASK=POINTS", "common"]),
        ({"margin": "common=three"}, ["'three'"]),
        ({"dtype": "int4"}, ["'int4'", "float32", "bfloat16"]),
        ({"baseline": "org/no-such-model"}, ["--baseline=org/no-such-model", "hub"]),
        ({"baseline": "grp"}, ["grp", "'grpo'"]),
        ({"baseline": ""}, ["--baseline"]),
    ],
)
def test_bad_usage_names_the_option_and_what_it_may_be(place, baseline, options, said, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = {"baseline": baseline, "checkpoint": baseline, "store": place / "store"} | options

    with refused(UsageError, *said):
        api.Runner(options=options_from(given), tell=print).run()


def test_one_folder_given_twice_is_exit_4_and_named(compare, baseline):
    done = compare(baseline)

    assert done.returncode == 4 and "old" in refusal(done)


@pytest.mark.heavy
def test_a_task_with_a_typo_is_answered_with_the_nearest_names(compare, shaken):
    done = compare(shaken, "--tasks=gsm8", claims="task")

    assert done.returncode == 4
    assert "gsm8k" in refusal(done)


def test_the_old_one_is_asked_for_with_the_new_one(place, baseline):
    command = [sys.executable, "-m", "pytest", "--pyargs", CHECKS, f"--baseline={baseline}"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)

    assert done.returncode == 4
    assert "name the candidate with --checkpoint" in refusal(done)


def shrink(tensors):
    for name in tensors:
        if "layers.1." in name:
            tensors[name] *= np.float32(0.7)


CONFTEST = """
from depthgauge import Margin

def pytest_depthgauge_margins():
    return {{"weights-within-margin": {margin}, "of-somebody-else": Margin(1, "share", "why")}}
"""


@pytest.fixture(scope="module")
def ours(place, baseline):
    """Layer 1 is .3 smaller."""
    return edited(baseline, place / "ours", shrink)


@pytest.fixture
def project(place, baseline, ours):
    """A project's own conftest.py where `depthgauge compare` runs."""

    def run(margin):
        folder = place / "project"
        folder.mkdir(exist_ok=True)
        (folder / "conftest.py").write_text(CONFTEST.format(margin=margin))
        command = [
            sys.executable,
            "-m",
            "depthgauge",
            "compare",
            str(baseline),
            str(ours),
            "--claims=weights-within-margin",
        ]
        command.append("--conftest=conftest.py")
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run


@pytest.mark.heavy
def test_a_projects_own_margin_is_judged_and_stands_in_the_report_with_its_reason(project, place):
    blocked = project('Margin(0.2, "share", "too tight for this")')
    accepted = project('Margin(0.4, "share", "a third may go")')
    row = outcomes(place / "project", "ours")["weights-within-margin"]

    assert (blocked.returncode, accepted.returncode) == (1, 0), accepted.stdout
    assert row["region"] == "<= 0.4 share" and row["rationale"] == "a third may go"
    assert "no claim of this run has the margin that was given for it: of-somebody-else" in accepted.stdout


@pytest.mark.parametrize(
    "margin, sentence",
    [
        ('Margin(0, "share", "why")', "a margin lies above 0, got 0"),
        ('Margin(-0.1, "share", "why")', "a margin lies above 0, got -0.1"),
        ('Margin(0.1, "", "why")', "a margin of 0.1 needs its unit and a reason"),
        ('Margin("a lot", "share", "why")', "conftest.py raises TypeError: "),
        ("0.1", "'weights-within-margin' is 0.1, which is no Margin"),
        (
            'Margin(3, "points", "why")',
            "weights-within-margin: the margin of 'weights-within-margin' is in 'share', got 3 'points'",
        ),
    ],
)
def test_what_is_no_margin_is_one_sentence_and_exit_4(project, margin, sentence):
    done = project(margin)

    assert done.returncode == 4, done.stdout
    assert sentence in refusal(done)


# -- a token's row ---


def zero_row(row):
    return lambda tensors: tensors["model.embed_tokens.weight"].__setitem__(row, 0)


@pytest.mark.parametrize("expect, claim", [("equal", "rows-within-margin"), ("trained", "no-outlier-row")])
def test_a_lost_row_is_refuted_and_its_token_named(compare, parent, place, expect, claim):
    def lost(tensors):
        learnt(tensors)
        zero_row(101)(tensors)

    name = f"mute-{expect}"
    done = compare(edited(parent, place / name, lost), f"--expect={expect}", claims="row", compared_to=parent)
    row = outcomes(place, name)[claim]

    assert done.returncode == 1, done.stdout[-2000:]
    assert row["outcome"] == row["control_outcome"] == "REFUTED"
    assert row["estimate"]["where"] == "embed_tokens row 101 '¨'"
    assert "embed_tokens row 101" in (place / "reports" / name / "report.md").read_text()


@pytest.mark.parametrize("expect", ["equal", "trained"])
def test_rows_that_moved_as_all_others_are_supported(compare, parent, child, place, expect):
    done = compare(child, f"--expect={expect}", claims="row", compared_to=parent)
    rows = outcomes(place, "child").values()

    assert done.returncode == 0, done.stdout[-2000:]
    assert {(row["outcome"], row["control_outcome"]) for row in rows} == {("SUPPORTED", "REFUTED")}
