"""A pytest plugin: the articles' set-up on a small model of their architecture and files of their columns."""

import os
from pathlib import Path

from depthgauge import TESTBEDS, ItemTask, MemoryOptions, TrainingScale
from depthgauge_testbeds.science import articles_judge, science

PLACE = Path(os.environ["STAND_IN"])

TESTBEDS.register(
    science(
        "stand_in",
        base=PLACE / "base",
        data=[PLACE / "physics", PLACE / "chemistry"],
        judge=articles_judge(os.environ["STAND_IN_JUDGE"], "m", timeout_s=1, patience_s=60),
        tasks=tuple(
            ItemTask.lm_eval(f"stand_in_{name}", called=name, path=PLACE / "tasks", **sampled)
            for name, sampled in (
                ("science", {}),
                ("history", {"temperature": 0.6, "repeats": 3}),
                ("mathematics", {"temperature": 0.6, "repeats": 3}),
            )
        ),
        scale=TrainingScale(
            steps=8,
            learning_rate=1e-4,
            completions_per_step=16,
            group_size=8,
            max_completion_tokens=6,
            save_every_steps=2,
        ),
        method_settings={"penalty": 0.1},
        memory_options=MemoryOptions(accumulation=2, checkpointing=True),
    )
)
