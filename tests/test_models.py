"""What is not a whole checkpoint made of data alone is refused in one sentence."""

import copy
import gc
import json
import shutil
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from depthgauge.core.errors import InvalidCheckpoint, InvalidComparison, UsageError
from depthgauge.models.load import LOADED, choose_device, load, multiply_in_float32
from depthgauge.sources.folder import check_folder, fingerprint
from depthgauge.sources.tokenizer import check_same_tokenizer
from tests.processes import refused


@pytest.fixture
def checkpoint(tiny_base, tmp_path):
    return shutil.copytree(tiny_base, tmp_path / "checkpoint")


def rewrite_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def shard(folder, lose: str | None = None):
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    halves = {"a.safetensors": names[: len(names) // 2], "b.safetensors": names[len(names) // 2 :]}
    for file, part in halves.items():
        if file != lose:
            save_file({n: tensors[n].contiguous() for n in part}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: file for file, part in halves.items() for n in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def test_a_whole_checkpoint_is_accepted_sharded_or_not(checkpoint):
    check_folder(checkpoint)
    whole = load(checkpoint)[0].state_dict()
    shard(checkpoint)
    check_folder(checkpoint)
    LOADED.clear()

    assert all(torch.equal(whole[name], value) for name, value in load(checkpoint)[0].state_dict().items())


def test_a_missing_or_empty_folder_is_a_usage_error(tmp_path):
    with refused(UsageError, code="no-folder"):
        check_folder(tmp_path / "nowhere")
    with refused(UsageError, "config.json"):
        check_folder(tmp_path)


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def garble(folder):
    (folder / "model.safetensors").write_bytes(b"not a header at all" * 10)


def empty_header(folder):
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"[]" + b" " * 90)


def with_header(header):
    def write(folder):
        text = header.encode()
        (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"data")

    return write


nested = with_header('{"w": ' + "[" * 100_000 + "]" * 100_000 + "}")
TENSOR = '{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
twice = with_header(f'{{"w": {TENSOR}, "w": {TENSOR}}}')
larger_than_itself = with_header(f'{{"w": {TENSOR}}}'.replace("[1]", "[9]"))
before_the_data = with_header(f'{{"w": {TENSOR}}}'.replace("[0, 4]", "[-4, 0]"))
without_a_shape = with_header('{"w": {"dtype": "F32", "data_offsets": [0, 4]}}')


def longest_header(folder):
    """A file of a gigabyte that takes no room: nothing of its header may be read."""
    with (folder / "model.safetensors").open("wb") as file:
        file.write((10**9).to_bytes(8, "little"))
        file.truncate(10**9 + 108)


def pickle_weights(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    "damage, sentence",
    [
        (truncate, r"is truncated \(\d+ of \d+ bytes\): copy it again"),
        (garble, "is not a readable safetensors file"),
        (empty_header, "is not a readable safetensors file"),
        (nested, r"is not a readable safetensors file \(.*recursion"),
        (twice, r"is not a readable safetensors file \('w' is there twice\)"),
        (larger_than_itself, r"is not a readable safetensors file \('w' of dtype F32 and shape \[9\] has 4 bytes\)"),
        (before_the_data, r"is not a readable safetensors file \('w' has the shape \[1\] and the place \[-4, 0\]\)"),
        (without_a_shape, r"is not a readable safetensors file \('w' has no dtype, shape and data_offsets\)"),
        (
            longest_header,
            r"is not a readable safetensors file \(its header would have 1000000000 of 1000000108 bytes\)",
        ),
        (lambda f: (f / "adapter_config.json").write_text("{}"), "holds an adapter .* merge it"),
        (pickle_weights, r"pickled weights \(pytorch_model.bin\).*re-save it with save_pretrained"),
        (lambda f: shard(f, lose="b.safetensors"), "is missing b.safetensors, named in model.safetensors.index.json"),
        (lambda f: rewrite_json(f / "config.json", auto_map={}, model_type="evil"), "remote code .* never run"),
        (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
        (lambda f: (f / "config.json").write_text("{"), "is not readable JSON"),
    ],
    ids=[
        "truncated",
        "garbled",
        "empty header",
        "nested header",
        "a name twice",
        "a tensor larger than its bytes",
        "a tensor before the data",
        "a tensor without a shape",
        "a header of a gigabyte",
        "adapter",
        "pickled",
        "missing shard",
        "remote code",
        "no weights",
        "bad config",
    ],
)
def test_a_damaged_folder_is_refused_before_anything_is_loaded(checkpoint, damage, sentence):
    damage(checkpoint)

    with pytest.raises(InvalidCheckpoint, match=sentence):
        check_folder(checkpoint)


def test_weights_that_are_not_finite_are_named_by_tensor(checkpoint):
    tensors = load_file(checkpoint / "model.safetensors")
    tensors["model.layers.2.mlp.up_proj.weight"][1, 3] = float("nan")
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
    LOADED.clear()

    with refused(InvalidCheckpoint, "1", "up_proj"):
        load(checkpoint)


def test_a_missing_tensor_is_refused_and_not_initialised(checkpoint):
    tensors = load_file(checkpoint / "model.safetensors")
    del tensors["model.layers.3.mlp.up_proj.weight"]
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
    LOADED.clear()

    with refused(InvalidCheckpoint, "up_proj"):
        load(checkpoint)


def test_another_tokenizer_is_an_invalid_comparison(checkpoint, tiny_base):
    check_same_tokenizer(checkpoint, tiny_base)
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer))

    with refused(InvalidComparison, code="other-tokenizer"):
        check_same_tokenizer(checkpoint, tiny_base)


def test_a_tokenizer_that_prepends_a_token_is_another_tokenizer(checkpoint, tiny_base):
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    first = {"SpecialToken": {"id": "<end>", "type_id": 0}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [first, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<end>": {"id": "<end>", "ids": [0], "tokens": ["<end>"]}},
    }
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer))

    with refused(InvalidComparison, code="other-tokenizer"):
        check_same_tokenizer(checkpoint, tiny_base)


