"""How far weights moved, against slow float64 arithmetic on whole tensors of every family."""

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from depthgauge.core.errors import InvalidCheckpoint, InvalidComparison, StatisticUndefined
from depthgauge.formats import tensors
from depthgauge.probes.weights import compute as weights
from depthgauge.probes.weights.compute import by_head, by_layer, difference, stable_rank, weight_deltas
from tests.processes import refused

Q, KV, DIM, HIDDEN = 4, 2, 6, 16
SHARED = dict(vocab_size=40, num_hidden_layers=2, num_attention_heads=Q, hidden_size=HIDDEN, intermediate_size=36)
GROUPED = SHARED | dict(num_key_value_heads=KV, head_dim=DIM, pad_token_id=0, bos_token_id=1, eos_token_id=2)
FAMILIES = {
    "Llama": GROUPED,
    "Mistral": GROUPED,
    "Qwen2": SHARED | dict(num_key_value_heads=KV),
    "Qwen3": GROUPED | dict(tie_word_embeddings=True),
    "Gemma2": GROUPED,
    "Gemma3": GROUPED,
    "Phi3": SHARED | dict(num_key_value_heads=KV, pad_token_id=0, bos_token_id=1, eos_token_id=2),
    "Olmo2": SHARED | dict(num_key_value_heads=KV, pad_token_id=0),
    "GPT2": dict(vocab_size=40, n_layer=2, n_head=Q, n_embd=HIDDEN, bos_token_id=1, eos_token_id=2),
    "GPTNeoX": SHARED,
}
SPLIT = [name for name in FAMILIES if name not in ("Phi3", "GPT2", "GPTNeoX")]


def save(family, folder, seed, **options):
    import transformers

    stem = "Gemma3Text" if family == "Gemma3" else family
    config = getattr(transformers, f"{stem}Config")(**FAMILIES[family])
    kind = f"{family}LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    torch.manual_seed(seed)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # biases and norms start alike for every seed
    model.save_pretrained(folder, **options)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("families")
    return {name: tuple(save(name, place / name / str(seed), seed) for seed in (0, 1)) for name in FAMILIES}


@pytest.fixture
def pair(folders, tmp_path):
    """A checkpoint and its base that a test may change."""
    return tuple(shutil.copytree(path, tmp_path / path.name) for path in folders["Qwen3"])


def stored(folder):
    return {
        name: tensor.double().numpy()
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def rewrite(folder, change):
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors) or tensors, folder / "model.safetensors", metadata={"format": "pt"})


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def numbers(deltas):
    return np.array([(d.frobenius, d.rms, d.relative, d.changed) for d in deltas])


