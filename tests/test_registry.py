"""Registries, and the packages that bring methods, testbeds and probes by an entry point."""

import importlib.metadata

import pytest

from depthgauge.core import registry
from depthgauge.core.errors import UsageError
from depthgauge.core.method import Method
from depthgauge.core.registry import Registry, load_entry_points
from tests.processes import ROOT, refusal, refused


def method(name="mine", summary="trains"):
    return Method(name=name, summary=summary)


def test_the_same_thing_twice_is_harmless_and_another_of_its_name_is_refused():
    methods = Registry("method")
    methods.register(method())
    methods.register(method())

    assert list(methods) == ["mine"]
    with refused(UsageError, "'mine'", code="twice"):
        methods.register(method(summary="trains otherwise"))


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all():
    methods = Registry("method")
    for name in ("grpo", "gradreg"):
        methods.register(method(name))

    with refused(UsageError, "'gradrag'", "'gradreg'", "grpo, gradreg"):
        methods["gradrag"]
    with pytest.raises(UsageError, match="Registered: none; import the packages that register some"):
        Registry("method")["grpo"]


def test_a_class_is_registered_by_a_decorator():
    probes = Registry("probe")

    @probes.register
    class Mine:
        name = "mine"

    assert probes["mine"] is Mine


class Entry:
    def __init__(self, name, load):
        self.name, self.value, self.load = name, f"{name}_package", load


def test_an_entry_point_that_raises_is_noted_and_the_others_are_loaded(monkeypatch):
    loaded = []
    entries = [Entry("good", lambda: loaded.append("good")), Entry("bad", lambda: 1 / 0), Entry("also", loaded.clear)]
    monkeypatch.setattr(registry, "BROKEN", {})
    monkeypatch.setattr(registry, "entry_points", lambda group: [one for one in entries if group == "depthgauge"])
    load_entry_points()

    assert loaded == ["good"]
    assert registry.BROKEN == {"bad": "bad_package raises ZeroDivisionError: division by zero"}
    with refused(UsageError, "'bad'", "bad_package", "ZeroDivisionError"):
        Registry("method")["mine"]


def test_what_ships_comes_in_by_entry_points_as_that_of_third_parties():
    ours = {entry.name: entry.value for entry in importlib.metadata.entry_points(group="depthgauge")}

    assert ours == {"methods": "depthgauge_methods", "suites": "depthgauge_suites", "testbeds": "depthgauge_testbeds"}


def distribution(folder, name, code):
    """An installed package, as pip would leave it: a module and the metadata that names its entry point."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[depthgauge]\n{name} = {name}\n")


def test_a_third_party_is_loaded_and_a_broken_one_is_named_and_left_out(depthgauge, tmp_path):
    distribution(tmp_path, "theirs", "from depthgauge import METHODS, Method\n"
                 "METHODS.register(Method(name='their_method', summary='trains'))\n")  # fmt: skip
    distribution(tmp_path, "shattered", "raise ImportError('no such luck')\n")
    here = f"{ROOT}:{tmp_path}"
    unknown = depthgauge("--method=their_metod", store="unused", PYTHONPATH=here)
    known = depthgauge("--method=grpo", "-k", "no_claim_has_this_name", store="unused", PYTHONPATH=here)

    assert unknown.returncode == 4
    assert "unknown method 'their_metod'. Did you mean 'their_method'?" in refusal(unknown)
    assert "Entry point 'shattered' is broken: shattered raises ImportError: no such luck." in refusal(unknown)
    assert known.returncode == 5
    assert (
        "the entry point 'shattered' is broken, and left out: shattered raises ImportError: no such luck"
        in known.stdout
    )
