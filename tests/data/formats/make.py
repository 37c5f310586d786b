"""Makes the folders beside this file: one tiny model, quantised by the tools that people use.

    python -m venv --system-site-packages tools
    tools/bin/pip install --no-deps compressed-tensors==0.20.0 llmcompressor==0.14.0.1 loguru bitsandbytes==0.50.2 \
        auto-round==0.16.1 py-cpuinfo gptqmodel==7.7.0 pypcre tokenicer logbar device-smi defuser torchao==0.18.0
    GPTQMODEL_CPU_WORKERS=2 tools/bin/python tests/data/formats/make.py

in an environment with torch 2.13 and transformers 5.23. FP8 by block and MXFP4 are written out below, as transformers
quantises to them on a GPU alone. `expected.safetensors` holds, for each quantised weight, its product with a fixed
random vector, computed by the tool's own dequantising in float32.
"""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "GPTQMODEL_CPU_WORKERS": "2", "CUDA_VISIBLE_DEVICES": ""}

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
BASE = HERE / "base"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,;:'\"!?()-+*/=<>\n"
KEPT = ("config.json", "model.safetensors", "expected.safetensors")
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
TEXTS = ["the river that runs past the mill is slow in summer."] * 3 + [
    "a list of 9 things, and 3 more: 1 2 3 4 5 6."
] * 3


def save_base():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    names = ["<end>", "<pad>", "<unk>", *dict.fromkeys(LETTERS)]
    names += [f"<{i}>" for i in range(64 - len(names))]
    tokenizer = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=4, head_dim=16, max_position_embeddings=2048, tie_word_embeddings=True,
            bos_token_id=None, eos_token_id=0, pad_token_id=1, initializer_range=0.15,
        )
    )  # fmt: skip
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:  # AWQ folds scales into norms: ones would hide a mistake
                weight.copy_(1 + 0.3 * torch.rand(weight.shape))
    model.to(torch.bfloat16).save_pretrained(BASE)
    wrapped.save_pretrained(BASE)


def probe(columns):
    return torch.randn(columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def expect(folder, weights):
    products = {name: weight.detach().double() @ probe(weight.shape[-1]) for name, weight in weights.items()}
    save_file(
        {name: product.float().contiguous() for name, product in products.items()}, folder / "expected.safetensors"
    )
    print(
        folder.name, len(weights), "weights", sum(f.stat().st_size for f in folder.iterdir()) // 1024, "KB", flush=True
    )


def tidy(folder):
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def empty(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def of_compressed_tensors(name, scheme=None, **weights):
    from compressed_tensors.compressors.base import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from transformers import AutoModelForCausalLM

    folder = empty(name)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.bfloat16)
    how = {"targets": "Linear", "scheme": scheme}
    if weights:
        group = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**weights))
        how = {"config_groups": {"group_0": group}}
    oneshot(model=model, recipe=QuantizationModifier(**how, ignore=["lm_head"]))
    model.save_pretrained(folder, save_compressed=True)
    tidy(folder)
    config = QuantizationConfig.model_validate(json.loads((folder / "config.json").read_text())["quantization_config"])
    (group,) = config.config_groups.values()
    compressor = BaseCompressor.get_value_from_registry(group.format or config.format)
    modules = {}
    for key, tensor in load_file(folder / "model.safetensors").items():
        module, _, field = key.rpartition(".")
        # It computes in the dtype of the scales.
        modules.setdefault(module, {})[field] = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    if name == "ct-nvfp4":  # it unpacks to bfloat16
        from compressed_tensors.compressors.nvfp4 import base, helpers

        base.unpack_fp4_from_uint8 = lambda *shape: helpers.unpack_fp4_from_uint8(*shape, dtype=torch.float32)
    expect(
        folder,
        {
            f"{module}.weight": compressor.decompress(fields, group)["weight"].float()
            for module, fields in modules.items()
            if "weight_scale" in fields
        },
    )


def run(model):
    """What the layers of a kernel make of the rows of the identity, in float32."""
    found = {}
    for module, layer in model.named_modules():
        if hasattr(layer, "qweight"):
            layer.float()  # the scales, which are in float16
            found[f"{module}.weight"] = layer(torch.eye(model.config.hidden_size)).T  # all are square
    return found


def of_gptqmodel(name, **settings):
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig

    folder = empty(name)
    model = GPTQModel.load(str(BASE), QuantizeConfig(**{"bits": 4, "group_size": 32} | settings), device="cpu")
    model.quantize(TEXTS, batch_size=1)
    model.save(str(folder))
    backend = BACKEND.TORCH_AWQ if "method" in settings else BACKEND.TORCH
    loaded = GPTQModel.load(str(folder), device="cpu", dtype=torch.float16, backend=backend)
    tidy(folder)
    expect(folder, run(loaded.model))


