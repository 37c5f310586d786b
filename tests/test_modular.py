"""Modular addition: the data, the model against its full-sequence form, training, resume after a kill, bad input."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.core.errors import InvalidCheckpoint, NotTestable, TrainingFailed, UsageError
from depthgauge.core.method import TrainingJob
from depthgauge.probes.training import largest_jump
from depthgauge_methods.full_batch import SNAPSHOT_EVERY, Training, train_modular
from depthgauge_methods.grokking import GROKKING, GrokkingSettings
from depthgauge_suites.grokking.fourier import compute as fourier
from depthgauge_suites.grokking.fourier import formed_before_shown, phases
from depthgauge_suites.grokking.fourier.measures import along_the_way, take_apart
from depthgauge_suites.grokking.fourier.transformer import (
    ModularTask,
    Weights,
    all_pairs,
    check,
    fresh_weights,
    load,
    load_checkpoint,
    run,
    save,
)
from depthgauge_testbeds.modular_addition import MODULAR_ADDITION
from tests.full_sequence import FullSequence, full_sequence_losses
from tests.processes import refused

SMALL = GrokkingSettings(p=11, train_fraction=0.6, until_test_loss=None, steps=2 * SNAPSHOT_EVERY)


def job(folder, settings=SMALL, tell=lambda line: None):
    folder.mkdir(exist_ok=True)
    return TrainingJob(
        method=replace(GROKKING, settings=settings), testbed=MODULAR_ADDITION, seed=0, device="cpu", folder=folder,
        tell=tell,
    )  # fmt: skip


# -- the data ---


def test_the_paper_trains_on_3830_of_12769_sums():
    train, test = ModularTask().split()
    assert (len(train), len(test)) == (3830, 8939)


@given(p=st.sampled_from([3, 5, 11]), fraction=st.floats(0.15, 0.9), seed=st.integers(0, 99))
def test_every_sum_is_trained_on_or_tested_and_none_is_both(p, fraction, seed):
    train, test = (
        set(map(tuple, pairs.tolist())) for pairs in ModularTask(p=p, train_fraction=fraction, seed=seed).split()
    )
    assert train | test == set(map(tuple, all_pairs(p).tolist()))
    assert not train & test
    assert len(train) == int(fraction * p * p)


@pytest.mark.parametrize("p", [2, 1, 0, -7, 4, 9, 112])
def test_p_must_be_an_odd_prime(p):
    with refused(UsageError, "59", f"got {p}"):
        ModularTask(p=p)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_there_must_be_sums_to_train_on_and_others_to_test(fraction):
    with refused(UsageError, "train_fraction", f"got {fraction}"):
        ModularTask(train_fraction=fraction)


def test_a_fraction_of_a_sum_is_no_sum():
    with refused(UsageError, "0.05", "9", "train_fraction"):
        ModularTask(p=3, train_fraction=0.05)


# -- the model ---


def test_the_last_position_is_that_of_the_full_sequence():
    weights = fresh_weights(13, 1).to(torch.float64)
    weights = weights._replace(b_in=torch.randn(512).double(), b_out=torch.randn(128).double())
    torch.testing.assert_close(run(weights, all_pairs(13)).logits, FullSequence(weights)(all_pairs(13))[:, -1])


@pytest.fixture
def in_float64():
    """Where sums in another order stay equal: in float32 Adam divides rounding errors by gradients as small."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_a_hundred_steps_have_the_losses_of_the_full_sequence(in_float64):
    training = Training(SMALL, 0, "cpu")
    ours = [training.advance() for _ in range(100)]
    theirs = full_sequence_losses(Training(SMALL, 0, "cpu"), 100)
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-10
    assert ours[-1] < ours[0] / 2


# -- training ---


