"""The tool needs no study, no training library and no lm-eval: with these blocked, `compare` gives the same rows."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.bytes import save_byte_model
from tests.processes import ROOT

LIBRARIES = ("trl", "lm_eval", "datasets")
STUDIES = ("depthgauge_methods", "depthgauge_testbeds", "depthgauge_suites")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(scope="module")
def baseline(place):
    return save_byte_model(place / "baseline")


def edited(baseline, folder, edit):
    shutil.copytree(baseline, folder)
    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        tensors[name] = edit(name, tensors[name])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def healthy(baseline, folder):
    edited(baseline, folder, lambda name, tensor: tensor * np.float32(1 + 1e-5))


def broken(baseline, folder):
    edited(baseline, folder, lambda name, tensor: tensor * 0 if "layers.1.mlp." in name else tensor)


def resaved(baseline, folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(baseline, dtype=torch.bfloat16).save_pretrained(folder, max_shard_size="20KB")
    AutoTokenizer.from_pretrained(baseline).save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1


def nudged(baseline, folder):
    draw = np.random.default_rng(0).standard_normal
    edited(baseline, folder, lambda name, tensor: tensor * (1 + 0.02 * draw(tensor.shape, dtype=np.float32)))


def other_tokenizer(_, folder):
    save_byte_model(folder, letters="ab")


@pytest.fixture
def rows_of(place, baseline):
    """Start a comparison of pairs without some packages, each with a store of its own; what came of each pair."""

    def start(store, blocked, names):
        pairs = [f"{baseline}={place / name}" for name in names]
        command = [sys.executable, "-m", "tests.alone", str(place / store), ",".join(blocked), *pairs]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True, env=environment)

    def run(names, *runs):
        started = [start(f"{'-'.join(names)}-{number}", blocked, names) for number, blocked in enumerate(runs)]
        said = [process.communicate()[0] for process in started]
        assert [process.returncode for process in started] == [0] * len(runs)
        found = [json.loads(text) for text in said]
        assert found[0]["loaded"] == []
        return [{pair.rpartition("/")[2]: one for pair, one in each["found"].items()} for each in found]

    return run


@pytest.mark.heavy
def test_compare_of_five_pairs_gives_the_same_rows_without_the_studies_trl_lm_eval_and_datasets(
    place, baseline, rows_of
):
    makers, exits = [healthy, broken, resaved, nudged, other_tokenizer], [0, 1, 0, 1, 21]
    for make in makers:
        shutil.rmtree(place / make.__name__, ignore_errors=True)
        make(baseline, place / make.__name__)
    names = [make.__name__ for make in makers]
    alone, beside = rows_of(names, (*LIBRARIES, *STUDIES), ())

    assert alone == beside
    assert [alone[name]["exit"] for name in names] == exits
    assert all(len(alone[name]["rows"]) >= 14 for name in names)
    assert [row["outcome"] for row in alone["healthy"]["rows"] if row["claim"] == "weights-within-margin"] == [
        "SUPPORTED"
    ]


def test_what_is_blocked_cannot_be_imported():
    code = "import tests.alone as a, sys; sys.meta_path.insert(0, a.Blocker(['json.tool'])); import json.tool"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert "ModuleNotFoundError: No module named 'json.tool': blocked" in done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "import depthgauge",
        "import depthgauge.api",
        "from depthgauge.tasks import item_runner",
        "from depthgauge.core.registry import load_entry_points; load_entry_points()",
        "from depthgauge.history.catalogue import claims_of, suites_in; "
        "[claims_of(m) for p in ('depthgauge.checks', 'depthgauge_suites') for m in suites_in(p)]",
    ],
    ids=["import", "api", "runner", "entry points", "suites"],
)
def test_importing_and_collecting_import_no_torch(statement):
    code = f"{statement}\nimport sys\nprint([n for n in ('torch', 'transformers', *{LIBRARIES}) if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
