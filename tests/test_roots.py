"""Plain pytest with the plugin: no settings, conftest.py or test of a checkpoint's folder is read."""

import re
import shutil
import subprocess
import sys

import pytest

from depthgauge.runs.config import OPTIONS
from tests.bytes import save_byte_model
from tests.processes import ROOT, refusal

pytestmark = pytest.mark.full

LEAVES_A_MARK = "import pathlib\npathlib.Path({mark!r}).touch()\n"
SETTINGS = "[pytest]\ncache_dir = {cache}\n"  # read, it shows by the cache that it names


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    save_byte_model(place / "old")
    save_byte_model(place / "new", seed=1)
    return place


@pytest.fixture
def project(models, tmp_path):
    """A project with two checkpoints, of which the candidate holds whatever pytest would read or run."""
    for name in ("old", "new"):
        shutil.copytree(models / name, tmp_path / "models" / name)
    plant(tmp_path / "models" / "new", tmp_path)
    return tmp_path


def plant(folder, project):
    code = LEAVES_A_MARK.format(mark=str(project / "ran"))
    for name in ("conftest.py", "test_new.py", "planted.py"):
        (folder / name).write_text(code + "\n\ndef test_new():\n    pass\n")
    (folder / "pytest.ini").write_text(SETTINGS.format(cache=project / "settings-were-read"))


@pytest.fixture
def run(project):
    def pytest_process(*words, cwd="."):
        line = [sys.executable, "-m", "pytest", *map(str, words), "--last-stage=files", "-k", "tensors or new"]
        return subprocess.run(line, cwd=project / cwd, capture_output=True, text=True, check=False)

    return pytest_process


SUITE = ("--pyargs", "depthgauge.checks")


def traces(project):
    """What was read as settings, run, or written in the checkpoints' folders."""
    found = [name for name in ("ran", "settings-were-read") if (project / name).exists()]
    return found + [str(path) for path in project.rglob("models/**/.*")]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "with workers"])
@pytest.mark.heavy
def test_with_an_equals_sign_nothing_of_the_folder_is_read(workers, run, project):
    done = run(*SUITE, "--baseline=./models/old", "--checkpoint=./models/new", *workers)

    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "same-tensors" in done.stdout and traces(project) == []


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "with workers"])
def test_a_checkpoint_below_the_tests_is_passed_over(workers, run, project):
    """Its folder's name is one that pytest looks into for a conftest.py, too."""
    (project / "models" / "inner").mkdir()
    shutil.move(project / "models" / "new", project / "models" / "inner" / "new")
    (project / "test_ours.py").write_text("def test_ours_is_new():\n    pass\n")
    done = run("--baseline=./models/old", "--checkpoint=./models/inner/new", "-v", *workers)

    assert re.search("test_ours_is_new PASSED|PASSED test_ours.py::test_ours_is_new", done.stdout), done.stdout
    assert "test_new.py" not in done.stdout
    assert traces(project) == []


@pytest.mark.parametrize(
    "words, cwd, sentence",
    [
        (
            ["--baseline", "./models/old", "--checkpoint", "./models/new", *SUITE],
            ".",
            "a checkpoint's folder",
        ),
        (["--baseline=./models/old", "--checkpoint", "./models/new", *SUITE], ".", "a checkpoint's folder"),
        (
            ["--baseline=./models/old", "--checkpoint=./models/new", "./models/new"],
            ".",
            "a path of tests",
        ),
        (
            [
                "--baseline=./models/old",
                "--checkpoint=./models/new",
                "./models/new/test_new.py::test_new",
            ],
            ".",
            "of tests",
        ),
        (["--checkpoint=./models/new", "--rootdir=./models/new", *SUITE], ".", "pytest's root"),
        (
            ["--checkpoint=./models/new", "-c", "./models/new/pytest.ini", *SUITE],
            ".",
            "a checkpoint's folder",
        ),
        (["--checkpoint=./models/old", "--confcutdir=./models/new", *SUITE], ".", "--confcutdir"),
        (["--checkpoint=./models/old", "-o", "cache_dir=models/new/cache", *SUITE], ".", "pytest's cache"),
        (["--baseline=../old", "--checkpoint=.", *SUITE], "models/new", "a checkpoint's folder"),
        (["--baseline=../old", "--checkpoint=../old"], "models/new", "a checkpoint's folder"),
    ],
)
def test_where_pytest_reads_by_a_checkpoint_the_run_ends_before_any_of_it_is_run(words, cwd, sentence, run, project):
    done = run(*words, cwd=cwd)

    assert done.returncode == 4, done.stdout + done.stderr
    assert sentence in refusal(done) and "--checkpoint=NAME" in done.stderr
    assert "ran" not in traces(project) and "test_" not in done.stdout