def test_a_training_fills_a_folder_that_can_be_judged(tmp_path):
    lines = []
    train_modular(job(tmp_path / "run", replace(SMALL, shuffled=True), lines.append))
    weights, task = load_checkpoint(tmp_path / "run")
    assert task == ModularTask(p=11, train_fraction=0.6, seed=0)
    log = json.loads((tmp_path / "run" / "training_log.json").read_text())
    assert log[0]["step"] == 0
    assert log[-1]["step"] == 2 * SNAPSHOT_EVERY
    assert log[-1]["train_accuracy"] > log[-1]["test_accuracy"]  # answers dealt out at random: nothing to understand
    kept = sorted((tmp_path / "run" / "trajectory").glob("*"))
    assert [int(path.stem) for path in kept] == [0, SNAPSHOT_EVERY, 2 * SNAPSHOT_EVERY]
    torch.testing.assert_close(load(kept[-1]), weights, rtol=0, atol=0)
    progress = along_the_way(kept, task, (1, 2))
    assert progress["step"].tolist() == [int(path.stem) for path in kept]
    assert progress["test_loss"][-1] == pytest.approx(log[-1]["test_loss"], rel=1e-3)
    found = take_apart(weights, task)
    assert found["attention"].shape == (4, 11, 11)
    assert len(found["ablated_losses"]) == len(found["key_frequencies"])
    assert found["test_loss"] == pytest.approx(log[-1]["test_loss"], rel=1e-3)
    assert found["test_accuracy"] == log[-1]["test_accuracy"]


def test_a_training_stops_once_it_has_grokked_and_cleaned_up():
    training = Training(replace(SMALL, until_test_loss=1e-5, clean_up_steps=100), 0, "cpu")
    right = {"test_accuracy": 1.0, "test_loss": 1e-6}
    training.log, training.step = [right | {"step": 50.0}], 100
    assert not training.ended
    training.step = 150
    assert training.ended
    training.log = [right | {"step": 50.0, "test_accuracy": 0.999}]
    assert not training.ended


