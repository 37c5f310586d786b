"""Adapters: what is generated is merged exactly, has its rank, leaves the rest alone, and trains by TRL."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from depthgauge import METHODS
from depthgauge.core.errors import NotTestable, UsageError
from depthgauge.core.testbed import LoRA, MemoryOptions
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import load_uncached
from depthgauge.probes.weights.measures import ranks_of_change
from depthgauge.store.folders import Store
from depthgauge_methods.second_pass.adapters import GiftAdapter, LoRAAdapter, adapter_of
from depthgauge_methods.settings import AdapterSettings, Gift, GRPOSettings, SecondPass
from tests.processes import refused
from tests.tiny import tiny_testbed

RANK = 3


def attached(folder, seed=0):
    """A model with a generator that is no longer 0."""
    model = load_uncached(folder)[0].eval()
    arguments = {"model": model}
    adapter = GiftAdapter(Gift(rank=RANK))
    adapter.attach(arguments)
    with torch.no_grad():
        for generator in model.gift.values():
            generator.up.normal_(generator=torch.Generator().manual_seed(seed))
    return model, adapter


@pytest.mark.parametrize("seed", range(5))
def test_the_merged_model_computes_what_the_hooked_one_does_and_keeps_no_trace(tiny_base, seed):
    model, adapter = attached(tiny_base, seed)
    ids, before = torch.tensor([[3, 4, 5, 6, 3]]), set(load_uncached(tiny_base)[0].state_dict())
    with torch.no_grad():
        hooked = model(ids).logits
        merged = adapter.merge(model)
        assert (merged(ids).logits - hooked).abs().max() < 1e-5 * hooked.abs().max()
        assert (hooked - load_uncached(tiny_base)[0](ids).logits).abs().max() > 1e-2
    assert set(merged.state_dict()) == before and not hasattr(merged, "gift")


def test_a_training_starts_at_the_base_and_trains_the_generator_alone(tiny_base):
    model = load_uncached(tiny_base)[0]
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        before = model(ids).logits
        GiftAdapter(Gift(rank=RANK)).attach({"model": model})
        assert torch.equal(model(ids).logits, before)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == [f"gift.{name}.{side}" for name in ("q_proj", "v_proj") for side in ("down", "up")]


def test_what_is_generated_is_the_weight_times_both_maps_and_has_their_rank(tiny_base, tmp_path):
    model, adapter = attached(tiny_base)
    maps = {name: generator.product().detach().double().numpy() for name, generator in model.gift.items()}
    adapter.merge(model).save_pretrained(tmp_path / "merged")
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_base, tmp_path / "merged"))
    for name, weight in before.items():
        generated = next((product for target, product in maps.items() if target in name), None)
        expected = weight if generated is None else weight + weight.astype(float) @ generated
        np.testing.assert_allclose(after[name], expected, atol=0 if generated is None else 1e-5)

    assert set(ranks_of_change(tmp_path / "merged", tiny_base, "q")) == {RANK}
    assert set(ranks_of_change(tmp_path / "merged", tiny_base, "k")) == {0}


@pytest.mark.parametrize("name", ["gift", "lora"])
def test_a_real_training_changes_queries_and_values_and_nothing_else(name, tiny_base, tmp_path):
    from dataclasses import replace

    settings = METHODS[name].settings
    small = replace(settings, adapter=replace(settings.adapter, rank=RANK), learning_rate_factor=3.0)
    context = RunContext(testbed=tiny_testbed(tiny_base), store=Store(tmp_path, run="test"), tell=lambda line: None)
    (checkpoint,) = CheckpointSet.of(replace(METHODS[name], settings=small), (0,), context).checkpoints
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_base, checkpoint.folder))
    moved = {tensor for tensor in before if not np.array_equal(before[tensor], after[tensor])}

    assert set(before) == set(after)
    assert moved == {tensor for tensor in before if "q_proj" in tensor or "v_proj" in tensor}
    assert np.nanmax(ranks_of_change(checkpoint.folder, tiny_base, "q")) <= RANK


def test_both_have_as_many_parameters_on_the_pocket_base():
    from depthgauge_testbeds.pocket import POCKET

    counts = {}
    for name in ("gift", "lora"):
        model = load_uncached(POCKET.base)[0]
        arguments = {"model": model}
        adapter_of(METHODS[name].settings, MemoryOptions()).attach(arguments)
        if "peft_config" in arguments:
            from peft import get_peft_model

            model = get_peft_model(model, arguments["peft_config"])
        counts[name] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert counts["gift"] == pytest.approx(counts["lora"], rel=0.03)


def test_the_testbeds_adapter_is_taken_where_a_method_has_none():
    assert adapter_of(GRPOSettings(), MemoryOptions()) is None
    assert isinstance(adapter_of(GRPOSettings(), MemoryOptions(lora=LoRA(rank=2))), LoRAAdapter)
    assert isinstance(adapter_of(AdapterSettings(adapter=Gift()), MemoryOptions(lora=LoRA(rank=2))), GiftAdapter)


def test_what_gift_cannot_do_is_one_sentence(tiny_base):
    with refused(UsageError, code="regularised"):
        adapter_of(AdapterSettings(adapter=Gift(), second_pass=SecondPass()), MemoryOptions())
    with refused(UsageError, "vLLM"):
        adapter_of(AdapterSettings(adapter=Gift()), MemoryOptions(vllm=True))
    with refused(UsageError, 99, 16):
        GiftAdapter(Gift(rank=99)).attach({"model": load_uncached(tiny_base)[0]})
    with refused(NotTestable, "c_attn"):
        GiftAdapter(Gift(targets=("c_attn",))).attach({"model": load_uncached(tiny_base)[0]})
