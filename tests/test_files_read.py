"""Which files of a folder are read: those that `from_pretrained` opens, in every layout; and their fingerprint."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from benchmarks.families import FAMILIES, random_model
from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.formats.as_loaded import as_loaded
from depthgauge.formats.tensors import HEADS, whole
from depthgauge.models.files import CONFIG, INDEX, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS, files_read, left_over, shapes
from depthgauge.sources.folder import check_folder, fingerprint
from tests.watched import opened_in


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def plain(folder):
    pass


def sharded(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="20KB")


def index_left_over(folder):
    """Saved in shards first, and then as one file into the same folder."""
    sharded(folder)
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)


def two_sets(folder):
    whole = (folder / WEIGHTS).read_bytes()
    sharded(folder)
    (folder / WEIGHTS).write_bytes(whole)


def named_weights(folder):
    (folder / WEIGHTS).rename(folder / "mine.safetensors")
    edit(folder / CONFIG, transformers_weights="mine.safetensors")


def named_index(folder):
    sharded(folder)
    (folder / INDEX).rename(folder / "mine.safetensors.index.json")
    edit(folder / CONFIG, transformers_weights="mine.safetensors.index.json")


def named_beside_the_usual(folder):
    shutil.copy(folder / WEIGHTS, folder / "mine.safetensors")
    edit(folder / CONFIG, transformers_weights="mine.safetensors")


def versions_of_the_configuration(folder):
    names = ["config.4.0.0.json", "config.99.0.0.json"]
    for name in names:
        shutil.copy(folder / CONFIG, folder / name)
    edit(folder / CONFIG, configuration_files=[CONFIG, *names])


def versions_of_the_tokenizer(folder):
    names = ["tokenizer.4.0.0.json", "tokenizer.99.0.0.json"]
    for name in names:
        shutil.copy(folder / TOKENIZER, folder / name)
    edit(folder / TOKENIZER_CONFIG, fast_tokenizer_files=[TOKENIZER, *names])


def templates(folder):
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("rag")


def template_in_the_configuration(folder):
    edit(folder / TOKENIZER_CONFIG, chat_template="{{ messages }}")


def files_of_older_versions(folder):
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "added_tokens.json").write_text("{}")


def words_and_merges(folder):
    """GPT-2's, as older versions saved it: without tokenizer.json."""
    letters = json.loads((folder / TOKENIZER).read_text())["model"]["vocab"]
    (folder / TOKENIZER).unlink()
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(letters)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / TOKENIZER_CONFIG).write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))


def words_beside_the_tokenizer(folder):
    (folder / "vocab.json").write_text("{}")
    (folder / "merges.txt").write_text("")


def without_generation_settings(folder):
    (folder / "generation_config.json").unlink(missing_ok=True)


def without_tokenizer_settings(folder):
    (folder / TOKENIZER_CONFIG).unlink()


def what_nobody_reads(folder):
    for name in ("README.md", "training_args.bin", "optimizer.pt", "pytorch_model.bin", "trainer_state.json",
                 "preprocessor_config.json", "quantize_config.json", "config.2.0.0.json"):  # fmt: skip
        (folder / name).write_text("{}")
    (folder / "original").mkdir()
    shutil.copy(folder / WEIGHTS, folder / "original" / WEIGHTS)


def stray_weights(folder):
    shutil.copy(folder / WEIGHTS, folder / "model-00001-of-00002.safetensors")


def remote_code_of_a_shipped_family(folder):
    edit(folder / CONFIG, auto_map={"AutoConfig": "configuration.Config"})
    (folder / "configuration.py").write_text("raise SystemExit")


def adapter_beside(folder):
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), LoraConfig(r=2, target_modules=["q_proj"]))
    model.save_pretrained(folder)


