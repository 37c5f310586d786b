"""The noise trace against plain hooks, closed forms and laws, on ten families of models."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertLMHeadModel, BloomConfig, BloomForCausalLM

from depthgauge.core.errors import InvalidCheckpoint, NotTestable, StatisticUndefined
from depthgauge.models.anatomy import blocks
from depthgauge.models.load import load
from depthgauge_suites.articles.noise_trace import check_felt
from depthgauge_suites.articles.noise_trace import compute as probe
from depthgauge_suites.articles.noise_trace.compute import draw_noise, noise_trace, single_token
from depthgauge_suites.articles.noise_trace.restoration import restoration_trace
from depthgauge_testbeds.pocket import POCKET
from tests.families import CONTEXT, FAMILIES, VOCABULARY, random_model
from tests.processes import refused

PROMPT, TARGETS = [5, 9, 2, 31, 8, 8, 60], [3, 44]


def hooked(model, prompt, targets, draws, scale=0.5, seed=0, number=0):
    """The definition, one forward a draw: (K, L, D) log-probabilities."""
    found = np.zeros((len(targets), len(blocks(model)), draws))
    noise = draw_noise(model, seed, number, range(len(blocks(model))), draws)
    for layer, block in enumerate(blocks(model)):
        for draw in range(draws):

            def edit(module, inputs, output, e=noise[layer, draw]):
                states = (output[0] if isinstance(output, tuple) else output).clone()
                h = states[0, -1]
                states[0, -1] = h + scale * h.pow(2).mean().sqrt() * e
                return (states, *output[1:]) if isinstance(output, tuple) else states

            handle = block.register_forward_hook(edit)
            with torch.no_grad():
                found[:, layer, draw] = model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)[targets]
            handle.remove()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fast_form_equals_plain_hooks_in_every_family(family):
    model = random_model(family)
    before = model.config._attn_implementation
    trace = noise_trace(model, [PROMPT], [TARGETS], draws=3)

    assert trace.fast.all()
    assert np.abs(np.exp(trace.noisy[0]) - np.exp(hooked(model, PROMPT, TARGETS, 3))).max() < 1e-5
    assert model.config._attn_implementation == before
    assert not any(block._forward_hooks for block in blocks(model))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_noise_by_spread_is_in_proportion_to_each_dimension(family):
    model, other = random_model(family), [7, 3, 1, 12]
    with torch.no_grad():
        scaled = probe.scales(model, [PROMPT, other], range(len(blocks(model))))
    states = []

    def remember(module, inputs, output):
        states.append((output[0] if isinstance(output, tuple) else output)[0])

    handle = blocks(model)[1].register_forward_hook(remember)
    with torch.no_grad():
        for prompt in (PROMPT, other):
            model(torch.tensor([prompt]))
    handle.remove()
    spread = torch.cat([found[1:] for found in states]).double().std(dim=0, correction=0)
    rms = states[1][-1].double().square().mean().sqrt()

    torch.testing.assert_close(scaled.spread[1].double(), spread, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(scaled.rms_over_spread[1, 1].double(), rms / spread.median(), rtol=1e-5, atol=1e-7)
    trace = noise_trace(model, [PROMPT, other], [TARGETS, TARGETS], draws=3, dose="spread")
    by_hand = shaken_by_hand(model, other, 1, 0.5 * spread * draw_noise(model, 0, 1, [1], 3)[0].double())
    assert np.abs(trace.noisy[1, :, 1] - by_hand).max() < 1e-4
    np.testing.assert_allclose(trace.rms_over_spread, scaled.rms_over_spread, rtol=1e-6)


def shaken_by_hand(model, prompt, layer, noise_DH):
    """Log-probabilities (K, D) of the targets with noise added to the last state after a block."""
    found = []
    for noise in noise_DH:

        def edit(module, inputs, output, noise=noise):
            states = (output[0] if isinstance(output, tuple) else output).clone()
            states[0, -1] += noise.to(states.dtype)
            return (states, *output[1:]) if isinstance(output, tuple) else states

        handle = blocks(model)[layer].register_forward_hook(edit)
        with torch.no_grad():
            found.append(model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)[TARGETS].numpy())
        handle.remove()
    return np.stack(found, axis=1)


@pytest.mark.parametrize(
    "noisy, sentence", [(-1.0, None), (-0.001, "felt at no layer"), (-9.0, "saturates: at most 0.00012")]
)
def test_a_trace_of_nothing_says_so(noisy, sentence):
    """Two answers of probability 0.25 each, in one question, at three layers and four draws."""
    clean = np.log(np.full((1, 2), 0.25))
    arrays = {"clean": clean, "noisy": np.broadcast_to(clean[:, :, None, None] + noisy, (1, 2, 3, 4))}
    if sentence is None:
        check_felt(arrays)
    else:
        with pytest.raises(NotTestable, match=sentence):
            check_felt(arrays)


def test_in_float64_it_equals_plain_hooks_to_ten_digits():
    model = random_model("gpt2").double()  # the others' norms fall back to float32
    trace = noise_trace(model, [PROMPT], [TARGETS], draws=3)

    assert np.abs(trace.noisy[0] - hooked(model, PROMPT, TARGETS, 3)).max() < 1e-10


def test_a_family_that_hides_its_attention_is_run_in_full_and_says_so():
    torch.manual_seed(0)
    model = BloomForCausalLM(BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=3, n_head=4)).eval()
    trace = noise_trace(model, [PROMPT], [TARGETS], draws=3)

    assert not trace.fast.any()
    assert np.abs(np.exp(trace.noisy[0]) - np.exp(hooked(model, PROMPT, TARGETS, 3))).max() < 1e-5


def test_an_attention_that_the_fast_form_does_not_know_of_is_run_in_full(monkeypatch):
    """As a family would be whose sliding window goes by another name."""
    attend = probe.SharedPrefix.attend
    monkeypatch.setattr(
        probe.SharedPrefix, "attend", lambda self, *args, sliding_window=None, **kwargs: attend(self, *args, **kwargs)
    )
    model = random_model("mistral")
    trace = noise_trace(model, [PROMPT], [TARGETS], draws=2)

    assert not trace.fast.any()
    assert np.abs(np.exp(trace.noisy[0]) - np.exp(hooked(model, PROMPT, TARGETS, 2))).max() < 1e-5


@pytest.mark.parametrize("draws", [7, 30])
def test_zero_noise_changes_nothing_but_the_order_of_sums_in_the_pocket_base(draws):
    """The rows are the same to the bit on a CPU with AVX2, and not on one without: a product may sum each row anew."""
    model, _ = load(POCKET.base)
    with torch.inference_mode():
        logits = probe.LastTokenRun(model, PROMPT, range(36))(torch.zeros(36, draws, 64))
        plain = model(torch.tensor([PROMPT])).logits[0, -1]

    torch.testing.assert_close(logits, plain.expand_as(logits), rtol=0, atol=1e-5 * float(plain.abs().max()))
    assert len(logits) == 1 + 36 * draws


@pytest.mark.parametrize("family", FAMILIES)
def test_zero_noise_changes_nothing_but_the_order_of_sums_in_any_family(family):
    """A product of few rows may sum one row in another order than its neighbour."""
    trace = noise_trace(random_model(family), [PROMPT], [TARGETS], scale=0.0, draws=4)

    assert np.abs(trace.noisy - trace.clean[:, :, None, None]).max() < 1e-5


def test_the_last_block_is_norm_and_unembedding_alone():
    model = random_model("llama")
    last = len(blocks(model)) - 1
    trace = noise_trace(model, [PROMPT], [TARGETS], draws=5, layers=[last])
    states = []
    handle = blocks(model)[last].register_forward_hook(lambda module, inputs, output: states.append(output[0, -1]))
    with torch.no_grad():
        model(torch.tensor([PROMPT]))
        handle.remove()
        h = states[0].double()
        noisy = h + 0.5 * h.pow(2).mean().sqrt() * draw_noise(model, 0, 0, [last], 5)[0].double()
        normed = noisy / (noisy.pow(2).mean(-1, keepdim=True) + model.config.rms_norm_eps).sqrt()
        logits = (normed * model.model.norm.weight.double()) @ model.lm_head.weight.double().T

    assert np.abs(logits.log_softmax(-1)[:, TARGETS].T.numpy() - trace.noisy[0, :, 0]).max() < 1e-5


def test_what_the_prompt_left_behind_is_only_read():
    model = random_model("gemma2")
    with torch.inference_mode():
        run = probe.LastTokenRun(model, PROMPT, range(3))
        before = {layer: key.clone() for layer, key in run.prefix.keys.items()}
        run(draw_noise(model, 0, 0, range(3), 4))

    assert len(before) == 3
    assert all(torch.equal(before[layer], key) for layer, key in run.prefix.keys.items())


def test_memory_is_bounded_by_chunks_that_change_nothing(monkeypatch):
    model = random_model("qwen3")
    whole = noise_trace(model, [PROMPT], [TARGETS], draws=7)
    monkeypatch.setattr(probe, "LARGEST", VOCABULARY * 7)
    rows, norm = [], model.model.norm
    hook = norm.register_forward_pre_hook(lambda module, inputs: rows.append(inputs[0].shape[0] * inputs[0].shape[1]))
    chunked = noise_trace(model, [PROMPT], [TARGETS], draws=7)
    hook.remove()

    assert rows[-4:] == [7, 7, 7, 4]  # two draws at each of three layers and the clean state; then the seventh
    assert np.abs(whole.noisy - chunked.noisy).max() < 1e-5
    assert (whole.greedy == chunked.greedy).all()


def test_prompts_are_traced_each_as_if_alone_but_for_their_own_draws():
    model, other = random_model("llama"), [7, 3, 1]
    both = noise_trace(model, [PROMPT, other], [TARGETS, TARGETS], draws=3)

    assert np.abs(both.noisy[1] - hooked(model, other, TARGETS, 3, number=1)).max() < 1e-4
    assert not torch.equal(draw_noise(model, 0, 0, [1], 2), draw_noise(model, 0, 1, [1], 2))


def test_checkpoints_share_their_draws_and_layers_do_not_depend_on_each_other():
    one, two = random_model("qwen3", seed=1), random_model("qwen3", seed=2)

    assert torch.equal(draw_noise(one, 0, 0, [2], 3), draw_noise(two, 0, 0, [0, 2], 3)[1:])
    assert not torch.equal(draw_noise(one, 0, 0, [2], 3), draw_noise(one, 1, 0, [2], 3))


def test_nothing_is_left_behind_by_an_exception(monkeypatch):
    model = random_model("llama")
    monkeypatch.setitem(probe.SHAKEN, "rms", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        noise_trace(model, [PROMPT], [TARGETS], draws=2)

    assert model.config._attn_implementation == "sdpa"
    assert not any(block._forward_hooks for block in blocks(model))


@pytest.mark.parametrize(
    "prompt, targets, options, sentence",
    [
        ([5], [3], {}, "has 1 tokens, and 2 to 64 are allowed"),
        ([5] * (CONTEXT + 1), [3], {}, "has 65 tokens"),
        (PROMPT, [VOCABULARY], {}, r"no token 97 \(a target of prompt 0\), as the model knows 0 to 96"),
        (PROMPT, [], {}, "every prompt needs as many targets"),
        (PROMPT, [3], {"layers": [3]}, "layers are 0-based, 0 to 2 in this model, got"),
        (PROMPT, [3], {"layers": [-1]}, "layers are 0-based"),
        (PROMPT, [3], {"layers": np.array([0, 9])}, r"layers are 0-based, 0 to 2 in this model, got \[0, 9\]"),
        (PROMPT, [3], {"draws": 0}, "at least 1 draw, got 0"),
        (PROMPT, [3], {"scale": float("nan")}, "scale of 0 or more, got nan"),
        (PROMPT, [3], {"scale": -1}, "scale of 0 or more, got -1"),
    ],
)
def test_what_has_no_trace_is_refused_in_a_sentence(prompt, targets, options, sentence):
    with pytest.raises(StatisticUndefined, match=sentence):
        noise_trace(random_model("llama"), [prompt], [targets], **options)


def test_a_target_of_several_tokens_is_refused_by_name(tiny_base):
    _, tokenizer = load(tiny_base)

    assert single_token(tokenizer, "b") == 4
    with refused(StatisticUndefined, "'ab'", "2"):
        single_token(tokenizer, "ab")


def test_an_encoder_is_not_testable(tmp_path, tiny_base):
    config = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    BertLMHeadModel(config).save_pretrained(tmp_path)
    load(tiny_base)[1].save_pretrained(tmp_path)

    with refused(NotTestable, "BertLMHeadModel", code="not-causal"):
        load(tmp_path)


def test_restoring_the_last_state_at_the_last_layer_restores_everything():
    model = random_model("llama")
    found = restoration_trace(model, PROMPT, [1, 2], 3, draws=4)
    last = len(PROMPT) - 1
    with torch.no_grad():
        clean = float(model(torch.tensor([PROMPT])).logits[0, -1].softmax(-1)[3])

    assert found.clean == pytest.approx(clean, rel=1e-5)
    assert found.restored[-1, last] == pytest.approx(found.clean, rel=1e-4)
    assert found.restored[0, 0] == pytest.approx(found.corrupted, rel=1e-4)  # the state before the subject was clean
    assert found.corrupted != pytest.approx(found.clean, rel=1e-2)
    assert not model.get_input_embeddings()._forward_hooks


def test_a_run_that_is_not_finite_has_no_trace():
    model = random_model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan

    with refused(InvalidCheckpoint, code="not-finite"):
        noise_trace(model, [PROMPT], [[3]], draws=2)
    with refused(InvalidCheckpoint, code="not-finite"):
        restoration_trace(model, PROMPT, [1], 3, draws=2)


def test_noise_of_no_size_is_refused_before_anything_is_restored():
    for wrong, sentence in (({"scale": float("nan")}, "got nan"), ({"draws": 0}, "at least 1 draw")):
        with pytest.raises(StatisticUndefined, match=sentence):
            restoration_trace(random_model("llama"), PROMPT, [1], 3, **wrong)


def test_long_prompts_pass_in_smaller_chunks():
    model = random_model("llama")

    assert probe.rows_at_once(model, 4) == probe.LARGEST // VOCABULARY
    assert probe.rows_at_once(model, 4096) == probe.LARGEST // (4 * 4096)


def test_unknown_tokens_are_refused_before_anything_is_restored():
    with refused(StatisticUndefined, "token 500", "prompt 0"):
        restoration_trace(random_model("llama"), [5, 500], [1], 3)
    with refused(StatisticUndefined, "token 300", "target of prompt 0"):
        restoration_trace(random_model("llama"), PROMPT, [1], 300)


def test_a_subject_outside_the_prompt_is_refused():
    with refused(StatisticUndefined, "0 to 6"):
        restoration_trace(random_model("llama"), PROMPT, [7], 3)
