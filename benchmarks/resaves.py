"""Whether a model that another version of transformers saved again passes the whole gate, into docs/resaves.md.

Run by `python -m benchmarks.resaves [PLACE]`; versions that are not in PLACE yet are installed there, each apart. A
family's random model is saved by the installed version, opened and saved again by each version, and judged by
`depthgauge compare` up to the tasks. What the fourth version saved is also taken for the baseline. Each comparison is
kept in the store beside them, so that a run goes on where it stopped.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import depthgauge
from benchmarks.families import random_model
from depthgauge.core.errors import HarnessError
from depthgauge.core.result import Outcome
from depthgauge.page.tables import markdown
from tests.bytes import CONTEXT, save_byte_model

TABLE = Path(__file__).parents[1] / "docs" / "resaves.md"
# What is installed beside each version, without its further dependencies: those of the project are of use to all.
VERSIONS = {
    "5.17.0": ("huggingface-hub==1.33.0",),
    "4.57.3": ("huggingface-hub==0.36.2", "tokenizers==0.22.2"),
}
FAMILIES = (
    "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma2", "gemma3_text", "phi3", "olmo2", "gpt2",
    "gpt_neox",
)  # fmt: skip
OF_THE_FOURTH = ("llama", "mixtral", "qwen2", "qwen3", "gemma2", "gpt2")
# Rounded, a random mixture gives tokens to other experts: Mixtral's likeliest token is another one in 7.5 % [1.6, 20]
# of the texts, which is inconclusive at a margin of 10 %.
MIXTURES = ("mixtral", "qwen3_moe")
RESAVE = """
import sys, torch, transformers
folder, into, dtype = sys.argv[1:]
how = {"dtype" if transformers.__version__[0] == "5" else "torch_dtype": getattr(torch, dtype)}
kind = transformers.AutoTokenizer if transformers.__version__[0] == "5" else transformers.PreTrainedTokenizerFast
transformers.AutoModelForCausalLM.from_pretrained(folder, **how).save_pretrained(into)
kind.from_pretrained(folder).save_pretrained(into)
"""
HEAD = """# Saved again by other versions of transformers

Made by `make resaves`. Random models of twelve families are saved, opened and saved again by another version of
transformers in bfloat16, or by the installed one as they are, and judged by `depthgauge compare` as equal, all stages.
What is equal bit for bit needs no claim. Mixtures of experts are saved as they are: rounded, a random one gives tokens
to other experts, and Mixtral's is inconclusive (another likeliest token in 7.5 % [1.6, 20] of the texts, 10 % allowed).
None may be blocked or inconclusive.

"""


class Judged(NamedTuple):
    """How one comparison ended: `held` of the required claims hold, and `untested` could not be tested."""

    family: str
    baseline: str
    candidate: str
    code: int
    held: int
    untested: int
    seconds: float
    said: str


def main() -> int:
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "build/resaves").resolve()
    rows = []
    for row in judged_all(place):
        rows.append(row)
        print(*row[:-1], "" if row.code == 0 else row.said, flush=True)
    wrong = [row for row in rows if row.code]
    headers = [
        "family",
        "baseline saved by",
        "candidate saved by",
        "exit",
        "claims that hold",
        "not testable",
        "seconds",
    ]
    table = [[*map(str, row[:6]), f"{row.seconds:.0f}"] for row in rows]
    summary = f"{len(rows)} comparisons, {len(wrong)} blocked or inconclusive.\n\n"
    TABLE.write_text(HEAD + summary + markdown(headers, table) + "\n")
    return bool(wrong)


def judged_all(place: Path) -> Iterator[Judged]:
    import transformers

    here = transformers.__version__
    for version, beside in VERSIONS.items():
        install(place / f"transformers-{version}", [f"transformers=={version}", *beside])
    for family in FAMILIES:
        base = base_of(family, place / "base")
        for version in (here, *VERSIONS):
            if version.startswith("4.") and family not in OF_THE_FOURTH:
                continue
            again = saved_again(base, place / f"by-{version}", place / f"transformers-{version}")
            yield judged(base, again, family, here, version, place)
            if version.startswith("4."):
                yield judged(again, base, family, version, here, place)


def install(into: Path, packages: list[str]) -> None:
    if not into.is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(into), *packages]
        subprocess.run(command, check=True)


def base_of(family: str, place: Path) -> Path:
    folder = place / family
    if not folder.is_dir():
        save_byte_model(folder)
        (folder / "model.safetensors").unlink()
        context = "n_positions" if family == "gpt2" else "max_position_embeddings"
        fields = {"vocab_size": 257, "eos_token_id": 256, "pad_token_id": 0, "bos_token_id": None, context: CONTEXT}
        random_model(family, **fields).save_pretrained(folder)
    return folder


def saved_again(base: Path, place: Path, library: Path) -> Path:
    """The folder opened and saved by the version that lies in `library`, or by the installed one where none does."""
    folder = place / base.name
    if not folder.is_dir():
        dtype = "bfloat16" if library.is_dir() and base.name not in MIXTURES else "float32"
        env = os.environ | {"PYTHONPATH": str(library), "HF_HUB_OFFLINE": "1"}
        subprocess.run([sys.executable, "-c", RESAVE, str(base), str(folder), dtype], check=True, env=env)
    return folder


def judged(baseline: Path, candidate: Path, family: str, first: str, second: str, place: Path) -> Judged:
    began = time.perf_counter()
    held = untested = 0
    try:
        found = depthgauge.compare(
            str(baseline), str(candidate), expect="equal", store=str(place / "store"), tell=lambda line: None
        )
        code, said = found.exit_code, str(found)
        held = sum(row.required and row.outcome is Outcome.SUPPORTED for row in found.rows)
        untested = sum(row.outcome is Outcome.NOT_TESTABLE for row in found.rows)
    except HarnessError as error:
        code, said = error.exit_code, str(error)
    return Judged(family, first, second, code, held, untested, time.perf_counter() - began, said)


if __name__ == "__main__":
    sys.exit(main())
