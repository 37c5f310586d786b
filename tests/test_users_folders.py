"""Folders as people save, merge and convert them: healthy ones pass the first two stages, broken ones are named.

Each kind is from a public thread about a real folder; the pair is made here, and judged as `depthgauge compare` judges
it, shortcut included, up to the weights.
"""

import json
import re
import shutil
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

import depthgauge
from benchmarks.families import random_model
from depthgauge.core.errors import HarnessError
from tests.bytes import save_byte_model

TEMPLATE = "{% for message in messages %}{{ message.content }}\n{{ eos_token }}{% endfor %}"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def tensors(change):
    def write(folder):
        held = load_file(folder / WEIGHTS)
        changed = change(held)
        save_file(changed if isinstance(changed, dict) else held, folder / WEIGHTS, metadata={"format": "pt"})

    return write


def model_of(folder, **how):
    return AutoModelForCausalLM.from_pretrained(folder, **how)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a candidate's folder is like beside a copy of the baseline's, and what is right to say of it."""

    name: str
    make: object
    code: int
    says: str = ""
    expect: str = "equal"
    family: str = "llama"

    def __str__(self):
        return self.name


# -- healthy ---


def in_bfloat16(folder):
    model_of(folder, dtype=torch.bfloat16).save_pretrained(folder)


def in_shards(folder):
    model = model_of(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="20KB")


def stale_index(folder):
    in_shards(folder)
    model_of(folder).save_pretrained(folder)


def no_metadata(folder):
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS)


def ends_in_a_list(folder):
    for name in ("config.json", "generation_config.json"):
        edit(folder / name, lambda fields: fields.update(eos_token_id=[256]))


def fourth_version(folder):
    """Rope beside the other fields, torch_dtype, and a setting that is switched off."""

    def rewrite(config):
        config.update(rope_theta=config.pop("rope_parameters")["rope_theta"], torch_dtype=config.pop("dtype"))
        config.update(transformers_version="4.46.0", rope_scaling=None)

    edit(folder / "config.json", rewrite)


def remote_code(folder):
    edit(folder / "config.json", lambda config: config.update(auto_map={"AutoModelForCausalLM": "modeling.Model"}))


def experts_fused(folder):
    model_of(folder).save_pretrained(folder, save_original_format=False)


def without_prefix(folder):
    """As a base model's own save has it: the language model's names without 'model.'."""
    tensors(lambda held: {name.removeprefix("model."): value for name, value in held.items()})(folder)


def tokenizer_saved_again(folder):
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)


def template_in_the_configuration(folder):
    (folder / "chat_template.jinja").unlink()
    edit(folder / "tokenizer_config.json", lambda config: config.update(chat_template=TEMPLATE))


def aligned_by_a_trainer(folder):
    for name in ("config.json", "generation_config.json"):
        edit(folder / name, lambda fields: fields.update(pad_token_id=256))
    train(folder)


def token_without_row(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>"]})
    tokenizer.save_pretrained(folder)
    train(folder)


def train(folder):
    """Every matrix has moved a little, as by a short training."""
    torch.manual_seed(1)
    noisy = lambda value: value + 0.01 * value.std() * torch.randn_like(value)  # noqa: E731
    tensors(lambda held: {name: noisy(value) if value.ndim > 1 else value for name, value in held.items()})(folder)


def vocabulary_grown_in_training(folder):
    model, tokenizer = model_of(folder), AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    model.resize_token_embeddings(258)
    model.save_pretrained(folder)
    train(folder)


# -- broken ---


def head_of_its_own(folder):
    def add(held):
        embedding = held["model.embed_tokens.weight"]
        held["lm_head.weight"] = embedding + 0.3 * embedding.std() * torch.randn_like(embedding)

    tensors(add)(folder)


def two_sets(folder):
    other = folder.parent / "another training"
    save_byte_model(other, seed=5)
    in_shards(folder)
    shutil.copy(other / WEIGHTS, folder / WEIGHTS)


def generation_lost(folder):
    (folder / "generation_config.json").write_text("{}")


def template_lost(folder):
    (folder / "chat_template.jinja").unlink()


def another_end(folder):
    edit(folder / "tokenizer_config.json", lambda config: config.update(eos_token="a"))


def decoder_lost(folder):
    edit(folder / "tokenizer.json", lambda tokenizer: tokenizer.update(decoder=None))


def pads_left(folder):
    edit(folder / "tokenizer_config.json", lambda config: config.update(padding_side="left"))


def penalised(folder):
    GenerationConfig(eos_token_id=256, pad_token_id=0, repetition_penalty=9.0).save_pretrained(folder)


def experts_sorted_as_text(folder):
    order = sorted(map(str, range(12)))

    def moved(name):
        return re.sub(r"experts\.(\d+)\.", lambda found: f"experts.{order.index(found[1])}.", name)

    tensors(lambda held: {moved(name): value for name, value in held.items()})(folder)


def one_embedding_lost(folder):
    tensors(lambda held: held["model.embed_tokens.weight"][256].zero_())(folder)


def empty_tensor(folder):
    tensors(lambda held: held.update({"model.layers.1.mlp.up_proj.weight": torch.empty(0)}))(folder)


def vocabulary_padded(folder):
    model = model_of(folder)
    model.resize_token_embeddings(320)
    model.save_pretrained(folder)


def not_a_number(folder):
    tensors(lambda held: held["model.layers.1.mlp.up_proj.weight"][0, :1].fill_(float("nan")))(folder)


def compiled(folder):
    tensors(lambda held: {f"_orig_mod.{name}": value for name, value in held.items()})(folder)


# -- of a mixture of experts ---


def experts_reordered(folder):
    """With the rows of their router: the same function."""
    order = [2, 0, 1, *range(3, 12)]

    def moved(name, value):
        if name.endswith("mlp.gate.weight"):
            return name, value[order]
        return re.sub(r"experts\.(\d+)\.", lambda found: f"experts.{order.index(int(found[1]))}.", name), value

    tensors(lambda held: dict(moved(name, value) for name, value in held.items()))(folder)


def router_reordered(folder):
    def roll(held):
        name = "model.layers.1.mlp.gate.weight"
        held[name] = held[name].roll(1, 0)

    tensors(roll)(folder)


def one_expert_lost(folder):
    tensors(lambda held: held["model.layers.1.mlp.experts.7.down_proj.weight"].zero_())(folder)


# -- of a Qwen2, whose tokenizer transformers makes anew, and whose window may be switched off ---


def window_switched_off(folder):
    edit(folder / "config.json", lambda config: config.update(sliding_window=4096, use_sliding_window=False))
    in_bfloat16_alone(folder)


def in_bfloat16_alone(folder):
    tensors(lambda held: {name: value.bfloat16() for name, value in held.items()})(folder)


def heads_left_out(folder):
    edit(folder / "config.json", lambda config: config.update(layer_types=None))
    in_bfloat16_alone(folder)


def old_rope_type(folder):
    def rewrite(config):
        rope = config.pop("rope_parameters")
        config.update(rope_theta=rope["rope_theta"], rope_scaling={"type": "default"})

    edit(folder / "config.json", rewrite)
    in_bfloat16_alone(folder)


def lower_case(folder):
    edit(folder / "tokenizer.json", lambda tokenizer: tokenizer.update(normalizer={"type": "Lowercase"}))


# -- what is no checkpoint, or not all of one ---


def git_lfs(folder):
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


def git_lfs_of_a_tokenizer(folder):
    (folder / "tokenizer.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n")


def link_to_nothing(folder):
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("../../blobs/4d7a")


def empty_file(folder):
    (folder / WEIGHTS).write_bytes(b"")


def nothing_but(*names):
    def make(folder):
        shutil.rmtree(folder)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x")

    return make


def no_configuration(folder):
    (folder / "config.json").unlink()


def adapter(change=None, *, also=()):
    """A folder of LoRA with the baseline for a base; `change` renames its tensors."""

    def make(folder):
        from peft import LoraConfig, get_peft_model

        base = shutil.copytree(folder, folder.parent / "base")
        shutil.rmtree(folder)
        torch.manual_seed(0)
        settings = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        get_peft_model(model_of(base), settings).save_pretrained(folder)
        if change is not None:
            held = load_file(folder / "adapter_model.safetensors")
            save_file({change(name): value for name, value in held.items()}, folder / "adapter_model.safetensors")
        for name in also:
            shutil.copytree(folder, folder.parent / name)
            shutil.move(folder.parent / name, folder / name)

    return make


def adapts_queries_alone(folder):
    edit(folder / "adapter_config.json", lambda config: config.update(target_modules=["q_proj"]))


def virtual_tokens(folder):
    from peft import PromptTuningConfig, get_peft_model

    base = shutil.copytree(folder, folder.parent / "base")
    shutil.rmtree(folder)
    settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    get_peft_model(model_of(base), settings).save_pretrained(folder)


def truncation_left(folder):
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    edit(folder / "tokenizer.json", lambda tokenizer: tokenizer.update(truncation=cut))


def prefixed(folder):
    tensors(lambda held: {f"llm.{name}": value for name, value in held.items()})(folder)


KINDS = [
    Kind(name="saved again in bfloat16", make=in_bfloat16, code=0),
    Kind(name="in shards", make=in_shards, code=0),
    Kind(name="an index left over beside the whole", make=stale_index, code=0),
    Kind(name="no metadata in the header", make=no_metadata, code=0),
    Kind(name="an end of answers in a list", make=ends_in_a_list, code=0),
    Kind(name="a configuration of version 4", make=fourth_version, code=0),
    Kind(name="remote code of a family that is shipped", make=remote_code, code=0),
    Kind(name="experts fused", make=experts_fused, code=0, family="qwen3_moe"),
    Kind(name="names of the base model", make=without_prefix, code=0),
    Kind(name="a tokenizer saved again", make=tokenizer_saved_again, code=0),
    Kind(name="a template in the tokenizer's configuration", make=template_in_the_configuration, code=0),
    Kind(name="trained", make=train, code=0, expect="trained"),
    Kind(name="ids aligned by a trainer", make=aligned_by_a_trainer, code=0, expect="trained"),
    Kind(name="a tied model with another head", make=head_of_its_own, code=1, says="lm_head"),
    Kind(name="two sets of weights", make=two_sets, code=1, says="does not read"),
    Kind(name="generation settings lost", make=generation_lost, code=1, says=r"eos_token_id: \[256\] -> None"),
    Kind(name="a chat template lost", make=template_lost, code=1, says="same-chat-template"),
    Kind(name="another end of answers", make=another_end, code=1, says="eos_token"),
    Kind(name="a decoder lost", make=decoder_lost, code=1, says="decoder"),
    Kind(name="padding on the other side", make=pads_left, code=1, says="padding_side"),
    Kind(name="a repetition penalty", make=penalised, code=1, says="repetition_penalty: 1.0 -> 9.0"),
    Kind(name="experts sorted as text", make=experts_sorted_as_text, code=1, says="mlp", family="qwen3_moe"),
    Kind(name="the stop token's row at zero", make=one_embedding_lost, code=1, says="<end>"),
    Kind(name="the stop token's row at zero, after training", make=one_embedding_lost, code=1, says="<end>",
         expect="trained"),
    Kind(name="a tensor without elements", make=empty_tensor, code=1, says="up_proj.weight is missing"),
    Kind(name="a vocabulary padded", make=vocabulary_padded, code=1, says="320"),
    Kind(name="stale, in bfloat16", make=in_bfloat16, code=1, says="stale|round", expect="trained"),
    Kind(name="not a number", make=not_a_number, code=21, says="up_proj.weight"),
    Kind(name="a compiled model's names", make=compiled, code=21, says="_orig_mod"),
    Kind(name="another end of answers in the tokenizer alone, after training", code=1, says="and generation ends at",
         make=lambda folder: (another_end(folder), train(folder)), expect="trained"),
    Kind(name="a prefix of nobody's", make=prefixed, code=1, says="every name has the prefix 'llm.'"),
    Kind(name="a truncation left in the tokenizer", make=truncation_left, code=0, says="cuts texts at 4 tokens"),
    Kind(name="a vocabulary grown in training", make=vocabulary_grown_in_training, code=0, expect="trained"),
    Kind(name="a token without a row", make=token_without_row, code=1, says="<think>.*rows for 257", expect="trained"),
    Kind(name="a vocabulary padded in training", make=lambda folder: (vocabulary_padded(folder), train(folder)),
         code=0, expect="trained"),
    Kind(name="experts and their router reordered", make=experts_reordered, code=0, says="experts reordered",
         family="qwen3_moe"),
    Kind(name="a router reordered", make=router_reordered, code=1, says="layer 1 mlp.gate", family="qwen3_moe"),
    Kind(name="one expert lost", make=one_expert_lost, code=1, says="layer 1 mlp.experts.7.down_proj",
         family="qwen3_moe"),
    Kind(name="a window that is switched off", make=window_switched_off, code=0, family="qwen2"),
    Kind(name="a field left at its default", make=heads_left_out, code=0, family="qwen2"),
    Kind(name="the old name of a type of rope", make=old_rope_type, code=0, family="qwen2"),
    Kind(name="a tokenizer saved again by its family", make=tokenizer_saved_again, code=0, family="qwen2"),
    Kind(name="a decoder lost for other readers", make=decoder_lost, code=1, says="decoder of tokenizer.json alone",
         family="qwen2"),
    Kind(name="a normaliser for other readers", make=lower_case, code=1, says="cuts of tokenizer.json alone",
         family="qwen2"),
    Kind(name="a pointer of Git LFS", make=git_lfs, code=21, says="git lfs pull"),
    Kind(name="a tokenizer's pointer of Git LFS", make=git_lfs_of_a_tokenizer, code=21, says="tokenizer.json.*git lfs"),
    Kind(name="a link to nothing", make=link_to_nothing, code=21, says=r"the link model.safetensors.*cp -rL"),
    Kind(name="an empty file", make=empty_file, code=21, says="it is empty"),
    Kind(name="no configuration", make=no_configuration, code=4, says="copy the configuration"),
    Kind(name="DeepSpeed's state alone", make=nothing_but("global_step9/zero_pp_rank_0_mp_rank_00_optim_states.pt"),
         code=4, says="zero_to_fp32.py"),
    Kind(name="FSDP's shards alone", make=nothing_but(".metadata", "__0_0.distcp"), code=4, says="merge-weights"),
    Kind(name="Megatron's checkpoint alone", code=4, says="export_ckpt",
         make=nothing_but("latest_checkpointed_iteration.txt", "iter_0000010/common.pt")),
    Kind(name="verl's shards alone", code=4, says="model_merger",
         make=nothing_but("actor/model_world_size_2_rank_0.pt")),
    Kind(name="a GGUF file in a folder", make=nothing_but("model-Q4_K_M.gguf"), code=4, says="name the file itself"),
    Kind(name="an adapter", make=adapter(), code=0, expect="trained"),
    Kind(name="an adapter of other names", make=adapter(lambda name: name.replace("model.model", "model.model.text")),
         code=21, says="lacks base_model.*q_proj.lora_A", expect="trained"),
    Kind(name="an adapter that has one matrix too many", code=21, says="no place for", expect="trained",
         make=lambda folder: (adapter()(folder), adapts_queries_alone(folder))),
    Kind(name="two adapters in a folder", make=adapter(also=("second",)), code=21, says="two adapters.*second/"),
    Kind(name="an adapter at two times of its training", make=adapter(also=("checkpoint-9",)), code=0,
         expect="trained"),
    Kind(name="an adapter of virtual tokens", make=virtual_tokens, code=21, says="PROMPT_TUNING"),
]  # fmt: skip


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    """A folder of each family, and the store that their controls are made in once."""
    root = tmp_path_factory.mktemp("users")
    for family in ("llama", "qwen3_moe", "qwen2"):
        folder = save_byte_model(root / family)
        shape = (
            {"vocab_size": 257, "num_experts": 12, "num_local_experts": 12}
            if family == "qwen3_moe"
            else {"vocab_size": 257}
        )
        random_model(
            family, **shape, eos_token_id=256, pad_token_id=0, tie_word_embeddings=family == "llama"
        ).save_pretrained(folder)
        (folder / "chat_template.jinja").write_text(TEMPLATE)
    return root


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_folder_of_this_kind_is_judged_as_it_should_be(kind, baselines, tmp_path):
    baseline = baselines / kind.family
    candidate = shutil.copytree(baseline, tmp_path / "candidate")
    kind.make(candidate)
    try:
        result = depthgauge.compare(
            str(baseline), str(candidate), expect=kind.expect, last_stage="weights", store=str(baselines / "store"),
            tell=lambda line: None,
        )  # fmt: skip
        code, said = result.exit_code, " ".join(str(result).split())  # a table breaks lines
    except HarnessError as error:
        code, said = error.exit_code, str(error)

    assert code == kind.code, said
    assert re.search(kind.says, said), said