LAYOUTS = [
    plain, sharded, index_left_over, two_sets, named_weights, named_index, named_beside_the_usual,
    versions_of_the_configuration, versions_of_the_tokenizer, templates, template_in_the_configuration,
    files_of_older_versions, words_and_merges, words_beside_the_tokenizer, without_generation_settings,
    without_tokenizer_settings, what_nobody_reads, stray_weights, remote_code_of_a_shipped_family, adapter_beside,
]  # fmt: skip


@pytest.fixture
def folder(tiny_base, tmp_path):
    copy = shutil.copytree(tiny_base, tmp_path / "model")
    GenerationConfig(eos_token_id=0).save_pretrained(copy)
    return copy


def opened_by_transformers(folder: Path) -> set[Path]:
    within = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    with opened_in(*within) as opened:
        AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, trust_remote_code=False)
        AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return {path for path in opened if path.is_file()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_resolved_is_what_transformers_opens(layout, folder):
    layout(folder)

    assert set(files_read(folder)) == opened_by_transformers(folder)


QUICK = ("llama", "mixtral", "qwen3_moe", "gpt2", "deepseek_v3", "mamba")
quick_or_heavy = pytest.mark.parametrize(
    "family", [family if family in QUICK else pytest.param(family, marks=pytest.mark.heavy) for family in FAMILIES]
)


def saved(family, folder, tiny_base, **how):
    random_model(family).save_pretrained(folder, **how)
    for name in (TOKENIZER, TOKENIZER_CONFIG):
        shutil.copy(tiny_base / name, folder)
    return folder


@quick_or_heavy
def test_so_it_is_for_every_family(family, tiny_base, tmp_path):
    folder = saved(family, tmp_path, tiny_base)

    assert set(files_read(folder)) == opened_by_transformers(folder)


@quick_or_heavy
@pytest.mark.parametrize("original", [True, False], ids=["the hub's names", "the model's names"])
def test_weights_have_the_names_and_numbers_that_transformers_loads(family, original, tiny_base, tmp_path):
    folder = saved(family, tmp_path, tiny_base, save_original_format=original)
    state = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    made = as_loaded(folder)

    shared = {name for name in state if name.endswith(HEADS)} - made.keys()  # of a tied head
    assert made.keys() == {name for name, value in state.items() if value.is_floating_point()} - shared
    for name, tensor in made.items():
        np.testing.assert_array_equal(whole(tensor), state[name].numpy(), err_msg=name)


def test_a_version_without_the_mapping_is_asked_by_loading_the_model(tiny_base, tmp_path, monkeypatch):
    folder = saved("qwen3_moe", tmp_path, tiny_base)
    expected = {name: whole(tensor) for name, tensor in as_loaded(folder).items()}
    monkeypatch.setitem(sys.modules, "transformers.conversion_mapping", None)
    made = as_loaded(folder)

    assert made.keys() == expected.keys()
    assert all(np.array_equal(whole(made[name]), expected[name]) for name in expected)


def test_what_lies_there_unread_is_said(folder):
    index_left_over(folder)
    assert left_over(folder).endswith("holds model.safetensors.index.json, which transformers does not read: it reads "
                                      "model.safetensors")  # fmt: skip
    (folder / INDEX).unlink()
    assert left_over(folder) is None


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_byte_of_what_is_read_changes_the_fingerprint_and_no_other_does(data, tiny_base, tmp_path_factory):
    """Over all layouts: one bit of one file, anywhere."""
    layout = data.draw(st.sampled_from(LAYOUTS))
    folder = shutil.copytree(tiny_base, tmp_path_factory.mktemp("any") / "model")
    GenerationConfig(eos_token_id=0).save_pretrained(folder)
    layout(folder)
    before, read = fingerprint(folder), set(files_read(folder))
    every = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = data.draw(st.sampled_from(every))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1
    path.write_bytes(content)

    try:
        after = fingerprint(folder)
    except InvalidCheckpoint:  # no longer JSON, or a name of no file
        assert path in read
    else:
        assert (after != before) == (path in read)


def nowhere(folder):
    sharded(folder)
    edit(folder / INDEX, weight_map={})


def out_of_the_folder(folder):
    shutil.copy(folder / WEIGHTS, folder.parent / "elsewhere.safetensors")
    sharded(folder)
    edit(folder / INDEX, weight_map=dict.fromkeys(shapes(folder), "../elsewhere.safetensors"))


def absolute(folder):
    sharded(folder)
    edit(folder / INDEX, weight_map=dict.fromkeys(shapes(folder), str(folder / WEIGHTS)))


def named_out_of_the_folder(folder):
    (folder / WEIGHTS).rename(folder.parent / "elsewhere.safetensors")
    edit(folder / CONFIG, transformers_weights="../elsewhere.safetensors")


def in_two_shards(folder):
    sharded(folder)
    first, second, *_ = sorted(folder.glob("*.safetensors"))
    save_file(load_file(first) | load_file(second), second, metadata={"format": "pt"})


def shards_without_index(folder):
    sharded(folder)
    (folder / INDEX).unlink()


def renamed_tensors(prefix):
    def rename(folder):
        tensors = {f"{prefix}{name}": value for name, value in load_file(folder / WEIGHTS).items()}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return rename


def wrapped_layers(folder):
    tensors = {name.replace(".mlp.", "._checkpoint_wrapped_module.mlp."): value
               for name, value in load_file(folder / WEIGHTS).items()}  # fmt: skip
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def adapted(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    state = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).state_dict()
    save_file({name: value.contiguous() for name, value in state.items() if "lm_head" not in name}, folder / WEIGHTS)


def instead_of_weights(*names):
    def write(folder):
        (folder / WEIGHTS).unlink()
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"state")

    return write


