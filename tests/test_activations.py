"""How far the residual stream moved: against a loop over hidden states, closed forms, and planted changes."""

import weakref
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthgauge.backends import pairs
from depthgauge.backends.handle import CheckpointHandle
from depthgauge.core import testbed as types
from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.core.estimate import Measurement
from depthgauge.core.method import Checkpoint
from depthgauge.core.result import Evidence
from depthgauge.core.testbed import Text
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.anatomy import blocks
from depthgauge.models.load import Placement
from depthgauge.page.section import Measured, Setting
from depthgauge.page.style import write_picture
from depthgauge.probes.activations import ActivationDifference, compute, cosine, directions, relative
from depthgauge.probes.activations.compute import activation_difference, see_blocks
from depthgauge.probes.activations.directions import Directions
from depthgauge.probes.activations.measures import lens
from depthgauge.probes.activations.report import NO_WORDS, show
from depthgauge.store.folders import Store
from tests.families import VOCABULARY, every_family, hooks, random_model, uneven_model
from tests.processes import refused
from tests.tiny import BLOCKS, save_tiny_base

GENERATOR = np.random.default_rng(0)
PROMPTS = [GENERATOR.integers(2, VOCABULARY, size=length).tolist() for length in (7, 12, 7, 3, 7)]
TEXTS = tuple(Text(text=text) for text in ("abcd", "ddcb", "abba" * 3))
LAYERS, WIDTH = 3, 32


def states_of(model, ids):
    """What every block puts out, (L, T, D): transformers' hidden states but for the last, which come after a norm."""
    kept = []
    handles = [
        block.register_forward_hook(lambda *args: kept.append(args[2][0] if isinstance(args[2], tuple) else args[2]))
        for block in blocks(model)
    ]
    with torch.no_grad():
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    np.testing.assert_array_equal(torch.cat(kept[:-1]), torch.cat(hidden[1:-1]))
    return torch.cat(kept).double().numpy()


def slow(candidate, baseline, prompts):
    """Everything by its definition, a text, a layer and a token at a time."""
    ours, theirs = ([states_of(model, ids) for ids in prompts] for model in (candidate, baseline))
    by_token = [
        [
            [np.linalg.norm(n - o) / np.linalg.norm(o) for n, o in zip(a, b, strict=True)]
            for a, b in zip(*two, strict=True)
        ]
        for two in zip(ours, theirs, strict=True)
    ]
    cosines = [
        [
            np.mean([n @ o / np.linalg.norm(n) / np.linalg.norm(o) for n, o in zip(a, b, strict=True)])
            for a, b in zip(*two, strict=True)
        ]
        for two in zip(ours, theirs, strict=True)
    ]
    shares = []
    for layer in range(len(ours[0])):
        delta = np.concatenate([(n - o)[layer, 1:] for n, o in zip(ours, theirs, strict=True)])
        shares.append(np.linalg.svd(delta, compute_uv=False)[0] ** 2 / (delta**2).sum())
    first = [
        [np.mean([text[layer][i] for text in by_token if i < len(text[layer])]) for layer in range(len(ours[0]))]
        for i in range(5)
    ]
    mean = np.mean([(n - o)[:, 3] for n, o in zip(ours, theirs, strict=True) if n.shape[1] > 3], axis=0)
    return [[np.mean(layer) for layer in text] for text in by_token], cosines, shares, first, mean


def handle_of(folder, name="candidate"):
    return CheckpointHandle(
        checkpoint=Checkpoint(name=name, seed=0, folder=folder, fingerprint=name), placement=Placement()
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("pair")
    return save_tiny_base(place / "new", seed=1), save_tiny_base(place / "old", seed=0)


@every_family
def test_differences_are_those_of_a_loop_over_texts_layers_and_tokens(family):
    candidate, baseline = random_model(family, 1), random_model(family, 0)
    found, expected = activation_difference(candidate, baseline, PROMPTS), slow(candidate, baseline, PROMPTS)

    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * max(1, np.abs(theirs).max()))


@every_family
def test_equal_weights_do_not_differ_at_all(family):
    baseline = random_model(family)
    found = activation_difference(deepcopy(baseline), baseline, PROMPTS)

    assert not found.relative.any() and not found.first_positions.any() and not found.mean.any()
    assert (found.cosine == 1).all()
    assert np.isnan(found.direction_share).all()
    assert not hooks(baseline)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_broken_mlp_differs_from_its_layer_on_and_not_before(layer):
    baseline = random_model("llama")
    candidate = deepcopy(baseline)
    with torch.no_grad():
        candidate.model.layers[layer].mlp.down_proj.weight.zero_()
    found = activation_difference(candidate, baseline, PROMPTS)

    assert not found.relative[:, :layer].any() and (found.cosine[:, :layer] == 1).all()
    assert (found.relative[:, layer:] > 0).all() and (found.cosine[:, layer:] < 1).all()


