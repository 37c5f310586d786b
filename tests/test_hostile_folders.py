"""Checkpoints' folders that bring code and configuration along, judged by the real command: none of it is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bytes import save_byte_model
from tests.test_compare import edited
from tests.watched import opened_in

COMMAND = Path(sys.executable).with_name("depthgauge")
# Each leaves a mark where it is run. The settings name what is run where they are read.
MARKING = "import os, pathlib\npathlib.Path(os.environ['MARK']).touch()\n"
CODE = (
    "conftest.py", "test_evil.py", "evil.py", "numpy.py", "torch.py", "pathlib.py", "json.py", "queue.py",
    "sitecustomize.py", "usercustomize.py", "depthgauge.py",
)  # fmt: skip
SETTINGS = {
    "pytest.ini": "[pytest]\npythonpath = .\naddopts = -p evil --last-stage=files\n",
    ".pytest.ini": "[pytest]\npythonpath = .\naddopts = -p evil\n",
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\naddopts = "-p evil"\n',
    "tox.ini": "[pytest]\npythonpath = .\naddopts = -p evil\n",
    "setup.cfg": "[tool:pytest]\npythonpath = .\naddopts = -p evil\n",
    "matplotlibrc": "backend: module://evil\n",
}


def plant(folder):
    """Fill a folder with what must neither be run nor read."""
    for name in CODE:
        (folder / name).write_text(MARKING)
    for name, text in SETTINGS.items():
        (folder / name).write_text(text)
    return folder


def noisy(baseline, folder, factor=1 + 1e-5):
    return edited(baseline, folder, lambda tensors: [tensor.__imul__(factor) for tensor in tensors.values()])


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    return save_byte_model(tmp_path_factory.mktemp("trusted") / "baseline")


@pytest.fixture
def judge(tmp_path):
    """Run the command; what it printed, and what it opened of the planted files. It must not have left the mark."""

    def run(*words, cwd, planted):
        """Of the folder that one is in, [tool.depthgauge] of pyproject.toml is read, which holds options alone."""
        place = tmp_path / "ours"
        place.mkdir(exist_ok=True)
        options = (f"--store={place / 'store'}", f"--report-dir={place / 'reports'}", "--last-stage=weights")
        environment = os.environ | {"MARK": str(tmp_path / "mark")}
        with opened_in(*planted) as opened:
            done = subprocess.run(
                [COMMAND, *map(str, words), *options], cwd=cwd, env=environment, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
        assert not (tmp_path / "mark").exists(), done.stdout + done.stderr
        assert {path.name for path in opened if path != cwd / "pyproject.toml"} & {*CODE, *SETTINGS} == set()
        assert {path.name for folder in planted for path in folder.iterdir()} & {
            ".pytest_cache",
            "__pycache__",
        } == set()
        return done

    return run


def test_the_planted_files_do_leave_a_mark_where_pytest_is_given_their_folder(baseline, tmp_path):
    candidate = plant(noisy(baseline, tmp_path / "candidate"))
    environment = os.environ | {"MARK": str(tmp_path / "mark")}
    command = [sys.executable, "-m", "pytest", str(candidate), "--collect-only"]
    with opened_in(candidate) as opened:
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)

    assert (tmp_path / "mark").exists() and candidate / "pytest.ini" in opened


def test_a_candidate_with_settings_and_code_is_judged_and_none_of_it_is_used(judge, baseline, tmp_path):
    candidate = plant(noisy(baseline, tmp_path / "candidate"))
    done = judge("compare", baseline, candidate, cwd=tmp_path, planted=[candidate])

    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights-within-margin" in done.stdout  # which its --last-stage=files would have left out


@pytest.mark.heavy
def test_what_lies_in_the_common_parent_of_both_is_not_used(judge, baseline, tmp_path):
    parent = tmp_path / "downloads"
    parent.mkdir()
    candidate, other = noisy(baseline, parent / "candidate"), noisy(baseline, parent / "other", 1 - 1e-5)
    plant(parent)
    done = judge("compare", other, candidate, cwd=parent, planted=[parent, candidate, other])

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.heavy
def test_settings_that_lie_where_one_is_are_said(judge, baseline, tmp_path):
    parent = tmp_path / "downloads"
    parent.mkdir()
    candidate = noisy(baseline, parent / "candidate")
    margin = 'weights-within-margin = { value = 9.0, unit = "share", reason = "ours" }'
    (parent / "pyproject.toml").write_text(
        f"[tool.depthgauge]\nall-stages = true\n[tool.depthgauge.margins]\n{margin}\n"
    )
    done = judge("compare", baseline, candidate, cwd=parent, planted=[candidate])

    assert f"note: settings of {parent / 'pyproject.toml'}: all_stages, margins" in done.stdout


@pytest.mark.heavy
def test_against_an_accepted_reference_the_candidate_is_not_used_either(judge, baseline, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    subprocess.run(
        [COMMAND, "accept", "prod", baseline, "--reason=the first", f"--store={tmp_path / 'store'}"],
        cwd=project, check=True, capture_output=True,
        env={name: value for name, value in os.environ.items() if name != "CI"},
    )  # fmt: skip
    candidate = plant(noisy(baseline, tmp_path / "candidate"))
    done = judge("compare", "prod", candidate, "--expect=equal", cwd=project, planted=[candidate])

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.heavy
def test_every_folder_that_a_shell_made_of_a_pattern_is_judged_and_none_is_a_test_path(judge, baseline, tmp_path):
    folders = [plant(noisy(baseline, tmp_path / f"checkpoint-{step}", 1 + step * 1e-5)) for step in (1, 2, 3)]
    done = judge("compare", baseline, *folders, cwd=tmp_path, planted=folders)

    assert done.returncode == 0, done.stdout + done.stderr
    reports = tmp_path / "ours" / "reports" / "trajectory"
    assert len(list(reports.glob("*/report.json"))) == 3


@pytest.mark.heavy
def test_started_in_a_candidates_folder_nothing_of_it_is_imported(judge, baseline, tmp_path):
    candidate = plant(noisy(baseline, tmp_path / "candidate"))
    done = judge("compare", baseline, ".", cwd=candidate, planted=[candidate])

    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "ours" / "reports").glob("*/weights.png"))  # drawn by what a matplotlibrc would set


@pytest.mark.heavy
def test_workers_that_are_started_in_a_candidates_folder_import_nothing_of_it(judge, baseline, tmp_path):
    candidate = plant(noisy(baseline, tmp_path / "candidate"))
    (tmp_path / "conftest.py").write_text(  # all is handed out, however small
        "from depthgauge.executors.engines import Processes\n\nProcesses.least_s = 0\n"
    )
    options = ("--executor=local", "--workers=2", f"--conftest={tmp_path / 'conftest.py'}")
    done = judge("compare", baseline, ".", *options, cwd=candidate, planted=[candidate])

    assert done.returncode == 0, done.stdout + done.stderr
    assert "handed out (local)" in done.stdout


@pytest.mark.parametrize("word", ["--rootdir=.", "--last-teir=files", "-k", "--ini=x"])
def test_a_word_that_is_not_known_is_one_sentence_and_exit_4(baseline, tmp_path, word):
    done = subprocess.run(
        [COMMAND, "compare", baseline, baseline, word], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 4
    assert word in done.stderr and "Traceback" not in done.stderr
