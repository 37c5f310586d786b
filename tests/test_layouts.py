"""Folders as other trainers leave them: each is judged, or refused with the sentence that says what to do.

Laid out as their documentation and code have it; the table of docs/compare.md is this one.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from depthgauge.core.errors import HarnessError
from depthgauge.sources.find import find
from depthgauge.sources.folder import check_folder, fingerprint
from depthgauge.store.folders import Store
from tests.processes import refused

PICKLE = b"\x80\x04no model"


def whole(base, place, **how):
    """What save_pretrained leaves, with the tokenizer beside it."""
    place.mkdir(parents=True)
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(place, **how)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, place)
    return place


def adapter(base, place):
    torch.manual_seed(0)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=["q_proj"]))
    model.save_pretrained(place)
    return place


def verl(base, place):
    """global_step_N/actor holds FSDP's shards, and huggingface/ beside them a configuration without weights."""
    actor = place / "global_step_5" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(base / name, actor / "huggingface")
    (actor / "model_world_size_2_rank_0.pt").write_bytes(PICKLE)
    return place / "global_step_5"


def verl_merged(base, place):
    return whole(base, place / "merged_hf_model")


def open_instruct(base, place):
    """A whole model in shards, and the last state of the trainer in a folder of its own."""
    whole(base, place, max_shard_size="20KB")
    (place / "step_100").mkdir()
    return place


def trainer_run(base, place):
    """transformers, TRL and axolotl: checkpoint-N below the output folder."""
    for step in (10, 20):
        whole(base, place / f"checkpoint-{step}")
        (place / f"checkpoint-{step}" / "optimizer.pt").write_bytes(PICKLE)
    return place


def trainer_checkpoint(base, place):
    return trainer_run(base, place) / "checkpoint-20"


def axolotl_adapter(base, place):
    adapter(base, place)
    (place / "README.md").write_text("built with axolotl")
    return place


def unsloth_merged(base, place):
    return whole(base, place / "merged_16bit")


def unsloth_adapter(base, place):
    """Its base is named as on the hub, in 4 bits, which is another model than what it is merged into."""
    adapter(base, place)
    config = json.loads((place / "adapter_config.json").read_text())
    (place / "adapter_config.json").write_text(
        json.dumps(config | {"base_model_name_or_path": "unsloth/nobody-has-this-bnb-4bit"})
    )
    return place


def nemo_rl(base, place):
    """step_N/policy/weights is a distributed state; hf/ is what its converter writes."""
    (place / "step_5" / "policy" / "weights").mkdir(parents=True)
    whole(base, place / "step_5" / "hf")
    return place / "step_5"


def pickled(base, place):
    whole(base, place)
    (place / "model.safetensors").unlink()
    (place / "pytorch_model.bin").write_bytes(PICKLE)
    return place


LAYOUTS = [
    (verl_merged, ""),
    (open_instruct, ""),
    (trainer_checkpoint, ""),
    (axolotl_adapter, ""),
    (unsloth_merged, ""),
    (verl, "global_step_5/actor/huggingface does, so name that"),
    (trainer_run, "run/checkpoint-20 does (and 1 more folders do), so name that"),
    (nemo_rl, "step_5/hf does, so name that"),
    (unsloth_adapter, "unsloth/nobody-has-this-bnb-4bit"),
    (pickled, "has pickled weights (pytorch_model.bin)"),
]


@pytest.mark.parametrize("layout, sentence", LAYOUTS, ids=[layout.__name__ for layout, _ in LAYOUTS])
def test_a_folder_of_another_trainer_is_a_checkpoint_or_says_what_to_do(
    layout, sentence, tiny_base, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder, store = layout(tiny_base, tmp_path / "run"), Store(tmp_path / "store", run="here")
    if sentence:
        with pytest.raises(HarnessError) as raised:
            find(str(folder), "--checkpoint=", store=store, start=tmp_path)
        assert sentence in str(raised.value) and "\n" not in str(raised.value)
        return
    found = find(str(folder), "--checkpoint=", store=store, start=tmp_path).folder
    check_folder(found)
    assert len(fingerprint(found)) == 16


def test_what_verl_leaves_beside_its_shards_has_no_weights_and_says_so(tiny_base, tmp_path):
    folder = verl(tiny_base, tmp_path) / "actor" / "huggingface"

    with refused(HarnessError, "model.safetensors"):
        check_folder(folder)


def test_the_page_has_a_row_for_each_layout():
    page = (Path(__file__).parents[1] / "docs" / "compare.md").read_text()

    assert all(name in page for name in ("verl", "open-instruct", "axolotl", "unsloth", "NeMo-RL"))
