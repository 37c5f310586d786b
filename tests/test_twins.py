"""Twins: copies of a baseline that are rounded as a candidate is, and where a candidate stands among them."""

from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from depthgauge import api
from depthgauge.cli import main
from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.result import Outcome
from depthgauge.core.testbed import Text
from depthgauge.corruptions import CORRUPTIONS, corrupt
from depthgauge.corruptions.folder import plain_copy
from depthgauge.formats.folder import plain_tensors
from depthgauge.formats.guess import guess_of
from depthgauge.formats.levels import TIE, inferred
from depthgauge.formats.rules import levels_by, rule_named
from depthgauge.formats.tensors import Computed, whole
from depthgauge.measure.measuring import description_of
from depthgauge.models.load import Placement
from depthgauge.probes.twins import TwinErrors
from depthgauge.probes.twins.compute import Original, output_projections
from depthgauge.probes.twins.rounding import Rounding, grid_of
from depthgauge.stats.twins import beside_twins
from tests.families import random_model
from tests.test_formats import BASE, FIXTURES, MADE, change, copied, rows  # noqa: F401

RNG = np.random.default_rng(0)
TOKENS = [[5, 6, 7, 8, 9, 3], [4, 8, 1, 2, 11, 3]]


# -- levels ---


@pytest.mark.parametrize("name", MADE)
def test_the_weights_of_every_format_stand_on_the_levels_that_it_gives(name):
    for tensor in plain_tensors(FIXTURES / name).values():
        if isinstance(tensor, Computed):
            weight, levels = whole(tensor), tensor.levels()
            assert np.abs(levels.nearest(weight) - weight).max() <= 1e-6 * np.abs(weight).max()
            assert len(levels.table) <= 1 << int(tensor.bits)


def test_a_coin_decides_near_a_tie_and_nowhere_else():
    weight = RNG.normal(size=(64, 128)).astype(np.float32)
    levels = levels_by(rule_named("int4-g32"), weight, "w")
    _, part = levels.between(weight)
    twins = [levels.by_coin(weight, np.random.default_rng(seed).random(weight.shape, np.float32)) for seed in (0, 1)]
    apart, far = twins[0] != twins[1], np.abs(part - 0.5) >= TIE
    assert apart.any() and not apart[far].any()
    assert np.array_equal(twins[0][far], levels.nearest(weight)[far])


@pytest.mark.parametrize("name, guess", [("int4-g32", (4, 32)), ("int3-g64-asym", (3, 64)), ("int4", (4, 256))])
def test_a_rounding_is_guessed_from_the_weights_and_its_levels_with_it(name, guess):
    weight = RNG.normal(size=(64, 256)).astype(np.float32)
    rounded = levels_by(rule_named(name), weight, "w").nearest(weight)
    assert guess_of(rounded) == guess and guess_of(weight) is None
    levels = inferred(rounded, *guess)
    assert np.allclose(levels.nearest(rounded), rounded, atol=1e-5)
    assert np.mean(np.abs(levels.nearest(weight) - rounded) < 1e-5) > 0.98


# -- what a copy is off by ---


def test_an_error_counts_in_the_layer_and_the_head_that_make_it():
    model = random_model("llama")
    original, broken = Original(model, TOKENS, 4), deepcopy(model)
    assert not original.errors(deepcopy(model)).jumps.any()
    with torch.no_grad():
        broken.model.layers[1].self_attn.o_proj.weight[:, 8:16] = 0  # head 1 of 4
    errors = original.errors(broken)
    assert np.flatnonzero(errors.jumps).tolist() == [1] and errors.divergence > 0
    assert errors.heads[1, 1] == pytest.approx(1) and np.flatnonzero(errors.heads).tolist() == [5]


def test_a_block_without_attention_has_no_heads():
    model = random_model("llama")
    del model.model.layers[2].self_attn.o_proj  # as of a state space
    assert sorted(output_projections(model, 4)) == [0, 1]


# -- statistics ---


def group(rng, n, columns=40, spread=0.05):
    return np.exp(rng.normal(-2, 0.3, columns) + spread * rng.normal(size=(n, columns)))


def beside(candidate, twins):
    names = [str(place) for place in range(len(candidate))]
    return beside_twins(candidate, twins, names, estimand="error")


def test_one_twin_more_is_beyond_the_others_as_seldom_as_the_level_says():
    rng = np.random.default_rng(1)
    beyond = [(estimate := beside((members := group(rng, 11))[0], members[1:])).low > 1 for _ in range(2000)]
    assert estimate.n == 10 and 0.02 < np.mean(beyond) < 0.08


