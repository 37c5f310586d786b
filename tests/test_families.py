"""Every family gets numbers or a sentence: docs/families.md is what the command gives, and no number is a wrong one.

What is measured in families that tests/families.py does not know is compared with slow forms here.
"""

import re

import numpy as np
import pytest
import torch

from benchmarks.families import COLUMNS, FAMILIES, TABLE, page, random_model, rows, save_pair
from depthgauge.core.errors import NotTestable
from depthgauge.corruptions import CORRUPTIONS, corrupt
from depthgauge.formats.tensors import configuration
from depthgauge.models.anatomy import block_parts, blocks, final_norm
from depthgauge.models.attention import Returned, attention_maps, watch
from depthgauge.models.load import LOADED, load
from depthgauge.models.logit_attribution import logit_attribution
from depthgauge.probes.circuits.compute import read_circuits
from depthgauge.probes.circuits.weights import head_weights, input_projections, per_head
from depthgauge.probes.weights.measures import by_projection
from depthgauge_suites.articles.noise_trace.compute import FullRun, draw_noise, noise_trace
from tests.families import hooks, without_biases
from tests.processes import refused

QUICK = ("llama", "gpt2", "opt", "phi", "falcon", "mamba", "jamba", "qwen3_next")
OWN_ATTENTION = ("gptj", "gpt_neo", "bloom", "falcon", "mpt")
SUMMING = ("opt", "phi", "glm4", *OWN_ATTENTION)
PROJECTING = (  # queries, keys and values each by a matrix of its own, in every layer
    "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text", "phi", "olmo2",
    "cohere", "cohere2", "stablelm", "granite", "smollm3", "starcoder2", "nemotron", "glm4", "gpt_oss", "gptj",
    "gpt_neo", "opt", "falcon_h1",
)  # fmt: skip
PROMPTS = [[5, 6, 7, 8, 9, 3], [4, 8, 1]]
IDS = list(range(2, 42))  # longer than the windows
quick_or_heavy = pytest.mark.parametrize(
    "family", [family if family in QUICK else pytest.param(family, marks=pytest.mark.heavy) for family in FAMILIES]
)


def cells(text):
    """Family -> its cells, each with its note in place of the note's number, and digits apart."""
    notes = dict(re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE))
    table = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    found = {}
    for family, *row in table:
        parted = [re.fullmatch(r"(\D+?)(?: (\d+))?", one.strip()).groups() for one in row]
        found[family.strip()] = [(word, re.sub(r"[\d.]+", "#", notes[mark]) if mark else "") for word, mark in parted]
    return found


WRITTEN = cells(TABLE.read_text())


def test_the_table_has_at_least_thirty_families_and_no_fault():
    every = [cell for row in WRITTEN.values() for cell in row]

    assert len(WRITTEN) >= 30 and set(WRITTEN) == set(FAMILIES)
    assert all(len(row) == len(COLUMNS) for row in WRITTEN.values())
    assert {word for word, _ in every} <= {"measured", "slowly", "not defined"}
    assert all(bool(sentence) == (word == "not defined") for word, sentence in every)
    assert not any("Error" in sentence for _, sentence in every)


def test_what_is_defined_for_every_language_model_is_measured_in_every_family():
    names = [column.name for column in COLUMNS]
    for family, row in WRITTEN.items():
        found = dict(zip(names, (word for word, _ in row), strict=True))
        everywhere = ("tasks", "answers end", "entropy", "divergence", "activations")
        assert {found[name] for name in everywhere} == {"measured"}, family
        assert found["noise trace"] in ("measured", "slowly"), family


@quick_or_heavy
def test_a_family_gives_what_the_table_says(family):
    assert cells(page(rows([family]))) == {family: WRITTEN[family]}


# -- numbers against slow forms ---


@quick_or_heavy
def test_the_noise_trace_is_that_of_full_runs(family):
    model = random_model(family)
    found = noise_trace(model, [IDS], [[3, 4]], draws=2)
    with torch.inference_mode():
        full = FullRun(model, IDS, range(3))(0.5 * draw_noise(model, 0, 0, range(3), 2)).log_softmax(-1)

    np.testing.assert_allclose(np.exp(found.noisy[0]), full[1:, [3, 4]].T.reshape(2, 3, 2).exp(), atol=2e-6)


