"""What GRPO's reward comes to on SmolLM2 by learning rate, group size and steps: what the testbed's are held against.

`python -m benchmarks.learning_rate [DEVICE] [SEED ...]`: GRPO alone, and nothing that a claim reads: the mean reward of
training's completions, their entropy, and how often a group's rewards were all the same. Trainings are of 60 steps.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean

from tabulate import tabulate

from depthgauge.core.method import TrainingJob
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.grpo import GRPO
from depthgauge_testbeds.smollm2 import SMOLLM2

RATES, GROUPS, STEPS, WINDOW = (5e-6, 1e-5, 2e-5, 4e-5, 8e-5), (4, 8, 16), 60, 10
HEADERS = (
    "learning rate", "group", "seed", "reward, steps 1-10", "21-30", "51-60", "entropy, 21-30", "51-60", "equal groups"
)  # fmt: skip


def log_of(rate: float, group: int, seed: int, device: str) -> list[dict[str, float]]:
    scale = replace(SMOLLM2.training.scale, steps=STEPS, learning_rate=rate, group_size=group, save_every_steps=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        GRPO.train(
            TrainingJob(
                method=replace(GRPO, settings=replace(GRPO.settings, gated=False)),
                testbed=replace(SMOLLM2, training=replace(SMOLLM2.training, scale=scale)),
                seed=seed, device=device, folder=Path(folder), tell=lambda line: None,
            )
        )  # fmt: skip
        return json.loads((Path(folder) / "training_log.json").read_text())


def row(rate: float, group: int, seed: int, device: str) -> tuple[str | float, ...]:
    log = log_of(rate, group, seed, device)

    def over(name: str, last: int) -> float:
        return mean(step[name] for step in log[last - WINDOW : last])

    same = mean(step["frac_reward_zero_std"] for step in log)
    rewards = [over("reward", last) for last in (WINDOW, 30, STEPS)]
    return (f"{rate:.0e}", group, seed, *rewards, over("entropy", 30), over("entropy", STEPS), same)


def main(device: str, seeds: list[int]) -> None:
    prepare_libraries(2)
    searched = [(rate, SMOLLM2.training.scale.group_size) for rate in RATES]
    searched += [(SMOLLM2.training.scale.learning_rate, group) for group in GROUPS]
    rows = []
    for rate, group in dict.fromkeys(searched):
        for seed in seeds:
            rows.append(row(rate, group, seed, device))
            print(*rows[-1], file=sys.stderr, flush=True)
    print(tabulate(rows, HEADERS, tablefmt="github", floatfmt=".2f", disable_numparse=[0]))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cpu", [int(one) for one in sys.argv[2:]] or [0])
