"""What packages show in a report: their tables and pictures, of hostile names too, each method in its one colour."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure

from depthgauge.core import testbed
from depthgauge.core.estimate import Measurement
from depthgauge.core.registry import CORRUPTIONS, load_entry_points
from depthgauge.core.result import Evidence
from depthgauge.page import layers
from depthgauge.page.escape import escape
from depthgauge.page.section import Measured, Picture, Setting, Table
from depthgauge.page.style import PALETTE, write_picture
from depthgauge.page.tables import markdown
from depthgauge.probes.greedy_entropy import Opening
from depthgauge.probes.stopping import ShortQuestion
from depthgauge_suites.articles.noise_trace import Landmarks

HOSTILE = "a|<b>"
COLOURS = {"base_model": "#000000", "grpo": PALETTE[0], HOSTILE: PALETTE[1]}
UNITS, LAYERS, HEADS, TOKENS, PRIME = 24, 8, 2, 6, 11
SETTING = Setting(
    testbed=testbed.Testbed(
        name="test",
        probe_inputs={
            Opening: lambda: (Opening("Once | <i>upon</i>"),),
            ShortQuestion: lambda: [ShortQuestion(request="Is | it?", prompt="")] * UNITS,
        },
    ),
    colours=COLOURS,
)


def with_landmarks(named):
    return testbed.Testbed(name="named", probe_inputs={Landmarks: lambda: (named,)})


def of_greedy_entropy(draw):
    text = np.array(["and | then <b>\n"] * UNITS)
    return {
        "entropy_nats": draw.gamma(2, size=(UNITS, 80)),
        "token_ids": draw.integers(9, size=(UNITS, 80)),
        "text": text,
    }


def of_noise_trace(draw):
    noisy = np.log(draw.uniform(0.1, 0.9, size=(UNITS, 2, LAYERS, 5)))
    ratio = draw.uniform(1, 5, size=(UNITS, LAYERS))
    return {"clean": noisy[:, :, 0, 0], "noisy": noisy, "fast": np.ones(UNITS, bool), "rms_over_spread": ratio}


def of_weights(draw):
    names = ("frobenius", "rms", "relative", "changed", "stable_rank")
    found = {name: draw.uniform(size=(3, LAYERS)) for name in names}
    return found | {"projections": np.array(["q", "v", "up"]), "heads_q": draw.uniform(size=(LAYERS, HEADS))}


def of_attention(draw):
    names = ("jsd_bits", "jsd_sink_free_bits", "mae", "sink", "other_sink")
    return {name: draw.uniform(size=(UNITS, LAYERS, HEADS)) for name in names} | {
        "fragment_share": draw.uniform(size=(UNITS, 2)),
        "mapped_heads": np.array([[3, 0], [5, 1]]),
        "maps": draw.dirichlet(np.ones(TOKENS), size=(2, TOKENS)),
        "other_maps": draw.dirichlet(np.ones(TOKENS), size=(2, TOKENS)),
        "tokens": np.array(["$x_", "|", "<b>", "", "\n", "_a"]),
    }


def of_confident_errors(draw):
    return {"share": draw.uniform(0.25, 1, size=UNITS), "right": draw.random(UNITS) < 0.6}


def of_published_opening(draw):
    text = np.array("and | then <b>")
    return {"entropy_nats": draw.gamma(2, size=80), "token_ids": np.arange(80) % (20 + draw.integers(40)), "text": text}


def of_routing(draw):
    names = ("jsd_bits", "mae", "within", "between", "within_size", "between_size", "last_piece")
    maps = {
        f"{domain}_{name}": array
        for domain in ("chemistry", "physics")
        for name, array in (
            ("heads", np.array([[3, 0], [5, 1], [7, 0]])),
            ("change", draw.normal(size=(3, TOKENS, TOKENS))),
            ("tokens", np.array(["$x_", "|", "<b>", "", "\n", "_a"])),
        )
    }
    return {name: draw.uniform(size=(UNITS, LAYERS, HEADS)) for name in names} | maps


def of_sinks(draw):
    return {name: draw.uniform(size=(UNITS, LAYERS, HEADS)) for name in ("natural", "random", "repeated")}


def of_tokenization(draw):
    read_out, shuffled = (draw.random((UNITS, LAYERS + 1)) < share for share in (0.7, 0.1))
    return {"formula": draw.integers(1, 9, size=7), HOSTILE: np.ones(5), "read_out": read_out, "shuffled": shuffled}


def of_circuits(draw):
    kinds = ("previous", "duplicate", "induction", "positional")
    by_head = (*(f"{kind}_p" for kind in kinds), "distance", "copying", "matching", "ov_rank", "qk_rank")
    return (
        {name: draw.uniform(size=(UNITS, LAYERS, HEADS)) for name in kinds}
        | {name: draw.uniform(size=(LAYERS, HEADS)) for name in by_head}
        | {name: draw.normal(size=UNITS) for name in ("learning", "learning_lost", "induction_left")}
        | {"best_induction": np.array([4, 1]), "best_previous": np.array([2, 0]), "k_composition": np.array(np.nan)}
        | {"maps": draw.dirichlet(np.ones(TOKENS), size=(2, TOKENS))}
    )


def of_fourier(draw):
    show = importlib.import_module("depthgauge_suites.grokking.fourier.report")
    return {name: np.array(draw.uniform()) for name, _, _ in show.MEASURES} | {
        "key_frequencies": np.array([2, 4]),
        "ablated_losses": draw.uniform(size=2),
        "embedding_norms": draw.uniform(size=PRIME),
        "logit_norms": draw.uniform(size=PRIME),
        "neuron_frequency": draw.integers(1, 6, size=30),
        "neuron_share": draw.uniform(size=30),
        "attention": draw.uniform(size=(4, PRIME, PRIME)),
        "mean_attention": draw.uniform(size=(4, 3)),
        "head_frequency": draw.integers(1, 6, size=4),
        "head_share": draw.uniform(size=4),
        "head_ablated_losses": draw.uniform(size=4),
        "neuron_spectrum": draw.uniform(size=(PRIME, PRIME)),
    }


def of_progress(draw):
    fall = np.geomspace(5, 1e-4, 12)
    names = ("train_loss", "test_loss", "restricted_loss", "excluded_loss", "gini_embedding", "squared_weights")
    return {"step": np.arange(12) * 250} | {name: fall * draw.uniform(0.9, 1.1) for name in names}


def of_gaussian_weights(rng):
    sizes = {size: rng.random(6) for size in ("mean", "kurtosis", "ks", "qq", "outliers", "std")}
    return {"names": np.array([f"layer {i} {name}" for i in range(3) for name in ("q", "down")])} | sizes


def of_head_sharing(rng):
    parts = {
        name: np.where(rng.random(UNITS) < 0.5, 1.0, np.nan) for name in ("even", "odd", "even_slices", "odd_slices")
    }
    return parts | {
        "right": rng.random((UNITS, 5)) < 0.5, "repaired": rng.random((UNITS, 4)) < 0.3, "layer": np.array(2),
        "successes": np.array([0, 4, 9]), "tried": np.array([10, 10, 10]), "heads": np.array(4),
    }  # fmt: skip


def of_massive_values(rng):
    return {side: rng.exponential(size=(4, heads, 16)) ** 3 for side, heads in (("q", 4), ("k", 2), ("v", 2))} | {
        "q_projected": np.ones((4, 4, 16)), "speeds": np.geomspace(1, 1e-4, 16),
    }  # fmt: skip


def of_massive_ablation(rng):
    nats = {"intact": (UNITS,), "massive": (UNITS,), "random": (3, UNITS)}
    told = {name: -rng.exponential(size=shape) for name, shape in nats.items()}
    return (
        told | {f"{name}_right": rng.random(shape) < 0.7 for name, shape in nats.items()} | {"destroyed": np.array(9)}
    )


def of_showers(rng):
    return {"cells": rng.normal(-3, 1, (500, 18)).astype(np.float32), "seconds": rng.random(6)}


def of_unfrozen_layers(rng):
    return {"right": rng.random((6, UNITS)) < 0.5, "entropy": rng.random(6), "similarity": rng.random(6)}


def of_skill_paths(rng):
    return {name: rng.normal(size=6) for name in ("logit", "background", "paths", "gap")} | {
        "heads": rng.normal(size=(6, 4, 2)), "background_heads": rng.normal(size=(6, 4, 2)),
        "induction": rng.random((4, 2)), "previous": rng.random((4, 2)), "by_length": rng.normal(size=(6, 4)),
        "names": np.array(["3.1 → logits", "0.0 → 3.1 → logits"]), "carried": np.array([0.5, -0.1]),
    }  # fmt: skip


def of_label_paths(rng):
    return {name: array for name, array in of_skill_paths(rng).items() if name not in ("induction", "previous")}


def of_transformer_factors(rng):
    texts = {f"{kind}{name}": rng.random(6) for kind in ("", "random_") for name in ("explained", "active")}
    return texts | {
        "layers": np.arange(4) * 3, "importance": rng.random((12, 4)), "word": rng.random(12), "kkt": np.array(1e-5),
        "contexts": np.full((12, 3), HOSTILE),
    }  # fmt: skip


def of_two_samples(rng):
    states = {side: rng.normal(size=(60, 40)).astype(np.float32) for side in ("candidate", "baseline")}
    return states | {f"{side}_text": np.array([HOSTILE] * 60) for side in ("candidate", "baseline")}


def of_training(draw):
    reward = np.where(np.arange(12) % 2, np.nan, np.linspace(0, 1, 12))
    return {"step": np.arange(1.0, 13), "reward": reward, "of_a_users": np.repeat([5.0, 6.0], 6)}


def of_files(_):
    return {
        "config": np.array(["rms_norm_eps: 1e-06 -> 0.001"]), "config in all": np.array(1),
        "tokenizer": np.array([f"word {i}" for i in range(100)]), "tokenizer in all": np.array(5_000),
        "tensors": np.array([], dtype=str), "tensors in all": np.array(0),
    }  # fmt: skip


def of_behaviour(draw):
    kinds = np.repeat(["harmless", "json"], UNITS // 2)
    return {
        "met": np.ones(len(kinds), bool),
        "said": np.full(len(kinds), HOSTILE),
        "kinds": kinds,
        "ended": kinds == "",
    }


def of_stopping(draw):
    return {
        "ended": np.arange(UNITS) % 2 == 0,
        "tokens": np.arange(UNITS),
        "said": np.full(UNITS, HOSTILE),
    }


def of_task(draw):
    answer = np.full((3, UNITS), HOSTILE)
    return {
        "score": (draw.random((3, UNITS)) < 0.5).astype(float),
        "answer": answer,
        "ids": np.arange(UNITS).astype(str),
    }


# package -> its probes with their arrays and parameters, its titles, how many tables, and its pictures
PACKAGES_SHOWN = {
    "probes.greedy_entropy": (
        [("greedy_entropy", of_greedy_entropy, {})],
        ["Entropy and diversity"],
        2,
        ["entropy.png"],
    ),
    "articles.noise_trace": (
        [
            ("noise_trace", of_noise_trace, {"form": "plain", "dose": "rms"}),
            ("noise_trace", of_noise_trace, {"form": "reasoned", "dose": "rms"}),
            ("noise_trace", of_noise_trace, {"form": "plain", "dose": "spread"}),
        ],
        ["Noise trace", "Noise trace with reasoning", "Noise trace by spread"],
        6,
        ["noise.png", "noise_reasoned.png", "noise_spread.png", "noise_ratio.png"],
    ),
    "probes.weights": ([("weights", of_weights, {"baseline": "base_model"})], ["Weights"], 2, ["weights.png"]),
    "probes.attention": ([("attention", of_attention, {"baseline": "base_model"})], ["Attention"], 2, ["heads.png"]),
    "probes.sinks": ([("sinks", of_sinks, {})], ["Attention sinks"], 1, []),
    "articles.confident_errors": (
        [("confident_errors", of_confident_errors, {"item_task": "science"})],
        ["Confident errors"],
        1,
        [],
    ),
    "articles.published_opening": (
        [("published_opening", of_published_opening, {})],
        ["The articles' opening"],
        2,
        ["opening.png"],
    ),
    "articles.routing": (
        [("routing", of_routing, {"baseline": "base_model"})],
        ["Attention to pieces of terms"],
        1,
        ["routes_chemistry.png", "routes_physics.png"],
    ),
    "articles.tokenization": ([("tokenization", of_tokenization, {})], ["Tokenization"], 2, ["read_out.png"]),
    "probes.circuits": ([("circuits", of_circuits, {})], ["Circuits"], 2, ["circuits.png"]),
    "grokking.fourier": (
        [("fourier", of_fourier, {}), ("progress", of_progress, {})],
        ["Progress during training", "Frequencies"],
        4,
        ["progress.png", "frequencies.png", "last_token.png"],
    ),
    "layer_papers.gaussian_weights": (
        [("gaussian_weights", of_gaussian_weights, {})],
        ["Shape of weights"],
        1,
        ["gaussian.png"],
    ),
    "layer_papers.head_sharing": (
        [("head_sharing", of_head_sharing, {})],
        ["Heads that repair"],
        2,
        ["repair.png"],
    ),
    "layer_papers.massive_values": (
        [("massive_values", of_massive_values, {}), ("massive_ablation", of_massive_ablation, {})],
        ["Massive values", "Recall without massive values"],
        2,
        ["massive.png"],
    ),
    "layer_papers.showers": ([("showers", of_showers, {})], ["Showers"], 2, ["showers.png"]),
    "layer_papers.unfreezing": (
        [
            ("unfrozen_layers", of_unfrozen_layers, {"task": "listops"}),
            ("unfrozen_layers", of_unfrozen_layers, {"task": HOSTILE}),
        ],
        ["Layers trained alone"],
        2,
        ["unfrozen.png"],
    ),
    "layer_papers.skill_paths": (
        [("skill_paths", of_skill_paths, {}), ("label_paths", of_label_paths, {})],
        ["Skill paths", "Labels learnt in context"],
        4,
        ["paths.png", "labels.png"],
    ),
    "layer_papers.transformer_factors": (
        [("transformer_factors", of_transformer_factors, {})],
        ["Transformer factors"],
        2,
        ["factors.png"],
    ),
    "layer_papers.two_samples": (
        [("sampled_texts", of_two_samples, {"baseline": "base_model"})],
        ["Sampled texts"],
        3,
        ["samples.png"],
    ),
    "probes.training": ([("training", of_training, {})], ["Training"], 1, []),
    "probes.behaviour": ([("behaviour", of_behaviour, {})], ["Behaviour"], 1, []),
    "probes.stopping": ([("stopping", of_stopping, {})], ["Answers that end"], 1, []),
    "probes.files": ([("files", of_files, {"baseline": "base_model"})], ["Files"], 1, []),
    "tasks": (
        [("item_task", of_task, {"item_task": "science"}), ("item_task", of_task, {"item_task": HOSTILE})],
        ["Tasks"],
        1,
        ["tasks.png"],
    ),
}
CHECKPOINTS = (("grpo", 0), ("grpo", 1), ("base_model", 0), (HOSTILE, 0))


def measured(probe, arrays, parameters, method="grpo", seed=0):
    evidence = Evidence(method=method, seed=seed, checkpoint=f"{method}{seed}", key="k", probe="x")
    taken = Measurement(key="k", probe=probe, parameters=parameters, checkpoint=f"{method}{seed}", arrays=arrays)
    return Measured(evidence, taken)


def module_of(package):
    """The tool's, or a study's beside its suite."""
    return f"depthgauge.{package}" if package.startswith(("probes.", "tasks")) else f"depthgauge_suites.{package}"


def all_of(package, checkpoints=CHECKPOINTS):
    return [
        measured(probe, arrays(np.random.default_rng(i)), parameters, *checkpoint)
        for probe, arrays, parameters in PACKAGES_SHOWN[package][0]
        for i, checkpoint in enumerate(checkpoints)
    ]


def by_rms(checkpoints=CHECKPOINTS):
    """Noise traces of the published dose alone."""
    found = all_of("articles.noise_trace", checkpoints)
    return [one for one in found if one.measurement.parameters == {"form": "plain", "dose": "rms"}]


def shown(package, taken, setting=SETTING):
    """The sections of a package, and all parts of them."""
    show = importlib.import_module(f"{module_of(package)}.report").show
    sections = list(show(taken, setting))
    return sections, [part for section in sections for part in section.parts]


def noisy(one):
    return one.arrays["noisy"]


def only(kind, parts):
    return [part for part in parts if isinstance(part, kind)]


def drawn(picture):
    figure = Figure(figsize=picture.size)
    picture.draw(figure)
    return figure


packages = pytest.mark.parametrize("package", PACKAGES_SHOWN)


@packages
def test_a_package_shows_its_tables_and_pictures(package):
    _, titles, tables, pictures = PACKAGES_SHOWN[package]
    sections, parts = shown(package, all_of(package))

    assert [section.title for section in sections] == titles
    assert len(only(Table, parts)) == tables
    assert [picture.name for picture in only(Picture, parts)] == pictures
    assert all(len(row) == len(table.headers) for table in only(Table, parts) for row in table.rows)
    assert all(isinstance(cell, str) and cell for table in only(Table, parts) for row in table.rows for cell in row)


@packages
@pytest.mark.parametrize(
    "checkpoints",
    [pytest.param(CHECKPOINTS, id="four"), pytest.param(CHECKPOINTS[-1:], id="one", marks=pytest.mark.heavy)],
)
def test_its_pictures_can_be_drawn(package, checkpoints, tmp_path):
    taken = all_of(package, checkpoints)

    for picture in only(Picture, shown(package, taken)[1]):
        write_picture(tmp_path / picture.name, picture)

        content = (tmp_path / picture.name).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 5000
        assert picture.shown and all(one in taken for one in picture.shown)


@packages
def test_a_hostile_name_does_not_break_a_table(package):
    for table in only(Table, shown(package, all_of(package))[1]):
        lines = markdown(table.headers, table.rows).splitlines()

        assert len(lines) == len(table.rows) + 2
        assert {line.count("|") for line in lines} == {len(table.headers) + 1}
        assert not any("<" in line for line in lines)


@packages
def test_a_method_has_its_colour_in_every_picture(package):
    for picture in only(Picture, shown(package, all_of(package))[1]):
        figure = drawn(picture)
        labelled = {}
        for axes in figure.axes:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                line = handle[0] if isinstance(handle, tuple) else handle
                labelled.setdefault(label.partition(",")[0], set()).add(to_hex(line.get_color()).upper())

        of_methods = {name: found for name, found in labelled.items() if name in COLOURS}
        assert of_methods == {name: {COLOURS[name].upper()} for name in of_methods}
        if picture.name in ("entropy.png", "noise.png", "weights.png", "read_out.png", "tasks.png"):
            assert set(of_methods) == set(COLOURS)


@pytest.mark.parametrize("place, name", [(0, "progress.png"), (1, "frequencies.png")])
def test_what_stands_for_a_checkpoint_alone_has_its_colour_too(place, name):
    picture = only(Picture, shown("grokking.fourier", all_of("grokking.fourier", [("grpo", 0)]))[1])[place]
    figure = drawn(picture)

    assert picture.name == name
    lines = {to_hex(line.get_color()) for axes in figure.axes for line in axes.lines}
    bars = {to_hex(bar.get_facecolor()) for axes in figure.axes for bar in axes.patches}
    assert lines | bars <= {COLOURS["grpo"].lower(), to_hex("gray"), layers.QUIET.lower()}
    assert COLOURS["grpo"].lower() in lines | bars


def test_seeds_of_a_method_have_lines_of_their_own():
    taken = by_rms()

    assert [layers.line_of(one, taken) for one in taken] == ["-", "--", "-", "-"]
    assert len({layers.marker_of(one, taken) for one in taken[:2]}) == 2


# -- differences ---


def test_the_noise_picture_shows_paired_differences_to_the_base():
    taken = by_rms()
    _, differences, late = drawn(only(Picture, shown("articles.noise_trace", taken)[1])[0]).axes
    values = {one.label: np.exp(one.arrays["noisy"][:, 1]).mean(-1) for one in taken}

    assert "to base_model, seed 0" in differences.get_title()
    lines = {line.get_label(): line for line in differences.lines if line.get_label() in values}
    assert set(lines) == set(values) - {"base_model, seed 0"}
    for label, line in lines.items():
        np.testing.assert_allclose(line.get_ydata(), (values[label] - values["base_model, seed 0"]).mean(0))
    assert len(differences.collections) == len(late.collections) == 3
    assert all(set(line.get_xdata()) == {4, 5, 6, 7} for line in late.lines if line.get_label() in values)


def test_without_a_base_differences_are_taken_to_the_first():
    taken = by_rms(CHECKPOINTS[:2])

    assert layers.reference_of(taken) is taken[0]
    assert layers.pairs(taken, noisy) == taken[1:]


def test_checkpoints_that_were_asked_something_else_are_not_paired():
    taken = by_rms()[:2]
    other = measured("noise_trace", taken[1].arrays, {"form": "plain", "dose": "rms", "questions": "other"}, "grpo", 1)

    assert layers.pairs([taken[0], other], noisy) == []


def test_a_task_shows_the_difference_that_is_claimed():
    taken = all_of("tasks")
    left, right = drawn(only(Picture, shown("tasks", taken)[1])[0]).axes

    assert len(left.containers) == len(taken)
    assert len(right.containers) == len(taken) - 2  # the base of each of two tasks is not compared with itself
    assert [label.get_text() for label in left.get_yticklabels()] == ["science", HOSTILE]


def test_a_task_with_classes_shows_each_of_them():
    ids = np.array(["state/gas/neon", "state/gas/argon", "state/solid/iron", "symbol/iron"])
    arrays = {"score": np.array([[1.0, 0.0, 1.0, 0.0]]), "ids": ids, "answer": np.array([["a", "b", "c", "d"]])}
    taken = [measured("item_task", arrays, {"item_task": "science"}, *one) for one in CHECKPOINTS[:2]]
    table = only(Table, shown("tasks", taken)[1])[1]

    assert table.folded == "science by class, points"
    assert table.rows == [
        ["state/gas (2)", "50", "50"], ["state/solid (1)", "100", "100"], ["symbol (1)", "0", "0"],
    ]  # fmt: skip


def test_items_that_are_answered_otherwise_are_listed_with_both_answers_and_lost_ones_first():
    ids = np.array(["gas/neon", "gas/argon", "solid/iron"])
    before = {"score": np.array([[0.0, 1.0, 1.0]]), "ids": ids, "answer": np.array([["He", "Ar", "Fe"]])}
    after = {"score": np.array([[1.0, 0.0, 1.0]]), "ids": ids, "answer": np.array([["Ne", "<b>Kr</b>", "Fe"]])}
    taken = [
        measured("item_task", each, {"item_task": "e"}, *one)
        for each, one in zip((before, after), CHECKPOINTS, strict=False)
    ]
    table = only(Table, shown("tasks", taken)[1])[-1]

    assert table.quotes and table.folded.startswith("e: 2 items that grpo, seed 1 answers otherwise, lost ones first: ")
    assert table.rows == [
        ["gas/argon", "-", "Ar", "&#60;b>Kr&#60;/b>", "**lost**"],
        ["gas/neon", "-", "He", "Ne", "won"],
    ]


def test_tasks_of_lm_eval_stand_beside_tasks_of_ours():
    score = np.random.default_rng(0).uniform(size=(1, 30))
    ids = np.array(list(map(str, range(30))))
    rest = {"score": score, "sign": np.array(-1), "ids": ids, "answer": np.full(30, "")}
    arrays = [rest | {"samples": np.zeros(n, np.uint8)} for n in (3, 4)]
    tasks = [
        measured("task", each, {"task": "perplexity"}, *one) for each, one in zip(arrays, CHECKPOINTS, strict=False)
    ]
    parts = shown("tasks", [*all_of("tasks", CHECKPOINTS[:2]), *tasks])[1]
    table = only(Table, parts)[0]

    assert [header.partition(" ")[0] for header in table.headers][-1] == "perplexity"
    assert table.rows[0][-1].startswith(f"{-100 * score.mean():.3g}")
    assert len(drawn(only(Picture, parts)[0]).axes[0].containers) == 6


def test_the_same_checkpoint_twice_has_no_interval_and_is_drawn_all_the_same(tmp_path):
    for package in ("probes.greedy_entropy", "articles.noise_trace", "articles.tokenization", "tasks"):
        one = all_of(package, [("base_model", 0)])[0]
        twin = measured(one.measurement.probe, one.arrays, one.measurement.parameters, "grpo", 0)
        for picture in only(Picture, shown(package, [one, twin])[1]):
            write_picture(tmp_path / picture.name, picture)


# -- packages of their own kind ---


def test_appended_answers_of_the_noise_trace_are_judged_and_not_shown():
    taken = by_rms()[0]
    copying = measured("noise_trace", taken.arrays, {"form": "appended", "dose": "rms"})

    assert shown("articles.noise_trace", [copying]) == ([], [])
    tables = only(Table, shown("articles.noise_trace", [taken, copying])[1])
    assert [len(tables[0].rows), len(tables[1].rows)] == [1, LAYERS]
    assert tables[1].folded


def test_maps_of_each_domain_are_drawn_anew_and_not_taken_for_each_other():
    """A picture that was drawn is found again by its checkpoints and what else it depends on."""
    taken = all_of("articles.routing")
    pictures = only(Picture, shown("articles.routing", taken)[1])

    assert [picture.depends for picture in pictures] == ["chemistry", "physics"]
    for picture in pictures:
        titles = [axes.get_title() for axes in drawn(picture).axes]
        assert titles[:3] == ["layer 3, head 0", "layer 5, head 1", "layer 7, head 0"]


def test_it_says_where_scaled_landmarks_fall():
    taken = by_rms()
    named = Setting(testbed=with_landmarks(Landmarks(late=(5, 6), spike=3)), colours=COLOURS)

    assert (
        "of 8 layers, at layer 4 for the spike, and at 4 to 7" in only(str, shown("articles.noise_trace", taken)[1])[0]
    )
    assert "fractions of depth" not in only(str, shown("articles.noise_trace", taken, named)[1])[0]
    assert "prominence of layer 3" in only(Table, shown("articles.noise_trace", taken, named)[1])[0].headers


def test_a_shallow_checkpoint_has_no_landmarks():
    deep = Setting(testbed=with_landmarks(Landmarks(late=(20, 21), spike=18)), colours=COLOURS)
    parts = shown("articles.noise_trace", by_rms(), deep)[1]

    assert only(Table, parts)[0].rows[0][5:8] == ["-", "-", "-"]
    drawn(only(Picture, parts)[0])


def test_attention_without_marked_terms_has_dashes():
    taken = all_of("probes.attention")[0]
    arrays = {name: values for name, values in taken.arrays.items() if name != "fragment_share"}
    table = only(Table, shown("probes.attention", [measured("attention", arrays, {"baseline": "x"})])[1])[0]

    assert table.rows[0][-2:] == ["-", "-"]
    assert table.headers[0] == "against the other checkpoint"


def test_pairs_say_what_they_are_compared_with_where_that_differs():
    one, other = (measured("weights", {}, {"baseline": baseline}) for baseline in ("grpo1", "0123456789abcdef"))
    named = measured("weights", {}, {"baseline": "grpo1"}, "grpo", 1)

    assert layers.pair_label(one, [one]) == "grpo, seed 0"
    assert layers.pair_label(one, [one, other, named]) == "grpo, seed 0, against grpo, seed 1"
    assert layers.pair_label(other, [one, other, named]) == "grpo, seed 0, against 01234567"


def test_a_training_is_told_by_the_first_and_last_quarter_of_all_that_it_logged():
    table = only(Table, shown("probes.training", all_of("probes.training", [("grpo", 0)]))[1])[0]

    assert list(table.headers) == ["checkpoint", "steps", "reward", "of_a_users"]
    assert list(table.rows[0]) == ["grpo, seed 0", "12", "0.0909 to 0.909", "5 to 6"]


def test_attention_says_what_a_control_among_the_checkpoints_is():
    load_entry_points()
    (text,) = only(str, shown("probes.attention", all_of("probes.attention", [("grpo", 0), ("bfloat16_noise", 0)]))[1])

    assert f"`bfloat16_noise`: {CORRUPTIONS['bfloat16_noise'].summary}." in text
    assert "`grpo`" not in text


def test_files_list_their_differences_and_say_how_many_they_leave_out():
    _, (_, table) = shown("probes.files", all_of("probes.files", [("grpo", 0)]))

    assert list(table.rows[0]) == ["grpo, seed 0", "config", "rms_norm_eps: 1e-06 -> 0.001"]
    assert len(table.rows) == 1 + 40 + 1
    assert table.rows[-1][2] == "and 4,960 more"


def test_files_that_say_the_same_have_no_section():
    arrays = {"config": np.array([], dtype=str), "config in all": np.array(0)}

    assert shown("probes.files", [measured("files", arrays, {})])[0] == []


def test_of_each_prompt_of_the_last_step_the_best_and_the_worst_paid_completion_is_shown():
    said = {"prompt": ["1|1", "1|1", "2"], "completion": ["two", "`three`", "x"], "reward": [1.0, -0.5, 0.0]}
    arrays = {"step": np.arange(3.0)} | {f"said_{column}": np.array(values) for column, values in said.items()}
    table = only(Table, shown("probes.training", [measured("training", arrays, {})])[1])[1]

    assert table.folded == "what grpo, seed 0 said in its last step"
    assert [list(row) for row in table.rows] == [
        ["1&#124;1", "two (1)", "&#96;three&#96; (-0.5)"], ["2", "x (0)", "x (0)"]
    ]  # fmt: skip


@pytest.mark.parametrize("arrays", [{}, {"step": np.arange(3.0), "reward": np.full(3, np.nan)}])
def test_a_training_that_logged_nothing_has_dashes(arrays):
    taken = [measured("training", arrays, {}), all_of("probes.training")[1]]

    assert only(Table, shown("probes.training", taken)[1])[0].rows[0][-1] == "-"


def test_names_are_drawn_as_they_are():
    assert layers.plain("_a") == " _a"
    assert layers.plain("$x$\n") == r"\$x\$?"
    assert layers.plain("") == "(empty)"
    assert len(layers.plain("x" * 100)) == layers.LONGEST_LABEL + 3


def test_signed_maps_are_told_from_amounts():
    figure = Figure()
    amounts, signed = figure.subplots(1, 2)
    layers.head_map(figure, amounts, np.eye(3), "amounts", 0, 1)
    layers.head_map(figure, signed, np.eye(3), "signed", -1, 1)

    assert [axes.images[0].get_cmap().name for axes in (amounts, signed)] == ["cividis", "PuOr"]
    assert amounts.get_xlabel() == "head (0-based)" and amounts.get_ylabel() == "layer (0-based)"


def test_a_band_covers_its_halves():
    axes = Figure().subplots()
    layers.band(axes, np.arange(3), np.ones(3), np.full(3, 0.5), "#112233", "one")

    box = axes.collections[0].get_paths()[0].get_extents()
    assert (box.y0, box.y1) == (0.5, 1.5)
    assert tuple(axes.collections[0].get_facecolor()[0][:3]) == to_rgba("#112233")[:3]


def test_shows_open_neither_torch_nor_matplotlib():
    modules = ", ".join(f"{module_of(package)}.report" for package in PACKAGES_SHOWN)
    heavy = "('torch', 'matplotlib', 'transformers', 'scipy')"
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def of_rows(change, new=()):
    return {
        "names": np.array(["norm"]),
        "relative": np.array([0.0]),
        "rows": np.array(["embed_tokens row 0 '<|end|>'", "embed_tokens row 7 'a|b'"]),
        "row_change": np.array(change),
        "row_factor": np.array([100.0, 1.0]),
        "new_rows": np.array([f"embed_tokens row {row}" for row in new], dtype=str),
        "new_row_norms": np.array([0.25] * len(new)),
    }


def test_rows_that_changed_most_are_listed_by_their_tokens_and_new_ones_apart():
    found = measured("other_weights", of_rows([1.0, 0.5], [8]), {"baseline": "x"})
    _, rows, new = only(Table, shown("probes.weights", [found])[1])

    assert [list(row[1:]) for row in rows.rows] == [
        [escape("embed_tokens row 0 '<|end|>'"), "1", "100"],
        [escape("embed_tokens row 7 'a|b'"), "0.5", "1"],
    ]
    assert list(new.rows[0][1:]) == ["embed_tokens row 8", "0.25"]
    still = shown("probes.weights", [measured("other_weights", of_rows([0.0, 0.0]), {"baseline": "x"})])
    assert len(only(Table, still[1])) == 1


def test_answers_that_no_longer_end_are_listed_with_both():
    def of(ended, method, said):
        arrays = {"ended": np.array(ended), "tokens": np.array([2, 4]), "said": np.array([said, said])}
        return measured("stopping", arrays, {}, method)

    before, after = of([True, True], "base_model", "yes"), of([False, True], "grpo", "yes and")
    shares, lost = only(Table, shown("probes.stopping", [after, before])[1])

    assert [row[-1] for row in shares.rows] == ["4", "3"]
    assert len(lost.rows) == 1 and lost.quotes
    assert list(lost.rows[0][1:]) == ["yes", "yes and"]
