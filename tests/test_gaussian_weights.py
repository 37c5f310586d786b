"""The shape of weights: scipy's numbers from one pass, every layout of matrices, planted laws."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy import stats

from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.corruptions import CORRUPTIONS, corrupt
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.stats import greatest_exactly
from depthgauge.store.folders import Store
from depthgauge_suites.layer_papers.gaussian_weights import compute, departures
from depthgauge_suites.layer_papers.gaussian_weights.compute import Tally, shape_of, shapes
from tests.families import random_model
from tests.processes import refused
from tests.tiny import save_tiny_base, tiny_testbed

LAWS = {
    "normal": lambda rng, n: rng.normal(0.001, 0.02, n),
    "laplace": lambda rng, n: rng.laplace(0, 0.02, n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "exponential": lambda rng, n: rng.exponential(0.1, n),
    "student": lambda rng, n: rng.standard_t(4, n),
    "moved": lambda rng, n: rng.normal(3, 1, n),
}


def shape(values, dtype="F32"):
    tally = Tally(dtype)
    for part in np.array_split(values, 3):
        tally.add(part)
    return shape_of(tally, None)


def test_bfloat16_is_counted_as_the_numbers_it_is():
    values = torch.from_numpy(np.random.default_rng(0).laplace(0.1, 1, 20_000)).bfloat16()
    found, same = shape(values.view(torch.uint16).numpy(), "BF16"), shape(values.float().numpy())

    assert found.std == pytest.approx(same.std)
    assert (found.mean, found.kurtosis) == pytest.approx((same.mean, same.kurtosis))
    assert (found.ks, found.qq) == pytest.approx((same.ks, same.qq), abs=5e-3)  # a number of bfloat16 is .8 % wide


@pytest.mark.parametrize("law", LAWS)
def test_effect_sizes_are_scipys(law):
    values = LAWS[law](np.random.default_rng(0), 60_000).astype(np.float32)
    found, exact = shape(values), values.astype(float)
    mean, std = exact.mean(), exact.std()

    assert found.std == pytest.approx(std)
    assert found.mean == pytest.approx(mean / std, abs=1e-9)
    assert found.kurtosis == pytest.approx(stats.kurtosis(exact), rel=1e-9, abs=1e-9)
    assert found.ks == pytest.approx(stats.kstest((exact - mean) / std, "norm").statistic, abs=5e-4)
    assert found.qq == pytest.approx(stats.probplot(exact)[1][2], abs=1e-3)
    assert found.outliers == pytest.approx(np.mean(np.abs(exact - mean) > 6 * std))


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "gpt_neox", "phi3"])
@pytest.mark.parametrize("piece", [64, 1 << 21])
def test_fused_matrices_are_told_apart_whatever_is_read_at_once(family, piece, tmp_path, monkeypatch):
    model = random_model(family, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(compute, "PIECE", piece)
    found = shapes(tmp_path)
    by_name = {name: found[name].std for name in found if name.startswith("layer 0 ")}

    assert set(by_name) >= {"layer 0 q", "layer 0 k", "layer 0 v", "layer 0 o", "layer 0 up", "layer 0 down"}
    monkeypatch.undo()
    assert by_name == pytest.approx({name: shapes(tmp_path)[name].std for name in by_name})


def test_the_query_part_of_a_fused_matrix_is_its_queries(tmp_path):
    model = random_model("phi3", 0)
    model.save_pretrained(tmp_path)
    fused = load_file(tmp_path / "model.safetensors")["model.layers.0.self_attn.qkv_proj.weight"]
    config = json.loads((tmp_path / "config.json").read_text())
    width = config["hidden_size"] // config["num_attention_heads"]
    queries = fused[: width * config["num_attention_heads"]]

    assert shapes(tmp_path)["layer 0 q"].std == pytest.approx(queries.astype(float).std())


@pytest.fixture
def context(tiny_base, tmp_path):
    return RunContext(
        testbed=tiny_testbed(tiny_base), store=Store(tmp_path / "store", run="test"), tell=lambda line: None
    )


def law_of(folder, context, size):
    candidate = CheckpointSet(name=folder.name, folder=folder, context=context)
    return greatest_exactly(departures(candidate, size), estimand="x").point


@pytest.mark.parametrize("seed", range(5))
def test_fresh_weights_are_gaussian_and_lopsided_ones_are_not(seed, context, tmp_path):
    gaussian = save_tiny_base(tmp_path / "gaussian", seed=seed)
    corrupt(gaussian, tmp_path / "lopsided", CORRUPTIONS["exponential_weights"], seed=seed)
    found = {
        size: [law_of(tmp_path / name, context, size) for name in ("gaussian", "lopsided")]
        for size in ("ks", "kurtosis", "mean")
    }

    assert found["ks"][0] < 0.08 < 0.12 < found["ks"][1]  # matrices of 128 to 512 weights
    assert found["kurtosis"][1] > 3 > found["kurtosis"][0]
    assert found["mean"][0] < 0.3 < 0.9 < found["mean"][1]


def broken(tiny_base, folder, value):
    save_tiny_base(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.3.mlp.down_proj.weight"][:] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_matrix_of_zeros_has_no_shape_and_is_named(tiny_base, context, tmp_path):
    with refused(NotTestable, "layer 3 down"):
        law_of(broken(tiny_base, tmp_path / "zeros", 0), context, "ks")


def test_weights_that_are_no_numbers_are_named(tiny_base, tmp_path):
    with refused(InvalidCheckpoint, "layers.3.mlp.down_proj.weight", code="not-finite"):
        shapes(broken(tiny_base, tmp_path / "nan", np.nan))
