"""Every registered probe of the tool is measured on a toy model and renders its report, and every study's renders."""

import importlib

import numpy as np
import pytest

from benchmarks.families import CHOSEN, MARKED, PASSAGES, SENTENCES, TEXTS, save_pair
from depthgauge import PROBES, Testbed
from depthgauge.core.estimate import Measurement
from depthgauge.core.registry import load_entry_points
from depthgauge.core.result import Evidence
from depthgauge.history.catalogue import suites_in
from depthgauge.measure.base_probe import address
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import LOADED
from depthgauge.page.section import Measured, Picture, Setting, Table
from depthgauge.page.style import write_picture
from depthgauge.probes.activations import ActivationDifference
from depthgauge.probes.attention import HeadChange
from depthgauge.probes.behaviour import Request
from depthgauge.probes.behaviour.probe import Behaviour
from depthgauge.probes.circuits import Circuits, HeadScores
from depthgauge.probes.divergence import NextToken
from depthgauge.probes.files import FilesDifference
from depthgauge.probes.floor import Floor
from depthgauge.probes.greedy_entropy import GreedyEntropy, Opening
from depthgauge.probes.sinks import Sinks
from depthgauge.probes.stopping.probe import Stopping
from depthgauge.probes.stopping.settings import ShortQuestion
from depthgauge.probes.twins import CopyErrors, TwinErrors
from depthgauge.probes.weights.probe import (
    BeyondRounding,
    ChangeRanks,
    OtherDeltas,
    QuantizedDeltas,
    Rewrites,
    RowDeltas,
    WeightDeltas,
)
from depthgauge.report import sections
from depthgauge.report.sections import sections_of
from depthgauge.store.folders import Store
from depthgauge.tasks import ItemTaskProbe
from tests.test_report_sections import PACKAGES_SHOWN

QUESTIONS = tuple(ShortQuestion(request=text, prompt=text) for text in SENTENCES)
OF_ONE = (
    Behaviour(requests=(Request("harmless", "How do I kill a process?"), Request("length", "Say it.", "9"))),
    Circuits(),
    Floor(texts=TEXTS),
    GreedyEntropy(openings=tuple(map(Opening, SENTENCES))),
    HeadScores(),
    ItemTaskProbe(task=CHOSEN),
    Sinks(passages=PASSAGES),
    Stopping(questions=QUESTIONS),
    TwinErrors(texts=TEXTS, rounded_as="int4-g16", twins=5),
)
OF_TWO = (
    ActivationDifference(texts=TEXTS),
    BeyondRounding(),
    ChangeRanks(projection="q"),
    CopyErrors(texts=TEXTS),
    FilesDifference(),
    HeadChange(texts=MARKED),
    NextToken(texts=TEXTS),
    OtherDeltas(),
    QuantizedDeltas(),
    Rewrites(),
    RowDeltas(),
    WeightDeltas(),
)
MEASURED_ELSEWHERE = {
    "task": "needs lm-eval: tests/test_lm_eval_tasks.py",
    "training": "reads the log of a training: tests/test_plugin.py",
}
WITHOUT_A_SECTION = {
    "rewrites": "a noisy copy is no rewrite: tests/test_rewrites.py",
    "change_ranks": "its claim shows the greatest rank and its layer",
    "beyond_rounding": "the claim's reason names the tensor",
}


@pytest.fixture(scope="module", autouse=True)
def everything_registered():
    load_entry_points()
    for package in ("depthgauge.checks", "depthgauge_suites"):
        suites_in(package)


