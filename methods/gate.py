"""A callback for trainers of transformers and TRL: every checkpoint that is saved is judged, and one may stop it all.

trainer = GRPOTrainer(..., callbacks=[Gate(against="org/base", last_tier="weights")])
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

BLOCKS = (1, 21)


class Gate(TrainerCallback):  # type: ignore[misc]
    """Judges each saved checkpoint against `against` in a process of its own, up to `last_tier`.

    `stops` ends the training after the first that is blocked. `options` are further ones of `depthgauge compare`.
    `exits` holds the exit code of each step that was judged.
    """

    def __init__(
        self, against: str | Path, *, last_tier: str = "internals", stops: bool = True, options: Sequence[str] = ()
    ) -> None:
        self.against, self.last_tier, self.stops, self.options = str(against), last_tier, stops, tuple(options)
        self.exits: dict[int, int] = {}

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Judge what was saved at this step."""
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        command = [sys.executable, "-m", "depthgauge", "compare", self.against, str(folder), "--expect=trained", "-q"]
        code = subprocess.call([*command, f"--last-tier={self.last_tier}", *self.options])
        self.exits[state.global_step] = code
        if self.stops and code in BLOCKS:
            control.should_training_stop = True
        return control
