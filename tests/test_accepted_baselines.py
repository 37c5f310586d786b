"""Accepted baselines: what is accepted, by whom and why; and the pinned baseline that small losses add up against."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from safetensors.numpy import load_file, save_file

from depthgauge.core.errors import InvalidComparison, UsageError
from depthgauge.core.plain import to_plain
from depthgauge.history.accepted import accept, checkpoint_of, home, path_of, read
from depthgauge.report.folder import report_folder
from depthgauge.sources.folder import fingerprint
from depthgauge.store.folders import Store
from depthgauge_methods.grpo import GRPO
from tests.bytes import save_byte_model
from tests.processes import refused
from tests.reports import write_report_json
from tests.test_report import NOT_TESTABLE, REFUTED, row


def moved(folder, candidate, size):
    """A copy whose every weight is larger by a share."""
    shutil.copytree(folder, candidate)
    tensors = load_file(candidate / "model.safetensors")
    save_file(
        {k: t * (1 + size) for k, t in tensors.items()}, candidate / "model.safetensors", metadata={"format": "pt"}
    )
    return candidate


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    first = save_byte_model(folder / "first")
    return [first, moved(first, folder / "second", 1e-3), moved(first, folder / "third", 2e-3)]


@pytest.fixture
def project(tmp_path, checkpoints):
    for one in checkpoints:
        shutil.copytree(one, tmp_path / one.name)
    return tmp_path


@pytest.fixture
def accepted(project):
    """Accept a checkpoint of the project."""

    def run(checkpoint, reason="it is good", **more):
        store, report = Store(project / ".depthgauge", run="test"), report_of(project, checkpoint)
        return accept(project, "prod", checkpoint, reason, store=store, report=report, **more)

    return run


def report_of(project, checkpoint):
    return project / "reports" / checkpoint.removeprefix("./") / "report.json"


def judged(project, candidate, baseline, pinned=None, code=0, limits=(), not_judged=(), rows=()):
    """The report of a run of one against another, and a pinned baseline, as a run leaves it."""
    folder = project / "reports" / candidate
    folder.mkdir(parents=True, exist_ok=True)
    roles = {"candidate": candidate, "baseline": baseline} | ({"pinned": pinned} if pinned else {})
    checkpoints = {role: (name, fingerprint(project / name)) for role, name in roles.items()}
    options = {"limits": limits, "not_judged": not_judged, "code": code}
    write_report_json(folder / "report.json", rows or [row()], checkpoints=checkpoints, **options)


def test_the_first_accepted_checkpoint_is_the_pinned_one_too(accepted, project):
    found = accepted("./first", "where we start")

    assert found == read(project, "prod")
    assert found.pinned == found.accepted
    assert (found.accepted.checkpoint, found.accepted.reason) == ("./first", "where we start")
    assert found.accepted.fingerprint == fingerprint(project / "first")


def test_later_ones_leave_the_pinned_one_where_it_is_until_it_is_moved(accepted, project):
    first = accepted("first").accepted
    judged(project, "second", "first")
    second = accepted("second")
    judged(project, "third", "second")
    with refused(UsageError, "--baseline"):
        accepted("third")  # against the last one alone
    judged(project, "third", "second", "first")
    third = accepted("third", pin=True)

    assert second.pinned == first and second.accepted.judged["exit_code"] == 0
    assert second.accepted.judged["verdicts"]["science-gain"].startswith("SUPPORTED: 3.25")
    assert third.pinned == third.accepted


@pytest.mark.parametrize(
    "prepare, values",
    [
        (lambda project: None, ["report.json", "--report"]),
        (lambda project: judged(project, "second", "third"), ["--baseline"]),
        (lambda project: judged(project, "second", "first", code=1), ["exit 1:", "--force"]),
        (lambda project: judged(project, "second", "first", code=21), ["exit 21", "--force"]),
        (lambda project: judged(project, "second", "first", code=2), ["exit 2,"]),
        (lambda project: judged(project, "second", "first", limits=["-k weights"]), ["-k weights"]),
        (lambda project: judged(project, "second", "first", not_judged=["it broke"]), ["it broke"]),
    ],
)
def test_only_what_was_judged_against_the_accepted_baseline_and_not_refuted_is_accepted(
    accepted, project, prepare, values
):
    before = accepted("first")
    prepare(project)

    with refused(UsageError, *values):
        accepted("second")
    assert read(project, "prod") == before


def test_what_was_refuted_is_accepted_when_it_is_said_twice(accepted, project):
    accepted("first")
    judged(project, "second", "first", code=1)

    assert accepted("second", "we know", force=True).accepted.judged["exit_code"] == 1


def test_a_claim_that_was_refuted_and_is_not_required_is_accepted_with_force_alone(accepted, project):
    before = accepted("first")
    judged(project, "second", "first", rows=[row(), row(REFUTED, claim="rate", required=False)])

    with refused(UsageError, "--force"):
        accepted("second")
    assert read(project, "prod") == before
    assert accepted("second", force=True).accepted.judged["exit_code"] == 0


def test_the_command_says_which_claims_were_not_testable(accepted, project):
    accepted("first")
    judged(project, "second", "first", rows=[row(), row(NOT_TESTABLE, claim="blind", estimate=None)])
    says, _ = depthgauge(project, "accept", "prod", "second", "--reason=next").communicate()

    assert "not testable, so that nothing is known of it: blind\n" in says
    assert read(project, "prod").accepted.not_testable == ("blind",)


def test_the_command_says_that_a_checkpoint_outside_the_project_is_stored_by_its_absolute_path(
    project, tmp_path_factory
):
    outside = shutil.copytree(project / "first", tmp_path_factory.mktemp("outside") / "first")

    def accept(name, checkpoint):
        command = [sys.executable, "-m", "depthgauge", "accept", name, checkpoint, "--reason=good"]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout.splitlines()

    said, inside = accept("far", str(outside)), accept("near", "first")

    assert read(project, "far").accepted.checkpoint == str(outside)
    assert len(said) == 2 and str(outside) in said[1]
    assert read(project, "near").accepted.checkpoint == "./first" and len(inside) == 1


def test_the_report_on_the_second_checkpoint_of_a_name_is_found(accepted, project):
    """Its folder is not called as the checkpoint is, as another one's report was there before."""
    accepted("first")
    (project / "elsewhere").mkdir()
    report_folder(project / "reports", "second", project / "elsewhere" / "second").make()
    judged(project, "second", "first")
    own = report_folder(project / "reports", "second", project / "second").make()
    (project / "reports" / "second" / "report.json").rename(own / "report.json")
    says, _ = depthgauge(project, "accept", "prod", "second", "--reason=next").communicate()

    assert own.name != "second" and "keep it in git" in says, says


