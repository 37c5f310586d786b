"""What a result depends on: only these versions are in its key, and they are looked for before anything is run."""

import importlib.metadata
import re
import tomllib

import pytest

import depthgauge_methods  # noqa: F401  registers them
from depthgauge import METHODS, ItemTask, Method, compare
from depthgauge.checks.inputs import mmlu_dev
from depthgauge.cli import main
from depthgauge.core import installed
from depthgauge.core.errors import UsageError
from depthgauge.core.method import Checkpoint
from depthgauge.core.prompts import DataSet
from depthgauge.core.testbed import LmEvalTask
from depthgauge.measure.context import RunContext
from depthgauge.measure.measuring import key_of
from depthgauge.measure.training import recipe_of
from depthgauge.probes.files import FilesDifference
from depthgauge.probes.sinks import Sinks
from depthgauge.probes.weights import WeightDeltas
from depthgauge.store.folders import Store
from depthgauge.tasks import ItemTaskProbe, LmEvalTaskProbe
from tests.bytes import save_byte_model
from tests.processes import ROOT, refusal, refused
from tests.tiny import choices, tiny_testbed

WITHOUT = """import importlib.metadata
from depthgauge.core import installed
was = installed.version
def version(name):
    if name == {name!r}:
        raise importlib.metadata.PackageNotFoundError(name)
    return was(name)
installed.version = version
"""


@pytest.fixture
def without(monkeypatch):
    """Make a distribution look as if it were not installed."""

    def remove(*names):
        def version(name, was=installed.version):
            if name in names:
                raise importlib.metadata.PackageNotFoundError(name)
            return was(name)

        monkeypatch.setattr(installed, "version", version)

    return remove


@pytest.mark.parametrize(
    "probe, names",
    [
        (ItemTaskProbe(task=ItemTask(name="choices", items=choices)), {"torch", "transformers"}),
        (LmEvalTaskProbe(task=LmEvalTask(name="arc_easy")), {"torch", "transformers", "lm-eval"}),
        (Sinks(passages=("a",)), {"torch", "transformers"}),
        (WeightDeltas(), set()),
        (FilesDifference(), {"transformers"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_key_of_a_measurement_has_the_versions_that_its_probe_requires(probe, names, tiny_base, tmp_path):
    context = RunContext(testbed=tiny_testbed(tiny_base), store=Store(tmp_path, run="test"), tell=print)
    one = Checkpoint(name="base_model", seed=0, folder=tiny_base, fingerprint="", recipe=None)

    assert set(key_of(probe, context, one, one)["versions"]) == names


@pytest.mark.parametrize(
    "name, names",
    [
        ("grpo", {"depthgauge", "torch", "transformers", "trl"}),
        ("grpo_wrong_reward", {"depthgauge", "torch", "transformers", "trl"}),
        ("grokking", {"depthgauge", "torch"}),
        ("shower_student", {"depthgauge", "torch", "zuko"}),
    ],
)
def test_the_key_of_a_training_has_the_versions_that_its_method_requires(name, names, tiny_base):
    assert set(recipe_of(METHODS[name], tiny_testbed(tiny_base), 0, "cpu").versions) == names


def test_no_version_of_trl_is_in_the_key_of_a_method_that_does_not_ask_for_it(tiny_base, without):
    without("trl", "lm-eval", "datasets")
    mine = Method(name="mine", summary="of a user", train=print)

    assert set(recipe_of(mine, tiny_testbed(tiny_base), 0, "cpu").versions) == {"depthgauge", "torch", "transformers"}
    with refused(UsageError, "trl", "pip install 'depthgauge[train]'", code="not-installed"):
        recipe_of(METHODS["grpo"], tiny_testbed(tiny_base), 0, "cpu")


def test_what_is_missing_is_named_with_the_extra_that_brings_it(without):
    without("lm-eval", "datasets", "unsloth")

    with refused(UsageError, "'mine'", "pip install unsloth.", code="not-installed"):
        installed.check_installed(("torch", "unsloth"), "method 'mine'")
    with refused(UsageError, "questions", "lm-eval", "'depthgauge[ev", code="not-installed"):
        mmlu_dev.items()
    with refused(UsageError, "'mine'", "datasets", "depthgauge[eval]", code="not-installed"):
        DataSet(name="mine", prompt="a", answer="b").items()


def test_the_extras_that_are_named_bring_what_is_missing():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {name: {re.match(r"[\w-]+", entry)[0] for entry in entries} for name, entries in extras.items()}

    for distribution, extra in installed.EXTRAS.items():
        assert distribution in brought[extra]


@pytest.mark.parametrize(
    "options, name, sentence",
    [
        (["--method=grpo"], "trl", "method 'grpo' needs trl, which is not installed: pip install 'depthgauge[train]'."),
        (["--method=shower_teacher"], "zuko", "needs zuko, which is not installed: pip install 'depthgauge[flows]'."),
    ],
)
def test_a_method_without_what_it_requires_is_refused_before_anything_is_trained(
    depthgauge, place, options, name, sentence
):
    (place / "without.py").write_text(WITHOUT.format(name=name))
    done = depthgauge(*options, "-p", "without", testbed=None, PYTHONPATH=f"{ROOT}:{place}", store=name)

    assert done.returncode == 4
    assert sentence in refusal(done)
    assert "training" not in done.stdout and "measuring" not in done.stdout


def test_a_task_without_lm_eval_is_refused_before_anything_is_measured(tiny_base, tmp_path, monkeypatch, without):
    without("lm-eval")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "candidate").symlink_to(tiny_base)  # refused before the two are looked at
    told = []
    with refused(UsageError, "'arc_easy'", "lm-eval", "depthgauge[eval]", code="not-installed"):
        compare(tiny_base, tmp_path / "candidate", tasks="arc_easy", tell=told.append)

    assert UsageError.exit_code == 4
    assert not any("measuring" in line for line in told)


def test_a_task_that_is_read_from_a_package_is_refused_before_anything_is_measured(without, tmp_path):
    without("lm-eval", "datasets")
    baseline, candidate = (save_byte_model(tmp_path / name, seed=seed) for seed, name in enumerate("ab"))

    with refused(UsageError, "'mmlu_dev'", "lm-eval", "depthgauge[eval]", code="not-installed"):
        compare(baseline, candidate, tasks="mmlu_dev", store=str(tmp_path / "store"), tell=lambda line: None)
    assert not (tmp_path / "store" / "measurements").exists()


@pytest.mark.parametrize(
    "names, sentence",
    [
        (("base", "nowhere"), "the candidate nowhere is no folder and no method"),
        (("nowhere", "base"), "the baseline nowhere is no folder and no method"),
        (("base", "base"), "the candidate and the baseline are both base: name two that differ"),
        (("", "base"), "the baseline names no checkpoint: give a folder"),
    ],
)
def test_what_compare_was_given_as_words_is_named_as_these(names, sentence, tmp_path, monkeypatch, capsys):
    save_byte_model(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["depthgauge", "compare", *names])

    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    said = told.out + told.err
    assert ended.value.code == 4 and sentence in said and "--checkpoint" not in said
