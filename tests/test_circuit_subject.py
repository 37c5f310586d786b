"""What a claim about circuits asks of a checkpoint, and of it beside its base."""

from types import SimpleNamespace

import numpy as np
import pytest

from depthgauge.errors import InvalidComparison
from depthgauge.probes.circuits.compute import ABLATED_SHARE, SEQUENCES, CircuitSubject, best, read_circuits
from depthgauge.probes.circuits.repeats import head_scores, in_context_loss, repeated_sequences, without_heads
from depthgauge.probes.circuits.weights import composition, eigenvalue_scores
from tests.families import random_model


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


class Stub(CircuitSubject):
    """A subject whose circuits are given."""

    def __init__(self, layers, heads):
        self.found = {
            "copying": np.zeros((layers, heads)),
            "previous": np.zeros((SEQUENCES, layers, heads)),
        }

    def circuits(self):
        return (SimpleNamespace(arrays=self.found),)


@pytest.mark.parametrize("layers, heads", [(12, 4), (18, 8), (1, 4)])
def test_heads_of_another_shape_are_not_compared_with_the_base_s(layers, heads):
    subject, base = Stub(layers, heads), Stub(36, 4)
    for compare in (subject.best_previous_of, subject.copying_changed):
        with pytest.raises(InvalidComparison, match=f"{layers} layers of {heads} heads where the other has 36 of 4"):
            compare(base)
