"""What differs between two folders' files is named; what re-saving changes is no difference."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.probes.files.compute import differences, differences_and_additions
from tests.bytes import save_byte_model
from tests.processes import refused

PARTS = (
    "tensors", "config", "tokenizer", "special tokens", "unaligned special tokens", "chat template", "generation",
)  # fmt: skip
WEIGHTS, TEMPLATE = "model.safetensors", "{{ messages[0].content }}\n{{ eos_token }}"


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    folder = save_byte_model(tmp_path_factory.mktemp("files") / "old")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture
def candidate(baseline, tmp_path):
    return shutil.copytree(baseline, tmp_path / "new")


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_tensors(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def theta(folder):
    edit(folder / "config.json", lambda config: config["rope_parameters"].update(rope_theta=5e5))


def epsilon(folder):
    edit(folder / "config.json", lambda config: config.update(rms_norm_eps=1e-3))


def untied(folder):
    edit(folder / "config.json", lambda config: config.update(tie_word_embeddings=False))


def grouped(folder):
    edit(folder / "config.json", lambda config: config.update(num_key_value_heads=1))


def swapped_words(folder):
    def swap(tokenizer):
        words = tokenizer["model"]["vocab"]
        words["a"], words["b"] = words["b"], words["a"]

    edit(folder / "tokenizer.json", swap)


def merged(folder):
    def merge(tokenizer):
        tokenizer["model"]["vocab"]["ab"] = 300
        tokenizer["model"]["merges"] = [["a", "b"]]

    edit(folder / "tokenizer.json", merge)


def other_end(folder):
    edit(folder / "tokenizer_config.json", lambda config: config.update(eos_token="a"))


def no_decoder(folder):
    edit(folder / "tokenizer.json", lambda tokenizer: tokenizer.update(decoder=None))


def pads_left(folder):
    edit(folder / "tokenizer_config.json", lambda config: config.update(padding_side="left"))


def stripping(folder):
    edit(folder / "tokenizer.json", lambda tokenizer: tokenizer["added_tokens"][0].update(lstrip=True))
    edit(folder / "tokenizer_config.json", lambda config: config.pop("added_tokens_decoder", None))


def named_template(folder):
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("search")


def never_stops(folder):
    (folder / "generation_config.json").write_text("{}")


def pads_otherwise(folder):
    edit(folder / "config.json", lambda config: config.update(pad_token_id=3))


def added(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<tool>"], special_tokens=True)
    tokenizer.save_pretrained(folder)


def no_template(folder):
    (folder / "chat_template.jinja").unlink()


def other_template(folder):
    (folder / "chat_template.jinja").write_text(TEMPLATE.replace("eos", "bos"))


def penalty(folder):
    edit(folder / "generation_config.json", lambda config: config.update(repetition_penalty=1.3))


def stops_elsewhere(folder):
    edit(folder / "generation_config.json", lambda config: config.update(eos_token_id=5))


def left_out(folder):
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))


def one_more(folder):
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors.update({"model.stranger": torch.zeros(2)}))


def reshaped(folder):
    name = "model.embed_tokens.weight"
    edit_tensors(folder / WEIGHTS, lambda tensors: tensors.update({name: tensors[name][:-1].clone()}))


@pytest.mark.parametrize(
    "fault, part, said",
    [
        (theta, "config", "rope_parameters.rope_theta: 10000.0 -> 500000.0"),
        (epsilon, "config", "rms_norm_eps: 1e-06 -> 0.001"),
        (untied, "config", "tie_word_embeddings: True -> False"),
        (grouped, "config", "num_key_value_heads: 2 -> 1"),
        (swapped_words, "tokenizer", "word 'a': 64 -> 65"),
        (merged, "tokenizer", "merges: [] -> [('a', 'b')]"),
        (other_end, "special tokens", "tokenizer: eos_token: '<end>' -> 'a'"),
        (no_decoder, "tokenizer", "decoder.type: 'ByteLevel' -> None"),
        (pads_left, "tokenizer", "padding_side: 'right' -> 'left'"),
        (stripping, "tokenizer", "lstrip of added token '<end>': None -> True"),
        (named_template, "chat template", "rag line 1: None -> 'search'"),
        (added, "tokenizer", "added token '<tool>': None -> 257"),
        (no_template, "chat template", "line 1: '{{ messages[0].content }}' -> None"),
        (other_template, "chat template", "line 2: '{{ eos_token }}' -> '{{ bos_token }}'"),
        (penalty, "generation", "repetition_penalty: 1.0 -> 1.3"),
        (stops_elsewhere, "special tokens", "generation_config.json: eos_token_id: [256] -> [5]"),
        (stops_elsewhere, "unaligned special tokens",
         "generation_config.json: eos_token_id: [256] -> [5], and the tokenizer has 256"),
        (never_stops, "special tokens", "generation_config.json: eos_token_id: [256] -> None"),
        (pads_otherwise, "special tokens", "config.json: pad_token_id: 256 -> 3"),
        (left_out, "tensors", "model.layers.1.mlp.up_proj.weight is missing"),
        (one_more, "tensors", "model.stranger is new"),
        (reshaped, "tensors", "model.embed_tokens.weight: (257, 32) -> (256, 32)"),
    ],
)  # fmt: skip
def test_a_fault_is_named_in_its_part(fault, part, said, baseline, candidate):
    fault(candidate)
    found = differences(candidate, baseline)

    assert said in found[part]


@pytest.mark.parametrize("fault, part", [(theta, "config"), (penalty, "generation"), (left_out, "tensors"),
                                         (swapped_words, "tokenizer"), (other_template, "chat template")])  # fmt: skip
def test_and_in_no_other(fault, part, baseline, candidate):
    fault(candidate)

    assert [name for name, found in differences(candidate, baseline).items() if found] == [part]


def test_what_a_training_adds_is_told_apart(baseline, candidate):
    """Tokens of a chat and their rows; a word that became one; and nothing that is another one than before."""
    tokenizer, model = (kind.from_pretrained(candidate) for kind in (AutoTokenizer, AutoModelForCausalLM))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "b"]})
    model.resize_token_embeddings(258)
    model.save_pretrained(candidate)
    tokenizer.save_pretrained(candidate)
    swapped_words(candidate)
    parts, added = differences_and_additions(candidate, baseline)

    assert parts["tensors"] == added["tensors"] == ["model.embed_tokens.weight: (257, 32) -> (258, 32)"]
    assert added["config"] == ["vocab_size: 257 -> 258"]
    assert {"added token '<|im_start|>': None -> 257", "special of added token 'b': None -> True"} <= {
        *added["tokenizer"]
    }
    assert added["chat template"] == []
    left = [text for text in parts["tokenizer"] if text not in added["tokenizer"]]
    assert left and all("'a'" in text or "word" in text for text in left)


@pytest.mark.parametrize("fault", [theta, reshaped, other_template, no_template, merged, left_out])
def test_no_fault_is_an_addition(fault, baseline, candidate):
    fault(candidate)

    assert not any(differences_and_additions(candidate, baseline)[1].values())


def test_a_template_where_there_was_none_is_an_addition(baseline, candidate):
    before = shutil.copytree(baseline, candidate.parent / "before")
    (before / "chat_template.jinja").unlink()
    parts, added = differences_and_additions(candidate, before)

    assert added["chat template"] == parts["chat template"] != []


def resaved(folder):
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)


def sharded(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1


def halved(folder):
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)


def defaults_left_out(folder):
    edit(folder / "config.json", lambda config: [config.pop(name) for name in ("rms_norm_eps", "hidden_act")])


def noted(folder):
    edit(folder / "config.json", lambda config: config.update(saved_by="us", architectures=["Another"]))


def repeat_head(tensors):
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()


def written_as_before(folder):
    """Rope's base beside the other fields, the head beside the embedding that it repeats, a buffer."""
    edit(folder / "config.json", lambda config: config.update(rope_theta=config.pop("rope_parameters")["rope_theta"]))
    edit_tensors(folder / WEIGHTS, repeat_head)
    edit_tensors(folder / WEIGHTS, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}))