@pytest.mark.parametrize("off", [0, 39, None], ids=["the narrowest", "the widest", "all"])
def test_the_interval_ends_below_the_largest_column_as_seldom_as_the_level_says(off):
    rng, spreads, rates = np.random.default_rng(4), np.geomspace(0.02, 0.25, 40), np.ones(40)
    rates[slice(None) if off is None else off] = 2
    below = []
    for _ in range(4000):
        members = np.exp(spreads * rng.normal(size=(11, 40)))
        below.append(beside(rates * members[0], members[1:]).high < 2)
    assert np.mean(below) <= 0.055


def test_columns_that_differ_much_among_twins_do_not_leave_a_healthy_candidate_open():
    """SmolLM2's heads: most differ by 6 % among its twins, and some by 20 %."""
    rng, spreads = np.random.default_rng(5), np.r_[np.full(290, 0.06), np.full(10, 0.2)]
    highs = []
    for _ in range(200):
        members = np.exp(spreads * rng.normal(size=(11, 300)))
        highs.append(beside(members[0], members[1:]).high)
    assert np.mean(np.array(highs) > 2.5) <= 0.05


def test_the_column_that_is_off_is_found_and_its_ratio_given():
    members = group(np.random.default_rng(2), 11)
    members[0, 7] *= 3
    estimate = beside(members[0], members[1:])
    assert estimate.where == "7" and 2.4 < estimate.point < 3.6 and estimate.low > 1.5


def test_what_is_no_place_is_named_with_the_place_that_is_off_most():
    members = group(np.random.default_rng(2), 11)
    members[0, 39] *= 9
    names = [str(place) for place in range(40)]

    def where(**options):
        return beside_twins(members[0], members[1:], names, estimand="error", **options).where

    members[0, 7] *= 0.5
    assert where() == "39" and where(places=39) == "39"  # no place is off by more than twins are
    members[0, 7] *= 6
    assert where(places=39) == "39, by 7" and where(places=40) == "39"


def test_less_than_twins_is_no_fault_and_is_said():
    members = group(np.random.default_rng(3), 11)
    members[0] /= 2
    estimate = beside(members[0], members[1:])
    assert estimate.high < 1 and "better than its twins" in estimate.where


@pytest.mark.parametrize("twins, said", [
    (group(RNG, 4), "4 twins are too few"),
    (np.ones((10, 40)), "do not differ at all"),
    (group(RNG, 10, spread=3), "exploded"),
    (np.zeros((10, 40)), "stands on this grid already"),
])  # fmt: skip
def test_twins_that_say_nothing_are_refused(twins, said):
    with pytest.raises(StatisticUndefined, match=said):
        beside(np.ones(40), twins)


# -- from the command ---


def compared(folder, store, **options):
    lines = []
    result = api.compare(
        BASE, folder, expect="quantized", claims=["within-twins"], all_stages=True, store=store, tell=lines.append,
        **options,
    )  # fmt: skip
    return rows(result)["within-twins"], lines


def without_a_head(stored):
    """Head 2 of layer 1 writes nothing: its codes stand for 0, and its scales are as they were."""
    words = stored["model.layers.1.self_attn.o_proj.weight_packed"]
    columns = words.shape[1] // 4
    words[:, 2 * columns : 3 * columns] = torch.tensor(0x88888888 - (1 << 32), dtype=torch.int32)


def test_a_lost_head_of_4_bits_is_found_among_twins_that_another_candidate_made(copied, tmp_path):  # noqa: F811
    healthy, lines = compared(copied("ct-w4"), tmp_path / "store")
    assert healthy.outcome is Outcome.SUPPORTED and healthy.control_outcome is Outcome.REFUTED
    assert any("10 twins" in line for line in lines)
    (tmp_path / "ct-w4").rename(tmp_path / "healthy")
    broken, lines = compared(change(copied("ct-w4"), without_a_head), tmp_path / "store")
    assert broken.outcome is Outcome.REFUTED and broken.estimate.where == "layer 1 head 2"
    assert not any("10 twins" in line for line in lines)


def without_an_mlp(layer):
    """Its last matrix writes nothing: all codes stand for 0."""

    def edit(stored):
        stored[f"model.layers.{layer}.mlp.down_proj.weight_packed"][:] = 0x88888888 - (1 << 32)

    return edit


def with_half_a_norm(layer):
    def edit(stored):
        stored[f"model.layers.{layer}.post_attention_layernorm.weight"] *= 0.5

    return edit


