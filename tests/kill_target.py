"""Train and measure the tiny method, killed with SIGKILL at random moments; prints what each finished round made.

Run as a script: `kill_target.py BASE ROOT KILLS`. The libraries are imported once; each attempt is a fork.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import lm_eval.evaluator
import lm_eval.models.huggingface  # noqa: F401

import depthgauge_methods.second_pass.run  # noqa: F401
from depthgauge import METHODS, tasks
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import prepare_libraries
from depthgauge.probes.greedy_entropy import GreedyEntropy, Opening
from depthgauge.store.folders import Store, write_atomically
from tests.tiny import tiny_testbed

RESULT = "result.json"


def work(base: Path, store: Path) -> None:
    """One attempt: whatever is missing is trained and measured, and the outcome is written last."""
    context = RunContext(
        testbed=tiny_testbed(base, steps=12),
        store=Store(store, run=str(os.getpid())),
        tell=lambda line: None,
    )
    candidate = CheckpointSet.of(METHODS["depthscaled"], (0,), context)
    (trace,) = candidate.measure(GreedyEntropy(openings=candidate.inputs(Opening)))
    outcome = {
        "history": tasks.scores(candidate, "history").values.tolist(),
        "entropy": trace.arrays["entropy_nats"].tolist(),
        "checkpoint": candidate.checkpoints[0].fingerprint,
        "log": (candidate.checkpoints[0].folder / "training_log.json").read_text(),
    }
    write_atomically(store / RESULT, json.dumps(outcome))


def trained(store: Path) -> bool:
    return any((store / "checkpoints").glob("*"))


def attempt(base: Path, store: Path, patience_s: float, *, measuring: bool) -> bool:
    """Let a child work for so long, or so long after its training, then kill it; whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work(base, store)
            os._exit(0)
        finally:
            os._exit(1)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline or (measuring and not trained(store)):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            if status:
                raise SystemExit("an attempt that was not killed failed")
            return False
        if measuring and not trained(store):
            deadline = time.monotonic() + patience_s
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(base: Path, root: Path, kills: int) -> None:
    prepare_libraries(1)
    warnings.simplefilter("ignore")
    rng = random.Random(7)
    killed = {"training": 0, "measuring": 0}
    rounds = 0
    while True:
        store = root / f"round{rounds}"
        left = kills - sum(killed.values())
        # A slow machine would spend every short life training: from half of them on, lives count from the end of that.
        late = killed["training"] >= kills // 2 and left > 0
        if attempt(base, store, rng.uniform(0.05, 2.0) if left > 0 else 600, measuring=late):
            killed["measuring" if trained(store) else "training"] += 1
            continue
        rounds += 1
        if left <= 0:
            break
    outcomes = [json.loads((root / f"round{i}" / RESULT).read_text()) for i in range(rounds)]
    print(json.dumps({"outcomes": outcomes, "killed": killed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
