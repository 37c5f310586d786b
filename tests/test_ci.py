"""The gate in CI: the action's own shell steps, in an empty project, with a pull request of either kind."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from lm_eval.utils import make_table
from safetensors.numpy import load_file, save_file

from depthgauge.core.errors import UsageError
from depthgauge.core.plain import digest, to_plain
from depthgauge.history.accepted import AcceptedBaseline, AcceptedCheckpoint, path_of
from depthgauge.report.card import write_card
from depthgauge.report.github import annotations, command
from depthgauge.report.outcome import Problem
from depthgauge.report.results import write_results
from depthgauge.report.track import track
from depthgauge.runs.write_report import NO_TEXT
from depthgauge.sources.folder import fingerprint
from depthgauge.store.folders import Store, read_manifest, write_manifest
from depthgauge.store.inventory import entries
from depthgauge.store.measurements import KIND
from tests.bytes import save_byte_model
from tests.github import Comments, Runner, is_run, shell_steps
from tests.processes import ROOT, refused
from tests.reports import write_report_json
from tests.test_report import INCONCLUSIVE, NOT_TESTABLE, REFUTED, row
from tests.wheel import page

ACTION, WORKFLOW = ROOT / "action.yml", ROOT / ".github" / "workflows" / "gate.yml"
SOME_CLAIMS = (
    "--claims=same-tensors,weights-within-margin,next-token-within-margin --all-stages --inconclusive=warn --no-text"
)


def test_the_action_and_all_workflows_are_what_github_reads(tmp_path):
    workflows = [WORKFLOW, WORKFLOW.with_name("tests.yml")]
    for name, text in page("ci.md").files.items():
        if name.endswith(".yml"):
            workflows.append(tmp_path / Path(name).name)
            workflows[-1].write_text(text)

    assert len(workflows) == 4
    for schema, paths in {"github-actions": [ACTION], "github-workflows": workflows}.items():
        check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert not any("pull_request_target" in path.read_text() for path in paths)


def test_every_action_of_others_is_named_by_its_commit():
    """A tag can be moved to other code."""
    texts = [ACTION.read_text(), WORKFLOW.read_text(), *page("ci.md").files.values()]
    used = [name for text in texts for name in re.findall(r"uses: *(\S+)", text) if not name.startswith("./")]
    named = [re.fullmatch(r"(actions/[\w-]+@[0-9a-f]{40}|OWNER/depthgauge(/[\w./-]+)?@COMMIT)", name) for name in used]

    assert len(used) == 8 and all(named), used
    assert "@main" not in (ROOT / "docs" / "ci.md").read_text()


def test_the_token_of_the_hub_is_in_the_environment_of_the_step_that_fetches_alone():
    steps = yaml.safe_load(ACTION.read_text())["runs"]["steps"]
    given = [step["name"] for step in steps if "hf-token" in json.dumps(step)]
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()

    assert given == ["fetch both checkpoints"]
    assert "env" not in job and not any("env" in step for step in job["steps"])
    assert [step["uses"] for step in job["steps"] if "hf-token" in json.dumps(step)] == ["./.depthgauge-action"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """An empty project with a baseline, a healthy successor, and one with a dead MLP."""
    folder = tmp_path_factory.mktemp("models")
    baseline = save_byte_model(folder / "old")
    for name in ("healthy", "broken"):
        shutil.copytree(baseline, folder / name)
        tensors = load_file(folder / name / "model.safetensors")
        for key, tensor in tensors.items():
            tensor *= 0 if name == "broken" and "layers.1.mlp." in key else 1 + 1e-5
        save_file(tensors, folder / name / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def comments():
    return Comments()


@pytest.mark.parametrize("path", [ACTION, WORKFLOW], ids=lambda path: path.name)
def test_every_input_that_is_used_is_declared(path):
    text = path.read_text()
    page = yaml.safe_load(text)
    declared = page.get("inputs") or page[True]["workflow_call"]["inputs"]  # YAML 1.1 reads the key `on` as true

    assert {*re.findall(r"inputs\.([\w-]+)", text)} == {*declared}


@pytest.fixture(scope="module")
def machine(project, comments, tmp_path_factory):
    """The folder of a runner that carried out the install step: in full but for libraries, which are those here."""
    folder = tmp_path_factory.mktemp("machine")
    runner = Runner(folder, project, comments)
    step = next(step for step in shell_steps(ACTION) if step["name"] == "install")
    assert 'pip" install --quiet' in step["run"]
    step = step | {"run": step["run"].replace("install --quiet", "install --quiet --no-deps")}
    done, _ = runner.run(step, {}, {})
    assert done.returncode == 0, done.stderr
    (site,) = folder.glob("depthgauge/lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


@pytest.fixture
def carried_out(project, comments, machine):
    """Carry out the action's other steps on a checkpoint: each step's process by its name."""

    def run(checkpoint, options="", baseline="old", store_key="", **kind):
        runner, done, outputs = Runner(machine, project, comments, **kind), {}, {}
        shutil.rmtree(project / "depthgauge-report", ignore_errors=True)
        runner.summary.unlink(missing_ok=True)
        inputs = {"checkpoint": checkpoint, "baseline": baseline, "options": options, "comment": "true"}
        inputs |= {"hf-token": "", "store-key": store_key}
        failed = False
        for step in shell_steps(ACTION)[1:]:
            if is_run(step, inputs, failed):
                done[step["name"]], found = runner.run(step, inputs, outputs)
                outputs |= found
                failed = failed or done[step["name"]].returncode != 0
        return done, runner

    return run


@pytest.mark.heavy
@pytest.mark.full
def test_a_pull_request_with_a_broken_checkpoint_is_annotated_commented_and_blocked(carried_out, project, comments):
    done, runner = carried_out("broken", SOME_CLAIMS)
    (cases,) = ElementTree.parse(project / "depthgauge-report" / "junit.xml").getroot().iter("testsuite")
    properties = [one for one in cases.iter("property") if one.get("name") == "depthgauge_result"]

    assert done["decide"].returncode == 1, done["judge"].stdout[-3000:]
    assert "::error title=weights-within-margin%3A REFUTED::" in done["judge"].stdout
    assert "layer 1" in next(line for line in done["judge"].stdout.splitlines() if line.startswith("::error"))
    assert "| **weights-within-margin**" in runner.summary.read_text()
    assert "depthgauge: commented." in done["comment"].stdout, done["comment"].stderr
    assert "| **weights-within-margin**" in comments.bodies[-1]
    assert {json.loads(one.get("value"))["outcome"] for one in properties} >= {"REFUTED"}
    assert str(project) not in "".join(one.get("value") for one in properties)


@pytest.mark.heavy
@pytest.mark.full
def test_a_healthy_one_is_accepted_and_the_same_comment_says_so(carried_out, project, comments):
    mark = "<!-- depthgauge: healthy -->"
    others = [f"{mark} a comment of somebody's", *[f"remark {i}" for i in range(120)]]
    comments.bodies[:] = [*others, f"{mark}\nREFUTED"]
    done, _ = carried_out("healthy", SOME_CLAIMS)
    report = (project / "depthgauge-report" / "healthy" / "report.md").read_text()

    assert done["decide"].returncode == 0, done["judge"].stdout[-3000:]
    assert "::error" not in done["judge"].stdout
    assert done["comment"].stdout == "depthgauge: the comment is written anew.\n"
    assert comments.bodies[:-1] == others
    assert comments.bodies[-1].splitlines()[1].startswith("**Accepted: ")
    assert comments.requests[-1][2] == "Bearer secret"
    assert "## Next-token divergence" in report and NO_TEXT in report
    assert "The most changed tokens" not in report


@pytest.mark.full
def test_a_fork_gets_the_summary_alone_and_a_run_that_judged_nothing_says_so(carried_out, project, comments):
    comments.bodies.clear()
    done, runner = carried_out("missing", fork=True)

    assert done["decide"].returncode == 4
    assert "the pull request comes from a fork" in done["comment"].stdout
    assert not comments.bodies
    assert runner.summary.read_text().startswith("Not carried out: the candidate missing is no folder")


@pytest.mark.full
def test_the_action_compares_with_an_accepted_baseline_and_says_where_nothing_has_changed(
    carried_out, project, comments
):
    accepted = AcceptedCheckpoint(
        checkpoint="./old", fingerprint=fingerprint(project / "old"), reason="start", on="2026-11-26"
    )
    path_of(project, "prod").parent.mkdir()
    path_of(project, "prod").write_text(
        json.dumps({"schema": 2} | to_plain(AcceptedBaseline(accepted=accepted, pinned=accepted)))
    )
    shutil.copytree(project / "old", project / "again")
    done, runner = carried_out("again", "--expect=equal", baseline="prod")

    assert done["decide"].returncode == 0, done["judge"].stdout[-3000:]
    assert runner.summary.read_text().startswith("**Accepted: again is prod, bit for bit")
    assert "**Accepted: again is prod, bit for bit" in comments.bodies[-1]


@pytest.mark.full
def test_an_open_quote_among_the_options_fails_before_anything_is_judged(carried_out):
    done, _ = carried_out("healthy", "--no-text --claims='weights")

    assert done["judge"].returncode != 0
    assert "unmatched single quote" in done["judge"].stderr
    assert "decide" not in done


@pytest.mark.heavy
@pytest.mark.full
def test_what_a_checkpoints_files_say_gives_no_command_to_the_log(carried_out, project):
    hostile = shutil.copytree(project / "healthy", project / "hostile")
    config = json.loads((hostile / "config.json").read_text())
    said = {"id2label": {"0": "x\n::stop-commands::t\n##[add-mask]y"}}
    (hostile / "config.json").write_text(json.dumps(config | said))
    done, _ = carried_out("hostile", "--claims=same-configuration --inconclusive=warn")

    assert done["judge"].returncode == 0 and "stop-commands" in done["judge"].stdout
    assert not [line for line in done["judge"].stdout.splitlines() if line.startswith(("::stop", "##["))]


@pytest.fixture(scope="module")
def forged(project, comments, machine):
    """A store in the workspace, as a pull request may bring it, whose numbers say that the broken one is healthy."""
    runner = Runner(machine, project, comments)
    compare = "depthgauge compare old {} --store=.depthgauge --report-dir=theirs " + SOME_CLAIMS

    def judged(name):
        return runner.run({"run": compare.format(name)}, {}, {})[0]

    assert [judged(name).returncode for name in ("healthy", "broken")] == [0, 1]
    store = Store(project / ".depthgauge", run="theirs")
    folders = {entry.key: store.folder(KIND, entry.key) for entry in entries(store, [KIND])}
    for folder in folders.values():
        description = read_manifest(folder).description
        of_healthy = description | {"checkpoint": fingerprint(project / "healthy")}
        if description["checkpoint"] == fingerprint(project / "broken") and digest(of_healthy) in folders:
            for path in folders[digest(of_healthy)].iterdir():
                shutil.copy(path, folder / path.name)
            write_manifest(folder, KIND, description)
    yield lambda: judged("broken")
    shutil.rmtree(project / ".depthgauge")
    shutil.rmtree(project / "theirs")


@pytest.mark.full
@pytest.mark.heavy
def test_measurements_that_a_workspace_brings_have_no_influence(forged, carried_out, machine):
    assert forged().returncode == 0  # whoever judges by that store is deceived
    shutil.rmtree(machine / "depthgauge-store", ignore_errors=True)
    done, _ = carried_out("broken", SOME_CLAIMS)

    assert done["decide"].returncode == 1, done["judge"].stdout[-3000:]
    assert "weights-within-margin%3A REFUTED" in done["judge"].stdout


@pytest.mark.full
@pytest.mark.heavy
def test_what_a_cache_brings_back_is_verified_and_without_the_key_not_believed(forged, carried_out, machine, project):
    """As by a run that somebody else's workflow, without the secret, has kept."""
    shutil.rmtree(machine / "depthgauge-store", ignore_errors=True)
    shutil.copytree(project / ".depthgauge" / KIND, machine / "depthgauge-store" / KIND)
    done, _ = carried_out("broken", SOME_CLAIMS, store_key="a secret")

    assert done["decide"].returncode == 1, done["judge"].stdout[-3000:]
    assert "is not signed, and DEPTHGAUGE_STORE_KEY is set" in done["judge"].stdout
    assert "weights-within-margin%3A REFUTED" in done["judge"].stdout