def test_what_a_layer_of_4_bits_lost_is_named_by_its_layer(copied, tmp_path):  # noqa: F811
    """The untrained model says something else next at once, which stands out most: the layer is named with it."""
    places = []
    for fault in (without_an_mlp(0), with_half_a_norm(1)):
        folder = change(copied("ct-w4"), fault)
        broken, _ = compared(folder, tmp_path / "store")
        folder.rename(tmp_path / f"broken {len(places)}")
        assert broken.outcome is Outcome.REFUTED
        places.append(broken.estimate.where)
    assert [place.rpartition("by ")[2] for place in places] == ["layer 0", "layer 1"]


def test_twins_are_kept_by_the_grid_and_not_by_the_codes(copied):  # noqa: F811
    first = grid_of(copied("ct-w4"), BASE)
    folder = FIXTURES / "ct-w4-asym"
    assert first[0] == grid_of("int4-g32", BASE)[0] != grid_of(folder, BASE)[0]


def test_twins_of_another_version_of_other_texts_or_on_another_device_are_made_anew(monkeypatch):
    base = Checkpoint(name="base", seed=0, folder=BASE, fingerprint="f")
    texts = (Text(text="some"), Text(text="more"))

    def key(checkpoint=base, device="cpu", **fields):
        probe = TwinErrors(**{"texts": texts, "rounded_as": "int4-g32", "twins": 10} | fields)
        return digest(description_of(probe, SimpleNamespace(placement=Placement(device=device)), checkpoint))

    first = key()
    others = [
        key(texts=texts[:1]), key(device="cuda"), key(twins=20), key(rounded_as="int4-g16"),
        key(checkpoint=replace(base, fingerprint="g")),
    ]  # fmt: skip
    assert key() == first
    monkeypatch.setattr(TwinErrors, "version", TwinErrors.version + 1)
    assert len({first, *others, key()}) == len(others) + 2


@pytest.mark.parametrize("baseline, said", [
    (lambda here, quantised: BASE, "are stored plain, and stand on no grid of 2 to 8 bits that shows"),
    (lambda here, quantised: plain_copy(quantised, here / "plain"), "the baseline stands on this grid already"),
])  # fmt: skip
def test_what_was_not_rounded_from_the_baseline_is_refused_in_a_sentence(baseline, said, copied, tmp_path):  # noqa: F811
    """A copy with noise is no rounded one, and of a baseline that stands on the grid twins are the baseline."""
    candidate = copied("ct-w4")
    against = baseline(tmp_path, candidate)
    if against == BASE:
        candidate = tmp_path / "noisy"
        corrupt(BASE, candidate, CORRUPTIONS["bfloat16_noise"])
    result = api.compare(
        against, candidate, expect="quantized", claims=["within-twins"], all_stages=True, twins=5,
        store=tmp_path / "store", tell=lambda line: None,
    )  # fmt: skip
    (row,) = result.rows
    assert (result.exit_code, row.outcome) == (20, Outcome.NOT_TESTABLE) and said in row.reason


def test_awq_is_rounded_in_its_own_scales_and_compared_in_the_baselines():
    rounding = Rounding(FIXTURES / "awq", BASE)
    assert rounding.folds.columns
    name = next(name for name in rounding.levels if name in rounding.folds.columns)
    base = whole(rounding.theirs[name])
    moved = np.linalg.norm(rounding.twin(name, rounding.levels[name](), 0) - base) / np.linalg.norm(base)
    assert moved < 0.2


def command(capsys, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["depthgauge", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr()


def test_calibrate_makes_twins_once_and_says_what_they_are_off_by(capsys, monkeypatch, tmp_path):
    words = ("calibrate", BASE, "--as=int4-g32", "--twins=5", f"--store={tmp_path}")
    code, said = command(capsys, monkeypatch, *words)
    assert code == 0 and "5 twins of base, rounded as int4-g32" in said.out and "nats" in said.out
    assert "measuring" in said.out
    assert "measuring" not in command(capsys, monkeypatch, *words)[1].out


@pytest.mark.parametrize("words, said", [
    (["--as=int4-g33"], "rows of 64 weights, which groups of 33 do not divide"),
    ([f"--as={BASE}"], "stored plain, and stand on no grid"),
    ([f"--as={FIXTURES / 'mxfp4'}"], "do not store"),
    (["--as=int4", "--twins=3"], "must be at least 5, got 3"),
    (["--as=int9"], "int9"),
])  # fmt: skip
def test_what_twins_cannot_be_made_of_is_one_sentence(words, said, capsys, monkeypatch, tmp_path):
    code, written = command(capsys, monkeypatch, "calibrate", BASE, f"--store={tmp_path}", *words)
    assert code in (4, 21) and said in written.err and written.err.count("\n") == 1
