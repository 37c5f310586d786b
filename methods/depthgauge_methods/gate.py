"""A callback for trainers of transformers and TRL: every checkpoint that is saved is judged, and one may stop it all.

trainer = GRPOTrainer(..., callbacks=[Gate(against="org/base", last_tier="weights")])
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from depthgauge.core.errors import TrainingFailed

BLOCKS, OTHERS = (1, 21), (0, 20)


class Gate(TrainerCallback):  # type: ignore[misc]
    """Judges each saved checkpoint against `baseline` in a process of its own, up to `last_stage`.

    `stops` ends the training after the first that is blocked. `options` are further ones of `depthgauge compare`.
    `exits` holds the exit code of each step that was judged. Of several processes that train together the first judges.
    """

    def __init__(
        self, baseline: str | Path, *, last_stage: str = "internals", stops: bool = True, options: Sequence[str] = ()
    ) -> None:
        self.baseline, self.last_stage, self.stops, self.options = str(baseline), last_stage, stops, tuple(options)
        self.exits: dict[int, int] = {}

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Judge what was saved at this step. Raises: TrainingFailed if it cannot be judged."""
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        code = told_to_all(self.judge(folder) if state.is_world_process_zero else 0)
        self.exits[state.global_step] = code
        if code not in (*BLOCKS, *OTHERS):
            raise TrainingFailed(
                f"the checkpoint {folder} could not be judged against {self.baseline!r} (exit {code}): what is printed "
                "above says why. Training goes on from there when it is fixed."
            )
        if self.stops and code in BLOCKS:
            control.should_training_stop = True
        return control

    def judge(self, folder: Path) -> int:
        """The exit code of a run of its own."""
        command = [
            sys.executable,
            "-P",
            "-m",
            "depthgauge",
            "compare",
            self.baseline,
            str(folder),
            "--expect=trained",
            "-q",
        ]
        return subprocess.call([*command, f"--last-stage={self.last_stage}", *self.options])


def told_to_all(code: int) -> int:
    """The first process's code, in all that train together."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return code
    codes = [code]
    torch.distributed.broadcast_object_list(codes, src=0)
    return codes[0]