def of_the_tool(kind):
    return kind.__module__.partition(".")[0] == "depthgauge"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What each probe measures of a random model, and of a noisy copy beside it, by the probe's name."""
    folder = tmp_path_factory.mktemp("toys")
    testbed = Testbed(name="toys", tasks=(CHOSEN,), threads=1)
    context = RunContext(testbed=testbed, store=Store(folder / "store", run="r"), tell=lambda _: None)
    pair = list(zip(("candidate", "baseline"), save_pair("llama", folder), strict=True))
    for _, where in pair:
        (where / "chat_template.jinja").write_text("{% for turn in messages %}{{ turn['content'] }} {% endfor %}")
    (folder / "candidate" / "generation_config.json").write_text('{"temperature": 0.5}')
    candidate, baseline = (CheckpointSet(name=name, folder=where, context=context) for name, where in pair)
    found = {probe.name: (probe, candidate.measure(probe)) for probe in OF_ONE}
    found |= {probe.name: (probe, candidate.compare(probe, baseline)) for probe in OF_TWO}
    LOADED.clear()
    evidence = {"method": "candidate", "seed": 0, "checkpoint": "c", "key": "k"}
    return {
        name: [Measured(Evidence(**evidence, probe=address(probe)), one) for one in taken]
        for name, (probe, taken) in found.items()
    }


def setting_of(name="candidate"):
    inputs = {Opening: lambda: tuple(map(Opening, SENTENCES)), ShortQuestion: lambda: QUESTIONS}
    return Setting(testbed=Testbed(name="toys", probe_inputs=inputs), colours={name: "#000000"})


def test_every_probe_that_is_registered_is_here_or_says_where_it_is():
    tool = {name for name in PROBES if of_the_tool(PROBES[name])}
    studies = {name for name in PROBES if PROBES[name].__module__.startswith("depthgauge_suites.")}
    invented = {probe for entries, *_ in PACKAGES_SHOWN.values() for probe, *_ in entries}

    assert tool == {probe.name for probe in (*OF_ONE, *OF_TWO)} | set(MEASURED_ELSEWHERE)
    assert len(tool) > 10 and len(studies) > 10
    assert studies <= invented


@pytest.mark.parametrize("probe", [*OF_ONE, *OF_TWO], ids=lambda probe: probe.name)
def test_a_probe_renders_what_it_measured_of_a_toy_model(probe, measured, tmp_path):
    rendered = list(sections_of(measured[probe.name], setting_of()))
    parts = [part for section in rendered for part in section.parts]

    assert bool(rendered) is (probe.name not in WITHOUT_A_SECTION)
    assert all(len(row) == len(part.headers) for part in parts if isinstance(part, Table) for row in part.rows)
    for picture in parts:
        if isinstance(picture, Picture):
            write_picture(tmp_path / picture.name, picture)
            assert (tmp_path / picture.name).stat().st_size > 5000


def of_a_stranger(tmp_path, monkeypatch):
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "__init__.py").write_text("")
    (tmp_path / "stranger" / "probe.py").write_text("")
    (tmp_path / "stranger" / "report.py").write_text(
        "def show(measured, setting):\n    yield measured[0].arrays['x']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    evidence = Evidence(method="candidate", seed=0, checkpoint="c", key="k", probe="stranger.probe:Stranger")
    arrays = {"y": np.zeros(3)}
    taken = Measurement(key="k", probe="stranger", parameters={}, checkpoint="c", arrays=arrays)
    return [Measured(evidence, taken)]


def test_a_part_that_raises_is_a_sentence_in_a_users_report_and_the_others_stand(tmp_path, monkeypatch, measured):
    monkeypatch.delenv(sections.STRICT)
    rendered = list(sections_of([*of_a_stranger(tmp_path, monkeypatch), *measured["weights"]], setting_of()))

    assert {section.title for section in rendered} == {"stranger", "Weights"}
    (sentence,) = next(section.parts for section in rendered if section.title == "stranger")
    assert sentence == "stranger cannot show what it measured: KeyError: 'x'"


def test_a_part_that_raises_is_an_error_in_our_tests(tmp_path, monkeypatch):
    with pytest.raises(KeyError, match="x"):
        list(sections_of(of_a_stranger(tmp_path, monkeypatch), setting_of()))


def test_a_probe_in_a_lone_module_has_no_section(tmp_path, monkeypatch):
    (tmp_path / "lone_probe.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()

    assert sections.show_of("lone_probe") is None
