"""Whose checkpoint a name means: a folder, a method, a model on the hub; and adapters are merged."""

import json
import shutil

import pytest
import torch

from depthgauge.core.errors import HarnessError, InvalidCheckpoint, UsageError
from depthgauge.models.load import load, prepare_libraries
from depthgauge.sources.find import Source, find
from depthgauge.sources.folder import check_folder
from depthgauge.sources.tokenizer import same_tokenizer
from depthgauge.store.folders import Store
from depthgauge_methods.grpo import GRPO
from tests.processes import refusal, refused


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", run="here")


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, in which `cached` lays models down."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached(hub, name, folder, commit="0123456789abcdef0123456789abcdef01234567"):
    """A model in the hub's cache, laid out as huggingface_hub does: blobs, a snapshot of links, and a ref."""
    home = hub / f"models--{name.replace('/', '--')}"
    snapshot = home / "snapshots" / commit
    for made in (home / "blobs", home / "refs", snapshot):
        made.mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, home / "blobs" / f"{number:040}")
        (snapshot / file.name).symlink_to(f"../../blobs/{number:040}")
    (home / "refs" / "main").write_text(commit)
    return snapshot


# -- what a name means ---


def test_a_path_is_a_folder_relative_to_where_one_is(tiny_base, store, tmp_path, monkeypatch):
    folder = shutil.copytree(tiny_base, tmp_path / "runs" / "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("runs/mine", "./runs/mine", str(folder), "~/runs/mine", "runs/../runs/mine/")

    for name in names:
        assert find(name, "--checkpoint=", store=store, start=tmp_path) == Source(name="mine", folder=folder)


def test_a_registered_name_is_a_method(store, tmp_path):
    assert find("grpo", "--checkpoint=", store=store, start=tmp_path) == Source(name="grpo", method=GRPO)


def test_a_name_on_the_hub_is_the_snapshot_in_the_cache(hub, tiny_base, store, tmp_path):
    snapshot = cached(hub, "someone/tiny-1.5", tiny_base)
    found = find("someone/tiny-1.5", "--checkpoint=", store=store, start=tmp_path)

    assert found == Source(name="someone--tiny-1.5", folder=snapshot)
    assert load(found.folder)[0].config.num_hidden_layers == 6


def test_a_revision_of_a_name_on_the_hub_is_that_snapshot(hub, tiny_base, store, tmp_path, monkeypatch):
    commit = "f" * 40
    snapshot = cached(hub, "someone/tiny", tiny_base, commit)
    (hub / "models--someone--tiny" / "refs" / "before").write_text(commit)
    for revision in (commit, "before"):
        found = find(f"someone/tiny@{revision}", "--checkpoint=", store=store, start=tmp_path)
        assert (found.folder, found.name) == (snapshot, f"someone--tiny@{revision}")
    asked = {}
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *at, **how: asked.update(how) or str(tiny_base))
    find("someone/tiny@other", "--checkpoint=", store=store, start=tmp_path)
    assert asked["revision"] == "other"


def test_an_adapter_of_another_revision_of_its_base_is_refused(adapter, hub, tiny_base, store, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cached(hub, "someone/tiny", tiny_base)
    rewrite(adapter, base_model_name_or_path="someone/tiny", revision="v2")
    with refused(InvalidCheckpoint, "'someone/tiny@v2'"):
        find("adapter", "--checkpoint=", store=store, start=tmp_path)


def test_a_name_that_could_mean_two_things_is_refused_with_the_way_out(hub, tiny_base, store, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "grpo")
    shutil.copytree(tiny_base, tmp_path / "someone" / "tiny")
    cached(hub, "someone/tiny", tiny_base)

    with refused(UsageError, "--checkpoint=grpo", "'grpo'", "./grpo"):
        find("grpo", "--checkpoint=", store=store, start=tmp_path)
    with refused(UsageError, "someone/tiny"):
        find("someone/tiny", "--baseline=", store=store, start=tmp_path)
    assert find("./grpo", "--checkpoint=", store=store, start=tmp_path) == Source(name="grpo", folder=folder)
    assert UsageError.exit_code == 4


@pytest.mark.parametrize(
    "name, values, code",
    [
        ("", ["--baseline= "], None),
        ("gradregs", ["--baseline=gradregs", "'gradreg'?", "grpo"], None),
        ("./nowhere", ["nowhere"], "no-folder"),
        ("../a b/c", ["a b/c"], "no-folder"),
        ("a b/c", ["--baseline=a b/c"], None),
    ],
)
def test_a_name_that_means_nothing_is_refused_in_one_sentence(store, tmp_path, name, values, code):
    with refused(UsageError, *values, code=code):
        find(name, "--baseline=", store=store, start=tmp_path)


def test_a_folder_that_is_no_checkpoint_is_refused(store, tmp_path):
    (tmp_path / "empty").mkdir()
    with refused(UsageError, "config.json"):
        find("empty", "--checkpoint=", store=store, start=tmp_path)


@pytest.mark.parametrize("name", ["runs--mine", "a..b", "last-"])
def test_a_folder_may_be_called_what_no_model_on_the_hub_can_be(tiny_base, store, tmp_path, name):
    """Reports call two folders of one name by those that they lie in: new--final."""
    folder = shutil.copytree(tiny_base, tmp_path / name)

    assert find(name, "--checkpoint=", store=store, start=tmp_path) == Source(name=name, folder=folder)
    with refused(UsageError, f"--checkpoint={name}x/-y"):
        find(f"{name}x/-y", "--checkpoint=", store=store, start=tmp_path)


def test_a_model_of_which_only_the_configuration_is_cached_is_fetched(hub, tiny_base, store, tmp_path, monkeypatch):
    """As a look at its tokenizer leaves it: it is no broken checkpoint."""
    cached(hub, "someone/tiny", shutil.copytree(tiny_base, tmp_path / "part", ignore=lambda *_: ["model.safetensors"]))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tiny_base))

    assert find("someone/tiny", "--checkpoint=", store=store, start=tmp_path).folder == tiny_base


