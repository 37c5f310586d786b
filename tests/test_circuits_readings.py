"""What a claim about circuits asks of a checkpoint, and of it beside its base."""

from types import SimpleNamespace

import numpy as np
import pytest

from depthgauge.core.errors import InvalidComparison, NotTestable
from depthgauge.probes.circuits import ABLATED_SHARE, SEQUENCES, best_of, copying_changed, previous_below_induction
from depthgauge.probes.circuits.compute import best, read_circuits
from depthgauge.probes.circuits.repeats import head_scores, in_context_loss, repeated_sequences, without_heads
from depthgauge.probes.circuits.weights import composition, eigenvalue_scores
from tests.families import random_model
from tests.processes import refused


def test_what_is_read_of_a_model_is_what_the_probes_find():
    model = random_model("gpt2")
    found = read_circuits(model)
    sequences = repeated_sequences(model, SEQUENCES, 20)
    scores = head_scores(model, sequences, permutations=1).scores
    induction = scores.induction.mean(0)
    layer, head = found["best_induction"]
    before, previous = tuple(found["best_previous"]), best(scores.previous.mean(0)[:layer])
    chosen = [(int(i), int(j)) for i, j in np.argwhere(induction >= ABLATED_SHARE * induction.max())]
    whole = in_context_loss(model, sequences)
    with without_heads(model, chosen):
        ablated = in_context_loss(model, sequences)
    with without_heads(model, [previous]):
        left = head_scores(model, sequences, permutations=1).scores.induction[:, layer, head]

    assert layer >= 1
    assert induction[layer, head] == induction[1:].max()
    assert before == previous
    np.testing.assert_array_equal(found["copying"], eigenvalue_scores(model).ov)
    np.testing.assert_array_equal(found["learning"], whole.first - whole.repeated)
    np.testing.assert_allclose(
        found["learning_lost"], (whole.first - whole.repeated) - (ablated.first - ablated.repeated), atol=1e-12
    )
    np.testing.assert_array_equal(found["induction_left"], left / scores.induction[:, layer, head])
    assert found["k_composition"] == composition(model, previous[0], int(layer)).key[previous[1], head]


class Stub:
    """A candidate whose circuits are given: `best` is (layer, head) of its best induction head."""

    name = "stub"

    def __init__(self, layers, heads, best=(0, 0)):
        self.found = {
            "copying": np.zeros((layers, heads)),
            "previous": np.random.default_rng(layers).random((SEQUENCES, layers, heads)),
            "best_induction": np.array(best),
        }

    def measure(self, probe):
        return (SimpleNamespace(arrays=self.found),)


@pytest.mark.parametrize("layers, heads", [(12, 4), (18, 8), (1, 4)])
def test_heads_of_another_shape_are_not_compared_with_the_base_s(layers, heads):
    candidate, base = Stub(layers, heads), Stub(36, 4)
    for compare in (lambda: best_of(candidate, base, "previous"), lambda: copying_changed(candidate, base)):
        with refused(InvalidComparison, f"{layers} layers of {heads}", "36 of 4"):
            compare()


def test_the_best_head_is_the_base_s_and_its_score_the_subject_s():
    candidate, base = Stub(3, 4), Stub(3, 4)
    base.found = base.found | {"previous": np.where(np.arange(12).reshape(3, 4) == 6, 1.0, base.found["previous"])}

    np.testing.assert_array_equal(
        best_of(candidate, base, "previous").values, candidate.found["previous"][None, :, 1, 2]
    )


def test_a_previous_token_head_stands_in_a_layer_below_the_induction_head():
    below = previous_below_induction(Stub(3, 4, best=(2, 1)))

    assert {name.rpartition(" head")[0] for name in below.columns} == {"layer 0", "layer 1"}
    with refused(NotTestable, "'stub'", "layer"):
        previous_below_induction(Stub(1, 4))
