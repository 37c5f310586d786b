"""Two checkpoints and one command: real pytest processes on the suite of change."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from depthgauge.store.folders import read_manifest
from tests.bytes import save_byte_model
from tests.processes import refusal

CHECKS = "depthgauge.checks"
STAGES = ("files", "weights", "internals", "generation", "tasks")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("change")


@pytest.fixture(scope="module")
def old(place):
    return save_byte_model(place / "old")


@pytest.fixture
def compare(place, old):
    """Run the suite of change on a new checkpoint, from another folder."""

    def run(new, *options, against=None, **environment):
        command = [sys.executable, "-m", "pytest", "--pyargs", CHECKS, f"--checkpoint={new}"]
        command += [f"--against={against or old}", f"--store={place / 'store'}"]
        command += [f"--report-dir={place / 'reports'}", *map(str, options)]
        return subprocess.run(
            command, cwd=place, capture_output=True, text=True, check=False, env=os.environ | environment, timeout=600
        )

    return run


def edited(old, folder, edit):
    """A copy of a checkpoint whose tensors were edited in place."""
    shutil.copytree(old, folder)
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


def test_a_zeroed_mlp_is_refuted_and_its_layer_named_first(compare, old, place):
    new = edited(old, place / "broken", zero_mlp(2))
    done = compare(new, "-k", "matrix or stream or likeliest", "--every-tier")
    rows = outcomes(place, "broken")
    page = (place / "reports" / "broken" / "report.md").read_text()

    assert done.returncode == 1
    assert rows["weights-unmoved"]["outcome"] == "REFUTED"
    assert rows["weights-unmoved"]["estimate"]["where"].startswith("layer 2 ")
    assert rows["residual-stream-unchanged"]["estimate"]["where"] == "first at layer 2"
    assert re.search(r"layer (\d+)", page)[1] == "2"
    assert "## Activation difference" in page and "## Weights" in page


def test_a_copy_with_a_little_noise_has_not_changed(compare, old, place):
    def shake(tensors):
        for tensor in tensors.values():
            tensor *= 1 + 1e-5

    done = compare(edited(old, place / "shaken", shake))
    rows = outcomes(place, "shaken")

    assert done.returncode in (0, 20), done.stdout[-2000:]
    assert {row["outcome"] for row in rows.values()} <= {"SUPPORTED", "NOT_TESTABLE"}
    assert rows["weights-unmoved"]["outcome"] == "SUPPORTED"
    assert rows["next-token-unchanged"]["outcome"] == "SUPPORTED"


def test_an_exam_at_chance_level_cannot_see_damage_and_says_so(compare, place):
    row = outcomes(place, "shaken")["not-worse[common]"]

    assert row["outcome"] == "NOT_TESTABLE"
    assert "the control 'no_attention' is not refuted, so the claim cannot see damage" in row["reason"]
    assert not row["gates"]


def test_a_copy_in_shards_has_not_changed_and_the_run_stops_there(compare, old, place):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(old).save_pretrained(place / "shards", max_shard_size="20KB")
    AutoTokenizer.from_pretrained(old).save_pretrained(place / "shards")
    done = compare(place / "shards")

    assert len(list((place / "shards").glob("*.safetensors"))) > 1
    assert done.returncode == 0
    assert "hold the same tensors, configuration and tokenizer, bit for bit: nothing has changed" in refusal(done)
    assert not (place / "reports" / "shards").exists()


def test_another_configuration_is_a_change_though_the_tensors_are_the_same(compare, old, place):
    config = json.loads((old / "config.json").read_text())
    shutil.copytree(old, place / "rope")
    (place / "rope" / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-2}))
    done = compare(place / "rope", "-k", "matrix or stream")

    assert done.returncode == 1
    assert outcomes(place, "rope")["weights-unmoved"]["outcome"] == "SUPPORTED"
    assert outcomes(place, "rope")["residual-stream-unchanged"]["estimate"]["where"] == "first at layer 0"


def test_what_the_files_say_ends_a_run_before_anything_is_measured(compare, old, place):
    config = json.loads((old / "config.json").read_text())
    rope = config["rope_parameters"] | {"rope_theta": 5e5}
    shutil.copytree(old, place / "theta")
    (place / "theta" / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))
    done = compare(place / "theta")
    rows = outcomes(place, "theta")

    assert done.returncode == 1
    assert {claim for claim, row in rows.items() if row["outcome"] == "REFUTED"} == {"same-configuration"}
    assert len(rows) == 5
    assert record(place, "theta")["not_run"][0] == "weights-unmoved"
    assert record(place, "theta")["not_run"][-1] == "not-worse[common]"
    for said in (done.stdout, (place / "reports" / "theta" / "report.md").read_text()):
        assert "rope_parameters.rope_theta: 10000.0 -> 500000.0" in said


@pytest.mark.heavy
def test_a_tier_that_blocks_ends_the_run_for_all_workers_unless_every_tier_is_asked_for(compare, old, place):
    new = edited(old, place / "gone", zero_mlp(1))
    chosen = ("-k", "same-tensors or matrix or stream or next", "-n", "2")
    ended, whole = compare(new, *chosen), compare(new, *chosen, "--every-tier")

    assert (ended.returncode, whole.returncode) == (1, 1)
    assert "not run, as a tier before blocked: next-token-unchanged, residual-stream-unchanged" in ended.stdout
    assert "not run" not in whole.stdout
    assert list(outcomes(place, "gone")) == [
        "same-tensors", "weights-unmoved", "next-token-unchanged", "residual-stream-unchanged"
    ]  # fmt: skip


def test_a_run_that_pytest_ends_at_the_first_failure_leaves_no_worker_waiting(compare, old, place):
    (place / "test_mine.py").write_text("def test_mine():\n    raise AssertionError('mine')\n")
    new = edited(old, place / "scaled", lambda tensors: tensors["model.norm.weight"].__imul__(1.0001))
    done = compare(new, place / "test_mine.py", "-n", "2", "-x", "-k", "mine or same or matrix or next")

    assert done.returncode in (1, 2), done.stdout[-2000:]
    assert "stopping after 1 failures" in done.stdout


def test_each_claim_on_files_is_refuted_by_the_old_ones_broken_on_purpose(compare, old, place):
    edited(old, place / "nudge_weights", lambda tensors: tensors["model.norm.weight"].__imul__(1.0001))
    done = compare(place / "nudge_weights", "-k", "same")
    rows = outcomes(place, "nudge_weights")

    assert done.returncode == 0, done.stdout[-2000:]
    assert len(rows) == 5
    assert {row["outcome"] for row in rows.values()} == {"SUPPORTED"}
    assert {row["control_outcome"] for row in rows.values()} == {"REFUTED"}


@pytest.mark.parametrize(
    "name, changes, testable, sentence",
    [
        ("tokenizer", {"letters": "ab"}, {"weights-unmoved"}, "another tokenizer than its base"),
        ("depth", {"layers": 2}, {"next-token-unchanged"}, "is in"),
    ],
)
def test_what_can_be_compared_is_and_the_rest_is_a_sentence_and_exit_21(
    compare, place, name, changes, testable, sentence
):
    new = save_byte_model(place / name, **changes)
    done = compare(new, "-k", "matrix or next or stream or heads_look")
    rows = outcomes(place, name)

    assert done.returncode == 21
    assert "Traceback" not in done.stdout
    assert {claim for claim, row in rows.items() if row["outcome"] != "NOT_TESTABLE"} <= testable
    assert any(sentence in row["reason"] for row in rows.values())
    assert all(row["only_old"] for row in rows.values() if row["outcome"] == "NOT_TESTABLE")


# -- a trained successor ---


@pytest.fixture(scope="module")
def parent(place):
    return save_byte_model(place / "parent", layers=8)


def learnt(tensors):
    """Every weight moves, and no layer more than another."""
    for tensor in tensors.values():
        tensor *= 1 + 1e-3


def test_a_trained_successor_has_moved_and_has_no_layer_out_of_line(compare, parent, place):
    done = compare(edited(parent, place / "child", learnt), "--expect=trained", "-k", "moved or line", against=parent)
    rows = outcomes(place, "child")

    assert done.returncode == 0, done.stdout[-2000:]
    assert "expected to be a trained successor" in done.stdout
    assert set(rows) == {"weights-moved", "no-layer-out-of-line"}
    assert {row["outcome"] for row in rows.values()} == {"SUPPORTED"}
    assert rows["no-layer-out-of-line"]["estimate"]["point"] == pytest.approx(1, abs=0.1)


def test_a_successor_with_one_layer_out_of_line_is_blocked_and_the_layer_named(compare, parent, place):
    def fault(tensors):
        learnt(tensors)
        zero_mlp(5)(tensors)

    done = compare(edited(parent, place / "faulty", fault), "--expect=trained", "-k", "line", against=parent)
    (row,) = outcomes(place, "faulty").values()

    assert done.returncode == 1
    assert row["outcome"] == "REFUTED"
    assert row["estimate"]["where"].startswith("layer 5 ")


def test_a_stale_checkpoint_is_accepted_as_equal_and_blocked_as_trained(compare, parent, place):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(parent).save_pretrained(place / "again", max_shard_size="20KB")
    AutoTokenizer.from_pretrained(parent).save_pretrained(place / "again")
    as_equal, as_trained = (compare(place / "again", f"--expect={one}", against=parent) for one in ("equal", "trained"))

    assert (as_equal.returncode, as_trained.returncode) == (0, 1)
    assert "nothing was trained, and --expect=trained blocks what is stale" in refusal(as_trained)


def test_claims_of_one_expectation_are_not_collected_under_the_other(compare, parent, place):
    new = place / "child" if (place / "child").exists() else edited(parent, place / "child", learnt)
    collected = {
        expected: set(re.findall(r"::(test_\w+)", done.stdout))
        for expected in ("equal", "trained")
        if (done := compare(new, f"--expect={expected}", "--collect-only", "-q", against=parent))
    }

    assert collected["equal"] - collected["trained"] >= {"test_no_matrix_moved_far", "test_heads_look_where_they_did"}
    assert collected["trained"] - collected["equal"] == {
        "test_its_weights_have_moved", "test_no_layer_is_out_of_line", "test_entropy_has_not_collapsed",
        "test_it_does_what_it_is_asked",
    }  # fmt: skip
    assert "test_it_is_not_worse_in_the_exam" in collected["equal"] & collected["trained"]


def test_only_claims_about_change_are_collected_with_against_and_none_without(compare, old, place):
    changed = compare(edited(old, place / "one", zero_mlp(0)), "--collect-only", "-q")
    command = [sys.executable, "-m", "pytest", "--pyargs", CHECKS, "--collect-only", "-q"]
    without = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)

    assert set(re.findall(r"(test_\w+\.py)::", changed.stdout)) == {f"test_{stage}.py" for stage in STAGES}
    assert "test_it_is_not_worse_in_the_exam[one-common]" in changed.stdout
    assert without.returncode == 5  # pytest's own: nothing was collected


def test_models_run_in_bfloat16_and_the_key_says_so(compare, place):
    done = compare(place / "shaken", "--dtype=bfloat16", "-k", "next")
    described = [read_manifest(folder).description for folder in (place / "store").glob("measurements/*")]
    dtypes = {one["parameters"].get("dtype") for one in described if one["probe"] == "divergence"}

    assert done.returncode in (0, 1, 20)
    assert dtypes == {None, "bfloat16"}


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--method=grpo"], "--method is about methods, and --against about two checkpoints: leave one of them out"),
        (["--seeds=2"], "--seeds is about methods"),
        (["--inconclusive=maybe"], "--inconclusive=maybe is not known: fail (exit 20) or warn (exit 0)"),
        (["--expect=better"], "--expect=better is not known: equal, or trained"),
        (["--exam="], "names no exam: choose common, mmlu_dev"),
        (["--margin=common=-1"], "a margin lies above 0"),
        (["--margin=comon=3"], "write EXAM=POINTS, of the exams asked, common"),
        (["--margin=common=three"], "'three' is no number of points"),
        (["--dtype=int4"], "unknown dtype 'int4': choose float32, bfloat16, or auto"),
        (["--against=org/no-such-model"], "is no folder, no method and not in the hub's cache, and cannot be fetched"),
        (["--against=grp"], "is no folder and no method. Did you mean 'grpo'?"),
        (["--against="], "names no checkpoint"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_4(compare, place, old, options, sentence):
    new = place / "noisy" if (place / "noisy").exists() else edited(old, place / "noisy", zero_mlp(1))
    done = compare(new, *options, HF_HUB_OFFLINE="1")

    assert done.returncode == 4, done.stdout
    assert sentence in refusal(done)


def test_one_folder_given_twice_is_one_sentence_and_exit_4(compare, old):
    done = compare(old)

    assert done.returncode == 4
    assert "--checkpoint and --against both name old: give the old one and the new" in refusal(done)


def test_an_exam_with_a_typo_is_answered_with_the_nearest_names(compare, place):
    done = compare(place / "broken", "--exam=gsm8", "-k", "exam")

    assert done.returncode == 4
    assert "gsm8k" in refusal(done)


def test_the_old_one_is_asked_for_with_the_new_one(place, old):
    command = [sys.executable, "-m", "pytest", "--pyargs", CHECKS, f"--against={old}"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)

    assert done.returncode == 4
    assert "name the new one with --checkpoint" in refusal(done)


def shrink(tensors):
    for name in tensors:
        if "layers.1." in name:
            tensors[name] *= np.float32(0.7)


CONFTEST = """
from depthgauge import Margin

