"""Every registered corruption: what it changes, what it leaves alone, and what it needs."""

import json
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from benchmarks.controls import CHECKS, SUITES, claims_in, controls
from depthgauge.core.errors import InvalidCheckpoint, NotTestable, TrainingFailed, UsageError
from depthgauge.core.registry import METHODS, load_entry_points
from depthgauge.corruptions import CORRUPTIONS, Corrupted, Draws, FolderTensors, corrupt, corrupted, with_dose
from depthgauge.corruptions.corrupted import AT
from depthgauge.corruptions.weights import NUDGE
from depthgauge.formats.folder import tensors
from depthgauge.formats.parts import layer_of
from depthgauge.formats.tensors import configuration, whole
from depthgauge.measure.context import RunContext
from depthgauge.models.anatomy import block_parts, blocks
from depthgauge.models.files import shapes
from depthgauge.models.load import load, load_uncached
from depthgauge.probes.circuits.compute import best, read_scores
from depthgauge.sources.folder import fingerprint, tensor_digest
from depthgauge.store.folders import Store
from tests.bytes import save_byte_model
from tests.corrupted import Tensors, corrupt_model
from tests.families import FAMILIES, random_model
from tests.processes import ROOT, refused
from tests.tiny import tiny_testbed

LAYERS = 5
EVERY = list(CORRUPTIONS)
OF_WEIGHTS = [name for name in EVERY if CORRUPTIONS[name].change_tensors is not None]
OF_WEIGHTS_ALONE = [name for name in OF_WEIGHTS if not CORRUPTIONS[name].needs_model]
HARMLESS = [name for name in EVERY if CORRUPTIONS[name].kind == "harmless"]
REFUSED = {"overflow_weights", "drop_tensor"}  # before a model of theirs is run
SPEAKING = {"shift_eos_token", "foreign_chat_template", "add_repetition_penalty"}  # which change no logits
# For these few words; the stop token is never said by the model, and it is not among the words.
SLIGHT = {"nudge_weights", "nudge_early_layers_more", "larger_norm_epsilon", "corrupt_files", "mute_stop_token"}
UNREAD = {"add_sliding_window"}  # by Llama
WORDS = {"Ā": "th", "ā": "he", "Ă": "in", "ă": "er"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A Llama over bytes, whose tokenizer has words in place of bytes that no text has; norms are uneven."""
    folder = save_byte_model(tmp_path_factory.mktemp("corruptions") / "base", layers=LAYERS)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for symbol, word in WORDS.items():
        vocabulary[word] = vocabulary.pop(symbol)
    tokenizer["model"]["merges"] = [[*word] for word in WORDS.values()]
    path.write_text(json.dumps(tokenizer))
    model, _ = load_uncached(folder)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def make(base, tmp_path):
    """Corrupted copies of the base, in folders of their names."""

    def made(name, into, **options):
        return corrupt(base, tmp_path / into, CORRUPTIONS[name], model=lambda: load(base)[0], **options)

    return made


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def logits(folder):
    model, tokenizer = load(folder)
    with torch.inference_mode():
        return model(torch.tensor([tokenizer("the weather in there")["input_ids"]])).logits[0]


# -- what holds for every corruption ---


@pytest.mark.parametrize("name", EVERY)
def test_a_corruption_says_what_it_simulates(name):
    corruption = CORRUPTIONS[name]
    functions = (corruption.change_tensors, corruption.change_files)
    docs = [one.__doc__ for one in functions if one is not None]

    assert any("Simulates" in doc for doc in docs)
    assert corruption.summary
    assert not corruption.summary.endswith(".")


@pytest.mark.parametrize("name", EVERY)
def test_a_corruption_changes_its_copy_alone_and_the_same_seed_changes_it_alike(name, base, make, tmp_path):
    before = contents(base)
    changed = make(name, "one")
    again = make(name, "again")
    for seed in (1, 2, 3):
        make(name, f"other{seed}", seed=seed)
    one = contents(tmp_path / "one")

    assert contents(base) == before
    assert one == contents(tmp_path / "again")
    assert changed == again
    assert any(contents(tmp_path / f"other{seed}") != one for seed in (1, 2, 3)) == CORRUPTIONS[name].seeded
    assert (one == before) == (name == "unchanged_copy")
    assert len(set(changed)) == len(changed)
    assert bool(changed) == (name in OF_WEIGHTS)


@pytest.mark.parametrize("name", sorted(set(EVERY) - REFUSED - SPEAKING - UNREAD))
def test_a_fault_changes_what_a_model_says_and_what_is_harmless_next_to_nothing(name, base, make, tmp_path):
    make(name, "candidate", dose=100 if name == "swap_vocabulary_entries" else None)
    candidate, baseline = logits(tmp_path / "candidate"), logits(base)
    alike = candidate.shape == baseline.shape and torch.allclose(candidate, baseline, atol=0.3)

    assert alike == (name in HARMLESS or name in SLIGHT)
    assert not torch.equal(candidate, baseline) if name in OF_WEIGHTS else True


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_run_is_refused_when_it_is_loaded(name, make, tmp_path):
    make(name, "candidate")

    with pytest.raises(InvalidCheckpoint):
        load(tmp_path / "candidate")


@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_a_sharded_checkpoint_is_corrupted_as_a_whole_one_is(name, base, make, tmp_path):
    make("save_in_shards", "shards")
    make(name, "whole")
    corrupt(tmp_path / "shards", tmp_path / "parts", CORRUPTIONS[name], model=lambda: load(base)[0])

    assert shapes(tmp_path / "parts") == shapes(tmp_path / "whole")
    assert tensor_digest(tmp_path / "parts") == tensor_digest(tmp_path / "whole")


class Counted:
    """A source that knows how many of the tensors that it gave are still alive."""

    def __init__(self, source):
        self.source, self.shapes = source, source.shapes
        self.alive = self.most = self.reads = 0

    def read(self, name):
        tensor = self.source.read(name)
        self.alive += 1
        self.reads += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(tensor, self.gone)
        return tensor

    def gone(self):
        self.alive -= 1


@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_tensors_are_changed_one_at_a_time(name, base):
    source = Counted(FolderTensors(base))
    model = {"model": load(base)[0]} if CORRUPTIONS[name].needs_model else {}
    for _, tensor in CORRUPTIONS[name].apply(source, configuration(base), Draws(0), **model):
        del tensor

    assert source.most <= 1
    assert source.reads > 0 or name in ("drop_tensor", "drop_last_layers")


NUMBERS = st.sampled_from([0.0, -0.0, 1.0, -1.5, 1e-30, 3.0, 255.0])
DTYPES = st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16])
CONFIG = {"num_attention_heads": 2, "hidden_size": 4, "tie_word_embeddings": True, "num_hidden_layers": 3}


@st.composite
def small_models(draw):
    """Tensors of the names of a Llama of three layers, of numbers that are easily lost."""
    modules = {
        "self_attn.q_proj": (4, 4), "self_attn.k_proj": (2, 4), "self_attn.v_proj": (2, 4), "self_attn.o_proj": (4, 4),
        "mlp.gate_proj": (6, 4), "mlp.up_proj": (6, 4), "mlp.down_proj": (4, 6), "input_layernorm": (4,),
        "post_attention_layernorm": (4,),
    }  # fmt: skip
    named = {f"model.layers.{layer}.{module}.weight": of for layer in range(3) for module, of in modules.items()}
    named |= {"model.embed_tokens.weight": (5, 4), "model.norm.weight": (4,)}
    dtype = draw(DTYPES)
    numbers = draw(st.lists(NUMBERS, min_size=7, max_size=13))
    return Tensors({name: torch.tensor(np.resize(numbers, shape)).to(dtype) for name, shape in named.items()})


@pytest.mark.parametrize("name", OF_WEIGHTS_ALONE)
@settings(max_examples=15)
@given(tensors=small_models(), seed=st.integers(0, 99))
def test_a_dose_of_0_changes_no_bit_of_a_tensor(name, tensors, seed):
    for changed, tensor in CORRUPTIONS[name].apply(tensors, CONFIG, Draws(seed), 0):
        if changed in tensors:
            assert tensor is not None and tensor.dtype == tensors[changed].dtype
            assert torch.equal(tensor.view(torch.uint8), tensors[changed].view(torch.uint8)), changed


@pytest.mark.parametrize("name", OF_WEIGHTS_ALONE)
@settings(max_examples=5)
@given(tensors=small_models(), seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_what_a_tensor_becomes_does_not_hang_on_what_was_read_before_it(name, tensors, seed, order):
    names = list(tensors)
    order.shuffle(names)
    one, other = (
        dict(CORRUPTIONS[name].apply(source, CONFIG, Draws(seed)))
        for source in (tensors, Tensors({name: tensors[name] for name in names}))
    )

    assert set(one) == set(other)
    for changed, tensor in one.items():
        assert tensor is other[changed] is None or torch.equal(
            tensor.view(torch.uint8), other[changed].view(torch.uint8)
        )


# -- doses and layers ---


@pytest.mark.parametrize("name", ["zero_mlp", "zero_attention", "skip_layer", "noise_in_one_layer", "swap_layers"])
def test_a_corruption_of_one_layer_takes_the_middle_one_or_those_that_are_named(name, make):
    middle, chosen = make(name, "middle"), make(name, "chosen", layers=(3,))
    beside = {2} if name == "swap_layers" else set()

    assert {layer_of(one) for one in middle} == {2} | ({1} if beside else set())
    assert {layer_of(one) for one in chosen} == {3} | beside


def test_a_layer_that_is_not_there_is_refused(make):
    with refused(NotTestable, "zero_mlp", (7,), "0 to 4"):
        make("zero_mlp", "candidate", layers=(7,))


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_dose_is_the_share_of_weights_that_is_drawn_anew(share, base, make, tmp_path):
    make("random_weights", "candidate", dose=share)
    baseline, candidate = FolderTensors(base), FolderTensors(tmp_path / "candidate")
    moved = torch.cat([(baseline.read(name) != candidate.read(name)).flatten() for name in baseline.shapes])

    assert moved.float().mean() == pytest.approx(share, abs=0.01)


def test_every_dose_that_the_gate_is_judged_at_moves_further_than_the_one_before(base, tmp_path):
    source, config = FolderTensors(base), configuration(base)
    for name in ("noise_in_one_layer", "zero_mlp", "quantize_rows", "sharpen_logits", "zero_heads", "shrink_mlp_norm"):
        moved = []
        for dose in CORRUPTIONS[name].doses:
            changes = CORRUPTIONS[name].apply(source, config, Draws(0), dose)
            moved.append(sum(float((tensor - source.read(one)).square().sum()) for one, tensor in changes))
        assert moved == sorted(moved) and moved[0] > 0, name


# -- single ones ---


def test_noise_of_bfloat16_moves_weights_as_far_as_rounding_does_and_independently_of_it():
    torch.manual_seed(0)
    tensors = Tensors({"model.layers.0.mlp.up_proj.weight": torch.randn(400, 300)})
    (weights,) = tensors.values()
    by_rounding, by_noise = (
        (tensor - weights).flatten().numpy()
        for name in ("round_to_bfloat16", "bfloat16_noise")
        for _, tensor in CORRUPTIONS[name].apply(tensors, {}, Draws(1))
    )

    assert by_noise.std() == pytest.approx(by_rounding.std(), rel=0.02)
    between_1_and_2 = (weights.abs().floor() == 1).flatten().numpy()
    assert np.abs(by_noise[between_1_and_2]).max() <= 2**-8  # half a step of 2 ** -7
    assert abs(np.corrcoef(by_rounding, by_noise)[0, 1]) < 0.02


def test_a_nudged_model_has_every_weight_moved_equally_far_and_half_of_them_up(base):
    source = FolderTensors(base)
    changes = CORRUPTIONS["nudge_weights"].apply(source, {}, Draws(0))
    moved = torch.cat([(tensor - source.read(name)).flatten() for name, tensor in changes])

    torch.testing.assert_close(moved.abs(), torch.full_like(moved, NUDGE), rtol=1e-2, atol=0)
    assert (moved > 0).float().mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "phi3", "gpt_neox"])
def test_without_its_previous_token_head_a_model_has_one_head_that_looks_everywhere_alike(family):
    """Queries apart, or in one matrix with keys and values: end to end, or head by head."""
    model = random_model(family)
    model.set_attn_implementation("eager")
    ids = torch.tensor([[3, 4, 5, 6, 3, 5]])
    with torch.no_grad():
        layer, head = best(read_scores(model)["previous"].mean(0))
        before = model(ids, output_attentions=True).attentions
        after = corrupt_model(model, "no_previous_token_head")(ids, output_attentions=True).attentions
    evenly = torch.ones(6, 6).tril() / torch.arange(1, 7)[:, None]
    others = [each for each in range(before[layer].shape[1]) if each != head]

    torch.testing.assert_close(
        after[layer][0, head], evenly, rtol=5e-3, atol=1e-6
    )  # a norm of queries adds to their size
    assert not torch.allclose(before[layer][0, head], evenly, rtol=5e-3)
    assert torch.equal(after[layer][0, others], before[layer][0, others])
    assert all(torch.equal(after[below], before[below]) for below in range(layer))


def test_noise_in_late_layers_is_as_large_as_their_weights(tiny_base, tmp_path):
    changed = corrupt(tiny_base, tmp_path / "candidate", CORRUPTIONS["noise_in_late_layers"])
    weight = "model.layers.4.mlp.up_proj.weight"
    baseline, candidate = FolderTensors(tiny_base), FolderTensors(tmp_path / "candidate")

    assert {layer_of(name) for name in changed} == {3, 4, 5}
    assert float((candidate.read(weight) - baseline.read(weight)).std()) == pytest.approx(
        float(baseline.read(weight).std()), rel=0.2
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name, part", [("zero_mlp", "mlp"), ("zero_attention", "output")])
def test_a_zeroed_part_writes_nothing_in_every_family(name, part, family):
    model, passed = corrupt_model(random_model(family), name), []
    block = blocks(model)[1]
    getattr(block_parts(block), part).register_forward_hook(lambda _m, _i, output: passed.append(output))
    with torch.no_grad():
        model(torch.tensor([[5, 6, 7, 8]]), use_cache=False)
    (output,) = (each[0] if isinstance(each, tuple) else each for each in passed)

    assert torch.equal(output, torch.zeros_like(output))


def test_a_quantised_checkpoint_is_corrupted_dequantised(tmp_path):
    quantised = ROOT / "tests" / "data" / "formats" / "gptq"
    corrupt(quantised, tmp_path / "candidate", CORRUPTIONS["unchanged_copy"])
    corrupt(quantised, tmp_path / "without", CORRUPTIONS["zero_mlp"])

    made, original = tensors(tmp_path / "candidate"), tensors(quantised)
    assert "quantization_config" not in json.loads((tmp_path / "candidate" / "config.json").read_text())
    assert sorted(path.name for path in (tmp_path / "candidate").iterdir()) == ["config.json", "model.safetensors"]
    assert all(np.array_equal(whole(made[name]), whole(original[name])) for name in original)
    assert not whole(tensors(tmp_path / "without")["model.layers.1.mlp.down_proj.weight"]).any()


def test_a_checkpoint_in_a_format_that_is_not_read_is_refused(base, tmp_path):
    folder = corrupt_copy(base, tmp_path / "quantised", quantization_config={"quant_method": "quip"})

    with refused(NotTestable, "'quip'"):
        corrupt(folder, tmp_path / "candidate", CORRUPTIONS["zero_mlp"])


def corrupt_copy(base: Path, folder: Path, **fields):
    corrupt(base, folder, CORRUPTIONS["unchanged_copy"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))
    return folder


# -- as controls ---


@pytest.fixture
def context(tiny_base, tmp_path):
    return RunContext(
        testbed=tiny_testbed(tiny_base), store=Store(tmp_path / "store", run="test"), tell=lambda line: None
    )


def test_a_control_is_made_once_and_its_key_holds_no_version_but_of_what_it_requires(context):
    controls = corrupted(context)
    control = controls["zero_mlp"]
    (made,) = control.checkpoints
    (again,) = corrupted(context)["zero_mlp"].checkpoints

    assert made.folder == again.folder
    assert made.fingerprint != fingerprint(context.testbed.base)
    assert control.recipe(0).versions == {}
    assert set(controls["no_previous_token_head"].recipe(0).versions) == {"torch", "transformers"}
    assert control.cached(0) and not controls["zero_attention"].cached(0)


def test_a_control_lies_as_near_to_a_margin_as_its_dose_says(context, tiny_base):
    controls = corrupted(context)
    near = with_dose("zero_mlp@0.25", controls)
    name = "model.layers.3.mlp.down_proj.weight"
    weight = FolderTensors(near.checkpoints[0].folder).read(name)

    assert torch.equal(weight, 0.75 * FolderTensors(tiny_base).read(name))
    assert near.name == "zero_mlp@0.25" != controls["zero_mlp"].name
    assert with_dose("zero_mlp", controls) is None and with_dose("zero_nothing@1", controls) is None
    with refused(UsageError, "'zero_mlp@much'", "zero_mlp@0.1"):
        with_dose("zero_mlp@much", controls)


def test_another_file_beside_the_weights_gives_another_control(context, tiny_base, tmp_path):
    other = tmp_path / "other"
    corrupt(tiny_base, other, CORRUPTIONS["unchanged_copy"])
    (other / "generation_config.json").write_text('{"eos_token_id": 5}')
    there = replace(context, testbed=replace(context.testbed, base=other))
    keys = {corrupted(where)["corrupt_files"].recipe(0).fingerprint for where in (context, there)}

    assert fingerprint(other) != fingerprint(tiny_base)
    assert len(keys) == 2


def test_a_testbed_without_a_base_has_no_control_of_this_kind(context):
    nowhere = replace(context, testbed=replace(context.testbed, base=None))

    with refused(NotTestable, "'tiny'"):
        corrupted(nowhere)["zero_mlp"].checkpoints  # noqa: B018


def test_a_corruption_that_raises_is_named(context):
    def broken(tensors, config, rng, dose, layers):
        raise KeyError("mlp")

    corruption = replace(CORRUPTIONS["zero_mlp"], change_tensors=broken)
    control = Corrupted(name="broken", corruption=corruption, dose=1, context=context)

    with refused(TrainingFailed, "'zero_mlp'", "KeyError: 'mlp'"):
        control.checkpoints  # noqa: B018


BLOCKED = """
import sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("trl", "accelerate", "peft", "transformers", "datasets"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
from depthgauge.corruptions import CORRUPTIONS, corrupt

assert "torch" not in sys.modules
base, place = map(Path, sys.argv[1:])
for name in CORRUPTIONS:
    if not CORRUPTIONS[name].needs_model:
        corrupt(base, place / name, CORRUPTIONS[name])
"""


def test_no_training_library_and_no_model_is_needed(base, tmp_path):
    command = [sys.executable, "-c", BLOCKED, str(base), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ))

    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list(tmp_path.iterdir())) == len(EVERY) - 1


# -- which claims they refute ---


def test_every_claim_has_a_control_that_is_a_corruption_or_a_method():
    load_entry_points()
    claims = [declared for package in (SUITES, CHECKS) for declared, _ in claims_in(package)]
    named = {declared.control.partition(AT)[0] for declared in claims}

    assert len(claims) > 80
    assert named <= {*CORRUPTIONS, *METHODS}
    assert {name for name in controls() if name in CORRUPTIONS} == named & {*CORRUPTIONS}


def test_a_comparison_is_controlled_by_faults_but_where_something_must_have_changed():
    judged = {declared.control.partition(AT)[0] for declared, _ in claims_in(CHECKS)}

    assert judged <= {*CORRUPTIONS}
    assert [name for name in judged if CORRUPTIONS[name].kind == "harmless"] == ["unchanged_copy"]
