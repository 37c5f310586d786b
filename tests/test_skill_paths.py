"""Skill paths of small models: all is carried, fresh weights have no such skill, and names say the chain."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from depthgauge.context import RunContext
from depthgauge.errors import NotTestable
from depthgauge.models.load import load
from depthgauge.models.paths import Reads
from depthgauge.probes.skill_paths import MOST, SEQUENCES, carried_by_induction_heads
from depthgauge.probes.skill_paths.compute import by_length, read, strongest
from depthgauge.store.folders import Store
from depthgauge.subject import Subject
from depthgauge.testbeds.pocket import POCKET
from tests.families import uneven_model


@pytest.fixture(scope="module")
def pocket_paths():
    return read(load(POCKET.base)[0])


def test_paths_of_each_length_sum_to_the_logit_difference(pocket_paths):
    near = 1e-4 * np.abs(pocket_paths["logit"]).max()
    assert np.abs(pocket_paths["gap"]).max() < near
    np.testing.assert_allclose(pocket_paths["by_length"].sum(1), pocket_paths["logit"], atol=near)
    assert pocket_paths["heads"].shape == pocket_paths["background_heads"].shape == (SEQUENCES, 36, 4)
    assert 0 < pocket_paths["paths"].max() <= MOST


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "olmo2", "gpt_neox"])
def test_fresh_weights_owe_nothing_to_induction_heads(family, tmp_path):
    model = uneven_model(family)
    found = read(model)
    beyond = found["heads"] - found["background_heads"]
    induction = found["induction"] >= 0.5 * found["induction"].max()

    assert np.abs(beyond[:, induction].sum(1).mean()) < 0.5
    assert np.abs(found["gap"]).max() < 1e-4 * max(1, np.abs(found["logit"]).max())


def test_a_checkpoint_is_read_once_and_has_a_share_a_sequence(tmp_path, tiny_base):
    from tests.tiny import tiny_testbed

    said = []
    context = RunContext(testbed=tiny_testbed(POCKET.base), store=Store(tmp_path, run="test"), tell=said.append)
    subject = Subject(name="one", folder=POCKET.base, context=context)
    first, again = carried_by_induction_heads(subject), carried_by_induction_heads(subject)

    assert first.values.shape == (1, SEQUENCES) and np.array_equal(first.values, again.values)
    assert len(said) == 1


def test_lengths_count_a_head_that_is_not_followed_as_one_more_and_paths_are_named_from_below():
    end = Reads(token=1.0, position=0.0, mlps=2.0, biases=0.0, heads=torch.tensor([[0.5, 0.0]], dtype=torch.float64))
    found = {(): end, ((2, 1),): end, ((2, 1), (1, 0)): end}

    assert by_length(found) == pytest.approx([3.0, 3.5, 3.5, 0.5])
    names = strongest({(): [9.0], ((2, 1),): [1.0], ((2, 1), (1, 0)): [-2.0, -2.0]})
    assert names["names"].tolist() == ["1.0 → 2.1 → logits", "2.1 → logits"]
    assert names["carried"].tolist() == [-2.0, 1.0]


def test_a_model_of_few_tokens_is_one_sentence():
    torch.manual_seed(0)
    few = LlamaForCausalLM(LlamaConfig(vocab_size=5, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                       num_attention_heads=2, max_position_embeddings=16))  # fmt: skip
    with pytest.raises(NotTestable, match="said twice are 3 or more, and 2 fit"):
        read(few)
