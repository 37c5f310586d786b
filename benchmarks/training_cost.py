"""What a second pass costs on a real model: seconds a step and memory, of gradreg against grpo in one run.

`python -m benchmarks.training_cost [STEPS]`, with SmolLM2 brought by `make smollm2`: each method trains in a process of
its own, one after the other and twice, the order reversed; the first step of each is left out. Two steps more under the
profiler tell what all tensors hold at their peak, which is what a plan counts: a process holds more.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median

import psutil

from benchmarks.two_folders import GIB, peak_memory

METHODS = ("grpo", "gradreg")


def train(name: str, steps: int, *, profiled: bool = False) -> None:
    """Child: print the seconds at which each step ended, the memory held before, and the plan."""
    from depthgauge.models.load import prepare_libraries

    prepare_libraries(psutil.cpu_count(logical=False) or 1)
    from depthgauge.core.method import TrainingJob
    from depthgauge_methods.grpo import METHODS as REGISTERED
    from depthgauge_methods.second_pass import run
    from depthgauge_testbeds.smollm2 import SMOLLM2

    run.PROGRESS_EVERY_S = 0
    training = replace(SMOLLM2.training, scale=replace(SMOLLM2.training.scale, steps=steps, save_every_steps=10**6))

    def tell(line: str) -> None:
        print(f"{time.monotonic():.2f} {psutil.Process().memory_info().rss} {line}", flush=True)

    with tempfile.TemporaryDirectory() as folder, peak_of_tensors() if profiled else nullcontext():
        REGISTERED[name].train(
            TrainingJob(
                method=replace(REGISTERED[name], settings=replace(REGISTERED[name].settings, gated=False)),
                testbed=replace(SMOLLM2, training=training), seed=0, device="cpu", folder=Path(folder), tell=tell,
                threads=psutil.cpu_count(logical=False) or 1,
            )
        )  # fmt: skip


@contextmanager
def peak_of_tensors() -> Iterator[None]:
    """Print the most that tensors held at once, in GiB, of all that was allocated within."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        yield
    events = [one for one in profiler.profiler.kineto_results.events() if one.name() == "[memory]"]
    allocated = accumulate(one.nbytes() for one in sorted(events, key=lambda one: one.start_ns()))
    print(f"tensors {max(allocated) / GIB:.2f} GiB", flush=True)


def measured(name: str, steps: int) -> tuple[float, float, str]:
    """Seconds of the median step, GiB at the peak beyond what was held when the model was there, and the plan."""
    command = [sys.executable, "-m", "benchmarks.training_cost", name, str(steps)]
    child = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peak = peak_memory(child)
    lines = [line.split(" ", 2) for line in child.stdout.read().splitlines() if line[:1].isdigit()]
    ends = [float(at) for at, _, said in lines if "step " in said]
    plan = next(said for _, _, said in lines if "planned" in said)
    held = next(int(held) for _, held, said in lines if "planned" in said)
    return median(b - a for a, b in pairwise(ends)), (peak - held) / GIB, plan


def main(steps: int) -> None:
    found = {name: [] for name in METHODS}
    for order in (METHODS, METHODS[::-1]):
        for name in order:
            found[name].append(measured(name, steps))
            seconds, held, plan = found[name][-1]
            print(f"{name}: {seconds:.1f} s a step; {held:.2f} GiB beyond the model; {plan}", flush=True)
    for name in METHODS:
        command = [sys.executable, "-m", "benchmarks.training_cost", name, "2", "profiled"]
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
        print(f"{name}: {said.splitlines()[-1]} at their peak, beside the weights as they were read", flush=True)
    grpo, gradreg = (median(seconds for seconds, _, _ in found[name]) for name in METHODS)
    print(f"gradreg takes {gradreg / grpo:.2f} of grpo's step")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        train(sys.argv[1], int(sys.argv[2]), profiled=len(sys.argv) > 3)
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