def pytest_depthgauge_margins():
    return {{"weights-unmoved": {margin}, "of-somebody-else": Margin(1, "share", "why")}}
"""


@pytest.fixture
def project(place, old):
    """A project's own conftest.py where `depthgauge compare` runs; layer 1 of the new checkpoint is .3 smaller."""

    def run(margin):
        new = place / "ours" if (place / "ours").exists() else edited(old, place / "ours", shrink)
        folder = place / "project"
        folder.mkdir(exist_ok=True)
        (folder / "conftest.py").write_text(CONFTEST.format(margin=margin))
        command = [sys.executable, "-m", "depthgauge", "compare", str(old), str(new), "--claims=weights-unmoved"]
        command.append("--conftest=conftest.py")
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run


def test_a_projects_own_margin_is_judged_and_stands_in_the_report_with_its_reason(project, place):
    blocked = project('Margin(0.2, "share", "too tight for this")')
    accepted = project('Margin(0.4, "share", "a third may go")')
    row = outcomes(place / "project", "ours")["weights-unmoved"]

    assert (blocked.returncode, accepted.returncode) == (1, 0), accepted.stdout
    assert row["region"] == "<= 0.4 share" and row["rationale"] == "a third may go"
    assert "no claim of this run has the margin that was given for it: of-somebody-else" in accepted.stdout


@pytest.mark.parametrize(
    "margin, sentence",
    [
        ('Margin(0, "share", "why")', "a margin lies above 0, got 0"),
        ('Margin(-0.1, "share", "why")', "a margin lies above 0, got -0.1"),
        ('Margin(0.1, "", "why")', "a margin of 0.1 needs its unit and a reason"),
        ('Margin("a lot", "share", "why")', "pytest_depthgauge_margins: "),
        ("0.1", "'weights-unmoved' is given 0.1, which is no Margin"),
        (
            'Margin(3, "points", "why")',
            "weights-unmoved: the margin of 'weights-unmoved' is in 'share', got 3 'points'",
        ),
    ],
)
def test_what_is_no_margin_is_one_sentence_and_exit_4(project, margin, sentence):
    done = project(margin)

    assert done.returncode == 4, done.stdout
    assert sentence in refusal(done)
