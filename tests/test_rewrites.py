"""Rewrites that leave the function as it is: undone to rounding, or no rewrites; and the model says the same."""

import re
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from benchmarks.families import random_model
from depthgauge.core.estimate import head_places
from depthgauge.corruptions import CORRUPTIONS, corrupt
from depthgauge.probes.weights.rewrites import matching, near, summarised, undone
from tests.test_weights import FAMILIES, HIDDEN, KV, Q, save

LAYERS, NEURONS = 2, 36
REWRITTEN = ("Llama", "Qwen2", "Qwen3", "Gemma2", "Phi3", "GPT2", "GPTNeoX")
FOLDED = ("Llama", "Qwen2", "Qwen3", "Gemma2", "Phi3")
OFFSET = {"Gemma2": 1.0}  # the gain is one more than what is stored


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    place = tmp_path_factory.mktemp("rewrites")
    return {family: save(family, place / family, 0) for family in FAMILIES}


def edited(base, folder, edit, dtype=None):
    shutil.copytree(base, folder)
    stored = load_file(folder / "model.safetensors")
    edit(stored)
    if dtype is not None:
        stored = {name: tensor.to(dtype) for name, tensor in stored.items()}
    save_file({name: each.contiguous() for name, each in stored.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    return folder


def logits(folder):
    with torch.inference_mode():
        return model(folder)(torch.tensor([[3, 7, 11, 5, 30, 2]])).logits


def model(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def reorder_neurons(tensors, layer, order):
    """In whatever way a family stores its MLP; `order` is of the neurons."""
    for name in [name for name in tensors if f".{layer}.mlp." in name]:
        tensor = tensors[name]
        if "gate_up" in name:
            tensors[name] = torch.cat([half[order] for half in tensor.chunk(2)])
        elif any(part in name for part in ("gate_proj", "up_proj", "dense_h_to_4h")):
            tensors[name] = tensor[order]
        elif "c_fc" in name:  # GPT-2 stores it transposed
            tensors[name] = tensor[..., order]
        elif name.endswith("weight"):
            tensors[name] = tensor[order] if "c_proj" in name else tensor[:, order]


def fold_norms(tensors, layer, family):
    before_mlp = "pre_feedforward_layernorm" if family == "Gemma2" else "post_attention_layernorm"
    readers = {
        "input_layernorm": ("q_proj", "k_proj", "v_proj", "qkv_proj"),
        before_mlp: ("gate_proj", "up_proj", "gate_up_proj"),
    }
    for norm, modules in readers.items():
        gain = tensors[f"model.layers.{layer}.{norm}.weight"]
        for name in tensors:
            if f".{layer}." in name and name.endswith(tuple(f"{module}.weight" for module in modules)):
                tensors[name] = tensors[name] * (gain + OFFSET.get(family, 0.0))
        tensors[f"model.layers.{layer}.{norm}.weight"] = torch.ones(HIDDEN) - OFFSET.get(family, 0.0)


def parts(folder, base):
    return {(one.layer, "mlp" if "down" in str(one.left) else "attention"): one for one in undone(folder, base)}


@pytest.mark.parametrize("family", REWRITTEN)
def test_neurons_in_another_order_are_put_back_and_the_model_says_the_same(bases, family, tmp_path):
    orders = [torch.randperm(4 * HIDDEN if family == "GPT2" else NEURONS) for _ in range(2)]
    ours = edited(bases[family], tmp_path / "ours", lambda tensors: [
        reorder_neurons(tensors, layer, order) for layer, order in enumerate(orders)])  # fmt: skip
    found = parts(ours, bases[family])

    torch.testing.assert_close(logits(ours), logits(bases[family]), atol=1e-4, rtol=1e-4)
    assert set(found) == {(0, "mlp"), (1, "mlp")}
    assert all(one.kinds == ("neurons reordered",) and set(one.left.values()) == {0.0} for one in found.values())


@pytest.mark.parametrize("family", FOLDED)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_norms_that_were_folded_are_unfolded_to_rounding(bases, family, dtype, tmp_path):
    ours = edited(bases[family], tmp_path / "ours", lambda tensors: [
        fold_norms(tensors, layer, family) for layer in range(LAYERS)], dtype)  # fmt: skip
    found = parts(ours, bases[family])

    if dtype is None:
        torch.testing.assert_close(logits(ours), logits(bases[family]), atol=1e-4, rtol=1e-4)
    assert set(found) == {(layer, part) for layer in range(LAYERS) for part in ("attention", "mlp")}
    assert all(one.kinds == ("norm folded",) for one in found.values())
    assert max(value for one in found.values() for value in one.left.values()) < (1e-6 if dtype is None else 0.004)


@pytest.mark.parametrize("family", ["Llama", "Qwen2", "Qwen3", "Gemma2"])
def test_heads_in_another_order_are_put_back_with_their_keys(bases, family, tmp_path):
    corrupt(bases[family], tmp_path / "ours", CORRUPTIONS["reorder_heads"])
    found = parts(tmp_path / "ours", bases[family])

    torch.testing.assert_close(logits(tmp_path / "ours"), logits(bases[family]), atol=1e-4, rtol=1e-4)
    assert set(found) == {(0, "attention"), (1, "attention")}
    assert all(one.kinds == ("heads reordered",) and not any(one.left.values()) for one in found.values())
    assert [one.heads.tolist() for one in found.values()] == [[1, 0, 3, 2]] * LAYERS


def test_groups_of_heads_that_changed_places_with_their_keys_are_put_back(bases, tmp_path):
    width = 6

    def turned(tensors):
        for name, tensor in tensors.items():
            if ".1.self_attn.o_proj" in name:
                tensors[name] = tensor.roll(2 * width, dims=1)
            elif ".1.self_attn." in name and name.endswith("proj.weight"):
                tensors[name] = tensor.roll((2 if "q_proj" in name else 1) * width, dims=0)

    ours = edited(bases["Llama"], tmp_path / "ours", turned)
    (found,) = undone(ours, bases["Llama"])

    torch.testing.assert_close(logits(ours), logits(bases["Llama"]), atol=1e-4, rtol=1e-4)
    assert (found.layer, found.heads.tolist()) == (1, [2, 3, 0, 1])
    assert summarised(ours, bases["Llama"])["heads"].tolist() == [[0, 1, 2, 3], [2, 3, 0, 1]]


def test_heads_that_left_their_keys_behind_are_no_rewrite(bases, tmp_path):
    width = 6

    def parted(tensors):
        for name, tensor in tensors.items():
            if ".1.self_attn.o_proj" in name:
                tensors[name] = tensor.roll(2 * width, dims=1)
            elif ".1.self_attn.q_proj" in name:
                tensors[name] = tensor.roll(2 * width, dims=0)

    ours = edited(bases["Llama"], tmp_path / "ours", parted)

    assert not torch.allclose(logits(ours), logits(bases["Llama"]), atol=1e-2)
    assert list(undone(ours, bases["Llama"])) == []
    assert Q // KV == 2


@pytest.mark.parametrize("wrong", ["one weight", "one neuron", "one that was lost", "out of step"])
def test_one_wrong_neuron_is_no_rewrite_of_its_layer_and_the_other_is(bases, wrong, tmp_path):
    def edit(tensors):
        for layer in range(LAYERS):
            reorder_neurons(tensors, layer, torch.randperm(NEURONS))
        up, down = (f"model.layers.1.mlp.{name}_proj.weight" for name in ("up", "down"))
        if wrong == "one weight":
            tensors[up][3, 4] *= 1 + 1e-5
        elif wrong == "one neuron":
            tensors[up][3] = tensors[up][4]
        elif wrong == "one that was lost":
            tensors[down][:, 3] = 0
        else:
            tensors[down][:, [3, 4]] = tensors[down][:, [4, 3]]

    ours = edited(bases["Llama"], tmp_path / "ours", edit)

    assert set(parts(ours, bases["Llama"])) == {(0, "mlp")}


# By family: its layers' prefix, each norm, what reads through it, and whether matrices are stored (in, out).
BIASED = {
    "gpt2": ("transformer.h", {"ln_1": ("attn.c_attn",), "ln_2": ("mlp.c_fc",)}, True),
    "gpt_neox": ("gpt_neox.layers", {"input_layernorm": ("attention.query_key_value",),
                                     "post_attention_layernorm": ("mlp.dense_h_to_4h",)}, False),
    "phi": ("model.layers", {"input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                 "mlp.fc1")}, False),
    "cohere": ("model.layers", {"input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                    "mlp.gate_proj", "mlp.up_proj")}, False),
}  # fmt: skip


def fold_whole_norm(tensors, place, norm, readers, transposed):
    """Its gain into the matrices that read through it, its bias by way of these into their biases."""
    gain, shift = tensors[f"{place}.{norm}.weight"], tensors.get(f"{place}.{norm}.bias")
    for reader in readers:
        matrix = tensors[f"{place}.{reader}.weight"]
        if shift is not None:
            tensors[f"{place}.{reader}.bias"] = tensors[f"{place}.{reader}.bias"] + (
                shift @ matrix if transposed else matrix @ shift
            )
        tensors[f"{place}.{reader}.weight"] = matrix * (gain[:, None] if transposed else gain)
    tensors[f"{place}.{norm}.weight"] = torch.ones_like(gain)
    if shift is not None:
        tensors[f"{place}.{norm}.bias"] = torch.zeros_like(shift)


@pytest.mark.parametrize("family", BIASED)
@pytest.mark.parametrize("left_out", [False, True], ids=["all readers", "all but the last reader"])
def test_norms_with_a_bias_and_norms_of_both_parts_are_unfolded(family, left_out, tmp_path):
    prefix, norms, transposed = BIASED[family]
    shape = {"tie_word_embeddings": False} if family != "cohere" else {}
    random_model(family, **shape).save_pretrained(tmp_path / "base")

    def fold(tensors):
        for norm, readers in norms.items():
            fold_whole_norm(tensors, f"{prefix}.1", norm, readers[:-1] if left_out else readers, transposed)

    ours = edited(tmp_path / "base", tmp_path / "ours", fold)
    found = list(undone(ours, tmp_path / "base"))
    if left_out:  # a reader that did not follow has another function
        assert found == []
        return
    torch.testing.assert_close(logits(ours), logits(tmp_path / "base"), atol=1e-4, rtol=1e-4)
    assert [(one.layer, one.kinds) for one in found] == [(1, ("norm folded",))] * 2
    assert max(value for one in found for value in one.left.values()) < 1e-6
    assert {name for one in found for name in one.left} >= {f"layer 1 {norm}" for norm in norms}


def test_what_differs_in_its_norm_alone_is_no_fold(bases, tmp_path):
    ours = edited(
        bases["Llama"], tmp_path / "ours", lambda tensors: tensors["model.layers.0.input_layernorm.weight"].mul_(2)
    )

    assert list(undone(ours, bases["Llama"])) == []


def test_a_rewrite_in_bfloat16_of_all_three_kinds_is_undone(bases, tmp_path):
    def edit(tensors):
        for layer in range(LAYERS):
            fold_norms(tensors, layer, "Llama")
            reorder_neurons(tensors, layer, torch.randperm(NEURONS))

    corrupt(bases["Llama"], tmp_path / "heads", CORRUPTIONS["reorder_heads"])
    found = parts(edited(tmp_path / "heads", tmp_path / "ours", edit, torch.bfloat16), bases["Llama"])

    assert {one.kinds for one in found.values()} == {
        ("norm folded", "heads reordered"), ("norm folded", "neurons reordered")
    }  # fmt: skip
    assert len(found) == 2 * LAYERS


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_no_rewrite_of_itself_nor_of_another(bases, family, tmp_path):
    assert list(undone(bases[family], bases[family])) == []
    assert list(undone(save(family, tmp_path / "other", 1), bases[family])) == []


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(0, 12))
def test_any_order_of_rows_is_found_again_though_some_are_alike(seed, rows, dead):
    rng = np.random.default_rng(seed)
    base = rng.standard_normal((rows, 30)).astype(np.float32)
    base[:dead] = 0
    order = rng.permutation(rows)
    noise = 1 + 2.0**-9 * rng.uniform(-1, 1, base.shape)
    ours = (base * noise).astype(np.float32)[order]

    found = matching(ours, base)
    assert sorted(found.tolist()) == list(range(rows))
    assert near(ours[found], base, 8)


def test_columns_of_heads_follow_their_order():
    assert head_places(((1, 0), (0, 1), (1, 0))).tolist() == [1, 0, 2, 3, 5, 4]


def test_attention_in_the_order_of_the_baselines_heads_is_its_own(bases, tmp_path):
    from depthgauge.probes.attention.compute import head_divergence

    corrupt(bases["Llama"], tmp_path / "ours", CORRUPTIONS["reorder_heads"])
    order = tuple(map(tuple, summarised(tmp_path / "ours", bases["Llama"])["heads"].tolist()))
    ours, its = (model(folder) for folder in (tmp_path / "ours", bases["Llama"]))
    ids = [[3, 7, 11, 5, 30, 2]]

    assert head_divergence(ours, its, ids).jsd_bits.max() > 1e-4
    assert head_divergence(ours, its, ids, order=order).jsd_bits.max() < 1e-9


@pytest.mark.heavy
def test_the_gate_accepts_a_rewrite_by_name_and_refutes_one_wrong_neuron_at_its_layer(tmp_path):
    from depthgauge import compare
    from tests.bytes import save_byte_model

    base = save_byte_model(tmp_path / "base", layers=4)

    def right(tensors):
        for layer in range(4):
            reorder_neurons(tensors, layer, torch.randperm(64))

    def wrong(tensors):
        right(tensors)
        tensors["model.layers.2.mlp.up_proj.weight"][5] *= 1.01

    corrupt(base, tmp_path / "heads", CORRUPTIONS["reorder_heads"])
    edited(tmp_path / "heads", tmp_path / "right", right), edited(base, tmp_path / "wrong", wrong)
    claims = ("weights-within-margin", "attention-within-margin", "attention-sinks-within-margin",
              "induction-head-within-margin", "residual-stream-within-margin")  # fmt: skip
    accepted, blocked = (
        compare(str(base), str(tmp_path / name), claims=claims, expect="equal", all_stages=True,
                store=str(tmp_path / "store"), report_dir=str(tmp_path / "reports"))
        for name in ("right", "wrong")
    )  # fmt: skip
    first, second = ({row.claim: row for row in each.rows} for each in (accepted, blocked))

    assert {row.outcome for row in accepted.rows} <= {"SUPPORTED", "NOT_TESTABLE"}
    assert all(row.estimate.high < 0.1 for row in accepted.rows), accepted.rows
    assert "heads reordered in 4 places, neurons reordered in 4 places: undone" in (
        first["weights-within-margin"].estimate.where
    )
    assert second["weights-within-margin"].outcome == "REFUTED"
    assert second["weights-within-margin"].estimate.where.startswith("layer 2 ")


def converted(base, folder):
    """A Llama as the Phi-3 that it is, its matrices fused."""
    import json

    stored = load_file(base / "model.safetensors")
    config = json.loads((base / "config.json").read_text())
    for layer in range(config["num_hidden_layers"]):
        for fused, parts_ in (("self_attn.qkv_proj", ("q", "k", "v")), ("mlp.gate_up_proj", ("gate", "up"))):
            inside = f"model.layers.{layer}.{fused.partition('.')[0]}"
            own = [stored.pop(f"{inside}.{part}_proj.weight") for part in parts_]
            stored[f"model.layers.{layer}.{fused}.weight"] = torch.cat(own)
    folder.mkdir()
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    same = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "tie_word_embeddings", "bos_token_id",
            "eos_token_id", "pad_token_id")  # fmt: skip
    kept = {name: config[name] for name in same}
    kept |= {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "sliding_window": None,
             "rope_parameters": config["rope_parameters"] | {"partial_rotary_factor": 1.0}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(kept | {"original_max_position_embeddings": 2048}))
    for path in base.glob("*token*"):
        shutil.copy(path, folder / path.name)
    if (base / "generation_config.json").is_file():
        shutil.copy(base / "generation_config.json", folder / "generation_config.json")
    return folder


@pytest.mark.parametrize("turned", [False, True], ids=["fused", "told apart"])
def test_a_llama_whose_matrices_are_fused_is_the_same_but_for_its_configuration(turned, tmp_path):
    from depthgauge import compare
    from depthgauge.probes.weights.compute import weight_deltas
    from tests.bytes import save_byte_model

    base = save_byte_model(tmp_path / "base")
    fused = converted(base, tmp_path / "fused")
    ours, its = (base, fused) if turned else (fused, base)
    found = compare(
        str(its), str(ours), expect="equal", last_stage="weights", allow="config", store=str(tmp_path / "store"),
        report_dir=str(tmp_path / "reports"),
    )  # fmt: skip
    rows = {row.claim: row for row in found.rows}
    (page,) = [path.read_text() for path in (tmp_path / "reports").rglob("report.md")]

    torch.testing.assert_close(logits(fused), logits(base), atol=1e-4, rtol=1e-4)
    assert {one.frobenius for one in weight_deltas(ours, its)} == {0.0}
    assert {row.outcome for row in rows.values()} == {"SUPPORTED"}
    assert rows["same-configuration"].estimate.where.startswith("allowed: ")
    assert re.search(r"; and \d+ more$", rows["same-configuration"].estimate.where)
    assert "qkv_proj" in page and "compared told apart" in page


def test_one_wrong_head_of_a_fused_matrix_is_named_at_its_layer(tmp_path):
    from depthgauge.probes.weights.compute import weight_deltas
    from tests.bytes import save_byte_model

    base = save_byte_model(tmp_path / "base")
    fused = converted(base, tmp_path / "fused")

    def spoil(tensors):
        tensors["model.layers.1.self_attn.qkv_proj.weight"][32:40] *= 2  # the first of two heads of keys

    moved = [one for one in weight_deltas(edited(fused, tmp_path / "wrong", spoil), base) if one.frobenius]

    assert [(one.layer, one.projection, one.head_frobenius.nonzero()[0].tolist()) for one in moved] == [(1, "k", [0])]