def test_without_a_network_a_name_that_is_not_cached_is_one_sentence(depthgauge, tmp_path):
    done = depthgauge(
        "--checkpoint=someone/not-here", store="unused", HF_HUB_CACHE=str(tmp_path), HF_ENDPOINT="http://127.0.0.1:9"
    )

    assert done.returncode == 4
    assert "--checkpoint=someone/not-here is no folder, no method and not in the hub's cache" in refusal(done)
    assert "hf download someone/not-here" in refusal(done)


# -- adapters ---


@pytest.fixture
def adapter(tiny_base, tmp_path):
    """A real LoRA of the tiny base, with weights that change what it says."""
    prepare_libraries(1)
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    wanted = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(model, wanted).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def logits(model):
    with torch.inference_mode():
        return model(torch.tensor([[3, 4, 5, 6, 3]])).logits


def test_an_adapter_is_merged_as_peft_merges_it_and_once(adapter, tiny_base, store, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    found = find("adapter", "--checkpoint=", store=store, start=tmp_path)
    again = find("adapter", "--checkpoint=", store=store, start=tmp_path)
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), adapter).merge_and_unload()

    check_folder(found.folder)
    assert (found.name, again) == ("adapter", found)
    assert len(list((tmp_path / "store" / "merged").iterdir())) == 1
    assert torch.equal(logits(load(found.folder)[0]), logits(theirs.eval()))
    assert not torch.allclose(logits(load(found.folder)[0]), logits(load(tiny_base)[0]), atol=1e-3)
    assert same_tokenizer(found.folder, tiny_base)


def test_another_adapter_is_merged_anew(adapter, store, tmp_path):
    from safetensors.torch import load_file, save_file

    first = find("adapter", "--checkpoint=", store=store, start=tmp_path).folder
    tensors = load_file(adapter / "adapter_model.safetensors")
    save_file({name: 2 * tensor for name, tensor in tensors.items()}, adapter / "adapter_model.safetensors")
    second = find("adapter", "--checkpoint=", store=store, start=tmp_path).folder

    assert first != second
    assert not torch.equal(logits(load(first)[0]), logits(load(second)[0]))


def rewrite(adapter, **changes):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_base_of_an_adapter_is_found_beside_it_or_on_the_hub(adapter, hub, tiny_base, store, tmp_path):
    whole = find("adapter", "--checkpoint=", store=store, start=tmp_path).folder
    shutil.copytree(tiny_base, tmp_path / "its base")
    cached(hub, "someone/tiny", tiny_base)
    for base in ("../its base", "someone/tiny"):
        rewrite(adapter, base_model_name_or_path=base)
        found = find("adapter", "--checkpoint=", store=store, start=tmp_path).folder
        assert torch.equal(logits(load(found)[0]), logits(load(whole)[0]))


