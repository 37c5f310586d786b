"""The wheel, built and installed into an empty environment beside the libraries of this one."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ROOT

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Environment:
    """A virtual environment that has the wheel, and nothing of the clone."""

    folder: Path

    def run(self, command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """A command line whose programs are the environment's."""
        program, *arguments = shlex.split(command)
        path = self.folder / "bin" / program
        words = [str(path), *arguments] if path.is_file() else [str(self.python), "-m", program, *arguments]
        return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"


def build_wheel(folder: Path) -> Path:
    """The wheel of this clone, without its dependencies."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("depthgauge-*.whl")
    return wheel


def environment(folder: Path, wheel: Path) -> Environment:
    """The wheel alone in a new environment; the libraries that it needs are seen from where they are installed here."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    here = Environment(folder)
    install = [str(here.python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n")
    return here


@dataclass(frozen=True)
class Page:
    """A page of docs: its files by name, and its commands in their order."""

    files: dict[str, str]
    commands: tuple[str, ...]


def page(name: str, **names: str) -> Page:
    """The page docs/NAME with placeholders such as BASELINE filled in."""
    text = (ROOT / "docs" / name).read_text()
    for placeholder, value in names.items():
        text = re.sub(rf"\b{placeholder}\b", value, text)
    blocks = BLOCK.findall(text)
    files = {title: body for _, title, body in blocks if title}
    consoles = [body for language, _, body in blocks if language == "console"]
    return Page(files, tuple(line.removeprefix("$ ") for body in consoles for line in body.splitlines()))


def follow(found: Page, project: Path) -> None:
    """Write the page's files into an empty project."""
    for name, body in found.files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
