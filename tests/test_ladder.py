"""SmolLM2 in one type of GGUF after the other: fewer bits cost more, once it does not stand on the grid of one."""

from itertools import pairwise

import pytest

from benchmarks.ladder import divergences, matrices, off_the_grid, padded, ready, rounding, widened
from depthgauge.checks.inputs import texts
from depthgauge.models.load import load_uncached, prepare_libraries
from depthgauge.probes.divergence.compute import next_tokens
from depthgauge_testbeds.smollm2 import SMOLLM2

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not SMOLLM2.base.is_dir(), reason="SmolLM2 is not here: 'make smollm2' brings it"),
]
IN_ORDER = ("Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K")
TEXTS, TOKENS = 6, 32


@pytest.fixture(scope="module")
def model():
    prepare_libraries(2)
    return ready()


def ids_of(tokenizer):
    return [tokenizer(text.text)["input_ids"][:TOKENS] for text in texts.texts()[:TEXTS]]


def test_padding_computes_the_same_function(model):
    _, tokenizer = model
    narrow = off_the_grid(load_uncached(SMOLLM2.base)[0])
    base = padded(narrow, widened(narrow))

    assert base.config.hidden_size == 768
    said = next_tokens(base, narrow, ids_of(tokenizer))
    assert said.kl.max() < 1e-6 and (said.says == said.baseline_says).all()


def test_fewer_bits_cost_more(model):
    pytest.importorskip("libgguf")
    base, tokenizer = model
    by_type = divergences(base, {name: rounding(name) for name in IN_ORDER}, ids_of(tokenizer))
    means = [float(columns[:, 0].mean()) for _, columns in by_type]

    assert all(2 * less < more for less, more in pairwise(means)), dict(zip(IN_ORDER, means, strict=True))


def test_the_grid_on_which_it_is_brought_costs_nothing_and_the_other_does():
    pytest.importorskip("libgguf")
    narrow = load_uncached(SMOLLM2.base)[0]
    model = padded(narrow, widened(narrow))
    to_type = rounding("Q4_1")

    def errors():
        return [float((to_type(matrix) - matrix).norm() / matrix.norm()) for matrix in matrices(model).values()]

    on, off = errors(), (off_the_grid(model), errors())[1]

    assert max(on) < 1e-3 and min(off) > 0.02
