"""Two folders, one command: seconds and memory of `depthgauge compare` on random models of real shapes.

`python -m benchmarks.two_folders [FOLDER]`: a Llama of 135 M parameters (SmolLM2's shape), or the model in FOLDER,
against a copy with the MLP of layer 12 zeroed and against a copy in shards; and one of 0.5 B (Qwen2.5's shape) in
bfloat16 against a copy with one per cent of noise in one layer, by all stages but the task. A pair whose weights have
moved is judged to the end (--all-stages). Everything is made and removed again.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

import psutil
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from depthgauge.checks.inputs import items, texts

SMALL = LlamaConfig(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, max_position_embeddings=8192, tie_word_embeddings=True,
)  # fmt: skip
LARGE = LlamaConfig(
    vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
    num_key_value_heads=2, max_position_embeddings=8192, tie_word_embeddings=True,
)  # fmt: skip
FAULT, NOISE = 12, 0.01
WITHOUT_TASK = ("-k", "not task")  # some 27,000 tokens for each of three models, on weights that know nothing
GIB = 2**30


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes in pairs and triples, learnt from the texts that the suite reads: about as many tokens as a large one's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000, special_tokens=["<end>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator([*(one.text for one in texts.texts()), *(one.prompt for one in items.items())], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", pad_token="<end>")


def save_random(folder: Path, config: LlamaConfig, dtype: torch.dtype) -> Path:
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(dtype).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def zeroed(baseline: Path, candidate: Path, layer: int = FAULT) -> Path:
    shutil.copytree(baseline, candidate)
    tensors = load_file(candidate / "model.safetensors")
    for name in tensors:
        if f"layers.{layer}.mlp." in name:
            tensors[name].zero_()
    save_file(tensors, candidate / "model.safetensors", metadata={"format": "pt"})
    return candidate


def noisy(baseline: Path, candidate: Path, layer: int = FAULT) -> Path:
    shutil.copytree(baseline, candidate)
    tensors = load_file(candidate / "model.safetensors")
    for name, tensor in tensors.items():
        if f"layers.{layer}." in name and tensor.ndim > 1:
            tensor += NOISE * tensor.float().std() * torch.randn(tensor.shape).to(tensor.dtype)
    save_file(tensors, candidate / "model.safetensors", metadata={"format": "pt"})
    return candidate


def sharded(baseline: Path, candidate: Path) -> Path:
    AutoModelForCausalLM.from_pretrained(baseline, dtype="auto").save_pretrained(candidate, max_shard_size="100MB")
    AutoTokenizer.from_pretrained(baseline).save_pretrained(candidate)
    return candidate


def compared(baseline: Path, candidate: Path, *options: str) -> str:
    """One cold run of the command: exit, seconds, the most memory, and the verdicts."""
    place = candidate.parent
    command = [sys.executable, "-P", "-m", "depthgauge", "compare", str(baseline), str(candidate), "-q", *options]
    began = time.monotonic()
    child = psutil.Popen(command, cwd=place, stdout=subprocess.DEVNULL)
    most = peak_memory(child)
    seconds, report = time.monotonic() - began, place / "reports" / candidate.name / "report.json"
    rows = json.loads(report.read_text())["verdicts"] if report.is_file() else []
    shutil.rmtree(place / ".depthgauge", ignore_errors=True)
    verdicts = "; ".join(f"{row['claim']} {row['outcome']} {(row['estimate'] or {}).get('where', '')}" for row in rows)
    return f"exit {child.returncode}, {seconds:.0f} s, {most / GIB:.1f} GiB: {verdicts or 'stopped at once'}"


def peak_memory(child: psutil.Popen) -> int:
    """The most that a process and its children held at once, in bytes; returns when it ends."""
    most, ended = [0], Event()

    def watch() -> None:
        while not ended.wait(0.2):
            try:
                family = [child, *child.children(recursive=True)]
                most.append(sum(one.memory_info().rss for one in family))
            except psutil.NoSuchProcess:
                continue

    watcher = Thread(target=watch)
    watcher.start()
    child.wait()
    ended.set()
    watcher.join()
    return max(most)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
        baseline = given or save_random(place / "baseline", SMALL, torch.float32)
        print(
            f"MLP of layer {FAULT} zeroed: {compared(baseline, zeroed(baseline, place / 'zeroed'), '--all-stages')}",
            flush=True,
        )
        print(f"the same in shards: {compared(baseline, sharded(baseline, place / 'shards'))}", flush=True)
        if given is None:
            large = save_random(place / "large", LARGE, torch.bfloat16)
            shaken = noisy(large, place / "shaken")
            print(f"0.5 B in bfloat16: {compared(large, shaken, '--dtype=bfloat16', *WITHOUT_TASK)}", flush=True)


if __name__ == "__main__":
    main()