@quick_or_heavy
def test_the_final_norm_is_what_the_output_matrix_reads(family):
    model, passed = random_model(family), []
    final_norm(model).register_forward_hook(lambda _module, _inputs, output: passed.append(output[0, -1]))
    model.get_output_embeddings().register_forward_pre_hook(lambda _module, inputs: passed.append(inputs[0][0, -1]))
    with torch.no_grad():
        model(torch.tensor([IDS]), use_cache=False)

    torch.testing.assert_close(passed[0], passed[1])


@pytest.mark.parametrize("family", SUMMING)
def test_contributions_sum_to_the_logits(family):
    model = random_model(family)
    found = logit_attribution(model, PROMPTS, [range(50)] * 2)
    with torch.no_grad():
        logits = [model(torch.tensor([ids]), use_cache=False).logits[0, -1, :50].numpy() for ids in PROMPTS]

    np.testing.assert_allclose(found.total(), logits, atol=2e-5 * np.abs(logits).max())
    assert all(np.abs(part).max() > 1e-3 for part in (found.token, found.heads, found.mlps))
    assert hooks(model) == 0


@pytest.mark.parametrize("family", OWN_ATTENTION)
def test_returned_maps_are_how_heads_mix_their_values(family):
    """What each head puts out is its map times the values that its weights make of what it reads."""
    model, passed = without_biases(random_model(family)), {}
    for layer, parts in enumerate(map(block_parts, blocks(model))):
        parts.norm.register_forward_hook(lambda _m, _i, out, at=layer: passed.update({(at, "read"): out[0].double()}))
        parts.output.register_forward_pre_hook(
            lambda _m, inputs, at=layer: passed.update({(at, "put out"): inputs[0][0].double()})
        )
    before = model.config._attn_implementation
    maps = attention_maps(model, IDS, [(layer, head) for layer in range(3) for head in range(4)]).reshape(3, 4, 40, 40)

    assert model.config._attn_implementation == before
    assert not np.triu(maps, 1).any()
    for layer, parts in enumerate(map(block_parts, blocks(model))):
        value_HDE = per_head(input_projections(parts, 4, 32)[2], 8, 4)
        mixed = maps[layer] @ (passed[layer, "read"].numpy() @ value_HDE)
        np.testing.assert_allclose(mixed.swapaxes(0, 1).reshape(40, 32), passed[layer, "put out"].numpy(), atol=1e-5)


def test_cells_that_no_head_looks_at_are_closed():
    """GPT-Neo's local layer sees 24 tokens."""
    cells = {}
    watch(
        random_model("gpt_neo"),
        torch.tensor([IDS]),
        lambda layer, seen, _: cells.update({layer: (type(seen), seen.open_cells())}),
    )
    distance = torch.arange(40)[:, None] - torch.arange(40)

    assert all(kind is Returned for kind, _ in cells.values())
    assert torch.equal(cells[0][1], distance >= 0)
    assert torch.equal(cells[1][1], (distance >= 0) & (distance < 24))


def test_maps_of_a_run_that_computes_something_else_are_refused(monkeypatch):
    """Falcon adds its linear biases twice when it is asked for its maps."""
    changed = FAMILIES["falcon"] | dict(alibi=True, new_decoder_architecture=False, num_kv_heads=4)
    monkeypatch.setitem(FAMILIES, "falcon", changed)

    with refused(NotTestable, "FalconForCausalLM", code="another-way"):
        watch(random_model("falcon"), torch.tensor([IDS]), lambda *_: None)


@pytest.mark.parametrize(
    "options",
    [
        dict(new_decoder_architecture=True, num_kv_heads=2),
        dict(new_decoder_architecture=False, multi_query=True),
        dict(new_decoder_architecture=False, multi_query=False, num_kv_heads=4, parallel_attn=False),
    ],
    ids=["grouped", "one key for all", "each its own"],
)
def test_falcons_three_ways_to_fuse_projections_are_told_apart(options, monkeypatch):
    monkeypatch.setitem(FAMILIES, "falcon", FAMILIES["falcon"] | options)

    assert read_circuits(random_model("falcon"))["copying"].shape == (3, 4)


