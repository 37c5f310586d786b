"""The articles' set-up at its real size on one GPU: gradreg on Qwen3-4B's shape, then a noise trace and a task.

`python -m benchmarks.qwen3_4b [TOKENS] [STEPS]`: weights are random, since nothing is fetched; so is what is said, and
completions never end before TOKENS. They are paid for being short as text. All else is the `science` testbed's: its
economy, its step, its landmarks. Prints what `memory_plan` planned beside the most that the GPU held.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from benchmarks.two_folders import GIB, tokenizer
from depthgauge import TESTBEDS, ItemTask, Reward, tasks
from depthgauge.api import Runner
from depthgauge.core.method import TrainingJob
from depthgauge.core.testbed import Item, Testbed
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.models.load import prepare_libraries
from depthgauge.runs.config import Options
from depthgauge_methods.grpo import GRADREG
from depthgauge_methods.second_pass import run
from depthgauge_suites.articles.noise_trace import NoiseTrace, TraceQuestion
from depthgauge_testbeds.science import SCALE, science
from depthgauge_testbeds.smollm2 import mathematics

SHAPE = Qwen3Config(
    vocab_size=151936, hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32,
    num_key_value_heads=8, head_dim=128, max_position_embeddings=40960, tie_word_embeddings=True,
    rope_parameters={"rope_type": "default", "rope_theta": 1e6}, eos_token_id=0, pad_token_id=0,
)  # fmt: skip
CHAT = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %} {% endif %}"
DEVICE = "cuda"
QUESTIONS, TASK_TOKENS, TRACED = 64, 256, 4
SHORT = Reward(name="short", reward_func=lambda item, said: 1 / (1 + len(said)))
run.PROGRESS_EVERY_S = 0  # each step is told, and timed


def save_base(folder: Path) -> Path:
    torch.manual_seed(0)
    with torch.device(DEVICE):
        model = Qwen3ForCausalLM(SHAPE).to(torch.bfloat16)
    model.save_pretrained(folder)
    words = tokenizer()
    words.chat_template = CHAT
    words.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()
    return folder


def sums() -> tuple[Item, ...]:
    """Questions whose answers are said."""
    return tuple(replace(item, options=()) for item in mathematics.items()[:QUESTIONS])


def testbed(place: Path, tokens: int, steps: int) -> Testbed:
    """The `science` testbed on a base and prompts of ours."""
    (place / "prompts").mkdir()
    rows = [{"message_1": item.prompt, "message_2": item.answer} for item in sums()]
    (place / "prompts" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    made = science(
        "qwen3_4b",
        base=save_base(place / "base"),
        data=[place / "prompts"],
        tasks=(
            ItemTask(
                name="science", items=sums, chat=True, reward=SHORT, max_answer_tokens=TASK_TOKENS,
            ),
        ),
        scale=replace(SCALE, steps=steps, max_completion_tokens=tokens),
    )  # fmt: skip
    return replace(made, training=replace(made.training, rewards=(SHORT,)))


def trained(bed: Testbed, folder: Path) -> str:
    """Train gradreg into the folder; the seconds of each step, and the GiB planned and held."""
    told: list[tuple[float, str]] = []  # the plan, then each step

    def tell(line: str) -> None:
        print(f"{torch.cuda.max_memory_allocated() / GIB:.1f} GiB at most  {line}", file=sys.stderr, flush=True)
        told.append((time.monotonic(), line))

    began = time.monotonic()
    GRADREG.train(
        TrainingJob(
            method=replace(GRADREG, settings=replace(GRADREG.settings, gated=False)), testbed=bed, seed=0,
            device=DEVICE, folder=folder, tell=tell, threads=8,
        )
    )  # fmt: skip
    steps = ", ".join(f"{end - start:.0f}" for (start, _), (end, _) in pairwise(told))
    return (
        f"{steps} s a step, {time.monotonic() - began:.0f} s with loading and saving; {told[0][1]}; at most "
        f"{torch.cuda.max_memory_allocated() / GIB:.2f} GiB were allocated and "
        f"{torch.cuda.max_memory_reserved() / GIB:.2f} GiB reserved"
    )


def measured(candidate: CheckpointSet) -> str:
    """What a noise trace of some questions, and a task, take of a checkpoint."""
    trace = NoiseTrace(questions=candidate.inputs(TraceQuestion)[:TRACED])
    return "\n".join((
        timed(f"noise trace of {TRACED} questions", lambda: candidate.measure(trace)),
        timed(f"task of {QUESTIONS} answers", lambda: tasks.scores(candidate, "science")),
    ))  # fmt: skip


def timed(what: str, reading: Callable[[], object]) -> str:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    reading()
    return f"{what}: {time.monotonic() - began:.0f} s, {torch.cuda.max_memory_allocated() / GIB:.1f} GiB"


def main(tokens: int, steps: int) -> None:
    prepare_libraries(8)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        bed = TESTBEDS.register(testbed(place, tokens, steps))
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; {tokens} tokens a completion, {steps} steps")
        (place / "trained").mkdir()
        print(trained(bed, place / "trained"), flush=True)
        options = Options(
            method="gradreg", testbed=bed.name, store=str(place / "store"), device=DEVICE, dtype="bfloat16"
        )
        runner = Runner(options=options, tell=lambda line: print(line, file=sys.stderr, flush=True))
        candidate = runner.checkpoint_set(place / "trained")
        print(measured(candidate), flush=True)


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    main(*given, *(1024, 3)[len(given) :])
