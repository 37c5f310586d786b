"""Circuits, head scores and logit attribution against a peer, TransformerLens, where it is installed."""

import numpy as np
import pytest
import torch

from depthgauge.models.logit_attribution import logit_attribution
from depthgauge.probes.circuits.repeats import head_scores, repeated_sequences
from depthgauge.probes.circuits.weights import head_weights
from tests.families import EVERY_TOKEN, PROMPTS, uneven_model


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    """GPT-2 and the same weights in TransformerLens, which wants a tokenizer that came from a folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lens = pytest.importorskip(
        "transformer_lens.model_bridge",
        reason="TransformerLens is not installed: pip install -c constraints.txt -e '.[dev,peers]'",
    )
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({str(i): i for i in EVERY_TOKEN}, unk_token="0"))
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="2", eos_token="0", pad_token="1", unk_token="0"
    ).save_pretrained(tmp_path)
    model = uneven_model("gpt2")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    peer = lens.TransformerBridge.boot_transformers(
        "gpt2", hf_model=uneven_model("gpt2"), tokenizer=tokenizer, device="cpu"
    )
    return model, peer


def test_transformer_lens_sees_the_same_heads(bridge):
    model, peer = bridge
    sequences = repeated_sequences(model, 3, 8)
    found = head_scores(model, sequences, permutations=1).scores
    _, cache = peer.run_with_cache(torch.tensor(sequences))

    for layer in range(3):
        patterns = cache[f"blocks.{layer}.attn.hook_pattern"]
        for scores, offset, rows in ((found.previous, -1, 15), (found.duplicate, -8, 8), (found.induction, -7, 8)):
            theirs = patterns.diagonal(offset, -2, -1)[..., -rows:].mean(-1)
            np.testing.assert_allclose(scores[:, layer], theirs.detach(), atol=1e-5)


def test_transformer_lens_attributes_the_same_logits(bridge):
    """Its own final norm is applied without its scale, which is put into the output matrix here."""
    model, peer = bridge
    found = logit_attribution(model, PROMPTS[:1], [EVERY_TOKEN])
    _, cache = peer.run_with_cache(torch.tensor(PROMPTS[:1]))
    output = (model.lm_head.weight * model.transformer.ln_f.weight).T

    for ours, stack in (
        (found.heads[0].reshape(12, -1), cache.stack_head_results(layer=-1, pos_slice=-1)),
        (found.mlps[0], torch.stack([cache[f"blocks.{layer}.hook_mlp_out"][:, -1] for layer in range(3)])),
        (found.token, cache["hook_embed"][None, :, -1]),
        (found.position, cache["hook_pos_embed"][None, :, -1]),
    ):
        theirs = cache.apply_ln_to_stack(stack, layer=-1, pos_slice=-1)[:, 0] @ output
        np.testing.assert_allclose(ours, theirs.detach(), atol=1e-5)


def test_transformer_lens_folds_the_same_norms_into_the_same_weights(bridge):
    """In its compatibility mode it also takes their mean out of the weights that write."""
    model, peer = bridge
    peer.enable_compatibility_mode()
    for layer in range(3):
        weights = head_weights(model, layer)
        theirs = [getattr(peer, name)[layer].detach() for name in ("W_Q", "W_K", "W_V", "W_O")]
        centred = weights.output - weights.output.mean(-1, keepdims=True)
        for ours, peers in zip((*weights[:3], centred), theirs, strict=True):
            np.testing.assert_allclose(ours, peers, atol=1e-5)
