"""Models read layer by layer give what models that are loaded whole give, to the bit."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GemmaConfig, GptOssConfig, LlamaConfig, MixtralConfig, Qwen3MoeConfig

from depthgauge import ItemTask
from depthgauge.backends import handle
from depthgauge.backends.handle import CheckpointHandle
from depthgauge.backends.layerwise import LAYERWISE, model, open_layerwise, passes, run_ahead
from depthgauge.backends.layerwise.passes import RUNNER
from depthgauge.checks.inputs import COMMON
from depthgauge.cli import parser
from depthgauge.core.errors import CorruptEntry, InvalidCheckpoint, NotHere, StoreUnusable
from depthgauge.core.method import Checkpoint
from depthgauge.core.registry import CORRUPTIONS
from depthgauge.core.testbed import Text
from depthgauge.corruptions.folder import corrupt
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.anatomy import blocks, edited_blocks
from depthgauge.models.load import Placement, read_model
from depthgauge.probes.activations import ActivationDifference
from depthgauge.probes.activations.compute import activation_difference, see_blocks
from depthgauge.probes.attention.compute import head_divergence
from depthgauge.probes.divergence import NextToken
from depthgauge.probes.divergence.compute import next_tokens
from depthgauge.store.folders import Store
from depthgauge.tasks import ItemTaskProbe
from depthgauge_testbeds.smollm2 import SMOLLM2
from tests.bytes import save_byte_model
from tests.families import FAMILIES, GROUPED, LOCAL_AND_GLOBAL
from tests.processes import refused
from tests.tiny import choices, save_tiny_base

EXPERTS = dict(num_experts_per_tok=2)
CONFIGURATIONS = {name: FAMILIES[name] for name in ("llama", "qwen2", "qwen3", "gemma3", "gpt2")} | {
    "gemma": lambda: GemmaConfig(**GROUPED, head_dim=16),
    "mixtral": lambda: MixtralConfig(**GROUPED, **EXPERTS, num_local_experts=4),
    "qwen3_moe": lambda: Qwen3MoeConfig(
        **GROUPED, **EXPERTS, head_dim=16, num_experts=4, moe_intermediate_size=16
    ),
    "gpt_oss": lambda: GptOssConfig(
        **GROUPED, **EXPERTS, head_dim=16, num_local_experts=4, sliding_window=4, layer_types=LOCAL_AND_GLOBAL
    ),
}  # fmt: skip
FEW = [[5, 6, 7, 8, 9, 3], [4, 8, 1], [9, 9, 9, 9, 9, 9]]


@pytest.fixture(autouse=True)
def nothing_is_open():
    model.OPENED.clear()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_tiny_base(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", run="test")


@pytest.fixture
def saved(tmp_path, tokenizer):
    """Write a random model of a family into a folder."""

    def save(name, *, seed=0, dtype=torch.float32, config=None):
        torch.manual_seed(seed)
        config = CONFIGURATIONS[name]() if config is None else config
        folder = tmp_path / f"{name}-{seed}-{str(dtype).removeprefix('torch.')}"
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(dtype).save_pretrained(folder)
        for path in tokenizer.glob("tokenizer*"):
            (folder / path.name).write_bytes(path.read_bytes())
        return folder

    return save


def checkpoint(folder):
    return Checkpoint(name=folder.name, seed=0, folder=folder, fingerprint=folder.name)


def layerwise(folder, store=None, *, dtype="float32", tell=lambda line: None):
    placement = Placement(dtype=dtype, device_map=LAYERWISE)
    return open_layerwise(checkpoint(folder), placement, store=store, tell=tell)[0]


def whole(folder, dtype="float32"):
    return read_model(folder, Placement(dtype=dtype))[0]


def states(streamed, ids):
    """What every layer of a model computes, and its logits."""
    kept = []
    see_blocks(streamed, ids, lambda _, output: kept.append(output.clone()))
    with torch.inference_mode():
        return [*kept, streamed(input_ids=torch.tensor(ids), use_cache=False).logits]


def same(ours, theirs):
    return all(map(torch.equal, ours, theirs))


def layers_read(streamed):
    """The layers whose weights are in memory."""
    return [i for i, block in enumerate(blocks(streamed)) if all(bool(p.isfinite().all()) for p in block.parameters())]


@pytest.mark.parametrize("family", CONFIGURATIONS)
def test_what_probes_measure_is_that_of_whole_models_to_the_bit(family, saved, store):
    pair = [saved(family, seed=seed) for seed in (1, 0)]
    by_layer, at_once = [layerwise(folder, store) for folder in pair], [whole(folder) for folder in pair]

    for measured in (next_tokens, activation_difference):
        ours, theirs = measured(*by_layer, FEW), measured(*at_once, FEW)
        assert all(np.array_equal(*arrays, equal_nan=True) for arrays in zip(ours, theirs, strict=True))
    assert all(
        getattr(streamed, RUNNER).kept is not None for streamed in by_layer
    )  # all went through one layer at a time
    if family != "gpt_oss":  # its rows do not sum to 1
        ours, theirs = head_divergence(*by_layer, FEW), head_divergence(*at_once, FEW)
        assert all(map(np.array_equal, ours, theirs))


@pytest.mark.parametrize("family", ["gemma3", "qwen3_moe"])
def test_in_bfloat16_it_is_the_same_to_the_bit(family, saved, store):
    folder = saved(family, dtype=torch.bfloat16)
    streamed = layerwise(folder, store, dtype="bfloat16")
    expected = states(whole(folder, "bfloat16"), FEW[1:2])

    assert same(states(streamed, FEW[1:2]), expected)
    run_ahead([streamed], [FEW[1:2]])
    assert same(states(streamed, FEW[1:2]), expected)


def test_an_output_matrix_in_the_file_is_used_although_the_configuration_ties_it(saved):
    folder = saved("llama", config=LlamaConfig(**GROUPED, tie_word_embeddings=True))
    tensors = load_file(folder / "model.safetensors")
    assert "lm_head.weight" not in tensors
    assert same(states(layerwise(folder), FEW[:1]), states(whole(folder), FEW[:1]))

    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].flip(0).contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model.OPENED.clear()

    assert same(states(layerwise(folder), FEW[:1]), states(whole(folder), FEW[:1]))


def test_one_layer_is_in_memory_at_a_time_and_none_afterwards(saved):
    streamed, seen = layerwise(saved("llama")), []
    for block in blocks(streamed):
        block.mlp.register_forward_hook(lambda *_: seen.append(layers_read(streamed)))
    states(streamed, FEW[:1])

    assert seen == [[0], [1], [2]] * 2
    assert layers_read(streamed) == []
    assert streamed.get_input_embeddings().weight.isnan().all()


def test_batches_that_were_run_ahead_read_no_layer_again_and_changed_ones_do(saved, store, monkeypatch):
    folder = saved("llama")
    streamed = layerwise(folder, store)
    run_ahead([streamed], [FEW[:1]])
    expected = states(whole(folder), FEW[:1])
    reads = count_reads(streamed, monkeypatch)

    assert same(states(streamed, FEW[:1]), expected)
    assert reads == []

    with edited_blocks(streamed, lambda layer, output: output * 2 if layer == 0 else output):
        edited = states(streamed, FEW[:1])
    with edited_blocks(plain := whole(folder), lambda layer, output: output * 2 if layer == 0 else output):
        assert same(edited, states(plain, FEW[:1]))
    assert set(reads) == {1, 2}
    assert same(states(streamed, FEW[1:2]), states(plain, FEW[1:2]))  # tokens that were not


def count_reads(streamed, monkeypatch):
    """The layers that are read from now on."""
    reads = []
    for place, unit in enumerate(getattr(streamed, RUNNER).of_layers):
        monkeypatch.setattr(unit, "read", lambda place=place, read=unit.read: reads.append(place) or read())
    return reads


def test_an_interrupted_run_goes_on_at_the_layer_where_it_was(saved, store, monkeypatch):
    folder, said = saved("llama"), []

    def interrupt(line):
        said.append(line)
        if "layer 3" in line:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        run_ahead([layerwise(folder, store, tell=interrupt)], [FEW[:1]])
    assert said[0] == f"measuring layer 1 of 3 of {folder.name}"
    assert said[1].startswith(f"measuring layer 2 of 3 of {folder.name}, ") and said[1].endswith(" s left")

    model.OPENED.clear()
    streamed = layerwise(folder, store)
    reads = count_reads(streamed, monkeypatch)
    run_ahead([streamed], [FEW[:1]])

    assert reads == [2]
    assert same(states(streamed, FEW[:1]), states(whole(folder), FEW[:1]))


def test_a_pass_that_was_damaged_is_refused(saved, store):
    folder = saved("llama")
    run_ahead([layerwise(folder, store)], [FEW[:1]])
    (file,) = store.root.glob("passes/*/layer-0001.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    model.OPENED.clear()
    with refused(CorruptEntry, "layer-0001"):
        run_ahead([layerwise(folder, store)], [FEW[:1]])


@pytest.mark.parametrize("kind", ["ct-w4", "gptq", "bnb-nested", "mxfp4"])
def test_a_quantised_folder_is_read_dequantised(kind, tmp_path, store):
    formats = Path(__file__).parent / "data" / "formats"
    folder = shutil.copytree(formats / "base", tmp_path / kind)
    shutil.copytree(formats / kind, folder, dirs_exist_ok=True)
    streamed, expected = layerwise(folder, store), states(whole(folder), FEW[:1])

    assert same(states(streamed, FEW[:1]), expected)
    run_ahead([streamed], [FEW[:1]])
    assert same(states(streamed, FEW[:1]), expected)


def test_layers_that_share_more_than_the_stream_are_run_batch_by_batch(saved, store, monkeypatch):
    monkeypatch.setattr(passes, "is_fixed", lambda value: False)
    folder = saved("llama")
    streamed = layerwise(folder, store)
    run_ahead([streamed], [FEW[:1]])

    assert getattr(streamed, RUNNER).kept is None
    assert same(states(streamed, FEW[:1]), states(whole(folder), FEW[:1]))


def test_a_disk_too_small_for_what_layers_compute_is_a_sentence(saved, store, monkeypatch):
    monkeypatch.setattr(passes.shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))

    with pytest.raises(StoreUnusable, match=r"what the layers of llama.* GiB are free in .*: make room there, or"):
        run_ahead([layerwise(saved("llama"), store)], [FEW[:1]])


def test_weights_that_are_not_finite_or_not_there_are_named(saved):
    folder = saved("llama")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.2.mlp.up_proj.weight"][1, 3] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with refused(InvalidCheckpoint, "model.layers.2.mlp.up_proj.weight", code="not-finite"):
        layerwise(folder)

    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with refused(InvalidCheckpoint, "model.layers.2.mlp.up_proj.weight"):
        layerwise(folder)


TEXTS = (Text(text="abcdab"), Text(text="dcb"))


def measured_by(folders, placement, store, probe, tell=lambda line: None):
    context = RunContext(testbed=COMMON, placement=placement, store=store, tell=tell)
    candidate, baseline = (CheckpointSet(name=folder.name, folder=folder, context=context) for folder in folders)
    return candidate.compare(probe, baseline)[0].arrays


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    place = tmp_path_factory.mktemp("pair")
    return save_tiny_base(place / "new", seed=1), save_tiny_base(place / "old")


@pytest.mark.parametrize("probe", [NextToken(texts=TEXTS), ActivationDifference(texts=TEXTS)], ids=lambda p: p.name)
def test_a_pair_that_does_not_fit_is_read_layer_by_layer_without_being_asked(probe, pair, tmp_path, monkeypatch):
    expected = measured_by(pair, Placement(), Store(tmp_path / "whole", run="test"), probe)
    monkeypatch.setattr("depthgauge.models.load.free_bytes", lambda device: 0)
    monkeypatch.setattr(handle, "free_bytes", lambda device: 0)
    handle.make_room((), Placement())
    said: list[str] = []
    streamed = measured_by(pair, Placement(), Store(tmp_path / "layers", run="test"), probe, said.append)

    assert len(model.OPENED) == 2
    notices = [line for line in said if not line.startswith("measuring ")]
    assert [line.partition(" ")[0] for line in notices] == ["new", "old"]
    assert all(
        " is read layer by layer: new and old in float32 take 0.0 GiB at once, and 0.0 GiB are free on" in line
        for line in notices
    )
    assert set(streamed) == set(expected)
    for name in streamed:
        np.testing.assert_array_equal(streamed[name], expected[name])  # what follows the end of a text is NaN in both


def test_what_generates_says_what_it_needs_and_nothing_is_stored_of_it(pair, tmp_path, monkeypatch):
    store = Store(tmp_path / "store", run="test")
    context = RunContext(testbed=COMMON, store=store, tell=lambda line: None)
    monkeypatch.setattr("depthgauge.models.load.free_bytes", lambda device: 1 << 10)
    monkeypatch.setattr(handle, "free_bytes", lambda device: 1 << 10)
    handle.make_room((), Placement())
    task = ItemTaskProbe(task=ItemTask(name="choices", items=choices))
    asked = CheckpointSet(name="new", folder=pair[0], context=context)

    with pytest.raises(NotHere, match=r"new would .* token; new in float32 take 0\.0 GiB at once, and 0\.0 GiB are"):
        asked.measure(task)

    monkeypatch.undo()
    assert asked.measure(task)


def test_of_a_pair_that_does_not_fit_what_generates_loads_one_after_the_other(pair, monkeypatch):
    size = int(handle.needed_bytes(pair[0], Placement()) * 1.5)
    monkeypatch.setattr("depthgauge.models.load.free_bytes", lambda device: size)
    handle.make_room((), Placement())
    alone = CheckpointHandle(checkpoint=checkpoint(pair[0]), placement=Placement(), kept=(pair[1],))

    assert alone.model is alone.forward_model
    handle.make_room((), Placement())
    with refused(NotHere, "new and old"):
        _ = replace(alone, together=pair, kept=()).model


@pytest.mark.heavy
@pytest.mark.skipif(not SMOLLM2.base.is_dir(), reason="SmolLM2 is not here: 'make smollm2' brings it")
def test_smollm2_is_itself_layer_by_layer(tmp_path):
    broken = tmp_path / "broken"
    corrupt(SMOLLM2.base, broken, CORRUPTIONS["zero_mlp"])
    for probe in (NextToken(texts=TEXTS), ActivationDifference(texts=TEXTS)):
        expected, streamed = (
            measured_by((broken, SMOLLM2.base), Placement(device_map=way), Store(tmp_path / place, run="test"), probe)
            for way, place in ((None, "whole"), (LAYERWISE, "layers"))
        )
        differing = [name for name in expected if not same_numbers(streamed[name], expected[name])]
        assert differing == []
    assert len(model.OPENED) == 2 and expected["relative"].max() > 0


def same_numbers(ours, theirs):
    return np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")


def run(place, name, *options):
    """What `depthgauge compare` says of two byte models, by claim, from its report."""
    baseline, candidate = (save_byte_model(place / name) for name in ("old", "new"))
    tensors = load_file(candidate / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for weight in tensors.values():
        if weight.dim() > 1:
            weight += 0.001 * weight.std() * torch.randn(weight.shape, generator=generator)
    save_file(tensors, candidate / "model.safetensors", metadata={"format": "pt"})
    report = place / f"{name}-reports"
    words = ["compare", str(baseline), str(candidate), f"--store={place / name}", f"--report-dir={report}", *options]
    arguments = parser().parse_args([*words, "--all-stages"])
    code = arguments.run(arguments)
    (file,) = report.glob("*/report.json")
    return code, {row["claim"]: row for row in json.loads(file.read_text())["verdicts"]}


@pytest.mark.heavy
def test_the_command_gives_the_same_rows_layer_by_layer_and_no_answers(tmp_path):
    internals = "next-token-within-margin,residual-stream-within-margin"
    _, whole_rows = run(tmp_path, "whole", f"--claims={internals}")
    asked = ("entropy-within-margin", "answers-still-end", "task-not-worse[common]")
    chosen = f"--claims={internals},entropy-within-margin,answers-still-end,task-not-worse"
    code, rows = run(tmp_path, "layers", chosen, f"--device-map={LAYERWISE}")

    assert code == 0 and set(rows) == {*asked, *whole_rows} and len(whole_rows) == 2
    for name, row in rows.items():
        if name in asked:
            assert row["outcome"] == "NOT_TESTABLE" and not row["lost_capability"]
            assert row["reason"].endswith(f"leave out --device-map={LAYERWISE} where there is room.")
        else:
            assert (row["outcome"], row["estimate"]) == (whole_rows[name]["outcome"], whole_rows[name]["estimate"])
