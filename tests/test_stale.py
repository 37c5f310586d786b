"""What rounding explains, and what it does not: a checkpoint that is its baseline again, in another precision."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from depthgauge.formats.tensors import Stored, elements
from depthgauge.probes.weights import rounding
from depthgauge.probes.weights.rounding import first_movement, last_place, significand_bits

KINDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
COARSE = [("F32", "BF16"), ("F32", "F16"), ("F64", "F32"), ("F64", "BF16"), ("F16", "BF16")]


def folder(place, **tensors):
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text(json.dumps({}))
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, place / "model.safetensors")
    return place


@pytest.fixture
def drawn():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((40, 30)) * 0.02)


def truncated(tensor):
    """In bfloat16, cut off towards zero."""
    return (tensor.float().view(torch.int32) & ~0xFFFF).view(torch.float32).bfloat16()


@pytest.mark.parametrize("fine, coarse", COARSE)
@pytest.mark.parametrize("turned", [False, True], ids=["rounded down", "the baseline is the coarser"])
def test_the_baseline_in_another_precision_has_not_moved(tmp_path, drawn, fine, coarse, turned):
    exact = drawn.to(KINDS[fine])
    pair = [folder(tmp_path / "a", w=exact.to(KINDS[coarse])), folder(tmp_path / "b", w=exact)]
    found = first_movement(*(pair[::-1] if turned else pair))

    assert (found.tensor, found.moved, found.dtype) == (None, 0, str(KINDS[coarse]).removeprefix("torch."))
    assert found.rounded == int((exact.to(KINDS[coarse]).double() != exact.double()).sum()) > 0


def test_weights_cut_off_towards_zero_or_saved_again_in_more_bits_have_not_moved(tmp_path, drawn):
    base = folder(tmp_path / "base", w=drawn.float())

    assert first_movement(folder(tmp_path / "cut", w=truncated(drawn)), base).tensor is None
    widened = folder(tmp_path / "wide", w=drawn.float().bfloat16().float())
    assert first_movement(widened, base) == (None, 0, rounding_count(drawn), "bfloat16")


def test_what_is_too_small_for_float16_has_not_moved(tmp_path, drawn):
    base = folder(tmp_path / "base", w=(drawn * 1e-4).bfloat16())
    again = folder(tmp_path / "again", w=(drawn * 1e-4).bfloat16().half())

    assert first_movement(again, base).tensor is None
    assert first_movement(base, again).tensor is None
    assert first_movement(folder(tmp_path / "moved", w=(drawn * 1e-4).bfloat16().half() + 2e-7), base).tensor == "w"


def rounding_count(drawn):
    return int((drawn.float() != drawn.float().bfloat16().float()).sum())


@pytest.mark.parametrize("fine, coarse", COARSE)
def test_one_weight_beyond_the_last_place_has_moved_and_its_tensor_is_named(tmp_path, drawn, fine, coarse):
    exact = drawn.to(KINDS[fine])
    rounded = exact.to(KINDS[coarse])
    base = folder(tmp_path / "base", a=exact, b=exact)
    moved = rounded.clone()
    moved.view(torch.int16 if moved.element_size() == 2 else torch.int32)[3, 4] += 2  # units in the last place
    found = first_movement(folder(tmp_path / "ours", a=rounded, b=moved), base)

    assert (found.tensor, found.moved) == ("b", 1 / drawn.numel())


@pytest.mark.parametrize("kind", KINDS)
def test_in_one_precision_a_single_last_place_is_a_movement(tmp_path, drawn, kind):
    base = drawn.to(KINDS[kind])
    bits = {8: torch.int64, 4: torch.int32, 2: torch.int16}[base.element_size()]
    moved = base.clone()
    moved.view(bits)[1, 2] += 1

    assert first_movement(folder(tmp_path / "a", w=moved), folder(tmp_path / "b", w=base)).moved == 1 / base.numel()
    assert first_movement(folder(tmp_path / "a", w=base), folder(tmp_path / "b", w=base)) == (None, 0, 0, "")


def test_a_tensor_that_moved_ends_the_reading(tmp_path, drawn, monkeypatch):
    read = []
    monkeypatch.setattr(rounding, "elements", lambda stored, *at: read.append(stored.name) or elements(stored, *at))
    base = folder(tmp_path / "a", a=drawn.float(), b=drawn.float())
    first_movement(folder(tmp_path / "b", a=drawn.float() * 1.5, b=drawn.float()), base)

    assert set(read) == {"a"}


@given(st.floats(2.0**-120, 2.0**120, width=32), st.sampled_from([(24, np.float32), (53, np.float64)]))
def test_the_last_place_is_numpys(size, precision):
    bits, kind = precision

    assert last_place(np.array([size]), bits)[0] == np.spacing(kind(size))


@given(st.floats(0, 60000, width=16))
def test_the_last_place_of_float16_is_numpys_down_to_zero(size):
    assert last_place(np.array([float(size)]), 11)[0] == np.spacing(np.float16(size))


@pytest.mark.parametrize("grid, bits", [("BF16", 8), ("F16", 11), ("F32", 24), ("F64", 53)])
@pytest.mark.parametrize("kind", ["F32", "F64"])
def test_the_precision_of_a_tensor_is_the_coarsest_that_holds_it(tmp_path, drawn, grid, bits, kind):
    folder(tmp_path, w=drawn.to(KINDS[grid]).to(KINDS[kind]))
    at = (tmp_path / "model.safetensors").stat().st_size - drawn.numel() * (8 if kind == "F64" else 4)
    stored = Stored("w", tmp_path / "model.safetensors", at, kind, tuple(drawn.shape))

    assert significand_bits(stored) == min(bits, rounding.BITS[kind])
