"""Hold the main job to what it promises: the same verdicts when run again, and a base that GRPO can lift.

Run as `verify.py FIRST SECOND GRPO`, three report.json files.
"""

import json
import sys
from pathlib import Path
from typing import Any

LEAST_GAIN_POINTS = 8


def load(path: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(Path(path).read_text())
    return report


def main(first: str, second: str, grpo: str) -> None:
    if load(first)["verdicts"] != load(second)["verdicts"]:
        raise SystemExit("the second run of the main job did not find what the first found")
    [gain] = [row["estimate"] for row in load(grpo)["verdicts"] if row["claim"] == "science-gain-over-base"]
    print(f"science gain of grpo over base: {gain['point']:.1f} [{gain['low']:.1f}, {gain['high']:.1f}] points")
    if gain["point"] < LEAST_GAIN_POINTS or gain["low"] <= 0:
        raise SystemExit(f"the pocket base must leave GRPO at least {LEAST_GAIN_POINTS} points to gain")


if __name__ == "__main__":
    main(*sys.argv[1:])
