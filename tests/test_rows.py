"""Single rows of embeddings and head: seen, sized and named by their tokens, in vocabularies of 1,000 and 49,152."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import save_file

from depthgauge import compare
from depthgauge.core.estimate import Measurement
from depthgauge.core.result import Outcome
from depthgauge.probes.weights import measures
from depthgauge.probes.weights.compute import RUN, weight_deltas
from depthgauge.probes.weights.measures import of_others
from depthgauge.probes.weights.readings import column_of, concentrated
from depthgauge.probes.weights.rows import LISTED, entries, norm_factors, relative_changes
from tests.test_formats import BASE, change, copied  # noqa: F401

WIDTH, STOP = 24, 0
SIZES = (1000, 49152)
ROW_SIZES = arrays(float, st.integers(3, 20), elements=st.floats(0.5, 2))


@pytest.fixture(scope="module", params=SIZES)
def base(request, tmp_path_factory):
    """An embedding and an untied head over words, w17 and so on, with their tokenizer."""
    return checkpoint(tmp_path_factory.mktemp("base"), request.param)


def checkpoint(folder, rows, *, known=None, **changes):
    from tokenizers import Tokenizer, models

    words = {"<|end|>": STOP} | {f"w{i}": i for i in range(1, known or rows)}
    Tokenizer(models.WordLevel(words)).save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"tie_word_embeddings": False, "eos_token_id": STOP}))
    draw = torch.Generator().manual_seed(0)
    made = {
        "model.embed_tokens.weight": torch.randn(rows, WIDTH, generator=draw),
        "lm_head.weight": torch.randn(rows, WIDTH, generator=draw),
    }
    save_file(made | changes, folder / "model.safetensors")
    return folder


def changed(base, folder, edit, name="lm_head.weight"):
    from safetensors.torch import load_file

    stored = load_file(base / "model.safetensors")
    edit(stored[name])
    folder.mkdir()
    for file in ("tokenizer.json", "config.json"):
        (folder / file).write_bytes((base / file).read_bytes())
    save_file(stored, folder / "model.safetensors")
    return folder


def swap(tensor):
    tensor[[5, 900]] = tensor[[900, 5]]


def most(found, array):
    place = int(np.argmax(found[array]))
    return str(found["rows"][place]), found[array][place]


def test_a_row_times_one_and_a_half_moved_by_half_and_is_named(base, tmp_path):
    found = of_others(changed(base, tmp_path / "ours", lambda tensor: tensor[700].mul_(1.5)), base)

    assert most(found, "row_change") == ("lm_head row 700 'w700'", pytest.approx(0.5, rel=1e-6))
    assert dict(zip(found["names"], found["relative"], strict=True))["lm_head"] < 0.05  # the whole is blind to it


def test_a_zeroed_row_moved_by_all_of_it_and_shrank_out_of_all_proportion(base, tmp_path):
    found = of_others(changed(base, tmp_path / "ours", lambda tensor: tensor[STOP].zero_()), base)

    assert most(found, "row_change") == ("lm_head row 0 '<|end|>'", pytest.approx(1))
    name, factor = most(found, "row_factor")
    assert name == "lm_head row 0 '<|end|>'" and factor > 50


def test_two_rows_that_were_swapped_are_the_two_that_moved_most(base, tmp_path):
    rows = weight_deltas(base, base)[0].row_norms.shape[1]
    found = of_others(changed(base, tmp_path / "ours", swap), base)
    first = [str(found["rows"][i]) for i in np.argsort(-found["row_change"])[:2]]

    assert sorted(first) == [
        "lm_head row 5 'w5', which holds row 900 'w900'", "lm_head row 900 'w900', which holds row 5 'w5'",
    ]  # fmt: skip
    assert found["row_change"].max() > 1 and (np.sort(found["row_change"])[:-2] == 0).all()
    assert found["row_factor"].max() < 4  # a swap is no matter of size
    assert rows in SIZES


def test_the_numbers_of_rows_are_those_of_whole_tensors(base, tmp_path):
    from safetensors.torch import load_file

    ours = changed(base, tmp_path / "ours", lambda tensor: tensor.add_(0.1 * torch.randn(tensor.shape)))
    before, after = (load_file(one / "model.safetensors")["lm_head.weight"].double() for one in (base, ours))
    norms = next(one for one in weight_deltas(ours, base) if one.name == "lm_head.weight").row_norms

    for got, whole in zip(norms, (after - before, before, after), strict=True):
        np.testing.assert_allclose(got, whole.norm(dim=1), rtol=1e-6)


def test_rows_that_lie_in_several_pieces_are_put_together(tmp_path):
    """A row longer than what is summed at once, in more rows than are read at once."""
    width = 3 * 8192
    rows = RUN // width + 20
    for name, factor in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(1)) * factor
        save_file({"model.embed_tokens.weight": drawn}, tmp_path / name / "model.safetensors")
    (found,) = weight_deltas(tmp_path / "b", tmp_path / "a")

    assert found.row_norms.shape == (3, rows)
    np.testing.assert_allclose(found.row_norms[0], found.row_norms[1], rtol=1e-6)
    np.testing.assert_allclose(found.row_norms[2], 2 * found.row_norms[1], rtol=1e-6)


def norms(moved, base, ours):
    return np.array([moved, base, ours], dtype=float)


def test_a_row_that_was_never_trained_is_sized_beside_the_others():
    base = [1.0, 1.0, 1.0, 1.0, 0.0]

    assert relative_changes(norms([0, 0, 0, 0, 1e-3], base, [1, 1, 1, 1, 1e-3]))[-1] == pytest.approx(0.01)
    assert norm_factors(norms([0, 0, 0, 0, 1], base, [1, 1, 1, 1, 1])).tolist() == [1] * 5  # trained at last
    assert norm_factors(norms([0, 0, 0, 0, 50], base, [1, 1, 1, 1, 50]))[-1] == pytest.approx(50)


@pytest.mark.parametrize("size, factor", [(0.25, 4), (0, 100), (4, 4), (1e6, 1e6)])
def test_the_factor_of_a_row_has_a_closed_form(size, factor):
    assert norm_factors(norms([0] * 5, [1] * 5, [1, 1, size, 1, 1]))[2] == pytest.approx(factor)


def test_an_embedding_of_zeros_is_no_division_by_zero():
    assert relative_changes(norms([0] * 3, [0] * 3, [0] * 3)).tolist() == [0] * 3
    assert norm_factors(norms([0] * 3, [0] * 3, [0] * 3)).tolist() == [1] * 3
    assert np.isfinite(relative_changes(norms([1] * 3, [0] * 3, [1] * 3))).all()
    assert norm_factors(norms([1] * 3, [1] * 3, [0] * 3)) == pytest.approx(100)  # all of it is lost


@given(ROW_SIZES, st.floats(0.01, 100))
def test_rows_that_grow_alike_do_not_grow_beside_the_others(base, alike):
    np.testing.assert_allclose(norm_factors(norms(base, base, base * alike)), 1, rtol=1e-9)


@given(st.data())
def test_the_order_of_the_vocabulary_does_not_matter(data):
    sizes = data.draw(arrays(float, (3, 9), elements=st.floats(0, 2)))
    order = data.draw(st.permutations(range(9)))

    for measure in (relative_changes, norm_factors):
        np.testing.assert_allclose(measure(sizes[:, order]), measure(sizes)[order])


def test_a_vocabulary_that_grew_is_compared_in_what_both_know_and_its_new_rows_are_named(tmp_path):
    (tmp_path / "base").mkdir(), (tmp_path / "ours").mkdir()
    base = checkpoint(tmp_path / "base", 1000)
    from safetensors.torch import load_file

    before = load_file(base / "model.safetensors")
    added = {name: torch.cat([tensor, tensor[:4] * torch.tensor([[1.0], [1e-6], [1.0], [1.0]])])
             for name, tensor in before.items()}  # fmt: skip
    ours = checkpoint(tmp_path / "ours", 1004, known=1002, **added)
    found = of_others(ours, base)
    sizes = dict(zip(found["new_rows"], found["new_row_norms"], strict=True))

    assert found["relative"].tolist() == [0, 0] and not found["row_change"].any()
    assert len(sizes) == 8 <= 2 * LISTED
    assert next(iter(sizes)) == "lm_head row 1001 'w1001'" and sizes["lm_head row 1001 'w1001'"] < 1e-5
    assert "embed_tokens row 1003 (no token)" in sizes
    assert 0.3 < sizes["lm_head row 1000 'w1000'"] < 3
    assert of_others(base, ours)["new_rows"].size == 0  # a vocabulary that shrank has none


def test_rows_are_named_by_their_numbers_where_no_tokenizer_can_be_read(base, tmp_path):
    ours = changed(base, tmp_path / "ours", lambda tensor: tensor[700].mul_(1.5))
    (ours / "tokenizer.json").write_text("{")

    assert most(of_others(ours, base), "row_change")[0] == "lm_head row 700"


def test_a_piece_of_a_character_is_named_as_the_vocabulary_writes_it(tmp_path):
    from tokenizers import Tokenizer, decoders, models

    from depthgauge.probes.weights.rows import entry

    tokenizer = Tokenizer(models.BPE(vocab={"Ã": 0, "Ġthe": 1}, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()

    assert [entry(tokenizer, row) for row in (0, 1, 2)] == ["'Ã'", "' the'", "(no token)"]


def test_what_is_asked_of_two_folders_in_turn_reads_their_weights_once(tmp_path, monkeypatch):
    folder = tmp_path / "base"
    folder.mkdir()
    base = checkpoint(folder, 100, **{"model.layers.0.mlp.up_proj.weight": torch.randn(8, WIDTH)})
    ours, passes = changed(base, tmp_path / "ours", lambda tensor: tensor[7].mul_(2)), []
    count = lambda *folders: passes.append(folders) or weight_deltas(*folders)  # noqa: E731
    monkeypatch.setattr(measures.compute, "weight_deltas", count)
    measures.by_projection(ours, base)
    first = of_others(ours, base)

    assert len(passes) == 1
    assert most(first, "row_change")[0] == "lm_head row 7 'w7'"
    save_file({name: tensor * 2 for name, tensor in tensors_of(ours).items()}, ours / "model.safetensors")
    assert most(of_others(ours, base), "row_change")[1] > most(first, "row_change")[1]
    assert len(passes) == 2  # a folder that was written anew is read anew


def tensors_of(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_rows_that_are_off_hold_no_other(base, tmp_path):
    def edit(tensor):
        tensor[[5, 900]] = 0
        tensor[[7, 8]] = torch.randn(2, WIDTH)

    found = of_others(changed(base, tmp_path / "ours", edit), base)
    assert (found["row_change"] > 0.5).sum() == 4 and not found["row_exchanged"].any()
    assert not any("holds" in row for row in found["rows"])


def test_a_tensor_that_a_single_row_moved_is_named_with_it():
    arrays = {"rows": np.array(["a row 3 'x'", "b row 1 'y'"]), "row_share": np.array([0.9, 0.1])}
    measured = Measurement(key="", probe="", parameters={}, checkpoint="", arrays=arrays)
    named = concentrated(measured, ["model.a", "b", "layer 1 c"])
    assert named == ("model.a row 3 'x'", "b", "layer 1 c")
    assert column_of(named[0]) == "model.a"


# -- through the command ---


@pytest.mark.parametrize("expect, claims", [
    ("equal", ["norms-and-embeddings-within-margin", "rows-within-margin"]),
    ("quantized", ["unquantized-weights-within-margin", "rows-within-bits"]),
    ("trained", ["rows-not-exchanged"]),
])  # fmt: skip
def test_two_rows_that_were_swapped_are_both_named_by_their_tokens(expect, claims, copied, tmp_path):  # noqa: F811
    folder = copied("ct-w4") if expect == "quantized" else shutil.copytree(BASE, tmp_path / "candidate")

    def edit(stored):
        rows = stored["model.embed_tokens.weight"]
        rows[[4, 9]] = rows[[9, 4]]

    result = compare(
        BASE, change(folder, edit), expect=expect, claims=claims, all_stages=True, store=tmp_path / "store",
        tell=lambda line: None,
    )  # fmt: skip
    tokens = [entries(BASE, [4, 9])[row] for row in (4, 9)]
    assert all(tokens) and [row.claim for row in result.rows] == claims
    for row in result.rows:
        assert row.outcome is Outcome.REFUTED and row.control_outcome is Outcome.REFUTED
        assert all(token in row.estimate.where for token in tokens)
    assert all(token in str(result.headline) for token in tokens)


@pytest.mark.parametrize("factor", [1.5, 0])
def test_a_row_of_a_quantised_copy_is_named_by_its_token(factor, copied, tmp_path):  # noqa: F811
    folder = change(copied("ct-w4"), lambda stored: stored["model.embed_tokens.weight"][9].mul_(factor))
    (row,) = compare(
        BASE, folder, expect="quantized", claims=["rows-within-bits"], all_stages=True, store=tmp_path / "store",
        tell=lambda line: None,
    ).rows  # fmt: skip
    assert row.outcome is Outcome.REFUTED and row.estimate.where.endswith(f"row 9 {entries(BASE, [9])[9]}")