def of_auto_round(name, form):
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, model = empty(name), AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    rounded = AutoRound(
        model, tokenizer, scheme="W4A16", group_size=32, iters=0, disable_opt_rtn=True, device_map="cpu"
    )
    rounded.quantize_and_save(str(folder), format=form)
    for inner in [path for path in folder.iterdir() if path.is_dir()]:
        for path in inner.iterdir():
            path.rename(folder / path.name)
    tidy(folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu")
    expect(folder, run(loaded))


def of_bitsandbytes(name, **settings):
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    folder = empty(name)
    model = AutoModelForCausalLM.from_pretrained(
        BASE, dtype=torch.float32, quantization_config=BitsAndBytesConfig(**settings), device_map="cpu"
    ).eval()
    quantized = [f"{m}.weight" for m, layer in model.named_modules() if type(layer).__name__.startswith("Linear")]
    model.save_pretrained(folder)
    tidy(folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu").eval()
    loaded = loaded.dequantize(dtype=torch.float32)
    expect(folder, {key: loaded.get_parameter(key) for key in quantized if "lm_head" not in key})


def write(folder, tensors, settings):
    folder.mkdir(parents=True)
    config = json.loads((BASE / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}, indent=1))
    save_file({k: t.contiguous() for k, t in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})


def of_fp8(name, size=32):
    tensors, expected = {}, {}
    for key, weight in load_file(BASE / "model.safetensors").items():
        if "_proj.weight" not in key:
            tensors[key] = weight
            continue
        blocks = weight.float().reshape(weight.shape[0] // size, size, weight.shape[1] // size, size)
        scales = blocks.abs().amax((1, 3)) / 448
        codes = (blocks / scales[:, None, :, None]).to(torch.float8_e4m3fn)
        tensors[key], tensors[f"{key}_scale_inv"] = codes.reshape(weight.shape), scales
        expected[key] = (codes.float() * scales[:, None, :, None]).reshape(weight.shape)
    folder = empty(name)
    write(folder, tensors, {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [size, size]})
    expect(folder, expected)


def of_mxfp4(name):
    """The experts of a tiny gpt-oss, rounded here and dequantised by transformers' own code."""
    from transformers import GptOssConfig, GptOssForCausalLM
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    torch.manual_seed(0)
    config = GptOssConfig(
        vocab_size=64, hidden_size=64, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, num_local_experts=2, num_experts_per_tok=2, tie_word_embeddings=False,
        max_position_embeddings=2048, eos_token_id=0, pad_token_id=1, initializer_range=0.15,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    model = GptOssForCausalLM(config).to(torch.bfloat16)
    folder, base = empty(name), empty(f"{name}-base")
    model.save_pretrained(base)
    tidy(base)
    tensors, expected = {}, {}
    for key, weight in load_file(base / "model.safetensors").items():
        if not key.endswith(("experts.gate_up_proj", "experts.down_proj")):
            tensors[key] = weight
            continue
        groups = weight.float().transpose(1, 2).unflatten(-1, (-1, 32))
        exponents = (groups.abs().amax(-1).log2().floor() - 2).clamp(-127, 127)
        codes = (groups / exponents.exp2()[..., None]).unsqueeze(-1).sub(E2M1).abs().argmin(-1).to(torch.uint8)
        blocks, scales = codes[..., 0::2] | codes[..., 1::2] << 4, (exponents + 127).to(torch.uint8)
        tensors[f"{key}_blocks"], tensors[f"{key}_scales"] = blocks, scales
        expected[key] = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).reshape(weight.shape)
    config = json.loads((base / "config.json").read_text())
    write(folder, tensors, {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]})
    (folder / "config.json").write_text(
        json.dumps(config | {"quantization_config": {"quant_method": "mxfp4"}}, indent=1)
    )
    expect(folder, expected)


def made():
    ct, gm, bnb = of_compressed_tensors, of_gptqmodel, of_bitsandbytes
    group = {"strategy": "group", "group_size": 32, "type": "int"}
    yield "ct-w8a8", ct, {"scheme": "W8A8"}
    yield "ct-w4", ct, {"num_bits": 4, "symmetric": True, **group}
    yield "ct-w4-asym", ct, {"num_bits": 4, "symmetric": False, **group}
    yield "ct-w3", ct, {"num_bits": 3, "symmetric": True, **group}
    yield "ct-w8", ct, {"num_bits": 8, "symmetric": True, **group}
    yield "ct-fp8", ct, {"scheme": "FP8_DYNAMIC"}
    yield "ct-fp8-block", ct, {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [32, 16]}
    yield "ct-nvfp4", ct, {"scheme": "NVFP4A16"}
    yield "ct-mxfp4", ct, {"scheme": "MXFP4A16"}
    yield "ct-mxfp8", ct, {"scheme": "MXFP8A16"}
    yield "gptq", gm, {}
    yield "gptq-v2", gm, {"format": "gptq_v2"}
    yield "gptq-desc-act", gm, {"desc_act": True}
    yield "gptq-asym", gm, {"sym": False}
    yield "gptq-3", gm, {"bits": 3}
    yield "gptq-8", gm, {"bits": 8}
    yield "awq", gm, {"method": "awq", "format": "gemm"}
    yield "auto-round", of_auto_round, {"form": "auto_round"}
    yield "bnb-nf4", bnb, {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    yield "bnb-fp4", bnb, {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}
    yield "bnb-nested", bnb, {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    yield "bnb-int8", bnb, {"load_in_8bit": True}
    yield "fp8", of_fp8, {}
    yield "mxfp4", of_mxfp4, {}


if __name__ == "__main__":
    wanted = sys.argv[1:]
    if not BASE.is_dir():
        save_base()
    for name, make, settings in made():
        if not wanted or name in wanted:
            make(name, **settings)
    os._exit(0)  # GPTQModel's threads never end
