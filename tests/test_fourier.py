"""The Fourier measures of modular addition, against numpy's transform, closed forms and hand-made models."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from depthgauge.core.errors import InvalidCheckpoint, StatisticUndefined
from depthgauge_suites.grokking.fourier import compute as fourier
from depthgauge_suites.grokking.fourier import readings
from depthgauge_suites.grokking.fourier.transformer import all_pairs, fresh_weights, run
from tests.full_sequence import FullSequence
from tests.processes import refused

ODD = st.integers(1, 30).map(lambda k: 2 * k + 1)
SEEDS = st.integers(0, 2**32 - 1)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def cosines(p, weights):
    """Logits (P, P, P) that are sums of cos w(a + b - c), as in the paper."""
    a, b, c = np.indices((p, p, p))
    return sum(weight * np.cos(2 * np.pi * k * (a + b - c) / p) for k, weight in weights.items())


@given(p=ODD)
def test_the_basis_is_orthonormal(p):
    np.testing.assert_allclose(fourier.fourier_basis(p) @ fourier.fourier_basis(p).T, np.eye(p), atol=1e-12)


@given(p=ODD, seed=SEEDS)
def test_coordinates_are_those_of_numpys_fft2(p, seed):
    values = random(p, p, seed=seed)
    dft, k = np.fft.fft2(values), np.arange(1, (p - 1) // 2 + 1)
    same, mirrored = dft[np.ix_(k, k)], dft[np.ix_(k, -k)]
    found = fourier.transform(values, (0, 1))
    assert found[0, 0] == pytest.approx(dft[0, 0].real / p, abs=1e-12)
    np.testing.assert_allclose(found[1::2, 0], dft[k, 0].real * 2**0.5 / p, atol=1e-12)
    np.testing.assert_allclose(found[0, 2::2], -dft[0, k].imag * 2**0.5 / p, atol=1e-12)
    np.testing.assert_allclose(found[1::2, 1::2], (same + mirrored).real / p, atol=1e-12)
    np.testing.assert_allclose(found[1::2, 2::2], -(same - mirrored).imag / p, atol=1e-12)
    np.testing.assert_allclose(found[2::2, 1::2], -(same + mirrored).imag / p, atol=1e-12)
    np.testing.assert_allclose(found[2::2, 2::2], -(same - mirrored).real / p, atol=1e-12)


@given(p=ODD, seed=SEEDS)
def test_norms_are_kept(p, seed):
    values = random(p, 4, p, seed=seed)
    found = fourier.transform(values, (0, 2))
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(values), rel=1e-12)


@given(p=ODD, seed=SEEDS, shift=st.integers(0, 60))
def test_a_shift_turns_each_pair_of_cosine_and_sine(p, seed, shift):
    values = random(p, seed=seed)
    before, after = fourier.transform(values), fourier.transform(np.roll(values, shift))
    angle = 2 * np.pi * np.arange(1, (p - 1) // 2 + 1) * shift / p
    np.testing.assert_allclose(after[0], before[0], atol=1e-12)
    np.testing.assert_allclose(after[1::2], np.cos(angle) * before[1::2] - np.sin(angle) * before[2::2], atol=1e-11)
    np.testing.assert_allclose(after[2::2], np.sin(angle) * before[1::2] + np.cos(angle) * before[2::2], atol=1e-11)
    np.testing.assert_allclose(
        fourier.frequency_norms(np.roll(values, shift)), fourier.frequency_norms(values), atol=1e-11
    )


@given(n=st.integers(1, 50), scale=st.floats(1e-3, 1e3))
def test_the_gini_coefficient_is_0_for_equals_and_near_1_for_one(n, scale):
    assert fourier.gini(np.full(n, scale)) == pytest.approx(0, abs=1e-12)
    assert fourier.gini(np.r_[np.zeros(n - 1), scale]) == pytest.approx(1 - 1 / n)


@pytest.mark.parametrize("values", [[], [-1.0, 2.0], [0.0, 0.0]])
def test_a_gini_coefficient_of_nothing_is_undefined(values):
    with refused(StatisticUndefined, code="not-sizes"):
        fourier.gini(np.array(values))


@pytest.mark.parametrize("p", [2, 4, 1, 0])
def test_an_even_p_has_no_such_basis(p):
    with refused(StatisticUndefined, 3, f"got {p}"):
        fourier.fourier_basis(p)


@pytest.mark.parametrize("frequency", [0, 6, -1])
def test_a_frequency_that_is_not_there_is_named(frequency):
    with refused(StatisticUndefined, f"frequency {frequency}", 11, "1 to 5"):
        fourier.excluded(random(11, 11, 11), [frequency])


def test_a_frequency_is_a_whole_number_asked_for_once():
    with refused(StatisticUndefined, "1.5"):
        fourier.restricted(random(11, 11, 11), [1.5])
    with refused(StatisticUndefined, [2, 2]):
        fourier.restricted(random(11, 11, 11), [2, 2])


# -- logits ---


def test_cosines_of_a_plus_b_minus_c_are_all_that_key_frequencies_hold():
    logits = cosines(13, {2: 3.0, 5: 1.0}) + random(13)
    means = np.broadcast_to(logits.mean((0, 1)), logits.shape)
    np.testing.assert_allclose(fourier.restricted(logits, [2, 5]), logits, atol=1e-12)
    np.testing.assert_allclose(fourier.kept(logits, [2, 5]), logits, atol=1e-12)
    np.testing.assert_allclose(fourier.excluded(logits, [2, 5]), means, atol=1e-12)
    np.testing.assert_allclose(fourier.excluded(logits, [1, 3]), logits, atol=1e-12)
    assert fourier.cosine_share(cosines(13, {2: 3.0, 5: 1.0}), [2, 5]) == pytest.approx(1)
    assert fourier.cosine_share(cosines(13, {2: 3.0, 5: 1.0}), [2]) == pytest.approx(0.9)


def test_waves_of_one_term_and_of_the_difference_are_kept_and_are_no_part_of_the_sum():
    a, b, _ = np.indices((13, 13, 13))
    others = np.cos(2 * np.pi * 2 * a / 13) + 2 * np.cos(2 * np.pi * 2 * (a - b) / 13)
    logits = cosines(13, {2: 3.0}) + others
    strange = np.cos(2 * np.pi * 4 * a / 13) * np.cos(2 * np.pi * 2 * b / 13)
    np.testing.assert_allclose(fourier.kept(logits + strange, [2]), logits, atol=1e-12)
    np.testing.assert_allclose(fourier.restricted(logits + strange, [2]), cosines(13, {2: 3.0}), atol=1e-12)


@given(p=st.sampled_from([5, 7, 11]), seed=SEEDS)
@settings(max_examples=25)
def test_the_part_of_the_sum_is_a_projection_on_two_directions_a_frequency(p, seed):
    logits, k = random(p, p, p, seed=seed), 2
    a, b = np.indices((p, p))
    found = np.zeros_like(logits)
    for wave in (np.cos, np.sin):
        direction = wave(2 * np.pi * k * (a + b) / p)
        direction /= np.linalg.norm(direction)
        found += direction[..., None] * np.einsum("ab,abc->c", direction, logits)
    np.testing.assert_allclose(fourier.in_sum(logits, [k]), found, atol=1e-12)
    # What is kept of a frequency is a projection too, and holds this part.
    kept = fourier.kept(logits, [k])
    np.testing.assert_allclose(fourier.kept(kept, [k]), kept, atol=1e-12)
    np.testing.assert_allclose(fourier.in_sum(kept, [k]), found, atol=1e-12)


def test_the_cosine_share_is_that_of_least_squares():
    logits = cosines(11, {1: 2.0, 3: -1.0}) + random(11, 11, 11)
    a, b, c = np.indices((11, 11, 11))
    design = np.stack([np.cos(2 * np.pi * k * (a + b - c) / 11).ravel() for k in (1, 3)], 1)
    target = (logits - logits.mean()).ravel()
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    assert fourier.cosine_share(logits, [1, 3]) == pytest.approx(1 - residual.var() / target.var())


def test_pair_losses_are_cross_entropies():
    logits = random(7, 7, 7)
    found = fourier.pair_losses(logits)
    assert found[3, 6] == pytest.approx(-log_softmax(logits[3, 6])[2])
    assert found[0, 0] == pytest.approx(-log_softmax(logits[0, 0])[0])


# -- what claims read ---


class Taken:
    """A candidate of one seed whose arrays are given."""

    def __init__(self, **arrays):
        self.arrays = arrays

    def measure(self, _probe):
        return (SimpleNamespace(arrays=self.arrays),)


def test_an_embedding_of_ten_frequencies_has_all_of_its_norm_there_and_an_even_one_its_part():
    norms = np.zeros(113)
    norms[[0, *range(9, 29)]] = 3  # the constant, and cosine and sine of frequencies 5 to 14
    assert readings.embedding_in_few_frequencies(Taken(embedding_norms=norms)) == [1.0]
    assert readings.embedding_in_few_frequencies(Taken(embedding_norms=np.ones(113))) == pytest.approx([10 / 56])


def test_a_neuron_counts_where_it_is_explained_by_a_frequency_that_reaches_the_logits():
    arrays = {
        "logit_norms": np.ones(113), "key_frequencies": np.array([4, 13]),
        "neuron_frequency": np.array([4, 13, 13, 5]), "neuron_share": np.array([0.9, 0.85, 0.84, 0.99]),
    }  # fmt: skip
    assert readings.neurons_at_keys(Taken(**arrays)) == [0.5]
    noise = arrays | {"key_frequencies": np.arange(1, 57)}
    noise["logit_norms"] = np.r_[1, np.repeat(np.arange(56), 2)]  # the ten largest are 47 to 56
    assert readings.neurons_at_keys(Taken(**noise)) == [0.0]


def test_the_head_that_is_explained_least_stands_for_all():
    assert readings.least_head_share(Taken(head_share=np.array([0.99, 0.6, 0.98]))) == [0.6]


# -- neurons ---


def test_a_neuron_of_one_frequency_is_explained_by_it_and_by_no_other():
    a, b = 2 * np.pi * np.indices((13, 13)) * 4 / 13
    neurons = np.stack([3 + np.cos(a) * np.sin(b) + 0.5 * np.sin(a), np.full((13, 13), 2.0), random(13, 13)], -1)
    fits = fourier.neuron_fits(neurons)
    np.testing.assert_allclose(fits[:, 0], np.eye(6)[3], atol=1e-12)
    np.testing.assert_allclose(fits[:, 1], 0)
    assert fits[:, 2].max() < 0.5


def test_a_head_that_follows_one_wave_is_explained_by_it():
    a, b = 2 * np.pi * np.indices((13, 13)) * 3 / 13
    heads = np.stack([0.5 + 0.2 * (np.cos(a) - np.cos(b)), np.full((13, 13), 0.5), 0.5 + 0.2 * np.cos(a - b)], -1)
    fits = fourier.head_fits(heads)
    np.testing.assert_allclose(fits[:, 0], np.eye(6)[2], atol=1e-12)
    np.testing.assert_allclose(fits[:, 1:], 0, atol=1e-12)


# -- weights ---


@given(p=st.sampled_from([3, 7, 13]), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_effective_weights_reconstruct_the_logits(p, seed):
    weights = fresh_weights(p, seed, width=16, heads=2, neurons=24).to(torch.float64)
    weights = weights._replace(b_in=torch.randn(24, dtype=torch.float64), b_out=torch.randn(16, dtype=torch.float64))
    logits = run(weights, all_pairs(p)).logits[:, :p].reshape(p, p, p).numpy()
    found = fourier.logits_of(fourier.effective_weights(weights))
    assert np.abs(found - logits).max() <= 1e-9 * np.abs(logits).max()


def test_key_frequencies_are_those_that_reach_the_logits():
    weights = with_logit_waves({2: 1.0, 5: 0.3, 3: 0.1})
    assert fourier.key_frequencies(weights) == (2, 5)
    assert fourier.outside(fourier.logit_map(weights), (2, 5), axis=1) == pytest.approx(0.1 / 1.10**0.5)
    assert fourier.outside(fourier.logit_map(weights), (2, 3, 5), axis=1) == pytest.approx(0, abs=1e-7)


@given(seed=SEEDS, rank=st.integers(1, 6))
def test_nothing_is_left_beyond_the_rank_of_a_matrix(seed, rank):
    values = random(9, rank, seed=seed) @ random(rank, 8, seed=seed + 1)
    assert fourier.beyond_rank(values, rank) == pytest.approx(0, abs=1e-12)
    assert fourier.beyond_rank(values, 0) == 1


def test_the_norm_beyond_a_rank_in_closed_form():
    assert fourier.beyond_rank(np.diag([2.0, 3.0, 6.0]), 1) == pytest.approx(13**0.5 / 7)


def test_a_model_without_any_frequency_has_no_key():
    weights = with_logit_waves({})
    with refused(InvalidCheckpoint, code="constant"):
        fourier.key_frequencies(weights)


def with_logit_waves(norms, p=13):
    """Weights whose W_L has a wave of that norm in a row of its own."""
    weights = fresh_weights(p, 0, width=16, heads=2, neurons=8)
    to_width = torch.zeros(8, 16)
    unembed = torch.zeros(16, p + 1)
    for row, (k, norm) in enumerate(norms.items()):
        to_width[row, row] = 1
        unembed[row, :p] = norm * torch.tensor(fourier.fourier_basis(p)[2 * k])
    return weights._replace(W_out=to_width, W_U=unembed)


def test_ablations_are_those_of_the_full_sequence_with_a_part_at_its_mean():
    weights = fresh_weights(7, 0, width=16, heads=2, neurons=24).to(torch.float64)
    pairs, model = all_pairs(7), FullSequence(weights)
    found = fourier.ablations(weights)
    with torch.no_grad():
        embedded = model.embedded(pairs)
        heads = torch.einsum("nhe,hed->nhd", model.mixed(embedded)[:, :, -1], model.W_O)
        residual = embedded[:, -1] + heads.sum(1)

        def loss(passed, read):
            logits = (passed + (read @ model.W_in + model.b_in).relu() @ model.W_out + model.b_out) @ model.W_U
            return fourier.pair_losses(logits[:, :7].numpy().reshape(7, 7, 7)).mean()

        assert found.skip == pytest.approx(loss(residual.mean(0), residual), rel=1e-12)
        for h, loss_found in enumerate(found.heads):
            ablated = residual - heads[:, h] + heads[:, h].mean(0)
            assert loss_found == pytest.approx(loss(ablated, ablated), rel=1e-12)


def test_ablating_a_head_that_writes_nothing_changes_nothing():
    weights = fresh_weights(7, 0, width=16, heads=2, neurons=24)
    silent = weights._replace(W_O=weights.W_O * torch.tensor([1.0, 0.0])[:, None, None])
    loss = fourier.pair_losses(fourier.landscape(silent).logits).mean()
    found = fourier.ablations(silent)
    assert found.heads[1] == pytest.approx(loss, rel=1e-12)
    assert found.heads[0] != pytest.approx(loss, rel=1e-6)


def test_ablating_a_head_that_always_writes_the_same_changes_nothing():
    weights = fresh_weights(7, 0, width=16, heads=2, neurons=24)
    alike = weights._replace(W_E=weights.W_E[[0] * 7 + [7]])  # no token differs from another
    loss = fourier.pair_losses(fourier.landscape(alike).logits).mean()
    np.testing.assert_allclose(fourier.ablations(alike).heads, loss, rtol=1e-12)


def test_ablating_the_skip_of_a_model_whose_residual_does_not_vary_changes_nothing():
    weights = fresh_weights(7, 0, width=16, heads=2, neurons=24)
    silent = weights._replace(W_O=0 * weights.W_O)
    loss = fourier.pair_losses(fourier.landscape(silent).logits).mean()
    assert fourier.ablations(silent).skip == pytest.approx(loss, rel=1e-12)
