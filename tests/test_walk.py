"""How many files one claim walks through: `benchmarks.walk` counts functions that run, and not what an import runs."""

import re
import subprocess
import sys

import pytest

from benchmarks import walk
from tests.bytes import save_byte_model
from tests.processes import ROOT

MOST_FILES = 81  # of one claim, from the command to its report, as it is today: 40 is what we want


def test_functions_count_and_what_an_import_runs_does_not(tmp_path, monkeypatch):
    (tmp_path / "planted_steps.py").write_text("def used(): ...\n\n\ndef unused(): ...\n")
    registers = "def register(kind):\n    return kind\n\n\n@register\nclass Kind: ...\n"
    (tmp_path / "planted_registry.py").write_text(registers)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(walk, "FOLDERS", (f"{tmp_path}/",))
    monkeypatch.setattr(walk, "ROOT", tmp_path)
    profiler = walk.Walk()

    def command():
        import planted_registry  # noqa: F401
        import planted_steps

        planted_steps.used()

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        command()
    finally:
        sys.setprofile(before)
    assert profiler.files() == {"planted_steps.py": ["used"]}


@pytest.mark.heavy
def test_one_claim_walks_through_no_more_files_than_it_did(tmp_path):
    baseline, candidate = (save_byte_model(tmp_path / name, seed=seed) for seed, name in enumerate("ab"))
    words = ["compare", str(baseline), str(candidate), "--claims=weights-within-margin", "-q"]
    folders = [f"--store={tmp_path / 'store'}", f"--report-dir={tmp_path / 'reports'}"]
    command = [sys.executable, "-m", "benchmarks.walk", *words, *folders]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = re.search(r"^(\d+) files, \d+ functions; exit 1$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    assert int(found[1]) <= MOST_FILES
