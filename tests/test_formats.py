"""Quantised folders, made by the tools that people use (`tests/data/formats/make.py`), and GGUF files."""

import json
import shutil
import struct
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers

from depthgauge import api
from depthgauge.checks import test_quantized as bars
from depthgauge.core.errors import InvalidCheckpoint, StoreUnusable, UsageError
from depthgauge.core.registry import FORMATS
from depthgauge.core.result import Outcome
from depthgauge.formats.folder import least_bits, plain_tensors, tensors
from depthgauge.formats.format import Format
from depthgauge.formats.packing import BYTES_AS_FLOATS, unpack
from depthgauge.formats.tensors import Computed, Stored, elements, whole
from depthgauge.formats.unfolding import Unfolding
from depthgauge.models.gguf import check_gguf, convert
from depthgauge.models.load import load
from depthgauge.probes.files.compute import tensor_differences
from depthgauge.probes.weights.compute import matched, weight_deltas
from depthgauge.probes.weights.measures import place_in
from depthgauge.probes.weights.quantized import quantized_deltas
from depthgauge.sources.find import find
from depthgauge.store.folders import Store
from tests.processes import refused

FIXTURES = Path(__file__).parent / "data" / "formats"
BASE = FIXTURES / "base"
MADE = sorted(path.parent.name for path in FIXTURES.glob("*/expected.safetensors"))
BITS = {"ct-w3": 3, "gptq-3": 3} | dict.fromkeys(
    ("ct-w8", "ct-w8a8", "ct-fp8", "ct-fp8-block", "ct-mxfp8", "gptq-8", "bnb-int8", "fp8"), 8
)
UP, DOWN = "model.layers.0.mlp.up_proj", "model.layers.1.mlp.down_proj"


def base_of(name):
    return FIXTURES / "mxfp4-base" if name == "mxfp4" else BASE


@pytest.fixture
def copied(tmp_path):
    """A fixture with the base's tokenizer, to be changed."""

    def copy(name):
        folder = shutil.copytree(BASE, tmp_path / name)
        return shutil.copytree(FIXTURES / name, folder, dirs_exist_ok=True)

    return copy


def change(folder, edit):
    stored = load_file(folder / "model.safetensors")
    edit(stored)
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, folder / "model.safetensors")
    return folder


def configure(folder, edit):
    config = json.loads((folder / "config.json").read_text())
    edit(config["quantization_config"])
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def group(config):
    (only,) = config["config_groups"].values()
    return only["weights"]


def test_there_is_a_fixture_of_every_format():
    named = {json.loads((FIXTURES / name / "config.json").read_text())["quantization_config"]["quant_method"]
             for name in MADE}  # fmt: skip
    plain_tensors(FIXTURES / "ct-w4")
    assert named == set(FORMATS) - {"gguf"} and len(MADE) == 24


