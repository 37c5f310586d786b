"""Every page that tells how to add something, followed word for word in an empty project that has the wheel."""

import json
import re
import shutil
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

from depthgauge_testbeds.pocket import BASE
from tests.processes import ROOT
from tests.wheel import build_wheel, environment, follow, page

pytestmark = pytest.mark.heavy
DECIDED = (0, 1, 20)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    return environment(tmp_path_factory.mktemp("installed") / "env", wheel)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A model, and a copy whose weights carry one per cent of noise: names to fill into a page."""
    folder = tmp_path_factory.mktemp("checkpoints")
    baseline, candidate = (shutil.copytree(BASE, folder / name) for name in ("old", "new"))
    tensors, generator = load_file(candidate / "model.safetensors"), torch.Generator().manual_seed(0)
    for tensor in tensors.values():
        tensor += 0.01 * tensor.std() * torch.randn(tensor.shape, generator=generator)
    save_file(tensors, candidate / "model.safetensors", metadata={"format": "pt"})
    return {"BASELINE": str(baseline), "CANDIDATE": str(candidate), "BASE": str(baseline)}


def followed(name, installed, checkpoints, project, **more):
    found = page(name, **checkpoints)
    follow(found, project)
    for path, text in more.items():
        (project / path.replace("_", ".")).write_text(text)
    done = [installed.run(command, project) for command in found.commands]
    for one in done:
        assert "Traceback" not in one.stdout + one.stderr, one.stdout[-3000:]
    return done


def outcomes(project):
    records = [json.loads(path.read_text()) for path in project.glob("reports/*/report.json")]
    return {row["claim"]: row["outcome"] for record in records for row in record["verdicts"]}


def test_a_probe_is_added_in_one_folder_and_shows_itself(installed, checkpoints, tmp_path):
    (done,) = followed("adding-a-probe.md", installed, checkpoints, tmp_path)
    (report,) = tmp_path.glob("reports/*/report.md")

    assert done.returncode in DECIDED, done.stdout[-3000:]
    assert set(outcomes(tmp_path)) == {"no-more-surprised"}
    assert "## Surprisal" in report.read_text()
    assert (report.parent / "surprisal.png").stat().st_size > 5000


def test_a_testbed_of_ones_own_is_fifteen_lines_and_is_judged_by_what_is_owed_to_its_base(
    installed, checkpoints, tmp_path
):
    *judged, collected = followed("adding-a-testbed.md", installed, checkpoints, tmp_path)
    found = outcomes(tmp_path)
    owed = {"gain-over-base[capitals]", "not-worse-than-base[capitals]", "entropy-not-collapsed-from-base"}

    assert all(one.returncode in DECIDED for one in judged), [one.stdout[-3000:] for one in judged]
    assert owed | {"weights-moved-from-base", "no-layer-out-of-line-from-base"} <= set(found)
    assert {"task-not-worse[capitals]", "weights-within-margin"} <= set(found)
    assert found["weights-moved-from-base"] == found["entropy-not-collapsed-from-base"] == "SUPPORTED"
    assert not any("layer-18" in claim or "grpo" in claim for claim in found)  # the articles', which nobody named
    assert "test_reward_rises[grpo]" in collected.stdout
    assert "test_it_gains_over_the_base[grpo-capitals]" in collected.stdout
    assert len(page("adding-a-testbed.md").files["conftest.py"].strip().splitlines()) <= 15


def test_a_method_is_added_and_trained(installed, checkpoints, tmp_path):
    found = page("adding-a-method.md", **checkpoints)
    follow(found, tmp_path)
    variant, trained = found.commands
    collected = installed.run(variant, tmp_path)
    conftest = tmp_path / "conftest.py"
    conftest.write_text(f"import averaging\n{conftest.read_text()}")
    done = installed.run(trained, tmp_path)

    assert "test_reward_rises[depthscaled_strong]" in collected.stdout
    assert "training shrink (seed 0) on cpu" in done.stdout
    assert set(outcomes(tmp_path)) == {"q-and-o-moved-most", "q-and-o-moved-most-per-weight"}


def test_a_claim_is_added(installed, checkpoints, tmp_path):
    about_method, about_change = followed("adding-a-claim.md", installed, checkpoints, tmp_path)

    assert "test_history_rises_above_base[grpo]" in about_method.stdout
    assert outcomes(tmp_path) == {"weights-nearly-unmoved": "REFUTED"}
    assert about_change.returncode == 1


def test_a_corruption_is_added_and_refutes_a_claim_at_the_dose_that_is_named(installed, checkpoints, tmp_path):
    (done,) = followed("adding-a-corruption.md", installed, checkpoints, tmp_path)
    (row,) = (
        row for path in tmp_path.glob("reports/*/report.json") for row in json.loads(path.read_text())["verdicts"]
    )

    assert done.returncode == 0, done.stdout[-3000:]
    assert (row["outcome"], row["control"], row["control_outcome"]) == ("SUPPORTED", "zero_rows@0.05", "REFUTED")
    assert float(re.match(r"[\d.]+", row["control_reason"])[0]) < 0.5  # of 1, where all rows are gone


def test_a_format_is_added_in_one_module(installed, checkpoints, tmp_path):
    (done,) = followed("adding-a-format.md", installed, checkpoints, tmp_path)

    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout[-3000:]


def test_a_task_is_added_in_one_file(installed, checkpoints, tmp_path):
    (done,) = followed("adding-a-task.md", installed, checkpoints, tmp_path)

    assert done.returncode in DECIDED, done.stdout[-3000:]
    assert set(outcomes(tmp_path)) == {"task-not-worse[units]", "task-not-worse[units_spoken]"}


def test_an_executor_is_added_in_one_file_and_makes_what_is_missing(installed, checkpoints, tmp_path):
    (done,) = followed("adding-an-executor.md", installed, checkpoints, tmp_path)
    found = outcomes(tmp_path)
    idle = (tmp_path / "conftest.py").read_text().replace("*order.command", '"true"')
    (tmp_path / "conftest.py").write_text(idle)
    (command,) = page("adding-an-executor.md", **checkpoints).commands
    lost = installed.run(f"{command} --store=another", tmp_path)

    assert done.returncode in DECIDED, done.stdout[-3000:]
    assert "weights-within-margin" in found
    assert lost.returncode not in (0, 20) and "was lost" in lost.stdout + lost.stderr  # workers that do nothing


def test_an_exporter_is_added_in_one_file_of_a_package(checkpoints, tmp_path):
    own = environment(tmp_path / "env", build_wheel(tmp_path / "wheel"))  # a package is installed into it
    project = tmp_path / "project"
    installing, compared, written, helped = followed("adding-an-exporter.md", own, checkpoints, project)

    assert installing.returncode == written.returncode == helped.returncode == 0, installing.stderr + written.stderr
    assert compared.returncode in DECIDED
    assert "- weights-within-margin: " in (project / "NOTES.md").read_text()
    assert "examples:\n  depthgauge notes" in helped.stdout
    again = own.run("depthgauge notes reports/new/report.json NOTES.md", project)
    assert again.returncode == 4 and "NOTES.md is there already: name a new file" in again.stderr


def test_the_wheel_works_where_the_project_has_folders_of_our_names(installed, checkpoints, tmp_path):
    for name in ("harness", "methods", "suites", "testbeds"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"WHOSE = 'the user of {name}'\n")
    (tmp_path / "test_theirs.py").write_text(
        "import harness, methods, suites, testbeds\n\n\ndef test_theirs():\n    assert 'user' in methods.WHOSE\n"
    )
    theirs = installed.run("python -m pytest test_theirs.py -q", tmp_path)
    ours = installed.run(
        "depthgauge compare {BASELINE} {CANDIDATE} -q --claims=weights-within-margin".format(**checkpoints), tmp_path
    )

    assert theirs.returncode == 0, theirs.stdout
    assert ours.returncode == 0, ours.stdout[-3000:]
    assert outcomes(tmp_path) == {"weights-within-margin": "SUPPORTED"}


def test_the_wheel_holds_every_file_of_the_four_packages_and_none_of_the_tests(tmp_path):
    from zipfile import ZipFile

    names = set(ZipFile(build_wheel(tmp_path)).namelist())
    roots = ["harness", "methods", "suites", "testbeds"]
    tracked = subprocess.run(["git", "ls-files", *roots], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ours = {name.partition("/")[2] for name in tracked.splitlines() if (ROOT / name).is_file()}

    assert ours == {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in ours} == {
        "depthgauge", "depthgauge_methods", "depthgauge_suites", "depthgauge_testbeds"
    }  # fmt: skip
    assert "depthgauge_testbeds/pocket/base/model.safetensors" in ours
