"""Every command of every page: the real parsers take it, its names exist, and what works on small models is run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from depthgauge import api
from depthgauge.cli import COMMANDS, parser
from depthgauge.core.claim import Expectation, Stage
from depthgauge.core.registry import EXECUTORS, METHODS, SUITES, TESTBEDS, load_entry_points, modules_of
from depthgauge.runs.cases import claim_of
from tests.bytes import save_byte_model
from tests.processes import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"(?:\$ )?((?:depthgauge|pytest|make|python -m) .*)")
INLINE = re.compile(r"`((?:depthgauge|pytest|make) [^`]*)`")
BESIDE = re.compile(r"\s{2,}.*|\s+#.*")  # what a page says beside a command
FENCE = re.compile(r"\s*```(\w*)")
NOT_SHELL = ("python", "json", "toml")
MANY = 40  # commands in blocks, at least: where they are not seen any more, this test sees nothing


class Written(NamedTuple):
    """A command as a page has it."""

    page: Path
    words: tuple[str, ...]

    def value(self, option: str) -> list[str]:
        """What it gives to an option, by commas; empty where it is not given."""
        given = [word.partition("=")[2] for word in self.words if word.startswith(f"{option}=")]
        return [part for value in given for part in value.split(",")]

    @property
    def text(self) -> str:
        return self.page.read_text(encoding="utf-8")

    @property
    def options(self) -> list[str]:
        return [word.partition("=")[0] for word in self.words if re.match(r"--?[a-z]", word)]

    def __str__(self) -> str:
        return f"{self.page.name}: {' '.join(self.words)}"


def in_blocks() -> Iterator[Written]:
    """The commands of blocks, fenced or indented."""
    for page in PAGES:
        language = None
        for line in page.read_text(encoding="utf-8").splitlines():
            if fence := FENCE.match(line):
                language = fence[1] if language is None else None
            elif (language is not None or line.startswith("    ")) and language not in NOT_SHELL:
                command = COMMAND.fullmatch(line.strip().removesuffix("\\"))
                if command:
                    yield Written(page, tuple(shlex.split(BESIDE.sub("", command[1]))))


def in_sentences() -> Iterator[Written]:
    """Those that a sentence names, whole or not."""
    for page in PAGES:
        for command in INLINE.findall(page.read_text(encoding="utf-8")):
            yield Written(page, tuple(shlex.split(" ".join(command.split()))))


def of(program: str, commands: Iterator[Written]) -> list[Written]:
    return [command for command in commands if command.words[0] == program]


def test_commands_are_seen_at_all():
    assert len(list(in_blocks())) >= MANY and len(of("depthgauge", in_blocks())) >= MANY // 2
    assert {page.page.name for page in in_blocks()} >= {"README.md", "compare.md", "store.md", "cluster.md", "ci.md"}


def is_defined(command: Written, name: str) -> bool:
    """Whether a page that adds something names it in its own code."""
    named = re.search(rf"[\"' ]{re.escape(name)}\b", command.text)
    return command.page.name.startswith("adding-a") and named is not None


@contextmanager
def but_for_help() -> Iterator[None]:
    """Raises: SystemExit, but for the exit of --help."""
    try:
        yield
    except SystemExit as ended:
        if ended.code != 0:
            raise


@pytest.mark.parametrize("command", of("depthgauge", in_blocks()), ids=str)
def test_the_parser_takes_every_command_of_ours(command):
    name = command.words[1]
    if name not in COMMANDS:
        assert is_defined(command, name)  # which tests/test_docs.py runs
        return
    with but_for_help():
        parser(name).parse_args(command.words[1:])


@pytest.mark.parametrize("command", of("depthgauge", in_sentences()), ids=str)
def test_sentences_name_commands_and_options_that_there_are(command, capsys):
    if command.words[1] in ("NAME", "COMMAND") or command.words[1] not in COMMANDS:
        assert command.words[1] in ("NAME", "COMMAND")  # of those that an exporter brings, or any
        return
    with pytest.raises(SystemExit):
        parser(command.words[1]).parse_args([command.words[1], "--help"])
    text = capsys.readouterr().out
    assert [option for option in command.options if not re.search(rf"{option}\b", text)] == []


@pytest.fixture(scope="module")
def pytest_help(tmp_path_factory):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"],
        cwd=tmp_path_factory.mktemp("empty"),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("command", [*of("pytest", in_blocks()), *of("pytest", in_sentences())], ids=str)
def test_pytest_knows_every_option_and_place(command, pytest_help):
    paths = [word for word in command.words[1:] if not word.startswith("-")]
    pairs = zip(command.words, command.words[1:], strict=False)
    values = {value for option, value in pairs if option in ("-k", "-m", "-n")}

    assert [option for option in command.options if not re.search(rf"{option}\b", pytest_help)] == []
    for path in set(paths) - values:
        there = (ROOT / path).exists() or ("--pyargs" in command.words and find_spec(path) is not None)
        assert there or f'title="{path}"' in command.text, path


@pytest.mark.parametrize("command", [*of("make", in_blocks()), *of("make", in_sentences())], ids=str)
def test_make_has_every_target(command):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in command.words[1:] if "=" not in word]

    assert targets and [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
    for word in command.words[1:]:
        assert "=" not in word or f"$({word.partition('=')[0]})" in makefile or f"{word.partition('=')[0]}," in makefile


@pytest.fixture(scope="module")
def known():
    """The values that options of names may have."""
    load_entry_points()
    claims = [claim_of(test) for _, test in api.tests_in((api.CHECKS, *modules_of(tuple(SUITES))))]
    return {
        "--claims": {claim.id for claim in claims}, "--testbed": set(TESTBEDS), "--suites": {*SUITES, "all"},
        "--method": {*METHODS, "all"}, "--expect": set(map(str, Expectation)), "--executor": set(EXECUTORS),
        "--last-stage": {name.lower() for name in Stage.__members__},
    }  # fmt: skip


@pytest.mark.parametrize("command", [*in_blocks(), *in_sentences()], ids=str)
def test_the_claims_methods_and_testbeds_that_a_command_names_are_registered(command, known):
    for option, names in known.items():
        strange = [value for value in command.value(option) if value not in names and not value.isupper()]
        assert [value for value in strange if not is_defined(command, value) and value not in ("mine", "ours")] == []
    ids = {part.partition("=")[0] for part in command.value("--margin")}
    assert ids <= {"TASK", *command.value("--tasks")}


# -- run ---

FOLDERS = (  # all of one content, so that each is measured once
    "CANDIDATE", "quantised", "runs/merged", "run/checkpoint-1", "run/checkpoint-2", "runs/week-23",
    "checkpoints/week-23",
)  # fmt: skip
BASES = ("BASELINE", "base", "org/base", "our/base", "our/model-v1")
RUN = ("README.md", "compare.md", "index.md", "store.md", "ci.md")
LEFT_OUT = ("s3://", "$", "verify mine", "--tasks=gsm8k", "--open", "pytest", "make")  # elsewhere: test_remote, test_ci
DECIDED = (0, 1, 20)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    for names, seed in ((BASES, 0), (FOLDERS, 1)):
        first = save_byte_model(tmp_path_factory.mktemp("model") / "made", seed=seed)
        for name in names:
            shutil.copytree(first, folder / name)
    return folder


def runnable(page: str) -> list[Written]:
    commands = [command for command in of("depthgauge", in_blocks()) if command.page.name == page]
    return [command for command in commands if not any(part in str(command) for part in LEFT_OUT)]


@pytest.mark.heavy
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run_one_after_the_other(page, project):
    commands = runnable(page)
    without_ci = {name: value for name, value in os.environ.items() if name != "CI"}
    shutil.rmtree(project / "baselines", ignore_errors=True)
    for command in commands:
        words = [re.sub(r"^(o\w+/)", r"./\1", word) for word in command.words[1:]]
        force = ["--force"] if words[0] == "accept" else []  # these two differ
        limit = ["--last-stage=weights"] if words[0] == "compare" and words[1] != "prod" else []
        done = subprocess.run(
            [sys.executable, "-m", "depthgauge", *words, *force, *limit], cwd=project, env=without_ci,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        expected = DECIDED if words[0] == "compare" else (0,)
        assert done.returncode in expected, (str(command), done.stdout[-1500:], done.stderr[-1500:])
        assert "Traceback" not in done.stdout + done.stderr

    assert commands