def split(family, name, matrix):
    """The matrices fused in one, as the model's own forward pass takes them apart: {suffix: (out, in) matrix}."""
    if family == "GPT2" and ".c_" in name and matrix.ndim == 2:
        matrix = matrix.T
    if name.endswith("qkv_proj.weight"):
        width = HIDDEN // Q
        return dict(zip(("[q]", "[k]", "[v]"), np.split(matrix, [Q * width, (Q + KV) * width]), strict=True))
    if name.endswith("gate_up_proj.weight"):
        return dict(zip(("[gate]", "[up]"), np.split(matrix, 2), strict=True))
    if name.endswith("c_attn.weight"):
        return dict(zip(("[q]", "[k]", "[v]"), np.split(matrix, 3), strict=True))
    if name.endswith("query_key_value.weight"):
        heads = matrix.reshape(Q, 3, HIDDEN // Q, HIDDEN)
        return {f"[{part}]": heads[:, i].reshape(HIDDEN, HIDDEN) for i, part in enumerate("qkv")}
    return {"": matrix}


def head_norms(projection, matrix):
    if projection == "o":
        matrix = matrix.T
    heads = {"q": Q, "o": Q, "k": KV if len(matrix) < HIDDEN else Q, "v": KV if len(matrix) < HIDDEN else Q}
    return np.sqrt((matrix.reshape(heads[projection], -1) ** 2).sum(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_is_that_of_whole_tensors_in_float64(folders, family):
    ours, base = (stored(folder) for folder in folders[family])
    expected = {
        name + suffix: (moved, split(family, name, base[name])[suffix])
        for name in base
        for suffix, moved in split(family, name, ours[name] - base[name]).items()
    }
    deltas = weight_deltas(*folders[family])

    assert {d.name for d in deltas} == set(expected)
    for delta in deltas:
        moved, before = expected[delta.name]
        assert delta.numel == moved.size
        assert delta.frobenius == pytest.approx(np.linalg.norm(moved), rel=1e-6)
        assert delta.rms == pytest.approx(np.sqrt((moved**2).mean()), rel=1e-6)
        assert delta.relative == pytest.approx(np.linalg.norm(moved) / np.linalg.norm(before), rel=1e-6)
        assert delta.changed == (np.abs(moved) > 1e-5).mean()
        if delta.projection in ("q", "k", "v", "o"):
            assert delta.head_frobenius == pytest.approx(head_norms(delta.projection, moved), rel=1e-6)
            assert (delta.head_frobenius**2).sum() == pytest.approx(delta.frobenius**2)
        else:
            assert delta.head_frobenius.shape == (0,)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_block_has_its_projections_once(folders, family):
    deltas = weight_deltas(*folders[family])
    expected = {"q", "k", "v", "o", "up", "down"} | (set() if family in ("GPT2", "GPTNeoX") else {"gate"})

    for layer in (0, 1):
        found = [d.projection for d in deltas if d.layer == layer and d.projection]
        assert sorted(found) == sorted(expected)
    assert all(d.projection is None for d in deltas if not d.name.split("[")[0].endswith("weight") or "norm" in d.name)
    assert [d.layer for d in deltas if d.layer is not None] == sorted(d.layer for d in deltas if d.layer is not None)


@pytest.mark.parametrize("family", ["Phi3", "GPT2", "GPTNeoX"])
def test_the_parts_of_a_fused_matrix_add_up_to_it(folders, family):
    ours, base = (stored(folder) for folder in folders[family])
    deltas = weight_deltas(*folders[family])
    fused = {d.name.split("[")[0] for d in deltas if "[" in d.name}

    assert len(fused) == (4 if family == "Phi3" else 2)
    for name in fused:
        together = sum(d.frobenius**2 for d in deltas if d.name.startswith(name + "["))
        assert together == pytest.approx(((ours[name] - base[name]) ** 2).sum(), rel=1e-6)


def test_a_movement_of_one_neox_query_head_is_that_head_alone(folders, tmp_path):
    """GPTNeoXAttention views its output as (heads, 3 x head_dim) and cuts each head into query, key and value."""
    base = folders["GPTNeoX"][1]
    ours = shutil.copytree(base, tmp_path / "ours")
    width = HIDDEN // Q

    def move(tensors):
        tensors["gpt_neox.layers.1.attention.query_key_value.weight"][2 * 3 * width : 2 * 3 * width + width] += 1

    rewrite(ours, move)
    moved = [d for d in weight_deltas(ours, base) if d.frobenius]

    assert [d.name[-3:] for d in moved] == ["[q]"]
    assert (moved[0].head_frobenius > 0).tolist() == [False, False, True, False]


def test_heads_by_layer_hold_the_whole_movement(folders):
    found = weight_deltas(*folders["Qwen3"])
    for projection, heads in zip("qkvo", (Q, KV, KV, Q), strict=True):
        norms = by_head(found, projection)
        assert norms.shape[1] == heads
        np.testing.assert_allclose(np.linalg.norm(norms, axis=1), by_layer(found, projection, "frobenius"), rtol=1e-6)
    with refused(StatisticUndefined, "'up'"):
        by_head(found, "up")


@pytest.mark.parametrize("piece, run", [(1, 1), (7, 20), (64, 200)])
def test_pieces_and_tasks_of_any_size_give_the_same_numbers(folders, monkeypatch, piece, run):
    for family in ("GPT2", "Phi3"):
        whole = weight_deltas(*folders[family])
        monkeypatch.setattr(weights, "PIECE", piece)
        monkeypatch.setattr(weights, "RUN", run)
        monkeypatch.setattr(tensors, "LONGEST_ROW", 5)
        cut = weight_deltas(*folders[family])
        monkeypatch.undo()

        assert numbers(cut) == pytest.approx(numbers(whole), rel=1e-6)
        for one, other in zip(cut, whole, strict=True):
            assert one.head_frobenius == pytest.approx(other.head_frobenius, rel=1e-6)


def test_other_shards_change_nothing(folders, tmp_path):
    ours, base = folders["Llama"]
    sharded = save("Llama", tmp_path / "sharded", 0, max_shard_size="4KB")

    assert len(list(sharded.glob("*.safetensors"))) > 2
    assert (numbers(weight_deltas(sharded, base)) == numbers(weight_deltas(ours, base))).all()


@pytest.mark.parametrize("dtypes", [("BF16", "BF16"), ("F32", "BF16"), ("F16", "F16"), ("F16", "F64"), ("F64", "BF16")])
def test_the_stored_dtypes_change_nothing_but_the_rounding(pair, dtypes):
    kinds = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}
    for folder, dtype in zip(pair, dtypes, strict=True):
        rewrite(folder, lambda tensors, kind=kinds[dtype]: {name: t.to(kind) for name, t in tensors.items()})
    ours, base = (stored(folder) for folder in pair)

    for delta in weight_deltas(*pair):
        moved = ours[delta.name] - base[delta.name]
        assert delta.frobenius == pytest.approx(np.linalg.norm(moved), rel=1e-6)
        assert delta.changed == (np.abs(moved) > 1e-5).mean()
        if delta.projection in ("q", "k", "v", "o"):
            assert delta.head_frobenius == pytest.approx(head_norms(delta.projection, moved), rel=1e-6)
        assert difference(*pair, delta.name) == pytest.approx(moved, rel=1e-6, abs=1e-7)


def test_a_difference_that_only_float64_holds_is_seen(pair):
    rewrite(pair[1], lambda tensors: {name: t.double() for name, t in tensors.items()})
    shutil.copy(pair[1] / "model.safetensors", pair[0] / "model.safetensors")
    rewrite(pair[0], lambda tensors: {name: t + 1e-11 for name, t in tensors.items()})

    assert numbers(weight_deltas(*pair, tolerance=1e-12))[:, [1, 3]] == pytest.approx(
        np.array([[1e-11, 1.0]] * len(weight_deltas(*pair))), rel=1e-3
    )


def test_a_tied_head_is_counted_once(pair):
    ours, base = pair
    alone = weight_deltas(ours, base)
    rewrite(ours, lambda tensors: tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    one_sided = weight_deltas(ours, base)
    configure(ours, tie_word_embeddings=False)

    assert [d.name for d in one_sided] == [d.name for d in alone]
    with refused(InvalidComparison, "lm_head", "40", "16"):
        weight_deltas(ours, base)


@pytest.mark.parametrize("family", ["Qwen3", "GPT2", "GPTNeoX"])
def test_a_folder_has_not_moved_from_itself(folders, family):
    for delta in weight_deltas(folders[family][0], folders[family][0]):
        assert delta.frobenius == delta.rms == delta.relative == delta.changed == 0
        assert not delta.head_frobenius.any()


def test_the_movement_from_a_base_of_zeros_has_no_relative_size(pair):
    rewrite(pair[1], lambda tensors: {name: torch.zeros_like(t) for name, t in tensors.items()})

    assert all(math.isnan(d.relative) and d.frobenius > 0 for d in weight_deltas(*pair))


def test_a_change_is_more_than_the_tolerance(pair):
    shutil.copy(pair[0] / "model.safetensors", pair[1] / "model.safetensors")

    def move(tensors):
        tensors["model.norm.weight"] = torch.zeros(HIDDEN)
        tensors["model.norm.weight"][:3] = torch.tensor([0.5, -0.5, 0.25])

    rewrite(pair[0], move)
    rewrite(pair[1], lambda tensors: tensors | {"model.norm.weight": torch.zeros(HIDDEN)})
    found = [next(d for d in weight_deltas(*pair, tolerance=t) if d.name == "model.norm.weight") for t in (0.25, 0.0)]

    assert [d.changed for d in found] == [2 / HIDDEN, 3 / HIDDEN]


@given(scale=st.floats(-8, 8), seed=st.integers(0, 99))
def test_norms_scale_with_the_difference_and_obey_the_triangle(tmp_path_factory, scale, seed):
    place = tmp_path_factory.mktemp("law")
    rng = np.random.default_rng(seed)
    a, b, c = rng.standard_normal((3, 7, 5))

    def moved(matrix, base):
        for name, value in (("ours", matrix), ("base", base)):
            (place / name).mkdir(exist_ok=True)
            (place / name / "config.json").write_text("{}")
            save_file({"w": torch.from_numpy(np.ascontiguousarray(value))}, place / name / "model.safetensors")
        return weight_deltas(place / "ours", place / "base")[0].frobenius

    assert moved(b + scale * (a - b), b) == pytest.approx(abs(scale) * moved(a, b), rel=1e-9, abs=1e-12)
    assert moved(a, c) <= (moved(a, b) + moved(b, c)) * (1 + 1e-12)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_not_finite_is_named_with_its_folder(pair, side, value):
    def spoil(tensors):
        tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = value

    rewrite(pair[side], spoil)

    with refused(InvalidCheckpoint, "model.layers.1.mlp.up_proj.weight", pair[side], code="not-finite"):
        weight_deltas(*pair)


def test_a_huge_weight_is_still_a_number(pair):
    rewrite(pair[0], lambda tensors: {name: t + 1e30 for name, t in tensors.items()})

    assert all(d.rms == pytest.approx(1e30, rel=1e-6) for d in weight_deltas(*pair))


def test_another_shape_or_a_missing_tensor_is_refused_by_name(pair):
    rewrite(pair[0], lambda tensors: tensors | {"model.norm.weight": torch.ones(HIDDEN + 1)})

    with refused(InvalidComparison, "model.norm.weight", (17,), (16,)):
        weight_deltas(*pair)
    rewrite(pair[0], lambda tensors: {name: t for name, t in tensors.items() if name != "model.norm.weight"})
    with refused(InvalidComparison, "model.norm.weight", (16,)):
        weight_deltas(*pair)


def test_a_configuration_of_another_model_is_refused(pair):
    configure(pair[0], num_attention_heads=7)

    with refused(InvalidCheckpoint, "7 heads"):
        weight_deltas(*pair)


def test_a_dtype_that_is_not_a_plain_float_is_refused(pair):
    rewrite(pair[0], lambda tensors: {name: t.to(torch.float8_e4m3fn) for name, t in tensors.items()})

    with refused(InvalidCheckpoint, "F8_E4M3", "F64, F32, F16, BF16"):
        weight_deltas(*pair)


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model.", ""])
def test_the_prefix_of_a_wrapper_does_not_matter(pair, prefix):
    plain = weight_deltas(*pair)
    rewrite(pair[0], lambda tensors: {prefix + name.removeprefix("model."): t for name, t in tensors.items()})
    wrapped = weight_deltas(*pair)

    assert (numbers(wrapped) == numbers(plain)).all()
    assert [(d.layer, d.projection) for d in wrapped] == [(d.layer, d.projection) for d in plain]


def test_masks_that_older_versions_saved_are_no_weights(folders, tmp_path):
    ours, base = (shutil.copytree(path, tmp_path / path.name) for path in folders["GPT2"])
    plain = weight_deltas(ours, base)
    rewrite(base, lambda tensors: tensors | {"transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4)})
    rewrite(base, lambda tensors: tensors | {"transformer.h.0.attn.seen": torch.ones(4, dtype=torch.bool)})

    assert (numbers(weight_deltas(ours, base)) == numbers(plain)).all()


@pytest.mark.parametrize("family", ["Qwen3", "Phi3", "GPT2", "GPTNeoX"])
def test_the_difference_of_a_part_is_its_matrix(folders, family):
    ours, base = (stored(folder) for folder in folders[family])
    for delta in weight_deltas(*folders[family]):
        name, bracket, suffix = delta.name.partition("[")
        expected = split(family, name, ours[name] - base[name])[bracket + suffix]
        if family == "GPT2" and ".c_" in name and expected.ndim == 2:
            expected = expected.T  # as it is stored
        assert difference(*folders[family], delta.name) == pytest.approx(expected, abs=1e-6)
    with refused(StatisticUndefined, "'nothing'"):
        difference(*folders[family], "nothing")


def test_layers_make_a_row(folders):
    deltas = weight_deltas(*folders["Qwen3"])
    row = by_layer(deltas, "down", "frobenius")

    assert row.tolist() == [d.frobenius for d in deltas if d.projection == "down"]
    assert by_layer(deltas, "q").shape == (2,)
    without_first = [d for d in deltas if d.layer != 0]
    assert np.isnan(by_layer(without_first, "q")).tolist() == [True, False]
    with refused(StatisticUndefined, "'c'", "down, gate, k, o, q, up, v"):
        by_layer(deltas, "c")


@pytest.mark.parametrize("shape", [(9, 5), (120, 90)], ids=["all singular values", "the largest alone"])
def test_stable_ranks_with_a_closed_form(shape):
    rng = np.random.default_rng(0)
    one = np.outer(rng.standard_normal(shape[0]), rng.standard_normal(shape[1]))
    orthogonal = np.linalg.qr(rng.standard_normal(shape))[0]
    random = rng.standard_normal(shape)
    sigma = np.linalg.svd(random, compute_uv=False)

    assert stable_rank(one) == pytest.approx(1)
    assert stable_rank(orthogonal) == pytest.approx(shape[1])
    assert stable_rank(random) == pytest.approx((sigma**2).sum() / sigma[0] ** 2, rel=1e-5)
    assert stable_rank(1e-30 * random.astype(np.float32)) == pytest.approx(stable_rank(random), rel=1e-4)


def test_nothing_that_moved_has_no_stable_rank():
    for matrix in (np.zeros((3, 3)), np.ones(3)):
        with refused(StatisticUndefined, code="zero"):
            stable_rank(matrix)


def test_neither_torch_nor_scipy_is_imported_to_compare(folders):
    ours, base = folders["Qwen3"]
    script = (
        "import sys, pathlib; from depthgauge.probes.weights.compute import weight_deltas;"
        f"weight_deltas(pathlib.Path({str(ours)!r}), pathlib.Path({str(base)!r}));"
        "print([m for m in ('torch', 'scipy', 'transformers', 'safetensors') if m in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
