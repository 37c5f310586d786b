"""SmolLM2 in each format that the tools here can make, judged by the command: exit, seconds and memory.

`python -m benchmarks.quantized_folders PLACE [NAMES] [OPTIONS]`, in the environment that tests/data/formats/make.py
says how to make. NAMES are those of its folders; without them all are made, below PLACE, and what cannot be made says
why. A pair is judged by files, weights and internals, or as the command's OPTIONS say; claims that are not supported
are named.
"""

import importlib.util
import shutil
import sys
import time
from pathlib import Path
from types import ModuleType

import torch
from tabulate import tabulate
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.two_folders import compared
from depthgauge.checks.inputs import texts
from depthgauge.formats.folder import least_bits
from depthgauge_testbeds.smollm2 import SMOLLM2

MAKE = Path(__file__).parents[1] / "tests" / "data" / "formats" / "make.py"
LONGEST = 120  # characters of what a tool says


def tools(base: Path, place: Path) -> ModuleType:
    """What makes folders, of another model and elsewhere; what it expects of them is for its own."""
    spec = importlib.util.spec_from_file_location("make", MAKE)
    assert spec is not None and spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    make.BASE, make.HERE = base, place
    make.TEXTS = [text.text for text in texts.texts()]  # GPTQ fits its rounding to these
    make.expect = lambda folder, weights: None
    make.run = lambda model: {}
    return make


def main() -> None:
    place = Path(sys.argv[1]).resolve()
    wanted = [word for word in sys.argv[2:] if not word.startswith("--")]
    options = [word for word in sys.argv[2:] if word.startswith("--")] or ["--last-stage=internals"]
    base = place / "smollm2"
    AutoModelForCausalLM.from_pretrained(SMOLLM2.base, dtype=torch.bfloat16).save_pretrained(base)
    AutoTokenizer.from_pretrained(SMOLLM2.base).save_pretrained(base)
    rows = []
    for name, make, settings in tools(base, place).made():
        if (wanted and name not in wanted) or name == "mxfp4":  # of gpt-oss alone
            continue
        began = time.monotonic()
        try:
            make(name, **settings)
        except Exception as error:  # each tool has its own
            rows.append((name, "-", "-", f"{type(error).__name__}: {' '.join(str(error).split())[:LONGEST]}"))
            print(*rows[-1], file=sys.stderr, flush=True)
            continue
        for path in base.iterdir():
            if path.name.startswith("tokenizer") or path.suffix == ".jinja":
                shutil.copy(path, place / name)
        made = time.monotonic() - began
        judged, _, verdicts = compared(base, place / name, *options).partition(": ")
        others = [verdict.strip() for verdict in verdicts.split("; ") if " SUPPORTED" not in verdict]
        rows.append((name, f"{least_bits(place / name):g}", f"{made:.0f}", "; ".join([judged, *others])))
        print(*rows[-1], file=sys.stderr, flush=True)
        shutil.rmtree(place / name)
    print(tabulate(rows, headers=("folder", "bits", "made in (s)", "judged"), tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
