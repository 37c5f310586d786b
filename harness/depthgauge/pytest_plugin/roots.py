"""Where pytest takes its settings, conftest.py files and tests from: never from a checkpoint's folder.

pytest fixes its root and reads its settings before it loads a plugin, and takes the value of an option that it does not
know yet, written as a word of its own, for a path of tests: where `./x` follows `--checkpoint`, it reads x/pytest.ini.
That cannot be undone; the run is ended here, before a conftest.py or a test is imported. See docs/security.md.
"""

import argparse
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from depthgauge.core.outside import checkpoint_around
from depthgauge.sources.find import folder_named

NAME_CHECKPOINTS = ("checkpoint", "baseline", "base_model")
WAY_OUT = "give options their values with '=', as in --checkpoint=NAME, and run tests that lie elsewhere"


def names_given(words: Sequence[str]) -> list[str]:
    """The names of checkpoints among the words of a command line, which pytest has not parsed yet."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in NAME_CHECKPOINTS:
        option = name.replace("_", "-")
        parser.add_argument(f"--{option}", f"--depthgauge-{option}", dest=name, nargs="?", const="")
    options, _ = parser.parse_known_args(list(map(str, words)))
    return [name for name in vars(options).values() if name]


def check_roots(config: pytest.Config, words: Sequence[str]) -> None:
    """Raises: pytest.UsageError if pytest's root, settings, cache or tests lie in a checkpoint's folder, or its
    settings above one and not above the tests.
    """
    if not names_given(words):
        return
    start, tests = config.invocation_params.dir.resolve(), list(tests_of(config))
    named = {folder_named(name, start) for name in names_given(words)}
    for what, path in (*(("a path of tests", path) for path in tests), *roots_of(config)):
        around = next((parent for parent in (path, *path.parents) if parent in named), None) or checkpoint_around(path)
        if around is not None:
            raise pytest.UsageError(
                f"{what}, {path}, lies in {around}, a checkpoint's folder, which holds neither settings nor tests: "
                f"{WAY_OUT}."
            )
    settings = config.inipath
    if settings is None or config.known_args_namespace.inifilename:
        return
    if not any(path.is_relative_to(settings.parent.resolve()) for path in (start, *tests)):
        raise pytest.UsageError(
            f"pytest has read {settings}, which lies above what an option names, and not above the tests: {WAY_OUT}."
        )


def roots_of(config: pytest.Config) -> Iterator[tuple[str, Path]]:
    """What pytest reads or writes by, beside tests, in words and as paths."""
    yield "pytest's root", config.rootpath.resolve()
    yield "--confcutdir", Path(config.invocation_params.dir, config.known_args_namespace.confcutdir).resolve()
    if config.inipath is not None:
        yield "pytest's settings", config.inipath.resolve()
    if config.pluginmanager.hasplugin("cacheprovider"):
        cache = os.path.expandvars(os.path.expanduser(config.getini("cache_dir")))
        yield "pytest's cache", Path(config.rootpath, cache).resolve()


def tests_of(config: pytest.Config) -> Iterator[Path]:
    """Where tests are looked for: the paths among the arguments, or else those of the settings, or else here. With them
    the folders right below whose conftest.py pytest reads at once.
    """
    start, words = config.invocation_params.dir, config.known_args_namespace.file_or_dir
    paths = [Path(start, word.partition("::")[0]) for word in words]
    if not paths and start == config.rootpath:
        matches = (glob.glob(os.path.join(start, word), recursive=True) for word in config.getini("testpaths"))
        paths = [Path(path) for each in matches for path in each]
    for path in paths or [start]:
        if path.exists():
            yield path.resolve()
            yield from (folder.resolve() for folder in path.glob("test*") if (folder / "conftest.py").is_file())
