"""Layers trained one at a time: the tasks, what is read of a checkpoint, and which layer is found to be the best."""

import itertools
import math
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy import stats
from scipy.stats import entropy as scipy_entropy
from transformers import AutoTokenizer

from depthgauge import METHODS
from depthgauge.core.errors import NotTestable, StatisticUndefined, UsageError
from depthgauge.core.estimate import Profiles
from depthgauge.core.method import TrainingJob
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.attention import attention_maps
from depthgauge.models.load import load
from depthgauge.stats import best_lead, friedman
from depthgauge.store.folders import Store
from depthgauge.tasks.item_runner import answer_items
from depthgauge_methods import one_layer
from depthgauge_methods.unfreezing import UNFREEZE_LAYER
from depthgauge_suites.layer_papers.unfreezing import ANSWERS, accuracies
from depthgauge_suites.layer_papers.unfreezing.compute import entropy, similarity
from depthgauge_testbeds import listops
from depthgauge_testbeds.listops import boards, expressions
from tests.families import PROMPTS, random_model
from tests.processes import FIVE_SEEDS, refused

# -- the tasks ---

digit = st.integers(0, 9).map(str)
nested = st.recursive(
    digit,
    lambda inner: st.tuples(st.sampled_from(tuple(expressions.OPERATORS)), st.lists(inner, min_size=1, max_size=4)).map(
        lambda made: made[0] + "".join(made[1]) + "]"
    ),
    max_leaves=12,
)


def by_python(text):
    """What an expression comes to, by Python's own evaluation."""
    called = text.replace("[MAX", "max([").replace("[MIN", "min([").replace("[MED", "median_low([").replace("]", "])")
    spaced = "".join(f"{one}," if one.isdigit() or one == ")" else one for one in called)
    return eval(spaced.rstrip(","), {"median_low": __import__("statistics").median_low})


@given(nested.filter(lambda text: len(text) > 1))
def test_an_expression_comes_to_what_python_makes_of_it(text):
    assert expressions.parse(text).value == by_python(text)


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "holds one token or more"),
        ("3", "token 0, '3', stands in no list"),
        ("[MAX", "it ends within a list"),
        ("[MAX]", "the list that ends at token 1 is empty"),
        ("[MAX3]4", "token 3, '4', stands in no list"),
        ("[MAX3][MIN4]", "token 3, '[MIN', stands in no list"),
        ("[SUM34]", "it is made of [MAX, [MIN, [MED, digits and ']'"),
        ("[MAX ٣]", "it is made of"),
    ],
)
def test_what_is_no_expression_is_refused_in_a_sentence(text, why):
    with pytest.raises(UsageError) as raised:
        expressions.parse(text)

    assert why in str(raised.value)


def test_expressions_have_up_to_forty_tokens_and_three_levels_and_all_digits_as_values():
    drawn = [expressions.draw(Random(seed)) for seed in range(3000)]
    depths = [max(itertools.accumulate((t in expressions.OPERATORS) - (t == "]") for t in one.tokens)) for one in drawn]

    assert set(depths) == {1, 2, 3}
    assert 35 <= max(len(one.tokens) for one in drawn) <= 40
    assert {one.value for one in drawn} == set(range(10))


def test_boards_are_those_of_the_game_by_its_known_numbers():
    counts = {won: len(found) for won, found in boards.boards().items()}

    # Of 5,478 positions 626 are won by X and 316 by O; 16 of 958 ended games are drawn.
    assert (counts[boards.X], counts[boards.O]) == (626, 316)
    assert sum(boards.EMPTY not in board for board in boards.boards()[boards.EMPTY]) == 16


def test_no_item_of_a_task_is_trained_on_and_each_is_as_many_tokens_as_it_says():
    tokenizer = AutoTokenizer.from_pretrained(listops.BASE)
    random = Random(0)
    drawn = [draw(random) for draw in (listops.draw_expression, listops.draw_board) for _ in range(2000)]

    assert not {"".join(example.tokens) for example in drawn} & listops.examined()
    assert all(tokenizer.tokenize("".join(example.tokens)) == list(example.tokens) for example in drawn)
    assert len(listops.expression_items()) == 600 and len(listops.board_items()) == 300


# -- which layer is best ---


def profiles(values):
    values = np.asarray(values, float)
    _, units, columns = values.shape
    return Profiles(ids=tuple(map(str, range(units))), columns=tuple(map(str, range(columns))), values=values,
                    unit="points", population="items")  # fmt: skip


@pytest.mark.parametrize("seeds", [1, 5])
def test_where_one_layer_leads_the_lead_is_covered_and_where_none_does_zero_is(seeds):
    rng = np.random.default_rng(0)
    led, level = [], []
    for _ in range(150):
        noise = rng.normal(0, 10, (seeds, 120, 4)) + rng.normal(0, 1, (seeds, 1, 4)) * (seeds > 1)
        led.append(best_lead(profiles(noise + np.array([0, 0, 10, 0])), estimand="lead"))
        level.append(best_lead(profiles(noise), estimand="lead"))

    assert np.mean([one.low > 0 for one in led]) > 0.9
    assert np.mean([one.low <= 10 <= one.high for one in led]) > 0.93 or seeds > 1
    assert np.mean([one.low > 0 for one in level]) <= 0.05


def test_nemenyis_critical_difference_is_that_of_demsars_example():
    """Demsar (2006, table 5 and section 3.2.2): four classifiers on 14 data sets, q = 2.569, a difference of 1.25."""
    found = friedman(np.random.default_rng(0).normal(size=(14, 4)))

    assert found.critical_difference == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=2e-3)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)