@pytest.mark.full
def test_a_killed_training_resumes_to_the_same_bits(tmp_path):
    train_modular(job(tmp_path / "whole"))
    killed = tmp_path / "killed"
    killed.mkdir()
    code = (
        "import sys, time; from pathlib import Path; from tests.test_modular import job\n"
        "import depthgauge_methods.full_batch as f\n"
        "note = f.Training.note\n"
        "f.Training.note = lambda self: (time.sleep(0.2 * (self.step > f.SNAPSHOT_EVERY)), note(self))\n"
        "f.train_modular(job(Path(sys.argv[1])))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(killed)], cwd=Path(__file__).parents[1])
    while not (killed / ".state.safetensors").is_file():
        time.sleep(0.05)
        assert process.poll() is None
    time.sleep(0.3)  # somewhere after the state was kept
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "model.safetensors").exists()
    lines = []
    train_modular(job(killed, tell=lines.append))
    assert lines[0] == f"grokking seed 0: resuming at step {SNAPSHOT_EVERY}"
    for name in ("model.safetensors", "training_log.json"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# -- what is read from weights and from a training ---


def test_what_is_read_from_weights_is_what_the_probes_find():
    task = ModularTask(p=11, train_fraction=0.4)
    weights = fresh_weights(11, 0)
    found, keys = take_apart(weights, task), fourier.key_frequencies(weights)
    logits, train = fourier.landscape(weights).logits, tuple(task.split()[0].numpy().T)
    losses = {
        "loss": fourier.pair_losses(logits),
        "restricted_loss": fourier.pair_losses(fourier.restricted(logits, keys)),
        "kept_loss": fourier.pair_losses(fourier.kept(logits, keys)),
    }
    for name, each in losses.items():
        assert found[name] == pytest.approx(each.mean())
        assert found[f"{name[: -len('loss')] if name != 'loss' else ''}train_loss"] == pytest.approx(each[train].mean())
    excluded = fourier.pair_losses(fourier.excluded(logits, keys))
    assert found["excluded_loss"] == pytest.approx(excluded[train].mean())
    without = [fourier.pair_losses(fourier.excluded(logits, [k])).mean() for k in keys]
    assert found["least_ablated_loss"] == pytest.approx(min(without))
    assert found["key_frequencies"].tolist() == list(keys)


def test_at_most_ten_frequencies_are_taken_for_those_of_the_logits():
    found = take_apart(fresh_weights(59, 0), ModularTask(p=59))
    assert len(found["key_frequencies"]) > 10
    assert found["outside_share"] > 0.5


def test_phases_end_where_the_excluded_loss_is_least_and_the_test_loss_halved():
    import numpy as np

    progress = {
        "step": np.array([0, 1, 2, 3, 4]),
        "test_loss": np.array([5.0, 20.0, 18.0, 9.0, 0.0]),
        "excluded_loss": np.array([5.0, 0.1, 2.0, 8.0, 6.0]),
    }
    assert phases(progress) == (1, 2, 4)
    assert formed_before_shown(progress) == pytest.approx(20)


@pytest.mark.parametrize(
    "losses, jump", [([1, 1e-5, 1e-6, 5e-5, 1e-7], 50), ([1, 0.5, 2], 1), ([1, 1e-5, 1e-6, 1e-7], 1)]
)
def test_a_jump_is_a_rise_over_the_least_loss_before(losses, jump):
    import numpy as np

    assert largest_jump(np.array(losses)) == pytest.approx(jump)


# -- bad input ---


def saved(folder, weights, **config):
    folder.mkdir()
    save(weights, folder / "model.safetensors")
    said = {"model_type": "modular_addition", "p": 11, "train_fraction": 0.3, "seed": 0} | config
    (folder / "config.json").write_text(json.dumps(said))
    return folder


def test_weights_with_nan_are_refused(tmp_path):
    weights = fresh_weights(11, 0)
    weights.W_in[3, 4] = torch.nan
    with refused(InvalidCheckpoint, "W_in", code="not-finite"):
        load_checkpoint(saved(tmp_path / "nan", weights))


def test_weights_of_other_shapes_are_refused():
    with refused(InvalidCheckpoint, "W_U", "128", "5", "12"):
        check(fresh_weights(11, 0)._replace(W_U=torch.zeros(128, 5)), "it")


def test_weights_with_too_few_axes_are_refused():
    for name, axes in (("W_E", 2), ("W_Q", 3), ("b_in", 1)):
        with refused(InvalidCheckpoint, name, "()", f"{axes} axes"):
            check(fresh_weights(11, 0)._replace(**{name: torch.zeros(())}), "it")


def test_snapshots_of_another_training_are_refused(tmp_path):
    save(fresh_weights(13, 0), tmp_path / "000000.safetensors")
    with refused(InvalidCheckpoint, "p = 13", 11):
        along_the_way([tmp_path / "000000.safetensors"], ModularTask(p=11), (1, 2))


def test_a_training_that_diverges_says_at_which_step(tmp_path):
    training = Training(SMALL, 0, "cpu")
    training.weights.W_E.data.fill_(torch.nan)
    with refused(TrainingFailed, "seed 0", "step 0", code="not-finite"):
        training.note()


def test_a_checkpoint_of_another_kind_is_not_testable(tmp_path):
    folder = saved(tmp_path / "other", fresh_weights(11, 0), model_type="qwen3")
    with refused(NotTestable, "modular_addition"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "config, error, sentence",
    [
        ({"p": 13}, InvalidCheckpoint, "says p = 13, and its weights have 11 numbers"),
        ({"p": 12}, UsageError, "p must be an odd prime"),
        ({"p": "eleven"}, InvalidCheckpoint, "must name p and seed, whole numbers, and train_fraction"),
        ({"seed": None}, InvalidCheckpoint, "must name p and seed, whole numbers"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(tmp_path, config, error, sentence):
    with pytest.raises(error, match=sentence):
        load_checkpoint(saved(tmp_path / "folder", fresh_weights(11, 0), **config))


def test_a_folder_without_weights_or_configuration_is_refused(tmp_path):
    with refused(UsageError, "config.json"):
        load_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with refused(InvalidCheckpoint, "JSON"):
        load_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "modular_addition"}')
    with refused(InvalidCheckpoint, code="unreadable"):
        load_checkpoint(tmp_path)


def test_a_missing_weight_is_named(tmp_path):
    from safetensors.torch import save_file

    names = set(Weights._fields) - {"W_pos"}
    save_file({name: torch.zeros(2) for name in names}, tmp_path / "model.safetensors")
    with refused(InvalidCheckpoint, "W_pos"):
        load(tmp_path / "model.safetensors")