def test_an_adapter_in_the_cache_of_the_hub_is_merged_without_a_network(adapter, hub, store, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    whole = find("adapter", "--checkpoint=", store=store, start=tmp_path).folder
    cached(hub, "someone/adapter", adapter)
    found = find("someone/adapter", "--checkpoint=", store=store, start=tmp_path)

    assert torch.equal(logits(load(found.folder)[0]), logits(load(whole)[0]))


def test_an_adapter_whose_base_is_not_to_be_had_or_does_not_fit_is_refused(adapter, store, tmp_path):
    rewrite(adapter, base_model_name_or_path="")
    with refused(InvalidCheckpoint, "base_model_name_or_path"):
        find("adapter", "--checkpoint=", store=store, start=tmp_path)
    rewrite(adapter, base_model_name_or_path="somewhere")
    with refused(InvalidCheckpoint, "'somewhere'"):
        find("adapter", "--checkpoint=", store=store, start=tmp_path)


def test_an_adapter_that_does_not_fit_its_base_is_refused(adapter, tiny_base, store, tmp_path):
    rewrite(adapter, base_model_name_or_path=str(tiny_base), target_modules=["no_such_part"])
    with refused(InvalidCheckpoint, code="not-mergeable"):
        find("adapter", "--checkpoint=", store=store, start=tmp_path)


def test_an_adapter_is_merged_anew_when_its_base_is_another_model(adapter, tiny_base, store, tmp_path):
    from safetensors.torch import load_file, save_file

    base = shutil.copytree(tiny_base, tmp_path / "base")
    rewrite(adapter, base_model_name_or_path=str(base))
    first = find("adapter", "--checkpoint=", store=store, start=tmp_path).folder
    tensors = load_file(base / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in tensors.items()}, base / "model.safetensors", {"format": "pt"})

    assert find("adapter", "--checkpoint=", store=store, start=tmp_path).folder != first


def test_the_base_may_be_given_where_it_moved(adapter, tiny_base, store, tmp_path):
    there = find("adapter", "--checkpoint=", store=store, start=tmp_path).folder
    rewrite(adapter, base_model_name_or_path="/content/drive/base")
    with refused(InvalidCheckpoint, "'/content/drive/base'", "base_model_name_or_path", "--adapter-base"):
        find("adapter", "--checkpoint=", store=store, start=tmp_path)
    found = find("adapter", "--checkpoint=", store=store, start=tmp_path, adapter_base=tiny_base).folder

    assert torch.equal(logits(load(found)[0]), logits(load(there)[0]))


def test_an_adapter_beside_whole_weights_changes_them_as_transformers_loads_them(adapter, tiny_base, store, tmp_path):
    from transformers import AutoModelForCausalLM

    both = shutil.copytree(tiny_base, tmp_path / "both")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, both)
    rewrite(both, base_model_name_or_path="nowhere")  # which is not asked
    found = find("both", "--checkpoint=", store=store, start=tmp_path).folder

    assert torch.allclose(logits(load(found)[0]), logits(AutoModelForCausalLM.from_pretrained(both)), atol=1e-5)
    assert not torch.allclose(logits(load(found)[0]), logits(load(tiny_base)[0]), atol=1e-3)


def test_an_adapter_with_new_tokens_enlarges_its_base(tiny_base, store, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_base), AutoTokenizer.from_pretrained(tiny_base)
    model.config._name_or_path = model.name_or_path = str(tiny_base)
    rows = model.get_input_embeddings().weight.shape[0]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    model.resize_token_embeddings(rows + 2)
    trained = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    trained.save_pretrained(tmp_path / "chat", save_embedding_layers=True)
    tokenizer.save_pretrained(tmp_path / "chat")
    found = find("chat", "--checkpoint=", store=store, start=tmp_path).folder

    assert load(found)[0].get_input_embeddings().weight.shape[0] == rows + 2
    assert torch.allclose(logits(load(found)[0]), logits(trained.eval()), atol=1e-5)


def base_that_is_an_adapter(adapter, tiny_base):
    shutil.copytree(adapter, adapter.parent / "first")
    rewrite(adapter, base_model_name_or_path="../first")


def pickled(adapter, tiny_base):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")


def two_in_one_folder(adapter, tiny_base):
    shutil.copytree(adapter, adapter.parent / "inner" / "first")
    shutil.copytree(adapter, adapter.parent / "inner" / "second")
    shutil.rmtree(adapter)
    (adapter.parent / "inner").rename(adapter)


def base_of_another_shape(adapter, tiny_base):
    small = adapter.parent / "small"
    shutil.copytree(tiny_base, small)
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(small)
    config.intermediate_size //= 2
    AutoModelForCausalLM.from_config(config).save_pretrained(small)
    rewrite(adapter, base_model_name_or_path=str(small))


@pytest.mark.parametrize(
    "damage, parts",
    [
        (base_that_is_an_adapter, ["first", "holds an adapter itself", "--adapter-base"]),
        (pickled, ["adapter_model.bin", "never opened"]),
        (two_in_one_folder, ["first", "name that"]),
        (base_of_another_shape, ["cannot be merged", "size mismatch"]),
    ],
)
def test_an_adapter_that_cannot_be_judged_is_one_whole_sentence(damage, parts, adapter, tiny_base, store, tmp_path):
    damage(adapter, tiny_base)

    with pytest.raises(HarnessError) as refused:
        find("adapter", "--checkpoint=", store=store, start=tmp_path)
    assert all(part in str(refused.value) for part in parts), refused.value
    assert "\n" not in str(refused.value)