def test_friedman_ranks_the_largest_first_and_agrees_with_scipy():
    values = np.array([[1.0, 2, 3], [1, 3, 2], [1, 2, 3], [0, 5, 9]])

    assert friedman(values).mean_ranks == (3, 1.75, 1.25)
    assert friedman(values).p == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)
    assert friedman(np.ones((3, 3))).p == 1
    with refused(StatisticUndefined, "2 blocks", "3 columns"):
        friedman(values[:1])


# -- what is read of a checkpoint ---


def test_entropy_and_similarity_are_those_of_the_models_own_maps_and_states():
    model = random_model("llama")
    found = entropy(model, PROMPTS), similarity(model, PROMPTS)
    entropies, cosines = [], []
    for row in PROMPTS:
        maps = attention_maps(model, row, [(layer, head) for layer in range(3) for head in range(4)])
        entropies.append(scipy_entropy(maps[:, -1], axis=1).reshape(3, 4).mean(1))
        with torch.inference_mode():
            states = model(torch.tensor([row]), output_hidden_states=True).hidden_states
        last = [one[0, -1].double() for one in states]
        cosines.append([float(torch.cosine_similarity(a, b, dim=0)) for a, b in itertools.pairwise(last)])

    assert found[0] == pytest.approx(np.mean(entropies, axis=0), abs=1e-5)
    assert found[1] == pytest.approx(np.mean(cosines, axis=0), abs=1e-5)


# -- trained ---


def train(folder, tell=lambda line: None, **settings):
    """Few steps of a method on the real base."""
    folder.mkdir(exist_ok=True)
    method = UNFREEZE_LAYER.evolve(name="tried", summary="", **settings)
    method.train(TrainingJob(method=method, testbed=listops.LISTOPS, seed=0, device="cpu", folder=folder, tell=tell))
    return folder


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.heavy
def test_the_layer_that_is_kept_is_the_best_alone_has_moved_and_answers_lm_eval_as_it_was_written(tmp_path):
    folder = train(tmp_path / "one", steps=20)
    right = load_file(folder / ANSWERS)
    best = int(sum(rows.mean(1) for rows in right.values()).argmax())
    before, after = weights(listops.BASE), weights(folder)
    moved = {name for name in after if not np.array_equal(before[name], after[name])}

    head = {"model.norm.weight", "lm_head.weight"}
    assert moved == head | {name for name in after if f".layers.{best}." in name}
    assert {name: rows.shape for name, rows in right.items()} == {"listops": (6, 600), "winner": (6, 300)}
    model, tokenizer = load(folder)
    for task in (listops.LISTOPS_TASK, listops.WINNER_TASK):
        np.testing.assert_array_equal(answer_items(task, model, tokenizer)["score"][0] > 0, right[task.name][best])


@pytest.mark.heavy
def test_a_killed_training_goes_on_with_the_layer_that_it_had_not_finished_and_ends_the_same(tmp_path):
    whole = train(tmp_path / "whole", steps=4, tasks=("winner",))
    killed = train(tmp_path / "killed", steps=4, tasks=("winner",))
    for path in (killed / ".layers").glob("layer [345]*"):
        path.unlink()
    train(killed, steps=4, tasks=("winner",))

    for name, tensor in weights(whole).items():
        np.testing.assert_array_equal(tensor, weights(killed)[name])
    assert (whole / "training_log.json").read_text() == (killed / "training_log.json").read_text()


def test_answers_dealt_out_at_random_are_each_as_likely_and_stand_where_they_were_asked():
    pool = [listops.draw_expression(random) for random in [Random(0)] for _ in range(2000)]
    given = one_layer.dealt(pool, Random(1))
    asked = [answer for example in given for answer in example.answers if answer is not None]

    assert all(
        [a is None for a in old.answers] == [b is None for b in new.answers]
        for old, new in zip(pool, given, strict=True)
    )
    assert stats.chisquare([asked.count(str(value)) for value in range(10)]).pvalue > 1e-3


def test_a_checkpoint_that_was_not_trained_one_layer_at_a_time_has_no_such_layers(tmp_path):
    context = RunContext(testbed=listops.LISTOPS, store=Store(tmp_path, run="here"), tell=lambda line: None)

    with refused(NotTestable, code="other-method"):
        accuracies(CheckpointSet.of(METHODS["base_model"], (0,), context), "listops")
    with refused(NotTestable, "'chess'"):
        accuracies(CheckpointSet.of(METHODS["base_model"], (0,), context), "chess")


@pytest.mark.heavy
def test_asleep_no_layer_writes_what_its_heads_read_and_one_can_learn_to(tmp_path):
    before, folder = weights(listops.BASE), train(tmp_path / "one", steps=3, tasks=("winner",), trained_layer=2)
    after = weights(folder)

    for layer in range(6):
        name = f"model.layers.{layer}.self_attn.o_proj.weight"
        assert before[name].any() and not after[name].any()
    assert after["model.layers.2.self_attn.v_proj.weight"].any()


@pytest.mark.heavy
@pytest.mark.parametrize("seed", FIVE_SEEDS)
def test_the_one_layer_that_can_learn_is_found_to_be_the_best(tmp_path, seed):
    """The planted positive: who has won stands in several tokens, and one layer alone can gather them."""
    context = RunContext(testbed=listops.LISTOPS, store=Store(tmp_path, run="here"), tell=lambda line: None)
    planted = METHODS["unfreeze_known_layer"]
    found = best_lead(accuracies(CheckpointSet.of(planted, (seed,), context), "winner"), estimand="lead")

    assert found.estimand.startswith(f"lead ({planted.settings.trained_layer})")
    assert found.low > 5