def test_the_same_tokenizer_is_the_same_however_it_is_written(checkpoint, tiny_base):
    """Merges and defaults that older versions left out are what the library reads, and not what the file says."""
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    del tokenizer["model"]["ignore_merges"]
    tokenizer["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer, indent=4))

    check_same_tokenizer(checkpoint, tiny_base)


def test_a_tokenizer_that_cannot_be_read_is_a_sentence(checkpoint, tiny_base):
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer | {"model": {"type": "unknown"}}))

    with refused(InvalidCheckpoint, code="unreadable"):
        check_same_tokenizer(checkpoint, tiny_base)


def test_a_repetition_penalty_beside_the_weights_does_not_change_the_task(checkpoint):
    rewrite_json(checkpoint / "generation_config.json", repetition_penalty=5.0, min_p=0.5)
    LOADED.clear()
    config = load(checkpoint)[0].generation_config

    assert config.repetition_penalty in (None, 1.0)
    assert config.min_p is None


def test_the_fingerprint_is_of_the_content(checkpoint, tiny_base):
    assert fingerprint(checkpoint) == fingerprint(tiny_base)
    tensors = load_file(checkpoint / "model.safetensors")
    tensors["model.norm.weight"][0] += 1e-3
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})

    assert fingerprint(checkpoint) != fingerprint(tiny_base)


def test_a_chat_template_is_part_of_the_fingerprint(checkpoint, tiny_base):
    (checkpoint / "chat_template.jinja").write_text("{{ messages }}")

    assert fingerprint(checkpoint) != fingerprint(tiny_base)


def test_an_unknown_or_absent_device_is_a_usage_error():
    with refused(UsageError, "'tpu'"):
        choose_device("tpu")
    assert choose_device("cpu") == "cpu"
    if torch.cuda.is_available():
        assert choose_device("auto") == choose_device("cuda") == "cuda"
    else:
        assert choose_device("auto") == "cpu"
        with refused(UsageError, code="no-gpu"):
            choose_device("cuda")


def test_matrices_of_bfloat16_multiplied_in_float32_give_what_bfloat16_gives(tiny_base):
    plain = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16).eval()
    widened = copy.deepcopy(plain)
    multiply_in_float32(widened)
    ids = torch.arange(12)[None] % plain.config.vocab_size
    with torch.inference_mode():
        one, other = (model(input_ids=ids).logits for model in (plain, widened))

    assert other.dtype is torch.bfloat16
    assert all(parameter.dtype is torch.bfloat16 for parameter in widened.parameters())
    assert (one - other).abs().max() <= 2**-6 * one.abs().max()  # two steps of the largest


def test_a_model_whose_matrices_are_widened_is_freed_when_it_is_put_aside(tiny_base):
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16)
    multiply_in_float32(model)
    weights = weakref.ref(model.get_output_embeddings())
    gc.disable()
    del model
    freed = weights() is None
    gc.enable()

    assert freed


def test_a_folder_that_is_written_anew_is_loaded_anew(checkpoint):
    before = load(checkpoint)[0].lm_head.weight.clone()
    tensors = load_file(checkpoint / "model.safetensors")
    save_file(
        {name: 2 * tensor for name, tensor in tensors.items()}, checkpoint / "model.safetensors", {"format": "pt"}
    )

    assert torch.equal(load(checkpoint)[0].lm_head.weight, 2 * before)