def template_in_the_configuration(folder):
    (folder / "chat_template.jinja").unlink()
    edit(folder / "tokenizer_config.json", lambda config: config.update(chat_template=TEMPLATE))


def generation_left_out(folder):
    (folder / "generation_config.json").unlink()


def generation_as_another_version_writes_it(folder):
    edit(folder / "generation_config.json", lambda config: config.update(use_cache=True, output_attentions=False))


def ends_in_a_list(folder):
    for name in ("config.json", "generation_config.json"):
        edit(folder / name, lambda config: config.update(eos_token_id=[config["eos_token_id"]]))


def byte_level_in_the_writing_of_others(folder):
    """Fields that do nothing there, a sequence of one part, and empty values that are left out or null."""

    def rewrite(tokenizer):
        tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [tokenizer["pre_tokenizer"]]}
        tokenizer["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False,
                                       "use_regex": True}  # fmt: skip
        tokenizer["decoder"] = tokenizer["decoder"] | {"trim_offsets": False, "use_regex": False}
        tokenizer["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": None}
        tokenizer["padding"] = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
                                "pad_id": 1, "pad_type_id": 0, "pad_token": "a"}  # fmt: skip

    edit(folder / "tokenizer.json", rewrite)


def remote_code_of_a_shipped_family(folder):
    edit(folder / "config.json", lambda config: config.update(auto_map={"AutoConfig": "configuration.Config"}))


@pytest.mark.parametrize(
    "rewrite",
    [
        ends_in_a_list, byte_level_in_the_writing_of_others, remote_code_of_a_shipped_family,
        resaved, sharded, halved, noted, defaults_left_out, written_as_before, template_in_the_configuration,
        generation_left_out, generation_as_another_version_writes_it,
    ],
)  # fmt: skip
def test_what_re_saving_may_change_is_no_difference(rewrite, baseline, candidate):
    rewrite(candidate)

    assert differences(candidate, baseline) == {part: [] for part in PARTS}


def test_a_folder_that_transformers_does_not_read_is_one_sentence(baseline, candidate):
    edit(candidate / "config.json", lambda config: config.update(model_type="nobody's"))

    with refused(InvalidCheckpoint, "new", code="unreadable"):
        differences(candidate, baseline)