@pytest.mark.parametrize(
    "damage, parts",
    [
        (nowhere, [INDEX, "names no weights"]),
        (out_of_the_folder, ["'../elsewhere.safetensors'", "outside the folder"]),
        (absolute, ["outside the folder"]),
        (named_out_of_the_folder, ["'../elsewhere.safetensors'", "outside the folder"]),
        (in_two_shards, ["lies in both", "model-00001", "model-00002"]),
        (shards_without_index, ["shards of weights", "model-00001", INDEX]),
        (renamed_tensors("_orig_mod."), ["'_orig_mod.'", "torch.compile"]),
        (renamed_tensors("module."), ["'module.'", "DistributedDataParallel"]),
        (renamed_tensors("base_model.model."), ["'base_model.model.'", "merge_and_unload"]),
        (renamed_tensors("pretrained_model."), ["'pretrained_model.'", "value head"]),
        (wrapped_layers, ["'_checkpoint_wrapped_module.'"]),
        (adapted, ["base_layer", "merge_and_unload"]),
        (instead_of_weights("__0_0.distcp", ".metadata"), ["__0_0.distcp", "accelerate merge-weights"]),
        (instead_of_weights("global_step5/zero_pp_rank_0_mp_rank_00_model_states.pt"), ["zero_to_fp32.py"]),
        (instead_of_weights("model-Q4_K_M.gguf"), ["model-Q4_K_M.gguf", "GGUF"]),
        (instead_of_weights("model.nemo"), ["NeMo"]),
        (instead_of_weights("consolidated.00.pth", "params.json"), ["consolidated.00.pth", "convert_"]),
        (instead_of_weights("adapter_model.safetensors"), ["adapter_config.json"]),
        (instead_of_weights("pytorch_model.bin"), ["pytorch_model.bin", "never opened", "save_pretrained"]),
        (instead_of_weights("tf_model.h5"), ["another runtime"]),
    ],
)
def test_what_cannot_be_read_is_one_sentence_that_says_what_it_is_and_the_way_out(damage, parts, folder):
    damage(folder)

    with pytest.raises(InvalidCheckpoint) as refused:
        check_folder(folder)
    assert all(part in str(refused.value) for part in parts), refused.value
    assert "\n" not in str(refused.value)