def test_a_file_in_the_place_of_an_accepted_baseline_is_not_replaced(accepted, project):
    path_of(project, "prod").parent.mkdir()
    for text in ("thesis", "{}", '{"name": "prod"}'):
        path_of(project, "prod").write_text(text)
        with refused(UsageError, code="not-accepted"):
            accepted("first")
        assert path_of(project, "prod").read_text() == text


def test_nothing_is_accepted_under_ci_without_a_reason_or_by_a_strange_name(accepted, project, monkeypatch):
    with refused(UsageError, "' '"):
        accepted("first", " ")
    for name in ("../x", GRPO.name):
        with refused(UsageError, f"got '{name}'"):
            accept(project, name, "first", "why", store=Store(project / "s", run="t"), report=project)
    with refused(UsageError, "grpo"):
        accepted(GRPO.name)
    monkeypatch.setenv("CI", "true")
    with refused(UsageError, code="in-ci"):
        accepted("first")
    assert not path_of(project, "prod").exists()


@pytest.mark.parametrize(
    "text, values, code",
    [
        ("{", (), "not-accepted"),
        ('{"schema": 2, "accepted": {}}', (), "not-accepted"),
        ("[]", (), "not-accepted"),
        ('{"schema": 3}', ("schema 3", "reads 2"), None),
    ],
)
def test_a_damaged_or_later_file_is_one_sentence(project, text, values, code):
    path_of(project, "prod").parent.mkdir()
    path_of(project, "prod").write_text(text)

    with refused(UsageError, path_of(project, "prod"), *values, code=code):
        read(project, "prod")


def test_a_folder_that_holds_something_else_by_now_is_refused(accepted, project):
    found = accepted("first")
    shutil.rmtree(project / "first")
    shutil.copytree(project / "second", project / "first")

    with refused(InvalidComparison, code="other-content"):
        checkpoint_of(found.accepted, "prod", store=Store(project / "s", run="t"), project=project)


