"""How many files of ours one command walks through: those in which a function ran, from the command to its report.

    python -m benchmarks.walk compare BASELINE CANDIDATE --claims=weights-within-margin

runs `depthgauge` with these words in this process, and prints the files with what ran in each. What an import runs is
no step of the walk: the bodies of modules and classes, and the decorators in them that register what is there.
"""

import inspect
import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDERS = tuple(f"{ROOT / name}/" for name in ("harness", "methods", "suites", "testbeds"))
IMPORT = "<frozen importlib._bootstrap>"


class Walk:
    """A profiler that gathers the functions of ours that are called."""

    def __init__(self) -> None:
        self.seen: set[CodeType] = set()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code not in self.seen and is_function_of_ours(code) and not is_within_import(frame):
            self.seen.add(code)

    def files(self) -> dict[str, list[str]]:
        """Names of functions by file, from the root of the project."""
        found = defaultdict(list)
        for code in self.seen:
            found[str(Path(code.co_filename).relative_to(ROOT))].append(code.co_qualname)
        return {name: sorted(found[name]) for name in sorted(found)}


def is_function_of_ours(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_OPTIMIZED) and code.co_filename.startswith(FOLDERS)


def is_within_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == IMPORT:
            return True
        frame = frame.f_back
    return False


def walk(words: list[str]) -> tuple[dict[str, list[str]], int]:
    """The functions that `depthgauge` with these words runs, by file, and its exit code."""
    from depthgauge.cli import main

    profiler = Walk()
    sys.argv = ["depthgauge", *words]
    threading.setprofile(profiler)
    sys.setprofile(profiler)
    try:
        main()
    except SystemExit as end:
        return profiler.files(), int(end.code or 0)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    raise AssertionError("a command ends in its exit code")


if __name__ == "__main__":
    files, code = walk(sys.argv[1:])
    for name, functions in files.items():
        print(f"{name}: {', '.join(functions)}")
    print(f"{len(files)} files, {sum(map(len, files.values()))} functions; exit {code}")