def run_comment(tmp_path, comments, **environment):
    runner = Runner(tmp_path, tmp_path, comments)
    runner.environment |= {"GITHUB_TOKEN": "secret", **environment}
    (tmp_path / "summary.md").write_text("verdicts")
    step = {"run": f"'{sys.executable}' -m depthgauge comment summary.md"}
    done, _ = runner.run(step, {}, {})
    return done


def test_what_github_refuses_is_one_sentence_with_the_way_out(tmp_path, comments):
    comments.refuses = True
    done = run_comment(tmp_path, comments)
    comments.refuses = False

    assert done.returncode == 4
    assert "give the job the permission 'pull-requests: write'" in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_a_workflow_there_is_nothing_to_comment_on(tmp_path, comments):
    done = run_comment(tmp_path, comments, GITHUB_TOKEN="")

    assert done.returncode == 4
    assert done.stderr.startswith("depthgauge: there is no GITHUB_TOKEN in the environment")


# -- model cards ---


def report_of(folder, *rows):
    return write_report_json(folder / "report.json", rows)


def test_a_card_gets_verdicts_and_tasks_and_keeps_all_else(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("---\nlicense: mit\n---\n# Ours\n\nTrained with care.\n")
    write_card(report_of(tmp_path, row(REFUTED, method="ours")), card)
    write_card(report_of(tmp_path, row(method="ours"), row(INCONCLUSIVE, claim="other", estimate=None)), card)
    found = ModelCard.load(card)
    (result,) = found.data.eval_results

    assert found.data.license == "mit" and found.data.model_name == "ours"
    assert found.text.startswith("# Ours\n\nTrained with care.\n")
    assert (result.metric_type, result.metric_value) == ("points of change", 3.25)
    assert (result.dataset_name, result.dataset_config) == ("science, candidate - base model", "science-gain")
    assert found.text.count("Judged by depthgauge") == 1 and "REFUTED" not in found.text
    assert found.text.count("SUPPORTED") == 1 and "| **other**" in found.text


def test_a_model_without_a_card_gets_one(tmp_path):
    write_card(report_of(tmp_path, row(method="ours")), tmp_path / "README.md")

    assert ModelCard.load(tmp_path / "README.md").data.model_name == "ours"


@pytest.mark.parametrize(
    "report, card, sentence",
    [
        ("{", "", "report.json is no report.json of depthgauge"),
        ('{"verdicts": [{}], "exit_code": 0}', "", "report.json is no report.json of depthgauge"),
        ('{"schema": 3, "verdicts": []}', "", "report.json has schema 3, and this version of depthgauge reads 4"),
        ([], "", "has no verdicts"),
        (None, "---\n: : x\n---\n", "README.md is no model card: fix the YAML"),
    ],
)
def test_what_is_no_report_or_no_card_is_one_sentence(tmp_path, report, card, sentence):
    path = report_of(tmp_path, row())
    if isinstance(report, str):
        path.write_text(report)
    elif report is not None:
        write_report_json(path, report)
    (tmp_path / "README.md").write_text(card)

    with pytest.raises(UsageError, match=sentence):
        write_card(path, tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == card


# -- result files and trackers ---


def test_lm_eval_reads_the_verdicts_as_results_of_its_own(tmp_path):
    rows = [row(), row(INCONCLUSIVE, claim="other", estimate=None)]
    write_results(report_of(tmp_path, *rows), tmp_path / "out" / "results.json")
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    told = make_table(found)
    gain = found["results"]["science-gain"]

    assert gain["points,none"] == 3.25
    assert gain["points_stderr,none"] == pytest.approx((row().estimate.high - row().estimate.low) / 2 / 1.959964)
    assert found["results"]["other"] == {"alias": "other", "verdict,none": "INCONCLUSIVE"}
    assert all(word in told for word in ("science-gain", "SUPPORTED", "3.2500", "INCONCLUSIVE"))


def test_a_tracker_gets_a_table_and_a_figure_for_each_claim(tmp_path):
    report = report_of(tmp_path, row(), row(INCONCLUSIVE, claim="other", estimate=None))
    here = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}
    command = [sys.executable, "-m", "depthgauge", "track", report, "--project", "ours"]
    done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reading = "from trackio.sqlite_storage import SQLiteStorage as all_runs"
    show = f"import json; {reading}; print(json.dumps(all_runs.get_logs('ours', 'depthscaled')))"
    seen = subprocess.run([sys.executable, "-c", show], env=here, capture_output=True, text=True, check=True).stdout
    (logged,) = json.loads(seen)
    told = {line["claim"]: line for line in logged["verdicts"]["_value"]}

    assert "the verdicts were logged to project ours of trackio" in done.stdout
    assert logged["science-gain"] == 3.25 and "other" not in logged
    assert (told["science-gain"]["verdict"], told["science-gain"]["high"]) == ("SUPPORTED", row().estimate.high)
    assert (told["other"]["verdict"], told["other"]["estimate"]) == ("INCONCLUSIVE", None)


def test_a_tracker_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with refused(UsageError, "pip install wandb", code="not-installed"):
        track(report_of(tmp_path, row()), "wandb", "ours")


# -- annotations ---


def test_what_blocks_is_an_error_and_what_is_left_open_a_warning():
    rows = [row(), row(NOT_TESTABLE), row(INCONCLUSIVE), row(REFUTED), row(REFUTED, required=False)]

    lines = list(annotations(rows, [Problem(exit_code=21, message="no such layer")]))

    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning"]
    assert lines[0] == "::error title=not judged::no such layer"


def test_a_reason_can_neither_end_its_command_nor_start_another():
    line = command("error", "a: b, c", "50 %\n::set-env name=X::y\x1b[31m")

    assert line == "::error title=a%3A b%2C c::50 %25 ::set-env name=X::y [31m"