def test_circuits_of_projections_that_are_misread_are_refused():
    """CodeGen fuses its projections under the same name as Phi-3, in another order."""
    with refused(NotTestable, "CodeGenForCausalLM"):
        read_circuits(random_model("codegen"))


def test_heads_that_read_through_an_unknown_norm_are_refused():
    model = random_model("llama")
    block = model.model.layers[1]
    block.other_norm, block.input_layernorm = block.input_layernorm, None

    with refused(NotTestable, "LlamaAttention"):
        head_weights(model, 1)


@pytest.mark.parametrize("family", ["gptj", "gpt_neo", "opt", "bloom", "mpt", "phi"])
def test_norms_by_head_are_those_of_the_heads_weights(family, tmp_path):
    folders = save_pair(family, tmp_path)
    found = by_projection(*folders)
    candidate, baseline = (load(folder)[0] for folder in folders)
    for layer, pair in enumerate(zip(blocks(candidate), blocks(baseline), strict=True)):
        heads = [[per_head(x, 8, 4) for x in input_projections(block_parts(block), 4, 32)] for block in pair]
        for name, ours, theirs in zip("qkv", *heads, strict=True):
            norms = np.linalg.norm(ours - theirs, axis=(1, 2))
            np.testing.assert_allclose(found[f"heads_{name}"][layer], norms, rtol=1e-5)


MIXED = (  # layers without attention, or not all built alike
    "deepseek_v3", "qwen3_next", "jamba", "bamba", "zamba2", "lfm2", "recurrent_gemma", "mamba", "mamba2",
    "falcon_mamba", "rwkv",
)  # fmt: skip
OF_ATTENTION = ("no_attention", "zero_attention", "zero_heads", "random_keys_and_values")
OF_LIKE_LAYERS = ("duplicate_layer", "swap_layers", "shrink_mlp_norm", "scales_of_another_layer")
NOT_LOADED = ("overflow_weights", "drop_tensor")


def logits_of(folder):
    with torch.no_grad():
        return load(folder)[0](torch.tensor([IDS]), use_cache=False).logits


def may_refuse(name, family, folder):
    """Whether a family lacks what a corruption changes."""
    if name in ("shuffle_head_dimensions", "reorder_heads"):
        return family not in PROJECTING
    if name == "stale_untied_head":
        return not configuration(folder)["tie_word_embeddings"]
    if name == "no_previous_token_head":
        return family == "deepseek_v3" or refuses(lambda: read_circuits(load(folder)[0]))  # nor can the claim be tested
    if name == "shrink_mlp_norm" and family == "olmo2":
        return True  # its norms come after
    if name == "drop_last_layers":
        return family == "gpt_neo"
    return family in MIXED and name in OF_ATTENTION + OF_LIKE_LAYERS


def refuses(ask):
    try:
        ask()
    except NotTestable:
        return True
    return False


@quick_or_heavy
def test_a_corruption_of_weights_changes_a_family_or_says_why_not(family, tmp_path):
    folder = save_pair(family, tmp_path)[1]
    before = logits_of(folder)
    for name in CORRUPTIONS:
        corruption, candidate = CORRUPTIONS[name], tmp_path / name
        if corruption.change_tensors is None:
            continue
        try:
            changed = corrupt(folder, candidate, corruption, model=lambda: load(folder)[0])
        except NotTestable:
            assert may_refuse(name, family, folder), name
            continue
        assert changed, name
        if name not in NOT_LOADED:
            after = logits_of(candidate)
            same = after.shape == before.shape and torch.allclose(after, before, atol=1e-4)
            unknown_head = family == "rwkv" and name in (
                "shrink_stop_row",
                "mute_stop_token",
                "swap_rows",
            )  # its head is not by a name that is known
            assert same == (name == "reorder_heads" or unknown_head), name
    LOADED.clear()
