"""A quantised folder run as it is stored: what its weights cost, and what else."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from depthgauge import api
from depthgauge.backends.handle import CheckpointHandle
from depthgauge.core.errors import NotHere, UsageError
from depthgauge.core.method import Checkpoint
from depthgauge.core.testbed import Text
from depthgauge.measure.measuring import key_of
from depthgauge.models.load import LOADED, Placement
from depthgauge.probes.divergence import NextToken
from tests.processes import refused

FIXTURES = Path(__file__).parent / "data" / "formats"
TEXTS = tuple(Text(text=text) for text in ("The ferry left the island at dusk.", "Pigeons came and went; a boy sold."))


@pytest.fixture
def copied(tmp_path):
    """A fixture of a format with the base's tokenizer beside it."""

    def copy(name):
        folder = shutil.copytree(FIXTURES / "base", tmp_path / name)
        return folder if name == "base" else shutil.copytree(FIXTURES / name, folder, dirs_exist_ok=True)

    return copy


def checkpoint(folder):
    return Checkpoint(name=folder.name, seed=0, folder=folder, fingerprint=folder.name)


def handle(folder, **placement):
    return CheckpointHandle(checkpoint=checkpoint(folder), placement=Placement(**placement))


def measured(folders, **placement):
    LOADED.clear()
    return NextToken(texts=TEXTS).run(*(handle(folder, **placement) for folder in folders))


@pytest.mark.parametrize(("kind", "quantises_activations"), [("ct-w8a8", True), ("ct-w4", False)])
def test_what_weights_cost_and_what_running_them_does_are_told_apart(kind, quantises_activations, copied):
    pytest.importorskip("compressed_tensors")
    pair = copied(kind), copied("base")
    run, dequantised = measured(pair, as_run=True), measured(pair)

    assert np.array_equal(run["kl_of_weights"], dequantised["kl"])
    assert np.array_equal(run["changed_by_weights"], dequantised["changed"])
    assert run["kl_of_weights"].mean() > 1e-6
    if quantises_activations:
        assert run["kl_of_running"].mean() > 1e-6
        assert not np.array_equal(run["kl"], dequantised["kl"])
    else:
        assert run["kl_of_running"].max() < 1e-9
        assert np.allclose(run["kl"], dequantised["kl"], atol=1e-7)


def test_without_being_asked_nothing_is_told_apart(copied):
    assert "kl_of_weights" not in measured((copied("ct-w8a8"), copied("base")))


@pytest.mark.parametrize("kind", ["gptq", "ct-w4-asym"])
def test_what_cannot_be_run_as_it_is_stored_says_why(kind, copied):
    """GPTQ wants libraries that are not here, and transformers cannot place the zeros of packed integers."""
    with refused(NotHere, kind, "float32", "--as-run"):
        _ = handle(copied(kind), as_run=True).model


def test_a_measurement_as_it_runs_is_another_and_of_plain_weights_the_same(copied):
    class Context:
        placement = Placement()

    class AsRun:
        placement = Placement(as_run=True)

    quantised, plain = checkpoint(copied("ct-w4")), checkpoint(copied("base"))
    probe = NextToken(texts=TEXTS)

    assert key_of(probe, AsRun, quantised, plain) == key_of(probe, Context, quantised, plain) | {"as_run": True}
    assert key_of(probe, AsRun, plain) == key_of(probe, Context, plain)


@pytest.mark.heavy
def test_the_report_tells_apart_what_weights_cost(copied, tmp_path):
    pytest.importorskip("compressed_tensors")
    report = tmp_path / "reports"
    api.compare(
        copied("base"), copied("ct-w8a8"), as_run=True, all_stages=True, claims=("divergence-within-bits",),
        store=tmp_path / "store", report_dir=report,
    )  # fmt: skip
    (page,) = report.glob("*/report.md")

    text = page.read_text()
    assert "| what costs it" in text
    assert all(f"| {row} " in text for row in ("weights", "activations, and how it is computed", "both"))


def test_it_is_asked_of_two_checkpoints(tmp_path):
    with refused(UsageError, "--as-run", "--baseline"):
        api.verify("base", as_run=True, store=tmp_path)