@pytest.mark.parametrize("name", MADE)
def test_weights_are_those_of_the_tool_that_quantised_them(name):
    found, expected = tensors(FIXTURES / name), load_file(FIXTURES / name / "expected.safetensors")
    assert len(expected) >= 4
    for key, product in expected.items():
        weight = torch.from_numpy(whole(found[key]).astype(np.float64))
        probe = torch.randn(weight.shape[-1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        assert float((weight @ probe - product).norm() / product.norm()) < 1e-6
    assert {key for key, tensor in found.items() if isinstance(tensor, Computed)} == set(expected)
    assert sorted(found) == sorted(tensors(base_of(name)))
    assert least_bits(FIXTURES / name) == BITS.get(name, 4)


@pytest.mark.parametrize("name", MADE)
def test_rounding_is_told_from_damage(name):
    deltas, plain = quantized_deltas(FIXTURES / name, base_of(name))
    moved = dict(bars.MOVED)[BITS.get(name, 4)]
    assert 0 < max(delta.relative for delta in deltas) < moved
    assert max(delta.shift for delta in deltas) < bars.SHIFTED
    assert max(delta.explained for delta in deltas) < 0.6 * bars.EXPLAINED
    assert max(plain.values()) < 1e-6


@pytest.mark.parametrize("name", ["ct-w8a8", "ct-w4-asym", "gptq-desc-act", "awq", "bnb-nested", "fp8", "mxfp4"])
def test_a_model_runs_dequantised_without_the_library_that_quantised_it(name, copied):
    folder = copied(name)
    model, _ = load(folder)
    parameters = dict(model.named_parameters())
    for key, tensor in tensors(folder).items():
        assert torch.equal(parameters[key], torch.from_numpy(whole(tensor))), key
    assert not hasattr(model.config, "quantization_config")
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == (name != "mxfp4")


def test_fewer_bits_diverge_more(copied):
    ids = torch.arange(3, 60)[None]
    expected = load(BASE)[0](ids).logits.log_softmax(-1)

    def divergence(name):
        found = load(copied(name))[0](ids).logits.log_softmax(-1)
        return float((expected.exp() * (expected - found)).sum(-1).mean().detach())

    sizes = [divergence(name) for name in ("ct-w8", "ct-fp8", "ct-w4", "ct-w3")]
    assert sizes == sorted(sizes) and sizes[-1] > 100 * sizes[0]


def times(key, row, factor):
    def edit(stored):
        stored[key][row] = (stored[key][row].float() * factor).to(stored[key].dtype)

    return edit


def swap_nibbles(key):
    def edit(stored):
        packed = stored[key].view(torch.uint8)
        stored[key] = ((packed >> 4) | (packed << 4)).view(stored[key].dtype)

    return edit


def one_more(key, place):
    """A zero that is larger by 1, in the lowest bits of a word."""

    def edit(stored):
        assert int(stored[key][place]) & 15 < 15
        stored[key][place] += 1

    return edit


def columns_in_order(stored):
    """As if written without the order of AWQ's kernel."""
    words = stored[f"{UP}.qweight"]
    nibbles = torch.stack([words >> 4 * i & 15 for i in range(8)], -1)[..., [0, 4, 1, 5, 2, 6, 3, 7]]
    stored[f"{UP}.qweight"] = sum(nibbles[..., i].long() << 4 * i for i in range(8)).to(torch.int32)


def exchange(first, second):
    def edit(stored):
        stored[first], stored[second] = stored[second], stored[first]

    return edit


SHIFT, MOVED, EXPLAINED = "shift", "relative", "explained"
PLANTED = {
    "ct, the scale of a group": ("ct-w4", times(f"{UP}.weight_scale", (3, 1), 2), SHIFT),
    "ct, the zero of a group": ("ct-w4-asym", one_more(f"{UP}.weight_zero_point", (2, 1)), SHIFT),
    "ct, nibbles": ("ct-w4", swap_nibbles(f"{UP}.weight_packed"), MOVED),
    "ct, nibbles of floats": ("ct-nvfp4", swap_nibbles(f"{UP}.weight_packed"), MOVED),
    "ct, scales of another layer": (
        "ct-w4", exchange(f"{UP}.weight_scale", f"{UP.replace('0', '1')}.weight_scale"), EXPLAINED,
    ),
    "gptq, the scale of a group": ("gptq", times(f"{UP}.scales", (1, 3), 0.5), SHIFT),
    "gptq, the zero of a group": ("gptq-asym", one_more(f"{UP}.qzeros", (1, 2)), SHIFT),
    "gptq, nibbles": ("gptq", swap_nibbles(f"{UP}.qweight"), MOVED),
    "gptq, scales of another layer": ("gptq", exchange(f"{UP}.scales", f"{UP.replace('0', '1')}.scales"), EXPLAINED),
    "awq, the scale of a group": ("awq", times(f"{UP}.scales", (1, 3), 2), SHIFT),
    "awq, the zero of a group": ("awq", one_more(f"{UP}.qzeros", (1, 2)), SHIFT),
    "awq, columns": ("awq", columns_in_order, MOVED),
    "awq, nibbles": ("awq", swap_nibbles(f"{UP}.qweight"), MOVED),
    "awq, scales of another layer": ("awq", exchange(f"{UP}.scales", f"{UP.replace('0', '1')}.scales"), EXPLAINED),
    "bnb, the scale of a block": ("bnb-nf4", times(f"{UP}.weight.absmax", 5, 1.5), SHIFT),
    "bnb, nibbles": ("bnb-nf4", swap_nibbles(f"{UP}.weight"), MOVED),
    "fp8, the scale of a block": ("fp8", times(f"{UP}.weight_scale_inv", (0, 1), 1.25), EXPLAINED),
    "mxfp4, the scale of a block": (
        "mxfp4", times("model.layers.0.mlp.experts.down_proj_scales", (0, 0, 0), 127 / 126), MOVED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", [fault for fault in PLANTED if not fault.startswith("mxfp4")])
def test_a_planted_fault_is_seen_and_its_tensor_named(fault, copied):
    name, edit, measure = PLANTED[fault]
    bound = {SHIFT: bars.SHIFTED, MOVED: dict(bars.MOVED)[BITS.get(name, 4)], EXPLAINED: bars.EXPLAINED}[measure]
    deltas, _ = quantized_deltas(change(copied(name), edit), BASE)
    beyond = [delta.name for delta in deltas if getattr(delta, measure) > bound]
    exchanged = {f"{UP.replace('0', '1')}.weight"} if "another layer" in fault else set()
    named = {f"{UP}.weight"} | exchanged
    assert beyond and set(beyond) == named


@pytest.mark.parametrize("name", ["ct-w4", "ct-nvfp4", "gptq", "bnb-nf4"])
def test_a_scale_that_leaves_out_the_largest_weight_of_a_group_is_no_wrong_scale(name, copied):
    """AWQ clips so."""
    before = tensors(FIXTURES / name)[f"{UP}.weight"]
    largest = float(np.abs(whole(before)[3, 32:]).max())
    base = change(copied("base"), lambda stored: stored[f"{UP}.weight"][3, 40].fill_(3 * largest))
    (delta,) = [delta for delta in quantized_deltas(FIXTURES / name, base)[0] if delta.name == before.name]

    assert delta.shift < bars.SHIFTED


def test_a_baseline_that_stands_on_the_candidates_grid_has_no_wrong_scales(copied):
    """What is off is then of how scales are stored, and of zeros that are rounded."""
    stored = load_file(FIXTURES / "ct-w4-asym" / "model.safetensors")
    scales = stored[f"{UP}.weight_scale"].float().repeat_interleave(32, 1)
    zeros = torch.rand(scales.shape[0], 2, generator=torch.Generator().manual_seed(0)).repeat_interleave(32, 1) - 0.5
    on_grid = torch.from_numpy(whole(tensors(FIXTURES / "ct-w4-asym")[f"{UP}.weight"])) * 1.002 + zeros * scales
    base = change(copied("base"), lambda stored: stored.update({f"{UP}.weight": on_grid}))
    (delta,) = [each for each in quantized_deltas(FIXTURES / "ct-w4-asym", base)[0] if each.name == f"{UP}.weight"]

    assert delta.relative > 0.03 and delta.explained < 0.25 * bars.EXPLAINED


@pytest.mark.parametrize("seed", [0, 2])
def test_weights_that_moved_to_and_fro_by_steps_have_no_wrong_scale(seed, copied):
    """As GPTQ moves them, to make up for others. Where nothing is quantised, a step is that of 4 bits."""
    signs = torch.randint(0, 2, (32,), generator=torch.Generator().manual_seed(seed)) * 2 - 1

    def move(stored):
        row = stored[f"{UP}.weight"][3, 32:]
        row += 4 * 2 / 15 * row.abs().max() * signs

    (delta,) = [each for each in quantized_deltas(change(copied("base"), move), BASE)[0] if each.name == f"{UP}.weight"]

    assert delta.relative > 0.05 and delta.shift < bars.SHIFTED


def test_a_folded_row_is_unfolded_by_its_weights_that_are_not_clipped(copied, tmp_path):
    down = DOWN.replace("1", "0")

    def fold(stored):
        stored[f"{UP}.weight"][5] *= 1.25
        stored[f"{UP}.weight"][5, 7] = 0.5
        stored[f"{down}.weight"][:, 5] /= 1.25

    base = change(copied("base"), lambda stored: stored[f"{UP}.weight"][5, 7].fill_(1.0))
    folder = change(shutil.copytree(base, tmp_path / "folded"), fold)
    pairs = {pair.ours.name: (pair.ours, pair.base) for pair in matched(folder, base)}
    ours, theirs = Unfolding(pairs).candidate(f"{UP}.weight")[5], whole(pairs[f"{UP}.weight"][1])[5]

    np.testing.assert_allclose(np.delete(ours, 7), np.delete(theirs, 7), rtol=0.01)


def test_zeros_of_gptqs_other_version_are_a_step_off_everywhere(copied):
    """They are 7 of symmetric weights alone, where the configuration is seen to be wrong before a weight is read."""
    folder = configure(copied("gptq-asym"), lambda settings: settings.update(checkpoint_format="gptq_v2"))
    deltas, _ = quantized_deltas(folder, BASE)

    assert all(delta.shift > bars.SHIFTED for delta in deltas)


@pytest.mark.parametrize(("kind", "output"), [("down_proj", 5), ("gate_up_proj", 40)])
def test_the_group_of_a_fused_expert_is_named(kind, output, copied):
    """MXFP4 shares a scale along a layer's inputs, which are the rows of a fused tensor."""

    def double(stored):
        stored[f"model.layers.1.mlp.experts.{kind}_scales"][1, output, -1] += 1

    folder = change(copied("mxfp4"), double)
    (delta,) = [each for each in quantized_deltas(folder, FIXTURES / "mxfp4-base")[0] if each.shift > bars.SHIFTED]

    assert delta.name == f"model.layers.1.mlp.experts.{kind}"
    assert place_in(delta) == f"expert 1, row {32 * (kind != 'down_proj')}, column {output}"


def plain_down(stored):
    for name in [name for name in stored if name.startswith(f"{DOWN}.")]:
        del stored[name]
    stored[f"{DOWN}.weight"] = torch.randn(64, 64)


def left_plain(name):
    return lambda copied: change(copied(name), plain_down)


def settings(name, edit):
    return lambda copied: configure(copied(name), edit)


def stored(name, edit):
    return lambda copied: change(copied(name), edit)


def repacked(stored):
    stored[f"{UP}.weight.absmax"] = stored[f"{UP}.weight.absmax"].reshape(8, -1)


def no_state(stored):
    del stored[f"{UP}.weight.quant_state.bitsandbytes__nf4"]


REFUSED = {
    "a layer left out of ignore": (left_plain("ct-w4"), "model.layers.1.mlp.down_proj.weight .* stored plain, and ig"),
    "a layer left out of dynamic": (left_plain("gptq"), "model.layers.1.mlp.down_proj.weight .* plain, and dynamic"),
    "a layer left out of modules": (left_plain("awq"), "down_proj.weight .* plain, and modules_to_not_convert"),
    "a layer in ignore": (settings("ct-w4", lambda q: q["ignore"].append(UP)), "up_proj.weight_packed .* is quantised"),
    "another group size, ct": (settings("ct-w4", lambda q: group(q).update(group_size=16)), "weight_scale .* shape"),
    "another group size, gptq": (settings("gptq", lambda q: q.update(group_size=64)), r"\.scales .* groups of 64"),
    "another group size, awq": (settings("awq", lambda q: q.update(group_size=16)), r"\.scales .* groups of 16"),
    "columns that do not divide, ct": (settings("ct-w4", lambda q: group(q).update(group_size=48)), "of 48 do not"),
    "columns that do not divide, gptq": (settings("gptq", lambda q: q.update(group_size=48)), "groups of 32 .* 48"),
    "columns that do not divide, awq": (settings("awq", lambda q: q.update(group_size=48)), "groups of 48 do not"),
    "GPTQ's other version": (settings("gptq", lambda q: q.update(checkpoint_format="gptq_v2")), "qzeros .* zeros of 7"),
    "4 bits of 8, ct": (settings("ct-w8", lambda q: group(q).update(num_bits=4)), "weight_packed .* shape .* 4 bits"),
    "4 bits of 8, int": (settings("ct-w8a8", lambda q: group(q).update(num_bits=4)), "config.json says 4 bits"),
    "4 bits of 8, gptq": (settings("gptq-8", lambda q: q.update(bits=4)), "config.json and the weights are not of one"),
    "a format without a reader": (settings("ct-w4", lambda q: q.update(quant_method="quip")), "quantised as 'quip'"),
    "a format of ct without one": (settings("ct-w4", lambda q: next(iter(q["config_groups"].values())).update(
        format="marlin-24")), "'marlin-24', which nothing here reads"),
    "a pattern that takes for ever": (settings("ct-w4", lambda q: q.update(ignore=["re:(a+)+$"])), "repeats too much"),
    "a scale of NaN": (stored("ct-w4", times(f"{UP}.weight_scale", (0, 0), float("nan"))), "up_proj.* NaN or infinite"),
    "a scale of 0": (stored("gptq", times(f"{UP}.scales", (0, 0), 0)), "up_proj.qweight .* scale of 0 over weights"),
    "no scale": (stored("fp8", lambda s: s.pop(f"{UP}.weight_scale_inv")), "up_proj.weight_scale_inv is missing"),
    "no zeros": (stored("gptq", lambda s: s.pop(f"{UP}.qzeros")), "up_proj.qzeros is missing"),
    "experts without scales": (stored("mxfp4", lambda s: s.pop("model.layers.0.mlp.experts.down_proj_scales")),
                               "experts.down_proj_scales is missing"),
    "bitsandbytes after a forward pass": (stored("bnb-nf4", repacked), "absmax .* two axes, .* before any forward"),
    "bitsandbytes without its state": (stored("bnb-nf4", no_state), "up_proj.weight .* stored as U8 without"),
    "float scales elsewhere": (stored("ct-w4", lambda s: s.update({f"{UP}.weight_scale": s[f"{UP}.weight_scale"].to(
        torch.int16)})), "weight_scale .* stored as I16, and its format has"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_one_sentence_that_names_it(case, copied):
    make, said = REFUSED[case]
    folder = make(copied)
    with pytest.raises(InvalidCheckpoint, match=said) as refused:
        [whole(tensor) for tensor in tensors(folder).values()]
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


def test_experts_that_are_not_there_are_missing(copied):
    def lose(stored):
        for end in ("blocks", "scales"):
            del stored[f"model.layers.1.mlp.experts.gate_up_proj_{end}"]

    folder = change(copied("mxfp4"), lose)
    assert tensor_differences(folder, FIXTURES / "mxfp4-base") == ["model.layers.1.mlp.experts.gate_up_proj is missing"]


@pytest.mark.parametrize("bits", range(1, 9))
def test_numbers_of_few_bits_are_unpacked_from_a_stream(bits):
    numbers = np.random.default_rng(bits).integers(0, 1 << bits, (3, 77))
    stream = np.zeros((3, 77 * bits), np.uint8)
    for place in range(bits):
        stream[:, place::bits] = numbers >> place & 1
    padded = np.pad(np.packbits(stream, axis=1, bitorder="little"), ((0, 0), (0, 4)))
    words = np.ascontiguousarray(padded[:, : padded.shape[1] // 4 * 4]).view(np.int32)
    assert np.array_equal(unpack(words, bits, 77), numbers)


@pytest.mark.parametrize("name, dtype", [("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2),
                                         ("F8_E8M0", torch.float8_e8m0fnu)])  # fmt: skip
def test_small_floats_are_those_of_torch(name, dtype):
    expected = torch.arange(256, dtype=torch.uint8).view(dtype).float().numpy()
    np.testing.assert_array_equal(BYTES_AS_FLOATS[name], expected)


def counted(tensor, calls):
    def compute():
        calls.append(tensor.name)
        return whole(tensor)

    return Computed(name=tensor.name, path=tensor.path, shape=tensor.shape, compute=compute, bits=4, group=32)


def test_a_weight_is_computed_once_for_all_its_pieces_and_kept_no_longer():
    calls: list[str] = []
    plain = tensors(BASE)[f"{UP}.weight"]
    weight = counted(plain, calls)
    found: dict[int, np.ndarray] = {}

    def take(first):
        found[first] = elements(weight, first, first + 1024)

    threads = [Thread(target=take, args=(first,)) for first in range(0, 4096, 1024)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [weight.name] and not weight._kept
    assert np.array_equal(np.concatenate([found[first] for first in sorted(found)]), whole(plain).ravel())
    whole(weight)
    assert len(calls) == 2


def test_a_package_brings_a_format_of_its_own(copied, monkeypatch):
    """Weights stored as their negatives."""

    def read(stored, config):
        def negated(tensor):
            return Computed(name=tensor.name, path=tensor.path, shape=tensor.shape, bits=8, group=64,
                            compute=lambda: -whole(tensor))  # fmt: skip

        return {name: negated(tensor) if "proj" in name else tensor for name, tensor in stored.items()}

    monkeypatch.setattr(FORMATS, "_items", dict(FORMATS._items))
    FORMATS.register(Format(name="negated", tensors=read))
    folder = change(copied("base"), lambda s: s.update({n: -t for n, t in s.items() if "proj" in n}))
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": {"quant_method": "negated"}}
    (folder / "config.json").write_text(json.dumps(config))
    assert max(delta.frobenius for delta in weight_deltas(folder, BASE)) == 0
    assert isinstance(tensors(folder)["model.norm.weight"], Stored)


# Judged from the command


def rows(result):
    assert not result.problems, result.problems
    return {row.claim: row for row in result.rows}


@pytest.mark.parametrize("name", ["ct-w4", "awq"])
def test_a_quantised_copy_is_accepted_by_the_bounds_of_its_bits(name, copied, tmp_path):
    lines: list[str] = []
    result = api.compare(BASE, copied(name), store=tmp_path / "store", last_stage="internals", tell=lines.append)
    found = rows(result)
    method = {"ct-w4": "compressed-tensors", "awq": "awq"}[name]
    (said,) = [line for line in lines if "expected to be" in line]
    assert f"expected to be a quantised copy ({method}, 4 bits), as its configuration says" in said
    assert {claim for claim in found if claim.startswith(("quantized-", "unquantized-"))} == {
        "quantized-weights-within-bits", "quantized-groups-within-margin", "quantized-scales-belong",
        "unquantized-weights-within-margin",
    }  # fmt: skip
    assert all(found[claim].outcome is Outcome.SUPPORTED for claim in found if claim.endswith("within-margin"))
    assert found["top-token-within-bits"].bounds == (dict(bars.SAME_TOP)[4], None)
    assert result.exit_code == 0


def test_one_wrong_scale_blocks_whatever_the_bits_allow(copied, tmp_path):
    folder = change(copied("ct-w4"), times(f"{UP}.weight_scale", (3, 1), 2))
    result = api.compare(BASE, folder, store=tmp_path / "store", last_stage="weights", tell=lambda line: None)
    row = rows(result)["quantized-groups-within-margin"]
    assert row.outcome is Outcome.REFUTED and result.exit_code == 1
    assert row.estimate.where == "layer 0 mlp.up_proj, row 3, column 32"
    assert rows(result)["quantized-weights-within-bits"].outcome is Outcome.SUPPORTED


def test_a_quantised_copy_that_should_be_equal_is_held_to_that(copied, tmp_path):
    result = api.compare(
        BASE, copied("ct-w3"), expect="equal", store=tmp_path / "store", last_stage="weights", tell=lambda line: None
    )
    assert rows(result)["weights-within-margin"].outcome is Outcome.REFUTED


@pytest.mark.parametrize("name", [f"{UP}.weight", "model.norm.weight"])
@pytest.mark.parametrize("at_fault", ["base", "ct-w4"])
def test_a_weight_of_nan_on_either_side_is_one_sentence(name, at_fault, copied):
    folders = {kind: copied(kind) for kind in ("base", "ct-w4")}
    stored = name if at_fault == "base" or "norm" in name else f"{UP}.weight_scale"
    change(folders[at_fault], times(stored, 3, float("nan")))

    with pytest.raises(InvalidCheckpoint, match=f"{name.removesuffix('.weight')}.* NaN or infinite"):
        quantized_deltas(folders["ct-w4"], folders["base"])


# GGUF

gguf = pytest.importorskip("gguf")
WORDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġa"]


@pytest.fixture(scope="module")
def gguf_base(tmp_path_factory):
    """A tiny llama with grouped heads, by bytes."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("gguf") / "base"
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(WORDS)}, merges=[("Ġ", "a")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(vocab_size=len(WORDS), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, initializer_range=0.15,
                    tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=2)
    ).save_pretrained(folder)  # fmt: skip
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    ).save_pretrained(folder)
    return folder


NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm"}  # fmt: skip


def gguf_name(name):
    if ".layers." not in name:
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
                "lm_head.weight": "output.weight"}[name]  # fmt: skip
    layer, module = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    return f"blk.{layer}.{NAMES[module]}.weight"


def permuted(name, weight, config):
    """As llama.cpp stores queries and keys: the halves of each head interleaved."""
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    count = next((heads[key] for key in heads if key in name), None)
    if count is None:
        return weight
    return weight.reshape(count, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def unchanged(name, values):
    return values


def write_gguf(base, path, kind, damage=unchanged, damage_codes=unchanged):
    """What llama.cpp's converter writes of a llama, quantised as `kind` but for norms."""
    config = json.loads((base / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    for add, value in (
        (writer.add_context_length, config["max_position_embeddings"]), (writer.add_block_count, 2),
        (writer.add_embedding_length, 64), (writer.add_feed_forward_length, 96), (writer.add_head_count, 4),
        (writer.add_head_count_kv, 2), (writer.add_layer_norm_rms_eps, config["rms_norm_eps"]),
        (writer.add_rope_freq_base, 10000.0), (writer.add_vocab_size, len(WORDS)), (writer.add_tokenizer_model, "gpt2"),
        (writer.add_token_list, WORDS), (writer.add_token_types, [3] * 3 + [1] * (len(WORDS) - 3)),
        (writer.add_token_merges, ["Ġ a"]), (writer.add_bos_token_id, 1), (writer.add_eos_token_id, 2),
        (writer.add_pad_token_id, 2), (writer.add_unk_token_id, 0),
    ):  # fmt: skip
        add(value)
    kinds = gguf.GGMLQuantizationType
    for name, tensor in load_file(base / "model.safetensors").items():
        weight = permuted(name, damage(name, tensor.float().numpy()), config)
        used = kinds[kind] if weight.ndim > 1 else kinds.F32
        codes = damage_codes(name, gguf.quants.quantize(weight, used))
        writer.add_tensor(gguf_name(name), codes, raw_dtype=used)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind, bits", [("Q8_0", 8), ("Q5_1", 5), ("Q4_0", 4)])
def test_a_gguf_file_is_read_under_the_models_own_names(kind, bits, gguf_base, tmp_path):
    path, folder = write_gguf(gguf_base, tmp_path / f"tiny-{kind}.gguf", kind), tmp_path / "made"
    folder.mkdir()
    convert(path, folder)
    found, base = tensors(folder), load_file(gguf_base / "model.safetensors")
    used = gguf.GGMLQuantizationType[kind]
    for name, tensor in base.items():
        expected = tensor.numpy()
        if tensor.dim() > 1:
            expected = gguf.quants.dequantize(gguf.quants.quantize(expected, used), used)
        np.testing.assert_allclose(whole(found[name]), expected, rtol=1e-6, err_msg=name)
    assert least_bits(folder) == bits
    deltas, plain = quantized_deltas(folder, gguf_base)
    assert max(delta.shift for delta in deltas) < bars.SHIFTED and max(plain.values()) == 0


def test_a_gguf_file_is_judged_from_the_command_by_its_bits(gguf_base, tmp_path):
    path = write_gguf(gguf_base, tmp_path / "tiny-Q4_0.gguf", "Q4_0")
    lines: list[str] = []
    result = api.compare(gguf_base, path, store=tmp_path / "store", last_stage="weights", tell=lines.append)
    assert any("expected to be a quantised copy (gguf, 4 bits)" in line for line in lines)
    assert rows(result)["quantized-groups-within-margin"].outcome is Outcome.SUPPORTED
    assert rows(result)["same-tensors"].outcome is Outcome.SUPPORTED


def test_a_gguf_file_with_a_swapped_layer_is_refuted(gguf_base, tmp_path):
    def damage(name, weight):
        return np.roll(weight, 1, axis=1) if name == f"{UP}.weight" else weight

    path = write_gguf(gguf_base, tmp_path / "tiny.gguf", "Q8_0", damage)
    result = api.compare(gguf_base, path, store=tmp_path / "store", last_stage="weights", tell=lambda line: None)
    row = rows(result)["quantized-weights-within-bits"]
    assert row.outcome is Outcome.REFUTED and row.estimate.where == "layer 0 mlp.up_proj"


BLOCK, SCALE = 18, 2  # bytes of 32 weights of Q4_0, and of the scale that they begin with


def block_scale(factor):
    def edit(blocks, others):
        blocks[3, 1, :SCALE] = (blocks[3, 1, :SCALE].view(np.float16) * np.float16(factor)).view(np.uint8)

    return edit


def other_nibbles(blocks, others):
    blocks[..., SCALE:] = blocks[..., SCALE:] >> 4 | blocks[..., SCALE:] << 4


def scales_of_others(blocks, others):
    blocks[..., :SCALE] = others[..., :SCALE]


def with_codes(base, path, edit):
    """A GGUF file of 4 bits, of which the blocks of one matrix are edited: (rows, blocks, bytes). `others` are those of
    the next layer.
    """
    weights = load_file(base / "model.safetensors")
    kind = gguf.GGMLQuantizationType.Q4_0
    others = gguf.quants.quantize(weights[f"{UP.replace('0', '1')}.weight"].numpy(), kind)

    def damage(name, codes):
        if name == f"{UP}.weight":
            codes = codes.copy()
            edit(codes.reshape(len(codes), -1, BLOCK), others.reshape(len(codes), -1, BLOCK))
        return codes

    return write_gguf(base, path, "Q4_0", damage_codes=damage)


@pytest.mark.parametrize(
    ("edit", "measure"), [(block_scale(2), SHIFT), (other_nibbles, MOVED), (scales_of_others, EXPLAINED)],
    ids=["the scale of a group", "nibbles", "scales of another layer"],
)  # fmt: skip
def test_a_planted_fault_of_a_gguf_file_is_seen_and_its_tensor_named(edit, measure, gguf_base, tmp_path):
    bound = {SHIFT: bars.SHIFTED, MOVED: dict(bars.MOVED)[4], EXPLAINED: bars.EXPLAINED}[measure]
    (folder := tmp_path / "made").mkdir()
    convert(with_codes(gguf_base, tmp_path / "tiny.gguf", edit), folder)
    beyond = [delta for delta in quantized_deltas(folder, gguf_base)[0] if getattr(delta, measure) > bound]

    assert [delta.name for delta in beyond] == [f"{UP}.weight"]
    assert measure != SHIFT or (beyond[0].row, beyond[0].column) == (3, 32)


def test_a_gguf_file_with_a_scale_of_nan_is_one_sentence(gguf_base, tmp_path):
    path = with_codes(gguf_base, tmp_path / "tiny.gguf", block_scale(float("nan")))
    with pytest.raises(
        InvalidCheckpoint, match=r"tiny.gguf has weights in model\.layers\.0\.mlp\.up_proj\.weight that a"
    ):
        find(str(path), "--checkpoint", store=Store(tmp_path / "store", run="formats"), start=tmp_path)


def part_of_three(path, base):
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in (("split.no", 0), ("split.count", 3)):
        writer.add_uint16(key, value)
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def truncated(path, base):
    write_gguf(base, path, "Q4_0")
    path.write_bytes(path.read_bytes()[:-4000])


def of_the_future(path, base):
    write_gguf(base, path, "Q4_0")
    path.write_bytes(path.read_bytes()[:4] + struct.pack("<I", 9) + path.read_bytes()[8:])


@pytest.mark.parametrize("make, said", [
    (part_of_three, r"one of 3 parts of a split GGUF, of which m-00002-of-00003.gguf, m-00003-of-00003.gguf are miss"),
    (truncated, "is truncated or damaged"),
    (of_the_future, "a GGUF file of version 9, and versions 2 and 3 are read"),
    (lambda path, base: path.write_bytes(b"no such thing"), "is no GGUF file"),
    (lambda path, base: path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60)), "truncated or damaged"),
])  # fmt: skip
def test_a_gguf_file_that_is_not_whole_is_one_sentence(make, said, gguf_base, tmp_path):
    path = tmp_path / "m-00001-of-00003.gguf"
    make(path, gguf_base)
    with pytest.raises(InvalidCheckpoint, match=said):
        find(str(path), "--checkpoint", store=Store(tmp_path / "store", run="formats"), start=tmp_path)


def test_a_disk_that_is_too_small_is_one_sentence(gguf_base, tmp_path, monkeypatch):
    path = write_gguf(gguf_base, tmp_path / "tiny.gguf", "Q4_0")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 1))
    with refused(StoreUnusable, "0.0 GiB", "--store"):
        convert(path, tmp_path)


def test_without_the_library_the_extra_is_named(gguf_base, tmp_path, monkeypatch):
    path = write_gguf(gguf_base, tmp_path / "tiny.gguf", "Q4_0")
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with refused(UsageError, "pip install 'depthgauge[gguf]'"):
        check_gguf(path)