def test_an_unquoted_pattern_gives_pytest_no_tests(run, project):
    """The shell makes words of it: a value, and then paths of tests."""
    for step in (1, 2, 3):
        shutil.copytree(project / "models" / "new", project / "run" / f"checkpoint-{step}")
    done = run("--baseline=./models/old", "--checkpoint", *sorted((project / "run").iterdir()), *SUITE)

    assert done.returncode == 4 and "a checkpoint's folder" in refusal(done)
    assert "ran" not in traces(project)


@pytest.mark.heavy
def test_settings_above_the_checkpoints_that_are_not_above_the_tests_are_refused(run, project):
    (project / "work").mkdir()
    (project / "models" / "new" / "pytest.ini").unlink()
    (project / "models" / "pytest.ini").write_text(SETTINGS.format(cache=project / "settings-were-read"))
    words = ["--baseline", "../models/old", "--checkpoint", "../models/new", *SUITE]
    by_words = run(*words, cwd="work")
    by_equals = run("--baseline=../models/old", "--checkpoint=../models/new", *SUITE, cwd="work")

    assert by_words.returncode == 4 and "give options their values with '='" in refusal(by_words)
    assert by_equals.returncode in (0, 1) and traces(project) == []


def test_a_folder_that_is_named_is_no_place_for_tests_whatever_it_holds(run, project):
    """As one whose weights are pickled: its files' names do not tell it for a checkpoint's."""
    (project / "models" / "new" / "model.safetensors").rename(project / "models" / "new" / "pytorch_model.bin")
    done = run("--baseline=./models/old", "--checkpoint", "./models/new", *SUITE)

    assert done.returncode == 4 and "models/new, a checkpoint's folder" in refusal(done)
    assert "ran" not in traces(project)


def test_a_conftest_that_pytest_reads_at_once_is_not_read_of_a_checkpoint(run, project):
    """pytest looks into folders called test* below where it starts, before it collects anything."""
    shutil.copytree(project / "models" / "new", project / "test-model")
    done = run("--baseline=./models/old", "--checkpoint=./test-model")

    assert done.returncode == 4 and "test-model, lies in" in refusal(done)
    assert "ran" not in traces(project)


def test_where_no_option_names_a_checkpoint_the_plugin_does_not_interfere(run, project):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "./models/new", "-q"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    assert "ran" in traces(project)


# -- what pages say ---

VALUED = "|".join(option.spelled.removeprefix("--") for option in OPTIONS if not option.flag)
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "action.yml", ".ci/run")),
    *(ROOT / ".github").rglob("*.yml"), *(ROOT / "docs").rglob("*.md"),
]  # fmt: skip
CODE = [
    path for part in ("harness", "methods", "testbeds", "suites", "benchmarks") for path in (ROOT / part).rglob("*.py")
]


def two_words(text, value):
    """Options of pytest that are given a value so; benchmarks have options of their own, some with several values."""
    lines = [line for line in text.splitlines() if "benchmarks." not in line]
    return re.findall(rf"--(?:{VALUED}) {value}\S*", "\n".join(lines))


@pytest.mark.parametrize("pages, value", [(PAGES, r"[^\s|]"), (CODE, r"[A-Z./]")], ids=["pages", "code"])
def test_no_page_gives_an_option_its_value_as_a_word_of_its_own(pages, value):
    found = {str(page.relative_to(ROOT)): two_words(page.read_text(), value) for page in pages}
    assert len(found) > 20
    assert {page: options for page, options in found.items() if options} == {}