def test_an_accepted_baseline_is_found_from_a_folder_within_the_project(accepted, project):
    accepted("first")
    inner = project / "inner"
    inner.mkdir()

    assert home(inner, "prod") == home(project, "prod") == project
    assert home(inner, "other") == inner
    judged(project, "second", "first")
    found = accept(
        inner, "prod", "../second", "next", store=Store(project / "s", run="t"),
        report=project / "reports" / "second" / "report.json",
    )  # fmt: skip
    assert found.accepted.checkpoint == "./second" and read(project, "prod") == found


# -- by the commands ---


def depthgauge(project, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "depthgauge", *words], cwd=project, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={name: value for name, value in os.environ.items() if name != "CI"},
    )  # fmt: skip


def whole_run(project, name):
    """Take the limits out of a report: all stages of two models would take minutes."""
    path = project / "reports" / name / "report.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"run": record["run"] | {"limits": []}}))


def outcomes(project, name):
    record = json.loads((project / "reports" / name / "report.json").read_text())
    return {one["claim"]: one["outcome"] for one in record["verdicts"]}


@pytest.mark.heavy
def test_a_run_against_an_accepted_baseline_is_judged_against_the_pinned_one_too(project):
    """Each of two steps moves weights by less than may be; together they do not, and only the pinned baseline shows
    it.
    """
    for name, size in (("second", 0.04), ("third", 0.08)):
        shutil.rmtree(project / name)
        moved(project / "first", project / name, size)
    some = ("--expect=equal", "--last-stage=weights", "-q")
    says = [depthgauge(project, "accept", "prod", "first", "--reason=start").communicate()[0]]
    one = depthgauge(project, "compare", "prod", "second", *some)
    one.communicate()
    whole_run(project, "second")
    says.append(depthgauge(project, "accept", "prod", "second", "--reason=next").communicate()[0])
    other = depthgauge(project, "compare", "prod", "third", *some)
    output, _ = other.communicate()

    assert "which is the pinned baseline; keep it in git" in says[0]
    assert one.returncode == 0 and "weights-within-margin[pinned]" not in outcomes(project, "second")
    assert "beside the pinned baseline of" in says[1], says[1]
    assert other.returncode == 1, output
    found = outcomes(project, "third")
    assert (found["weights-within-margin"], found["weights-within-margin[pinned]"]) == ("SUPPORTED", "REFUTED")
    page = (project / "reports" / "third" / "report.md").read_text()
    assert "Asked in part: --last-stage=weights." in page
    in_part = depthgauge(project, "accept", "prod", "third", "--reason=more").communicate()[0]
    assert "judged a part of the claims (--last-stage=weights)" in in_part and "Traceback" not in in_part
    whole_run(project, "third")
    refused = depthgauge(project, "accept", "prod", "third", "--reason=more").communicate()[0]
    assert "refuted weights-within-margin[pinned]" in refused


@pytest.mark.full
def test_a_candidate_that_is_the_accepted_baseline_itself_is_stale(project):
    depthgauge(project, "accept", "prod", "first", "--reason=start").communicate()
    shutil.copytree(project / "first", project / "again")
    done = depthgauge(project, "compare", "prod", "again")
    output, _ = done.communicate()

    assert done.returncode == 1
    assert "nothing was trained, and --expect=trained blocks what is stale" in output


@pytest.mark.heavy
def test_killed_at_any_moment_an_accept_leaves_the_old_baseline_or_the_new(accepted, project):
    """One by one, and two at once in the end: the file always reads, and the next accept finishes."""
    before = accepted("first")
    judged(project, "second", "first")
    words = ("accept", "prod", "second", "--reason=next")
    began = time.monotonic()
    depthgauge(project, *words).wait()
    seconds, after = time.monotonic() - began, read(project, "prod")
    random.seed(0)
    for _ in range(50):
        path_of(project, "prod").write_text(json.dumps({"schema": 2} | to_plain(before)))
        process = depthgauge(project, *words)
        time.sleep(random.uniform(0.3, 1) * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert read(project, "prod") in (before, after)
    path_of(project, "prod").write_text(json.dumps({"schema": 2} | to_plain(before)))
    both = [depthgauge(project, *words) for _ in range(2)]
    says = [one.communicate()[0] for one in both]

    assert read(project, "prod") == after
    assert sorted(one.returncode for one in both) == [0, 4], says
