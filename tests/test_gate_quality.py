"""The gate's own quality: faults that are planted are what they say, and the page is that of the pairs on record."""

import re
import shutil

import numpy as np
import pytest

from benchmarks.gate_quality import page, strangers, strangers_page
from benchmarks.gate_quality.judged import judged, session_of
from benchmarks.gate_quality.kinds import FAULTS, HARMLESS, on_files
from benchmarks.gate_quality.pairs import JUDGED, Pair, planted, results
from benchmarks.gate_quality.resampled import drawn_looks, resampled
from depthgauge.checks import test_generation
from depthgauge.core.estimate import Scores
from depthgauge.sources.content import same_content
from depthgauge.store.folders import Store
from depthgauge_testbeds.pocket import POCKET

ON_FILES = [name for name, fault in FAULTS.items() if on_files(fault)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("quality"), run="test")


def gate(pair, place, store):
    planted(pair, POCKET.base, place / "new")
    return judged(session_of(place / "new", POCKET.base, store, "pocket", ("science",)))


@pytest.mark.parametrize("name", FAULTS)
def test_every_dose_of_a_fault_changes_the_checkpoint_and_the_same_seed_changes_it_alike(name, tmp_path):
    for dose in FAULTS[name].doses:
        one, other = tmp_path / f"one{dose}", tmp_path / f"other{dose}"
        places = [planted(Pair(kind=name, dose=dose, seed=3), POCKET.base, folder) for folder in (one, other)]
        changed = [path.name for path in one.iterdir() if not same_bytes(path, POCKET.base / path.name)]

        assert changed
        assert places[0] == places[1]
        assert all(same_bytes(path, other / path.name) for path in one.iterdir())
        shutil.rmtree(one), shutil.rmtree(other)


def same_bytes(one, other):
    return other.exists() and one.read_bytes() == other.read_bytes()


@pytest.mark.full
@pytest.mark.parametrize("name", ON_FILES)
def test_a_fault_in_the_files_is_always_caught_and_no_weight_is_read(name, tmp_path, store):
    found = gate(Pair(kind=name, dose=FAULTS[name].doses[0], seed=1), tmp_path, store)

    assert found.exit in page.CAUGHT
    assert found.stage == "files"


@pytest.mark.full
def test_a_silenced_layer_is_caught_and_named(tmp_path, store):
    pair = Pair(kind="skip_layer", dose=1, seed=2)
    found = gate(pair, tmp_path, store)

    assert (found.exit, found.stage) == (1, "weights")
    assert found.layer == int(pair.draw.integers(36))


@pytest.mark.parametrize("name", [name for name in HARMLESS if name != "round_stochastically"])
def test_what_is_saved_in_another_way_has_the_same_content(name, tmp_path):
    planted(Pair(kind=name, dose=1, seed=0), POCKET.base, tmp_path / "new")

    assert same_content(tmp_path / "new", POCKET.base) == (name == "save_in_shards")


def test_the_page_is_that_of_the_pairs_on_record():
    assert (page.DOCS / "gate-quality.md").read_text() == page.text(results(JUDGED))


def test_no_harmless_rewriting_on_record_was_blocked_and_every_fault_in_files_was_caught():
    harmless = [one for one in results(JUDGED) if one["kind"] in HARMLESS]
    on_files = [one for one in results(JUDGED) if one["kind"] in ON_FILES]

    assert harmless and not page.caught(harmless)
    assert on_files and page.caught(on_files) == len(on_files)


def test_the_page_names_the_smallest_dose_that_four_in_five_places_caught():
    kind = "zero_mlp"
    doses = FAULTS[kind].doses
    found = [
        {"testbed": "t", "kind": kind, "dose": dose, "exit": exit_code}
        for dose, exits in zip(doses, ([0] * 5, [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [21] * 5), strict=True)
        for exit_code in exits
    ]

    assert page.smallest_caught(found, "t", kind) == doses[2]
    assert page.smallest_caught(found[:5], "t", kind) is None
    assert re.fullmatch(r"4 of 5 \[0\.28, 0\.99\]", page.share(4, 5))


def test_drawn_units_are_the_same_on_both_sides_and_a_look_keeps_those_of_the_one_before():
    def scores(n, sign):
        values = sign * np.arange(float(n))[None]
        return Scores(ids=tuple(map(str, range(n))), values=values, unit="points", population="items")

    looks = [(scores(n, 1), scores(n, -1)) for n in (5, 9)]
    (first, its), (second, others) = drawn_looks(looks, np.random.default_rng(0))

    assert np.array_equal(first.values, -its.values) and np.array_equal(second.values, -others.values)
    assert np.array_equal(second.values[:, :5], first.values)
    assert set(second.values[0, 5:]) <= {5.0, 6.0, 7.0, 8.0}
    assert first.ids == its.ids and len(set(second.ids)) == 9


def test_the_statistics_of_the_suite_are_its_own_again_after_a_resample():
    before = test_generation.paired_difference
    with resampled(np.random.default_rng(0)):
        assert test_generation.paired_difference is not before

    assert test_generation.paired_difference is before


def row_of(kind="saved again", seed=0, family="llama", exit_code=0, **fields):
    found = {"family": family, "seed": seed, "kind": kind, "expect": "equal", "fault": False, "exit": exit_code}
    return found | {"stage": "", "layer": None, "at": [], "seconds": 1.0} | fields


def test_what_is_said_of_strangers_counts_baselines_and_not_pairs():
    rows = [row_of(kind, seed) for kind in ("saved again", "save_in_shards") for seed in range(10)]

    assert strangers_page.how_often(rows, page.CAUGHT) == "0 of 20 [0, 0.308]"  # as 0 of 10
    text = strangers_page.text([*rows, row_of("zero_mlp", exit_code=1, fault=True, stage="weights", at=[2], layer=2)])
    assert "| zero_mlp" in text and "1 of 1 [0.025, 1]" in text
    assert "20 pairs" not in text and "21 pairs of 10 baselines" in text
    assert strangers_page.text([]) == ""


@pytest.mark.heavy
def test_the_smoke_form_accepts_a_harmless_copy_catches_a_fault_and_goes_on_where_it_stopped(tmp_path):
    few = tuple(kind for kind in strangers.KINDS if kind.name in ("saved in bfloat16", "zero_mlp", "a row times 1.5"))
    strangers.run(("llama",), 1, few, tmp_path / "rows.jsonl", steps=20)
    found = {one["kind"]: one for one in results(tmp_path / "rows.jsonl")}

    assert found["saved in bfloat16"]["exit"] == 0
    assert found["zero_mlp"]["exit"] == 1 and found["zero_mlp"]["layer"] in found["zero_mlp"]["at"]
    assert found["a row times 1.5"]["exit"] == 1 and "row" in found["a row times 1.5"]["claim"]
    before = (tmp_path / "rows.jsonl").read_text()
    strangers.run(("llama",), 1, few, tmp_path / "rows.jsonl", steps=20)
    assert (tmp_path / "rows.jsonl").read_text() == before
