"""What only a GPU shows: left out where there is none."""

from dataclasses import replace

import pytest
import torch
import yaml

from depthgauge.api import verify
from depthgauge.core.method import Launch, TrainingJob
from depthgauge.core.testbed import MemoryOptions
from depthgauge.models.load import load_uncached
from depthgauge_methods.grpo import GRADREG, SecondPass
from depthgauge_methods.second_pass.launch import launch
from depthgauge_testbeds.pocket import POCKET
from tests.tiny import tiny_testbed

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch sees no GPU: run pytest tests/test_gpu.py on a machine with one"
)

INSIDE = ("articles.test_noise_trace", "articles.test_attention", "circuits.test_circuits")
FSDP2 = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "FSDP",
    "fsdp_config": {
        "fsdp_version": 2,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_transformer_layer_cls_to_wrap": "Qwen3DecoderLayer",
        "fsdp_reshard_after_forward": True,
    },
    "mixed_precision": "no",
    "num_machines": 1,
    "num_processes": 1,
}


def judged(device, store):
    suites = [f"depthgauge_suites.{name}" for name in INSIDE]
    return verify("grpo", checkpoint=POCKET.base, testbed="pocket", suites=suites, store=store, device=device)


def test_what_is_read_on_a_gpu_is_what_is_read_on_the_cpu(tmp_path):
    """In float32, as deep as rounding goes: sums are taken in another order."""
    here, there = judged("cpu", tmp_path / "cpu"), judged("cuda", tmp_path / "cuda")

    assert [(row.claim, row.outcome) for row in there.rows] == [(row.claim, row.outcome) for row in here.rows]
    assert there.problems == here.problems
    for mine, its in zip(here.rows, there.rows, strict=True):
        if mine.estimate is not None:
            assert its.estimate.point == pytest.approx(mine.estimate.point, rel=1e-3, abs=1e-4), mine.claim


def second_pass(base, folder, launched=None):
    folder.mkdir()
    method = replace(GRADREG, settings=replace(GRADREG.settings, second_pass=SecondPass(ascent_step=1e-3, penalty=0.1)))
    testbed = tiny_testbed(base)
    testbed = replace(testbed, training=replace(testbed.training, memory_options=MemoryOptions(accumulation=2)))
    job = TrainingJob(
        method=method, testbed=testbed, seed=3, device="cuda", folder=folder, tell=print, launch=launched
    )  # fmt: skip
    launch(job)
    return load_uncached(folder)[0].state_dict()  # as transformers loads it, with what is tied


def test_a_training_that_accelerate_shards_by_fsdp2_makes_the_same_checkpoint(tiny_base, tmp_path):
    """One GPU holds the only shard: what differs from many is the size of the shards, not the way."""
    config = tmp_path / "fsdp2.yaml"
    config.write_text(yaml.safe_dump(FSDP2))
    alone = second_pass(tiny_base, tmp_path / "alone", Launch(processes=1))
    sharded = second_pass(tiny_base, tmp_path / "sharded", Launch(processes=1, config=config))
    before = load_uncached(tiny_base)[0].state_dict()

    torch.testing.assert_close(sharded, alone, rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(before[name], weights) for name, weights in alone.items())