def test_a_constant_vector_that_one_block_adds_is_one_direction():
    """GPT-2's projection has a bias: what it adds is the same at every token of the layer, and leaves it as it is."""
    baseline = uneven_model("gpt2")
    candidate = deepcopy(baseline)
    added = torch.randn(WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        candidate.transformer.h[1].mlp.c_proj.bias += added
    found = activation_difference(candidate, baseline, PROMPTS)

    assert np.isnan(found.direction_share[0])
    assert found.direction_share[1] == pytest.approx(1, abs=1e-6)
    assert 1 / WIDTH < found.direction_share[2] < 0.999
    np.testing.assert_allclose(found.mean[1], added, atol=1e-5)


def test_the_first_token_of_a_text_is_no_part_of_the_directions():
    """Where only first tokens change, nothing is left."""
    baseline = random_model("llama")
    prompts = [[96, *ids] for ids in PROMPTS]
    candidate = deepcopy(baseline)
    with torch.no_grad():
        candidate.model.embed_tokens.weight[96] += 1
        for model in (candidate, baseline):
            for block in model.model.layers:
                block.self_attn.o_proj.weight.zero_()  # no token sees another
    found = activation_difference(candidate, baseline, prompts)

    assert (found.first_positions[0] > 0).all() and not found.first_positions[1:].any()
    assert np.isnan(found.direction_share).all()


@pytest.mark.parametrize("spread", [0.01, 0.3])
def test_a_sketch_finds_what_the_whole_product_finds(monkeypatch, spread):
    draw = np.random.default_rng(0).standard_normal
    delta = np.outer(draw(500), draw(WIDTH)) + spread * draw((500, WIDTH))
    expected = np.linalg.svd(delta, compute_uv=False)[0] ** 2 / (delta**2).sum()

    def share():
        seen = Directions(1, WIDTH)
        for part in np.array_split(delta, 7):
            seen.add(0, torch.from_numpy(part).float())
        return seen.shares()[0]

    assert share() == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(directions, "WIDEST", 16)
    monkeypatch.setattr(directions, "SKETCH", 12)
    assert share() == pytest.approx(expected, rel=2e-2) and share() < expected + 1e-5


def test_a_sketch_of_one_direction_is_whole(monkeypatch):
    monkeypatch.setattr(directions, "WIDEST", 16)
    seen = Directions(2, WIDTH)
    seen.add(1, torch.ones(9, WIDTH))

    assert np.isnan(seen.shares()[0]) and seen.shares()[1] == pytest.approx(1, abs=1e-5)


def test_a_number_does_not_depend_on_the_texts_beside_it(monkeypatch):
    candidate, baseline = random_model("qwen3", 1), random_model("qwen3", 0)
    together = activation_difference(candidate, baseline, PROMPTS)
    alone = np.concatenate([activation_difference(candidate, baseline, [ids]).relative for ids in PROMPTS])
    monkeypatch.setattr(pairs, "TOKENS", 7)
    one_by_one = activation_difference(candidate, baseline, PROMPTS)

    np.testing.assert_allclose(alone, together.relative, rtol=1e-5)
    for ours, theirs in zip(one_by_one, together, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


PAIR = random_model("llama", 1), random_model("llama", 0)
EXPECTED = activation_difference(*PAIR, PROMPTS)


@given(st.permutations(range(len(PROMPTS))))
def test_texts_in_another_order_give_the_same_profiles_in_that_order(order):
    found = activation_difference(*PAIR, [PROMPTS[i] for i in order])

    np.testing.assert_allclose(found.relative, EXPECTED.relative[list(order)], rtol=1e-5)
    np.testing.assert_allclose(found.direction_share, EXPECTED.direction_share, rtol=1e-5)


def test_old_states_are_let_go_one_by_one_as_the_new_ones_come(monkeypatch):
    kept, alive, see = [], [], compute.see_blocks

    def counted(model, ids, look):
        def watched(layer, output):
            if model is PAIR[1]:
                kept.append(weakref.ref(output))
            look(layer, output)
            alive.append(sum(reference() is not None for reference in kept))

        see(model, ids, watched)

    monkeypatch.setattr(compute, "see_blocks", counted)
    activation_difference(*PAIR, PROMPTS[:1])

    assert alive == [1, 2, 3, 2, 1, 0]


@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_activations_that_are_not_finite_are_refused_with_the_side_at_fault(side):
    models = {"candidate": random_model("llama", 1), "baseline": random_model("llama", 0)}
    with torch.no_grad():
        models[side].model.layers[1].mlp.down_proj.weight[0] = float("nan")

    with refused(InvalidCheckpoint, side, code="not-finite"):
        activation_difference(models["candidate"], models["baseline"], PROMPTS)


def test_models_of_different_depth_are_not_comparable(tmp_path, folders):
    shallow = save_tiny_base(tmp_path / "shallow", blocks=4)

    with refused(NotTestable, "4 layers of width 16", "6 of 16"):
        ActivationDifference(texts=TEXTS).run(handle_of(shallow), handle_of(folders[1]))


def test_models_of_different_width_are_not_comparable():
    with refused(NotTestable, 3, 16, 32):
        activation_difference(narrow(), random_model("llama"), PROMPTS)


def narrow():
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2)
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **shape)).eval()


