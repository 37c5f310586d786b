"""The study runs what its plan says, in its order, and goes on where it was stopped."""

import argparse
import json
import re

import numpy as np
import pytest

from benchmarks.study import __main__ as study
from benchmarks.study.contrasts import STATEMENTS, Contrast, contrasts_table, differences, finding, verdicts
from benchmarks.study.measures import collapse, smoothed
from benchmarks.study.page import page, write_tables
from benchmarks.study.plan import (
    BASE,
    CONFIRMING,
    MAIN,
    SEARCHED,
    STEPS,
    Cell,
    Setting,
    cell_testbed,
    cells,
    dropped,
    others,
    qualified,
    search,
    searched,
)
from benchmarks.study.tables import table
from depthgauge import METHODS
from depthgauge.core.errors import TrainingFailed
from depthgauge.core.registry import load_entry_points
from tests.processes import ROOT

load_entry_points()
PLAN = (ROOT / "docs" / "study-plan.md").read_text()


def outcome(short, long):
    """What a search's cell holds of a checkpoint that collapsed within 80 and within 200 tokens."""
    return {"collapse": {"80": {"collapsed": short, "share": 0.5}, "200": {"collapsed": long, "share": 0.5}}}


def played(gradreg_collapses):
    """The results of a search that is run to its end; `gradreg_collapses(steps, factor, seed)` is (at 80, at 200)."""
    results = {BASE: outcome(False, False)}
    while True:
        missing = next((cell for cell in search(results) if cell.name not in results), None)
        if missing is None:
            return results
        of_gradreg = missing.method == "gradreg"
        found = gradreg_collapses(missing.steps, missing.factor, missing.seed) if of_gradreg else (False, False)
        results[missing.name] = outcome(*found) | {"cell": missing.plain()}


def test_the_average_is_over_five_steps_as_the_articles_plot_it():
    np.testing.assert_array_equal(smoothed(np.array([[0, 5, 0, 0, 0, 10, 0]])), [[1, 3, 2]])


def test_a_collapse_is_ten_smoothed_steps_below_a_twentieth_of_a_nat_in_half_of_the_openings():
    certain, spelt = np.full(200, 1.0), np.full(200, 1.0)
    certain[60:74] = 0.04  # ten windows of five
    spelt[60:73] = 0.04  # nine
    late = np.full(200, 1.0)
    late[150:] = 0.0

    assert collapse(np.stack([certain, spelt]))["80"] == {"share": 0.5, "collapsed": True}
    assert collapse(np.stack([spelt, spelt]))["80"] == {"share": 0.0, "collapsed": False}
    assert collapse(np.stack([late, spelt, spelt]))["200"]["share"] == pytest.approx(1 / 3)
    assert collapse(np.stack([late]))["80"]["collapsed"] is False


def test_a_search_goes_seed_by_seed_from_the_cheapest_setting_to_the_dearest():
    first = [(cell.seed, cell.steps, cell.method, cell.factor) for cell in search({})][:9]

    assert first[:4] == [(100, 100, "grpo", 1), (100, 100, "gradreg", 1), (100, 100, "gradreg", 4),
                         (100, 100, "gradreg", 16)]  # fmt: skip
    assert [each[1] for each in first[4:8]] == [300] * 4 and first[8][0] == 101


def test_a_setting_that_cannot_qualify_any_more_is_dropped_and_nothing_is_confirmed():
    results = played(lambda steps, factor, seed: (False, False))
    counted = len(results) - 1

    assert counted == 2 * 2 * 4  # two seeds of two lengths, with grpo and three penalties
    assert qualified(results) is None
    assert not any(cell.phase == "confirmation" for cell in cells(results))
    assert "The search is complete, and no setting qualifies." in page(results, list(cells(results)))


def test_the_first_setting_that_qualifies_is_confirmed_and_no_other():
    results = played(lambda steps, factor, seed: (factor == 16 and seed != 103, factor >= 4 and steps == 300))

    assert qualified(results) == Setting(100, 16, 80)
    confirmed = [cell for cell in cells(results) if cell.phase == "confirmation"]
    assert len(confirmed) == 10 * len(CONFIRMING)
    assert {(cell.steps, cell.factor) for cell in confirmed} == {(100, 16)}
    assert not {cell.seed for cell in confirmed} & set(SEARCHED)
    assert qualified(results | {BASE: outcome(True, False)}) == Setting(300, 4, 200)


def test_a_base_or_grpo_that_collapses_itself_leaves_nothing_to_prevent():
    results = played(lambda steps, factor, seed: (True, True))
    for seed in (100, 101):
        for steps in STEPS:
            results[searched("grpo", seed, steps, 1).name] = outcome(True, True)

    assert dropped(results, 100, 16) and qualified(results) is None


def test_every_method_of_the_plan_is_registered_and_each_cell_has_one_name():
    every = list(cells(played(lambda steps, factor, seed: (True, True))))

    assert len({cell.name for cell in every}) == len(every)
    assert {cell.method for cell in every} <= set(METHODS)
    assert set(MAIN).isdisjoint(others()) and "measured_decay" in others() and "gift" not in others()
    for name in {*MAIN, *CONFIRMING}:
        assert re.search(rf"\b{name}\b", PLAN), name


def test_a_cell_trains_on_the_testbed_with_its_own_steps_and_penalty():
    cell = searched("gradreg", 100, 300, 16)
    training, own = cell_testbed(cell).training, cell_testbed(searched("gradreg", 100, 100, 1)).training

    assert training.scale.steps == 300
    assert training.method_settings["penalty"] == 16 * own.method_settings["penalty"]
    assert training.method_settings["ascent_step"] == own.method_settings["ascent_step"]


