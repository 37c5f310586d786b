"""History and trajectories: a line a run, whatever breaks; a training judged checkpoint by checkpoint."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from xml.etree import ElementTree

import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from depthgauge.core.errors import TrainingFailed, UsageError
from depthgauge.core.record import read_report
from depthgauge.history.gated_runs import FILE, Figure, GatedRun, append, first_refuted, gated_run, read, traced
from depthgauge.report.folder import report_folder
from depthgauge.report.trend import write_trend
from depthgauge.runs.trajectory import checkpoints_of, is_pattern
from depthgauge_methods.gate import Gate
from tests.bytes import save_byte_model
from tests.processes import refused
from tests.reports import write_report_json
from tests.test_compare import edited, zero_mlp
from tests.test_report import NOT_TESTABLE, REFUTED, row


def figure(point, outcome="SUPPORTED"):
    return Figure(point, point - 1, point + 1, "points", (-5.0, None), outcome)


def run(i, exit_code=0, **claims):
    return GatedRun(
        started=f"2026-11-{i + 1:02}", checkpoint=f"week-{i}", fingerprint=f"{i:016}", baseline="prod",
        exit_code=exit_code, claims=claims,
    )  # fmt: skip


def test_a_run_reads_back_as_it_was_written(tmp_path):
    rows = [row(REFUTED, bounds=(None, 0.1)), row(NOT_TESTABLE, claim="other", estimate=None)]
    checkpoints = {"candidate": ("week", "a"), "baseline": ("prod", "b")}
    path = write_report_json(tmp_path / "report.json", rows, checkpoints=checkpoints, code=1)
    one = gated_run(read_report(path))
    append(tmp_path / FILE, one)

    assert read(tmp_path / FILE) == ([one], [])
    assert (one.checkpoint, one.fingerprint, one.baseline, one.exit_code) == ("week", "a", "prod", 1)
    assert one.claims["science-gain"] == Figure(3.25, 1.0, 5.5, "points", (None, 0.1), "REFUTED")
    assert one.claims["other"].point is None


NAMELESS = json.dumps(asdict(run(0)) | {"checkpoint": None}) + "\n"


@pytest.mark.parametrize("half", ['{"started": "2026', "{}\n", "[1]\n", "null\n", "\x00\n", NAMELESS])
def test_a_broken_line_costs_itself_alone(tmp_path, half):
    append(tmp_path / FILE, run(0))
    with (tmp_path / FILE).open("a") as file:
        file.write(half)
    append(tmp_path / FILE, run(1))

    assert read(tmp_path / FILE) == ([run(0), run(1)], [2])


def test_the_page_says_when_a_claim_was_refuted_first(tmp_path):
    runs = [
        run(0, weights=figure(0)),
        run(1, weights=figure(-3), other=figure(1)),
        run(2, 1, weights=figure(-9, "REFUTED")),
    ]
    for one in runs:
        append(tmp_path / FILE, one)
    page = write_trend(tmp_path / FILE).read_text()
    ((name, points),) = traced(runs)

    assert (name, first_refuted(points)) == ("weights", 2)
    assert "3 runs, the last: blocked" in page and "run 3, week-2" in page
    assert (tmp_path / "history" / "history.png").stat().st_size > 5000


def test_a_history_that_is_not_there_or_empty_is_one_sentence(tmp_path):
    with refused(UsageError, "No such file or directory", "--baseline"):
        write_trend(tmp_path / FILE)
    (tmp_path / FILE).write_text("{\n")
    with refused(UsageError, code="empty"):
        write_trend(tmp_path / FILE)


def test_one_checkpoint_alone_has_no_trend_and_a_page(tmp_path):
    append(tmp_path / FILE, replace(run(0), claims={"c": figure(1)}))

    assert "| week-0" in write_trend(tmp_path / FILE).read_text()


# -- trajectories ---


def test_checkpoints_come_in_the_order_of_their_steps(tmp_path):
    for step in (100, 20, 3):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "config.json").write_text("{}")
    (tmp_path / "checkpoint-7").mkdir()  # not finished
    pattern = f"{tmp_path}/checkpoint-*"

    assert is_pattern(pattern) and not is_pattern(str(tmp_path))
    assert [path.name for path in checkpoints_of(pattern)] == ["checkpoint-3", "checkpoint-20", "checkpoint-100"]
    (tmp_path / "checkpoint-4").mkdir()  # an adapter
    (tmp_path / "checkpoint-4" / "adapter_config.json").write_text("{}")
    assert [path.name for path in checkpoints_of(f"{tmp_path}/checkpoint-?")] == ["checkpoint-3", "checkpoint-4"]
    with refused(UsageError, f"{tmp_path}/step-*", "'run/checkpoint-*'"):
        checkpoints_of(f"{tmp_path}/step-*")


@pytest.mark.heavy
def test_a_training_is_judged_checkpoint_by_checkpoint(tmp_path):
    """Two runs whose last folders have one name, and a report of an earlier run that is none of theirs."""
    baseline = save_byte_model(tmp_path / "old")
    for run, edit in (("run-9", lambda tensors: tensors["model.norm.weight"].__imul__(1.001)), ("run-10", zero_mlp(2))):
        (tmp_path / run).mkdir()
        edited(baseline, tmp_path / run / "old", edit)
    earlier = report_folder(tmp_path / "reports", "trajectory", tmp_path / "trajectory").make()
    report_folder(earlier, "stale").make()
    command = [sys.executable, "-m", "depthgauge", "compare", "./old", "run-*/old", "--last-stage=weights", "-q"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    page = tmp_path / "reports" / "trajectory" / "history" / "history.md"
    (report,) = tmp_path.glob("reports/trajectory/run-9--old/**/report.json")
    claims = json.loads(report.read_text())["verdicts"]

    assert done.returncode == 1, done.stdout[-2000:]
    assert done.stdout.endswith("1 of 2 candidates are accepted; exit 1: reports/trajectory/history/history.md\n")
    assert "| weights-within-margin" in page.read_text() and "run 2, run-10--old" in page.read_text()
    assert not (tmp_path / "reports" / "trajectory" / "stale").exists()
    assert report.parent.name == "run-9--old"  # and in no folder of the same name within it
    assert {one["claim"] for one in claims} >= {"same-tensors", "weights-within-margin"}
    assert "next-token-within-margin" not in {one["claim"] for one in claims}


@pytest.mark.full
def test_a_trainer_whose_checkpoints_cannot_be_judged_ends_with_a_sentence(tmp_path):
    gate = Gate("./nowhere")
    state, control = TrainerState(global_step=5), TrainerControl()

    with refused(TrainingFailed, "checkpoint-5", "'./nowhere'", "exit 4"):
        gate.on_save(TrainingArguments(str(tmp_path), use_cpu=True, report_to=[]), state, control)
    assert gate.exits == {5: 4}


@pytest.mark.full
def test_a_stage_of_another_name_is_one_sentence(tmp_path):
    command = [sys.executable, "-m", "depthgauge", "compare", "base_model", "grpo", "--last-stage=brain"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 4
    assert "--last-stage=brain is not known: choose files, weights, internals, generation, tasks." in done.stderr


@pytest.mark.heavy
@pytest.mark.parametrize("rate, steps, exits", [(1e-3, 2, {1: 0, 2: 0}), (0.0, 1, {1: 1})])
def test_a_trainer_is_stopped_at_the_first_checkpoint_that_is_blocked(tmp_path, monkeypatch, rate, steps, exits):
    """One that learns goes on; one whose rate is 0 saves the baseline again, and is stopped there."""
    monkeypatch.chdir(tmp_path)
    baseline = save_byte_model(tmp_path / "old")
    tokenizer = AutoTokenizer.from_pretrained(baseline)
    ids = tokenizer("The quick brown fox jumps over the lazy dog.")["input_ids"]
    gate = Gate("./old", last_stage="weights")
    arguments = TrainingArguments(
        "run", max_steps=2, save_steps=1, learning_rate=rate, report_to=[], use_cpu=True, disable_tqdm=True,
        save_strategy="steps",
    )  # fmt: skip
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(baseline, dtype=torch.float32), arguments, callbacks=[gate],
        train_dataset=Dataset.from_list([{"input_ids": ids, "labels": ids}] * 8), processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()

    assert trainer.state.global_step == steps
    assert gate.exits == exits
    assert os.path.isdir(tmp_path / "run" / f"checkpoint-{steps}")
    shutil.rmtree(tmp_path / "run")


@pytest.mark.full
@pytest.mark.heavy
def test_one_that_is_no_checkpoint_keeps_no_other_from_being_judged_and_junit_has_all(tmp_path):
    baseline = save_byte_model(tmp_path / "base")
    for step, factor in ((1, 1.001), (2, 1.002)):
        edited(baseline, tmp_path / f"step-{step}", lambda tensors, f=factor: tensors["model.norm.weight"].__imul__(f))
    (tmp_path / "empty").mkdir()
    names = ["step-1", "empty", "step-2"]
    command = [sys.executable, "-P", "-m", "depthgauge", "compare", "./base", *names, "--last-stage=files", "--quiet"]
    done = subprocess.run(
        [*command, "--junit-xml=junit.xml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    classes = {case.get("classname") for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")}

    assert done.returncode == 4, done.stdout + done.stderr
    assert {"step-1.test_files", "step-2.test_files", "depthgauge"} == classes