def test_short_texts_have_no_late_positions_and_leave_no_mean():
    found = activation_difference(*PAIR, [[5, 6, 7], [8, 9]])

    assert np.isfinite(found.first_positions[:3]).all() and np.isnan(found.first_positions[3:]).all()
    assert not found.mean.any()


@every_family
def test_the_lens_reads_a_vector_as_the_model_reads_its_own_last_state(family):
    model = uneven_model(family)
    found = []
    see_blocks(model, PROMPTS[:1], lambda layer, output: found.append(output[0, -1].double().numpy()))
    tokens, chances = lens(model, found[-1][None])
    with torch.no_grad():
        read = model(torch.tensor(PROMPTS[:1])).logits[0, -1].double()

    assert tokens.shape == chances.shape == (1, 10)
    assert tokens[0].tolist() == read.topk(10).indices.tolist()
    if family != "gemma2":  # whose logits are capped after they are read
        np.testing.assert_allclose(chances[0], read.softmax(-1).topk(10).values, rtol=1e-4)


def test_the_lens_says_nothing_of_what_is_nothing_or_of_a_norm_it_does_not_know():
    model = random_model("llama")
    chances = lens(model, np.array([[0.0] * WIDTH, [1.0] * WIDTH]))[1]
    assert not chances[0].any() and (chances[1] > 0).all()
    model.model.other_norm, model.model.norm = model.model.norm, None
    assert lens(model, np.ones((3, WIDTH)))[1].shape == (3, 0)


def test_a_probe_keeps_profiles_and_words(folders):
    taken = ActivationDifference(texts=TEXTS).run(handle_of(folders[0]), handle_of(folders[1]))

    assert taken["relative"].shape == taken["cosine"].shape == (len(TEXTS), BLOCKS)
    assert taken["direction_share"].shape == (BLOCKS,) and taken["first_positions"].shape == (5, BLOCKS)
    assert taken["mean_says_layers"].tolist() == [2, 3, 5]
    assert taken["mean_says"].shape == taken["mean_says_probability"].shape == (3, 7)
    np.testing.assert_allclose(taken["mean_says_probability"].sum(1), 1)


def test_readings_are_the_profiles_of_every_seed(folders, tmp_path):
    testbed = types.Testbed(name="three", probe_inputs={Text: lambda: TEXTS})
    context = RunContext(testbed=testbed, store=Store(tmp_path / "store", run="test"), tell=lambda line: None)
    candidate, baseline = (CheckpointSet(name=folder.name, folder=folder, context=context) for folder in folders)
    taken = ActivationDifference(texts=TEXTS).run(handle_of(folders[0]), handle_of(folders[1]))

    for reading, name, unit in ((relative, "relative", "share"), (cosine, "cosine", "cosine")):
        found = reading(candidate, baseline)
        np.testing.assert_allclose(found.values, taken[name][None], rtol=1e-6)
        assert found.columns == tuple("012345") and (found.unit, found.population) == (unit, "texts")
        assert found.ids == tuple(text.text for text in TEXTS)


def test_a_probe_is_known_by_its_texts_and_turns():
    def key(**other):
        return ActivationDifference(texts=(Text(**{"text": "a"} | other),)).parameters(None)["texts"]

    assert len({key(), key(text="b"), key(turns=(("user", "a"),))}) == 3


def measured(name, arrays):
    evidence = Evidence(method=name, seed=0, checkpoint="", key="", probe="")
    return Measured(
        evidence, Measurement(key="", probe="activations", parameters={}, checkpoint="", arrays=arrays)
    )  # fmt: skip


@pytest.fixture
def setting():
    return Setting(
        testbed=types.Testbed(name="t"), colours={"candidate": "#000000", "same": "#E69F00", "planted": "#0072B2"}
    )


def test_a_section_names_the_first_layer_that_differs_and_words_only_where_a_direction_stands_out(
    folders, setting, tmp_path
):
    candidate, baseline = map(handle_of, folders)
    changed, same = (ActivationDifference(texts=TEXTS).run(one, baseline) for one in (candidate, baseline))
    planted = changed | {"relative": changed["relative"].copy(), "direction_share": np.linspace(0, 0.75, BLOCKS)}
    planted["relative"][:, :2] = 0
    changed = changed | {"direction_share": np.full(BLOCKS, 0.3)}
    (section,) = show([measured("candidate", changed), measured("same", same), measured("planted", planted)], setting)
    _, table, picture, _, words = section.parts

    assert section.title == "Activation difference"
    assert [row[1] for row in table.rows] == ["0", "none", "2"] and table.rows[1][2:] == ["-"] * 5
    assert table.rows[2][-2:] == ["0.75", "5"]
    assert [row[:3] for row in words.rows] == [["planted, seed 0", "5", "0.75"]]
    write_picture(tmp_path / "picture.png", picture)
    assert (tmp_path / "picture.png").stat().st_size > 5000

    (quiet,) = show([measured("candidate", changed), measured("same", same)], setting)
    assert quiet.parts[-1] == NO_WORDS


def test_there_is_no_section_where_nothing_was_measured(setting):
    assert not list(show([], setting))
