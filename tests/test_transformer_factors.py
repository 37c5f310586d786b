"""Sparse codes against scikit-learn, planted dictionaries recovered, levels in closed form, and interrupted fits."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import sparse_encode

from depthgauge.api import Runner
from depthgauge.core.errors import InvalidCheckpoint, StatisticUndefined
from depthgauge.core.result import Outcome
from depthgauge.models.load import load
from depthgauge.probes.sinks import Passage
from depthgauge.runs.config import Options
from depthgauge_suites.layer_papers import transformer_factors
from depthgauge_suites.layer_papers.transformer_factors import concentrated, mean_layer
from depthgauge_suites.layer_papers.transformer_factors.coding import encode, learn, unit
from depthgauge_suites.layer_papers.transformer_factors.compute import context, read, states, told_by_token
from depthgauge_testbeds.pocket import POCKET
from tests.processes import FIVE_SEEDS, refused

NUMBERS, ATOMS, PENALTY = 32, 40, 0.1


def planted(seed, states_number=3000, active=2):
    random = torch.Generator().manual_seed(seed)
    atoms = unit(torch.randn(ATOMS, NUMBERS, generator=random))
    codes = torch.zeros(states_number, ATOMS)
    for row in codes:
        row[torch.randperm(ATOMS, generator=random)[:active]] = torch.rand(active, generator=random) + 0.5
    return atoms, codes @ atoms + 0.01 * torch.randn(states_number, NUMBERS, generator=random)


@pytest.mark.parametrize("seed", range(5))
def test_codes_are_scikit_learns_and_meet_the_conditions_of_the_minimum(seed):
    atoms, x = planted(seed, states_number=100)
    atoms, x = atoms.double(), x.double()
    found = encode(x, atoms, PENALTY, tolerance=1e-8)
    peer = sparse_encode(x.numpy(), atoms.numpy(), algorithm="lasso_cd", alpha=PENALTY, positive=True, max_iter=100_000)

    assert np.abs(found.values.numpy() - peer).max() < 1e-4
    assert found.kkt <= 1e-8 and (found.values >= 0).all()


@given(st.floats(0.01, 2), st.floats(-3, 3))
def test_one_atom_has_a_closed_form(penalty, x):
    code = encode(torch.tensor([[x, 0.0]]), torch.tensor([[1.0, 0.0]]), penalty, tolerance=1e-6).values
    assert float(code) == pytest.approx(max(x - penalty, 0), abs=1e-5)


def test_what_cannot_be_coded_is_one_sentence():
    with refused(StatisticUndefined, code="zero"):
        learn(torch.zeros(20, 4), 2, PENALTY, epochs=1, seed=0)
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert encode(torch.tensor([[2.0, 0.0]]), opposite, 0.5).values.tolist() == [[pytest.approx(1.5, abs=1e-3), 0.0]]


def test_nearly_equal_atoms_and_hardly_a_penalty_give_numbers_at_the_minimum():
    random = torch.Generator().manual_seed(0)
    states, atoms = torch.randn(50, 4, generator=random), unit(torch.randn(256, 4, generator=random))
    found = encode(states, atoms, 1e-4)
    assert found.values.isfinite().all() and found.kkt <= 1e-4


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=[pytest.mark.heavy, pytest.mark.more_seeds]) for seed in range(1, 5))]
)
def test_a_planted_dictionary_is_recovered_and_explains_more_than_a_random_one(seed):
    atoms, x = planted(seed)
    found = learn(x, ATOMS * 3 // 2, PENALTY, epochs=25, seed=seed)
    drawn = unit(torch.randn(found.shape, generator=torch.Generator().manual_seed(seed + 9)))
    left = [float((x - encode(x, each, PENALTY).values @ each).square().mean()) for each in (found, drawn)]

    assert ((atoms @ found.T).max(1).values > 0.95).all()
    assert left[0] < left[1] / 2


def test_a_fit_that_was_interrupted_goes_on_to_the_same_end(tmp_path):
    _, x = planted(0, states_number=1000)
    whole, said, kept = learn(x, ATOMS, PENALTY, epochs=10, seed=0), [], tmp_path / "fit.npz"

    class Interrupted(Exception):
        pass

    def stop(line):
        said.append(line)
        if len(said) == 1:
            raise Interrupted

    with pytest.raises(Interrupted):
        learn(x, ATOMS, PENALTY, epochs=10, seed=0, kept=kept, tell=stop)
    assert torch.equal(learn(x, ATOMS, PENALTY, epochs=10, seed=0, kept=kept, tell=stop), whole)
    assert said == ["batch 20 of 50", "batch 40 of 50", "batch 50 of 50"]


def test_states_are_what_the_blocks_hand_on(tiny_base):
    model = load(tiny_base)[0]
    ids = np.array([[3, 4, 5], [6, 5, 4]])
    found = states(model, ids, np.array([1, 4]))
    with torch.no_grad():
        slow = model(torch.tensor(ids), output_hidden_states=True).hidden_states

    torch.testing.assert_close(found[:, :, 0], slow[2])
    torch.testing.assert_close(found[:, :, 1], slow[5])


def test_importance_in_one_layer_is_as_concentrated_as_there_are_layers_and_even_importance_is_1():
    one, even = np.eye(6)[:1], np.ones((1, 6))
    assert concentrated(np.concatenate([one, even, 0 * even])) == pytest.approx([6, 1, 1])
    assert mean_layer({"importance": one + even * 0, "layers": np.arange(6) * 2}) == pytest.approx([0], abs=1e-9)


def test_what_a_token_explains_is_all_nothing_or_a_part():
    random, tokens = np.random.default_rng(0), np.repeat(np.arange(300), 4)
    by_token, noise = random.normal(size=300)[tokens], random.normal(size=1200)
    codes = np.stack([by_token, noise, by_token + noise], axis=1)[:, None]
    alone = np.append(tokens, 999)  # a token that is there once tells nothing

    found = told_by_token(np.concatenate([codes, 9 * np.ones((1, 1, 3))]), alone)
    assert found == pytest.approx([1, 0, 0.5], abs=0.1)


def test_a_real_model_has_factors_with_contexts(tiny_base):
    model, tokenizer = load(tiny_base)
    texts = [a + b + a + b + c for a in "abcd" for b in "abcd" for c in "abcd"]
    found = read(model, tokenizer, texts)

    assert found["importance"].shape == (32, 6) and found["contexts"].shape == (32, 3)
    assert found["kkt"] <= 1e-4
    assert (found["explained"] / found["active"]).mean() > (found["random_explained"] / found["random_active"]).mean()
    assert context(tokenizer, np.array([[3, 4, 5, 6]]), 2) == "ab[[c]]d"


def planted_levels(base, place, seed):
    """The base with random blocks, each louder than those below: MLPs alone in the lower half, attention in the upper.

    So a state is the token's alone up to the middle, and of ever more tokens above.
    """
    model, tokenizer = load(base)
    torch.manual_seed(seed)
    for layer, block in enumerate(model.model.layers):
        lower = layer < len(model.model.layers) // 2
        for matrix in (p for p in block.parameters() if p.dim() == 2):
            torch.nn.init.normal_(matrix, std=matrix.shape[1] ** -0.5)
        block.self_attn.o_proj.weight.data *= 0 if lower else 1.5**layer
        block.mlp.down_proj.weight.data *= 1.5**layer if lower else 0
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def on_pocket(tmp_path_factory):
    options = Options(
        method="grpo",
        testbed="pocket",
        suites="depthgauge_suites.layer_papers.test_transformer_factors",
        store=str(tmp_path_factory.mktemp("factors")),
    )
    return Runner(options=options, tell=lambda line: None)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", FIVE_SEEDS)
def test_planted_levels_are_found_where_they_are(on_pocket, tmp_path, seed):
    base = POCKET.base
    place = planted_levels(base, tmp_path / "planted", seed)
    rows = on_pocket.run(place).rows
    candidate = on_pocket.checkpoint_set(place)
    (taken,) = transformer_factors.taken(candidate, tuple(map(str, candidate.inputs(Passage))))
    lower = mean_layer(taken.arrays) < taken.arrays["layers"].mean()

    assert [row.outcome for row in rows] == [Outcome.SUPPORTED] * 2
    assert [row.control_outcome for row in rows] == [Outcome.REFUTED] * 2
    assert np.median(taken.arrays["word"][lower]) > 2 * np.median(taken.arrays["word"][~lower])


def test_more_atoms_than_states_and_states_that_are_not_finite_are_one_sentence():
    with refused(StatisticUndefined, "21 atoms", "20 states"):
        learn(torch.ones(20, 4), 21, PENALTY, epochs=1, seed=0)
    with refused(InvalidCheckpoint, code="not-finite"):
        learn(torch.full((20, 4), torch.nan), 5, PENALTY, epochs=1, seed=0)