def asked(**given):
    return argparse.Namespace(**{"minutes": float("inf"), "cells": "main-pocket-grpo", "store": None} | given)


def test_a_killed_study_goes_on_and_a_training_that_fails_is_a_sentence(tmp_path, monkeypatch):
    ran = []

    def measure(cell, store):
        ran.append(cell.name)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return {"cell": cell.plain()} | (
            {"failed": "it broke off."} if len(ran) == 2 else outcome(False, False) | ENTROPY
        )

    monkeypatch.setattr(study, "run", measure)
    monkeypatch.setattr(study, "base", lambda testbed: {"cell": {}} | outcome(False, False) | ENTROPY)
    monkeypatch.setattr(study, "REPORTS", tmp_path)
    (tmp_path / "cells").mkdir()
    with pytest.raises(KeyboardInterrupt):
        study.run_cells(asked(store=tmp_path / "store"), tmp_path / "cells")
    study.run_cells(asked(store=tmp_path / "store"), tmp_path / "cells")

    assert ran == [f"main-pocket-grpo-{seed}" for seed in (0, 1, 2, 2, 3, 4)]
    rows = (tmp_path / "cells.csv").read_text().splitlines()
    assert len(rows) == 1 + 1 + 5 and sum("it broke off." in row for row in rows) == 1
    assert "| main | 5 " in re.sub(r" +", " ", (tmp_path / "README.md").read_text())


ENTROPY = {"entropy": {"mean_80": 1.0, "smoothed_peak_80": 2.0, "loops": 0.0, "bigrams_80": 0.5}}


def test_a_failed_training_is_kept_as_what_it_said(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise TrainingFailed("training 'grpo' ran out of memory.")

    monkeypatch.setattr(study, "train_in", fail)
    cell = searched("grpo", 100, 100, 1)

    assert study.run(cell, study.Store(tmp_path, run="r")) == {
        "cell": cell.plain(), "failed": "training 'grpo' ran out of memory.",
    }  # fmt: skip


def main_study(gains, testbed="pocket", methods=MAIN, seeds=range(5)):
    """Made-up cells: `gains` maps a method to what its science is above grpo's, which is .5 and a hundredth a seed."""
    results = {}
    for seed in seeds:
        for method in methods:
            cell = Cell(phase="main", testbed=testbed, method=method, seed=seed)
            science = 0.5 + 0.01 * seed + gains.get(method, 0.0) + 0.001 * (seed % 2)
            measured = {"tasks": {"science": [science], "history": [0.5]}, "moved": {"q": [0.1 + science, 0.2]}}
            noise = {"noise": {"clean": science, "late_deviation": 0.1, "late_relative_deviation": 0.2}}
            log = {"log": {"penalty_fidelity": [0.9], "reward": [1.0]}}
            results[cell.name] = {"cell": cell.plain()} | outcome(False, False) | ENTROPY | measured | noise | log
    return results


def test_differences_are_paired_by_seed_and_the_interval_is_students():
    results = main_study({"depthscaled": 0.02, "gradreg": -0.01})
    del results["main-pocket-gradreg-3"]
    values = differences(results, "pocket", Contrast("science", "depthscaled", "gradreg"))
    found = finding([0.01, 0.03, 0.05])

    assert values == pytest.approx([0.03] * 4)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (0.03, 0.03 - 4.30265 * 0.02 / 3**0.5, 0.0796829), rel=1e-4
    )
    assert finding([0.1]) is None


def test_no_claim_of_the_study_has_a_verdict_before_every_deciding_cell_is_there():
    results = main_study({"depthscaled": 0.02})
    whole = dict(zip([each.text for each in STATEMENTS], verdicts(results, "pocket"), strict=True))
    del results["main-pocket-gradreg_published-4"]

    assert whole["science rises most with depth scaling"].startswith("SUPPORTED")
    assert whole["regularising raises confidence in a wrong answer"].startswith("INCONCLUSIVE")
    assert set(verdicts(results, "pocket")) == {"not complete"}


def test_a_claim_is_refuted_where_all_seeds_speak_against_it():
    results = main_study({"depthscaled": -0.02})

    assert verdicts(results, "pocket")[0].startswith("REFUTED")
    assert "depthscaled - gradreg " in contrasts_table(results, "pocket")


def test_the_page_draws_every_measure_by_method_and_smollm2_is_asked_for_what_it_trains(tmp_path):
    results = main_study({"depthscaled": 0.02}) | main_study(
        {}, "smollm2", ("grpo", "gradreg", "depthscaled"), range(2)
    )
    write_tables(tmp_path, results, list(cells(results)))
    text = (tmp_path / "README.md").read_text()

    for name in re.findall(r"\]\((.+\.png)\)", text):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
    assert "pocket-trade-offs.png" in text and "smollm2-measures.png" in text
    assert "depthscaled_random" in text.split("main study on pocket")[1].split("main study on smollm2")[0]
    assert "depthscaled_random" not in text.split("main study on smollm2")[1]


def test_what_is_committed_is_what_the_tables_are_made_of():
    folder = ROOT / "reports" / "study"
    results = study.results(folder / "cells")

    assert results, "reports/study/cells is empty"
    assert (folder / "cells.csv").read_text() == table(results), "run 'python -m benchmarks.study --tables'"
    assert (folder / "README.md").read_text() == page(results, list(cells(results)))
    assert set(results) - {BASE} <= {cell.name for cell in cells({})} | {cell.name for cell in cells(results)}
    assert all("failed" in found or json.dumps(found, allow_nan=False) for found in results.values())
