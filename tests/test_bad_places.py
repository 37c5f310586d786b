"""Terminals without UTF-8 or colour, CI without a terminal, and places that cannot be written: never a traceback."""

import ast
import os
import pty
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from depthgauge.core.errors import HarnessError, StoreUnusable, UsageError
from depthgauge.report.folder import report_folder
from depthgauge.report.junit import check_junit
from depthgauge.runs.result import check_reports
from depthgauge.store.folders import check_writable
from tests.bytes import save_byte_model
from tests.processes import ROOT, refused

NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
COMMAND = [sys.executable, "-m", "depthgauge"]


# -- terminals ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models, the second with letters in its name that ASCII and Latin-1 lack."""
    folder = tmp_path_factory.mktemp("models")
    save_byte_model(folder / "base")
    save_byte_model(folder / "nëw-модель", seed=1)
    return folder


def run(folder, *words, **environment):
    known = {name: value for name, value in os.environ.items() if name not in ("PYTHONUTF8", "LC_ALL", "LANG")}
    return subprocess.run(
        [*COMMAND, *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, env=known | environment,
        check=False,
    )  # fmt: skip


@pytest.mark.heavy
@pytest.mark.parametrize("environment", [NO_UTF8, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}])
@pytest.mark.parametrize(
    "words, code",
    [
        (["compare", "base", "nëw-модель", "--last-stage=weights"], 1),
        (["compare", "base", "nëw-модель", "--last-stage=weights", "-q"], 1),
        (["compare", "base", "nëw-модель", "--last-stage=weights", "--dry-run"], 0),
        (["compare", "base", "nö"], 4),
        (["compare", "--help"], 0),
        (["verify", "--help"], 0),
        (["claims"], 0),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_no_terminal_is_too_poor_for_a_command(folder, environment, words, code):
    done = run(folder, *words, **environment)

    assert done.returncode == code, done.stderr[-2000:]
    assert b"Traceback" not in done.stdout + done.stderr and b"Unicode" not in done.stderr
    assert done.stdout or done.stderr


@pytest.mark.heavy
def test_without_a_terminal_there_is_neither_colour_nor_a_live_line_and_on_one_there_are(folder, tmp_path):
    words = ["compare", "base", "nëw-модель", "--last-stage=weights", f"--report-dir={tmp_path}"]
    plain = run(folder, *words, f"--store={tmp_path / 'one'}", CI="true", TERM="dumb")
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *words, f"--store={tmp_path / 'two'}"], cwd=folder, stdout=child, stderr=child, close_fds=True,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(child)
    shown = b""
    try:
        while part := os.read(parent, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    process.wait()

    assert b"\x1b[" not in plain.stdout and b"measuring" in plain.stdout
    assert b"\x1b[" in shown and b"measuring" in shown and "━".encode() in shown


def test_every_text_file_is_opened_as_utf8_whatever_the_locale():
    """Of the packages; a locale's own encoding cannot read what another machine wrote."""
    calls = []
    for package in ("harness", "methods", "suites", "testbeds"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)) if "_text(" in text else ():
                named = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                if named and node.func.attr in ("read_text", "write_text"):
                    calls.append((f"{path}:{node.lineno}", {keyword.arg for keyword in node.keywords}))

    assert len(calls) > 50
    assert [place for place, keywords in calls if "encoding" not in keywords] == []


# -- places that cannot be written ---


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_text("")
    return tmp_path / "file"


PLACES = [lambda file: file, lambda file: file / "below", lambda file: file.parent / ("long" * 80)]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_is_none_is_refused_before_anything_is_measured(file, place):
    where = place(file)
    with refused(StoreUnusable, where, "--report-dir"):
        check_writable(where, "--report-dir")
    with refused(HarnessError, "--junit-xml"):
        check_junit(where / "junit.xml")
    with refused(StoreUnusable, "--report-dir"):
        check_reports(Reporting(where), None)


class Reporting:
    """A session that would write a report."""

    judged = ("new",)

    def __init__(self, reports):
        self.reports = reports


def test_a_report_folder_of_ours_that_can_be_written_no_more_is_refused_before_anything_is_measured():
    with another_user(), TemporaryDirectory() as place:
        own = report_folder(Path(place), "new").make()
        check_reports(Reporting(Path(place)), None)
        own.chmod(0o555)

        with refused(StoreUnusable, own, "--report-dir"):
            check_reports(Reporting(Path(place)), None)
        own.chmod(0o755)


@contextmanager
def another_user():
    """Root may write anywhere: within it, this process is nobody, where it was root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_of_somebody_elses_stays_theirs(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "thesis.md").write_text("mine")

    with refused(UsageError, tmp_path / "new", "--report-dir"):
        check_reports(Reporting(tmp_path), None)


@pytest.mark.parametrize("words", [["compare", "base", "nëw-модель"], ["verify", "grpo"]])
def test_an_unknown_key_of_a_projects_settings_is_one_sentence(tmp_path, words):
    (tmp_path / "pyproject.toml").write_text('[tool.depthgauge]\nlast-stag = "files"\n')
    done = run(tmp_path, *words)

    assert done.returncode == 4 and not done.stdout
    said = done.stderr.decode().splitlines()
    assert len(said) == 1
    assert all(part in said[0] for part in ("last-stag'", "last-stage'", str(tmp_path / "pyproject.toml")))
