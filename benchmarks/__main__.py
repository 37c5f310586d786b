"""All benchmarks, each in a process of its own, into RESULTS.md beside this file: `make bench` runs this."""

import os
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
SECTIONS = (
    "second_pass",
    "noise_trace",
    "weight_deltas",
    "gaussian_weights",
    "head_divergence",
    "head_patching",
    "two_models",
    "modular_step",
)
QUIET = {"PYTHONWARNINGS": "ignore::FutureWarning"}  # of libraries, between the rounds


def main() -> None:
    parts = ["# Benchmarks\n\nRatios within one run of `make bench`; times of different machines say nothing.\n"]
    for name in SECTIONS:
        print(f"benchmark: {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        parts.append(
            subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | QUIET
            ).stdout.strip()
            + "\n"
        )
    RESULTS.write_text("\n".join(parts))
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
