"""One worker beside two: the same measurements from nothing, by `--executor=local`; the models are trained already.

`python -m benchmarks.workers [--store=DIR]`, some ten minutes. Both runs must end with the same rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.scale import lend
from depthgauge.page.tables import markdown

SUITES = (
    "articles/test_attention",
    "articles/test_capability",
    "circuits/test_circuits",
    "articles/test_entropy",
    "articles/test_noise_trace",
    "articles/test_tokenization",
    "articles/test_weights",
)
METHOD = "depthscaled"


def measured(workers: int, place: Path, trained: Path) -> tuple[float, list[dict[str, object]]]:
    """Seconds, and the verdicts."""
    lend(trained, place / "store" / "checkpoints")
    command = [
        sys.executable,
        "-m",
        "pytest",
        *(f"suites/depthgauge_suites/test_{name}.py" for name in SUITES),
        f"--method={METHOD}",
    ]
    command += ["--executor=local", f"--workers={workers}", f"--store={place / 'store'}", f"--report-dir={place}"]
    began = time.monotonic()
    subprocess.run(command, check=False, stdout=sys.stderr)
    return time.monotonic() - began, json.loads((place / METHOD / "report.json").read_text())["verdicts"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, default=Path(".depthgauge"), metavar="DIR", help="default: %(default)s")
    store = parser.parse_args().store.resolve()
    with tempfile.TemporaryDirectory(dir=store) as place:
        runs = {count: measured(count, Path(place) / str(count), store / "checkpoints") for count in (2, 1)}
        jobs = sum(1 for _ in (Path(place) / "2" / "store" / "measurements").iterdir())
    (two_s, two), (one_s, one) = runs[2], runs[1]
    if one != two:
        sys.exit("two workers ended with other verdicts than one")
    rows = [[str(jobs), f"{one_s:.0f} s", f"{two_s:.0f} s", f"{two_s / one_s:.2f}", str(len(one))]]
    headers = ["measurements", "one worker", "two workers", "ratio", "verdicts, the same"]
    print(f"## Workers (`benchmarks/workers.py`)\n\n{markdown(headers, rows)}")


if __name__ == "__main__":
    main()
