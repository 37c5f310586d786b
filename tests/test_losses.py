"""Nothing is deleted or replaced that the tool did not write, and nothing is written into a checkpoint's folder."""

import argparse
import json
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from depthgauge import TESTBEDS
from depthgauge.api import compare as compare_two
from depthgauge.cli import main, parser
from depthgauge.cli.arguments import folder as folder_type
from depthgauge.core.errors import UsageError
from depthgauge.core.outside import check_outside, is_checkpoint
from depthgauge.history import unused
from depthgauge.history.gated_runs import FILE, append, check_history
from depthgauge.history.recorded import RecordedOutcomes, write_recorded_outcomes
from depthgauge.record import record_outcomes
from depthgauge.report.card import END, START, write_card
from depthgauge.report.folder import MARK, ReportFolder, report_folder
from depthgauge.report.junit import write_junit
from depthgauge.report.results import write_results
from depthgauge.report.trend import write_trend
from depthgauge.runs.config import OPTIONS
from depthgauge.runs.conftests import load_conftest
from depthgauge.runs.trajectory import judge_trajectory
from depthgauge.store.folders import Store
from tests.bytes import save_byte_model
from tests.processes import refusal, refused
from tests.test_ci import report_of
from tests.test_history import run
from tests.test_report import REFUTED, row
from tests.tiny import tiny_testbed

CHECKS = ("--pyargs", "depthgauge.checks")


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(*words, cwd):
    line = [sys.executable, "-m", "depthgauge", *map(str, words)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def checkpoint(tmp_path):
    """A folder that is a checkpoint's by its files' names."""
    folder = tmp_path / "models" / "new"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "report.md"):
        (folder / name).write_text("{}")
    return folder


# -- numbers ---


def numeric(of: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The options of a command, and of those below it, that take a number."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from numeric(below)
        elif action.type not in (None, str, Path, folder_type):
            yield action


def test_every_number_of_a_command_or_of_pytest_is_checked_as_it_is_read():
    kinds = [(action.option_strings[0], action.type) for action in numeric(parser())]
    kinds += [(f"pytest {option.spelled}", option.kind) for option in OPTIONS if option.kind not in (None, str)]

    assert {"--seeds", "--unused-days", "--most-gib", "pytest --seeds", "pytest --workers"} <= {
        name for name, _ in kinds
    }
    for _, kind in kinds:
        for text in ("-1", "nan", "inf", "three", ""):
            with pytest.raises(ArgumentTypeError, match="must be"):
                kind(text)


@pytest.mark.parametrize("seeds", ["0", "-1", "x", "1.5"])
def test_a_record_of_no_seeds_leaves_the_one_that_is_there(seeds, tmp_path, monkeypatch, capsys):
    name = f"record-of-{tmp_path.name}"
    TESTBEDS.register(replace(tiny_testbed(tmp_path, name=name), recorded_outcomes=tmp_path / "recorded.json"))
    write_recorded_outcomes(
        tmp_path / "recorded.json", RecordedOutcomes(claims={"c": {"grpo": {"0": {"outcome": "REFUTED"}}}})
    )
    before = content(tmp_path)
    monkeypatch.setattr(sys, "argv", ["depthgauge", "record", name, f"--seeds={seeds}"])

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4 and "--seeds: must be" in capsys.readouterr().err
    assert content(tmp_path) == before


@pytest.mark.parametrize("option", ["--unused-days=-1", "--unused-days=nan", "--most-gib=-3"])
def test_a_collection_with_a_number_that_is_none_deletes_nothing(option, tmp_path, capsys):
    Store(tmp_path / "store", run="r").get_or_create(
        "measurements", "a" * 16, lambda place: (place / "x").write_text("")
    )
    before = content(tmp_path / "store")

    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["store", "gc", "--delete", option, f"--store={tmp_path / 'store'}"])
    assert ended.value.code == 4 and "must be" in capsys.readouterr().err
    assert content(tmp_path / "store") == before


# -- folders of reports ---


def test_a_folder_of_somebody_elses_is_neither_deleted_nor_written_into(tmp_path):
    (tmp_path / "trajectory").mkdir()
    (tmp_path / "trajectory" / "thesis.md").write_text("mine")
    judged = []
    folders = [tmp_path / "run" / f"checkpoint-{step}" for step in (1, 2)]

    with refused(UsageError, "trajectory", code="not-ours"):
        judge_trajectory(folders, tmp_path, lambda *given: judged.append(given) or 0)
    assert content(tmp_path) == {"trajectory/thesis.md": b"mine"} and judged == []


def test_a_report_folder_that_is_named_for_reports_takes_the_report_of_its_checkpoint_itself(tmp_path):
    """As each checkpoint of a trajectory has one: no folder of the same name lies within it."""
    own = report_folder(tmp_path / "reports", "new", tmp_path / "new").make()

    assert report_folder(own, "new", tmp_path / "new").path == own
    assert report_folder(own, "other", tmp_path / "other").path == own / "other"


def test_a_trajectory_replaces_its_own_reports_alone(tmp_path):
    """Not what a user put beside them, and not the trajectory of another training."""

    def judge(folder, reports):
        (reports / "told").write_text(str(folder))
        return 0

    def trajectory(training, *steps):
        judge_trajectory([tmp_path / training / f"checkpoint-{step}" for step in steps], tmp_path / "reports", judge)
        return {name for name in content(tmp_path / "reports") if name.endswith("told")}

    first = trajectory("run-1", 1, 2)
    for name in ("notes.txt", "thesis/told"):
        (tmp_path / "reports" / "trajectory" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "reports" / "trajectory" / name).write_text("mine")
    again = trajectory("run-1", 1)
    other = trajectory("run-2", 1)

    assert first == {"trajectory/checkpoint-1/told", "trajectory/checkpoint-2/told"}
    assert again == {"trajectory/checkpoint-1/told", "trajectory/thesis/told"}
    assert other == again | {"run-2--trajectory/checkpoint-1/told"}
    assert (tmp_path / "reports" / "trajectory" / "notes.txt").read_text() == "mine"


def test_two_checkpoints_of_one_name_have_a_report_each_and_the_same_one_is_written_anew(tmp_path):
    reports = tmp_path / "reports"

    def folder(*parts):
        return report_folder(reports, "last", Path(tmp_path, *parts)).make().name

    names = [
        folder("a", "run", "last"),
        folder("b", "run", "last"),
        folder("c", "run", "last"),
        folder("a", "run", "last"),
    ]

    assert names == ["last", "run--last", "c--run--last", "last"]
    assert report_folder(reports, "grpo").make() == report_folder(reports, "grpo").make() == reports / "grpo"


def test_a_project_that_is_moved_keeps_its_folders_of_reports(tmp_path):
    (tmp_path / "here").mkdir()
    report_folder(tmp_path / "here" / "reports", "new", tmp_path / "here" / "new").make()
    (tmp_path / "here").rename(tmp_path / "there")

    found = report_folder(tmp_path / "there" / "reports", "new", tmp_path / "there" / "new")
    assert found.make() == tmp_path / "there" / "reports" / "new"


def test_an_empty_folder_a_file_and_a_link_to_nowhere(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")

    assert (ReportFolder(tmp_path / "empty", "x").make() / MARK).is_file()
    for name in ("file", "link"):
        with refused(UsageError, name, code="not-ours"):
            ReportFolder(tmp_path / name, "x").make()
    with refused(UsageError, code="other-report"):
        ReportFolder(tmp_path / "empty", "y").make()


def test_a_page_of_a_history_does_not_replace_one_that_is_there(tmp_path):
    append(tmp_path / FILE, run(0))
    (tmp_path / "history.md").write_text("of Rome")
    assert write_trend(tmp_path / FILE) == tmp_path / "history" / "history.md"
    assert (tmp_path / "history.md").read_text() == "of Rome"
    (tmp_path / "history" / MARK).unlink()
    with refused(UsageError, "history", code="not-ours"):
        write_trend(tmp_path / FILE)


@pytest.mark.parametrize("text", ['{"event": "login"}\n', "a line\nanother\n", "\x00\n"])
def test_a_history_that_is_somebody_elses_is_not_added_to(text, tmp_path):
    (tmp_path / FILE).write_text(text)
    with refused(UsageError, code="not-ours"):
        append(tmp_path / FILE, run(0))
    assert (tmp_path / FILE).read_text() == text
    (tmp_path / FILE).write_text('{"started": "2026')  # what a kill at the first line leaves
    check_history(tmp_path / FILE)


# -- real runs ---


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models of one name and one that they are compared with, in folders of their own."""
    place = tmp_path_factory.mktemp("models")
    for name, seed in (("old", 0), ("a/new", 1), ("b/new", 2)):
        save_byte_model(place / name, seed=seed)
        (place / name / "report.md").write_text("the lab's own")
    return place


@pytest.fixture
def compare(models):
    def judge(new, *options):
        line = [sys.executable, "-m", "pytest", *CHECKS, "--baseline=./old", f"--checkpoint=./{new}", "-q"]
        line += ["--last-stage=files", "-k", "tensors", "--store=store", *options]
        return subprocess.run(line, cwd=models, capture_output=True, text=True, check=False)

    return judge


@pytest.mark.parametrize(
    "option, value, said",
    [
        ("report_dir", "a", "a/new"),  # the report's folder would be a/new
        ("report_dir", "b/new", "b/new"),
        ("store", "b/new/.depthgauge", "b/new"),
        ("store", "old", "old"),
        ("report_dir", "", "--report-dir="),
        ("store", "", "--store="),
    ],
)
def test_a_run_writes_nothing_into_a_checkpoint_and_says_so_at_once(option, value, said, models):
    before = {name: content(models / name) for name in ("old", "a", "b")}
    told = []
    places = {"store": str(models / "store"), option: str(models / value) if value else ""}

    with refused(UsageError, said):
        compare_two("./old", "./a/new", start=models, project=models, last_stage="files", tell=told.append, **places)
    assert told == []
    assert {name: content(models / name) for name in ("old", "a", "b")} == before


def test_pytest_writes_nothing_into_a_checkpoint_either(compare, models):
    before = content(models / "b")
    done = compare("a/new", "--report-dir=b/new")

    assert done.returncode == 4 and "b/new" in refusal(done) and "tensors" not in done.stdout
    assert content(models / "b") == before


def test_a_report_in_the_way_is_refused_before_anything_is_judged(compare, models):
    (models / "theirs" / "new").mkdir(parents=True)
    (models / "theirs" / "new" / "report.md").write_text("mine")
    done = compare("a/new", "--report-dir=theirs")

    assert done.returncode == 4 and "new was not made by depthgauge" in refusal(done)
    assert content(models / "theirs") == {"new/report.md": b"mine"}


def test_runs_on_two_folders_of_one_name_keep_both_reports(models):
    places = {"start": models, "project": models, "store": str(models / "store"), "report_dir": "reports"}
    said = [
        compare_two("./old", f"./{new}", last_stage="files", claims=["same-tensors"], tell=str, **places)
        for new in ("a/new", "b/new", "a/new")
    ]

    assert [page.parent.name for result in said for page in result.reports] == ["new", "b--new", "new"]
    assert sorted(path.parent.name for path in models.glob("reports/*/report.md")) == ["b--new", "new"]


# -- model cards ---


@pytest.mark.parametrize(
    "text",
    [
        f"Between {START} and {END} stands what is replaced.\n\nMore.",
        f"First `{START}`.\n\nThe rest, and then `{END}`, and {END} again.",
    ],
)
def test_marks_in_prose_are_text(text, tmp_path):
    card = tmp_path / "README.md"
    card.write_text(f"---\nlicense: mit\n---\n{text}\n")
    for _ in range(2):
        write_card(report_of(tmp_path, row()), card)
        assert text in card.read_text() and card.read_text().count("Judged by depthgauge") == 1


@pytest.mark.parametrize(
    "lines",
    [
        [START, "a", END, "between", START, "b", END],
        [END, "between", START],
        [START, "all that follows"],
        ["before", END],
        [START, START, "x", END],
    ],
)
def test_marks_that_do_not_stand_once_each_leave_the_card_as_it_is(lines, tmp_path):
    card = tmp_path / "README.md"
    card.write_text("\n".join(lines))
    with refused(UsageError, code="not-ours"):
        write_card(report_of(tmp_path, row()), card)
    assert card.read_text() == "\n".join(lines)


def test_what_stands_around_the_verdicts_stays_where_it_was(tmp_path):
    card = tmp_path / "README.md"
    card.write_text(f"# Ours\n\n{START}\nold\n{END}\n\n## Licence\n\nMIT\n")
    write_card(report_of(tmp_path, row(REFUTED)), card)
    text = card.read_text()

    assert (
        text.index("# Ours")
        < text.index(START)
        < text.index("**REFUTED**")
        < text.index(END)
        < text.index("## Licence")
    )
    assert text.endswith("MIT\n") and "\nold\n" not in text


def test_what_is_no_markdown_is_no_card(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with refused(UsageError, code="not-markdown"):
        write_card(report_of(tmp_path, row()), tmp_path / "config.json")
    assert (tmp_path / "config.json").read_text() == "{}"


# -- files ---


def test_a_file_of_results_is_written_anew_and_no_other_is_replaced(tmp_path):
    path, report = tmp_path / "results.json", report_of(tmp_path, row())
    write_results(report, path)
    write_results(report_of(tmp_path, row(REFUTED)), path)
    assert "REFUTED" in path.read_text()
    for text in ("thesis", "[1]", json.dumps({"results": {}, "lm_eval_version": "0.4"})):
        path.write_text(text)
        with refused(UsageError, "FILE", code="not-ours"):
            write_results(report, path)
        assert path.read_text() == text


def test_a_file_of_junit_is_written_anew_and_no_other_is_replaced(tmp_path, checkpoint):
    path = tmp_path / "junit.xml"
    write_junit(path, [row()], [])
    write_junit(path, [row(REFUTED)], [])
    assert "REFUTED" in path.read_text()
    for text in ("thesis", "<testsuites/>", '<testsuites><testsuite name="pytest"/></testsuites>'):
        path.write_text(text)
        with refused(UsageError, "--junit-xml", code="not-ours"):
            write_junit(path, [row()], [])
        assert path.read_text() == text
    with refused(UsageError, code="in-checkpoint"):
        write_junit(checkpoint / "junit.xml", [row()], [])


def test_a_file_in_the_way_is_told_before_anything_is_judged(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.xml").write_text("<mine/>")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["depthgauge", "compare", "./nowhere", "./none", "--junit-xml=mine.xml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4 and "mine.xml was not written by depthgauge" in capsys.readouterr().err
    assert (tmp_path / "mine.xml").read_text() == "<mine/>"


def test_a_conftest_of_a_checkpoints_folder_is_not_run(tmp_path, checkpoint):
    (checkpoint / "conftest.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with refused(UsageError, code="in-checkpoint"):
        load_conftest(checkpoint / "conftest.py")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_record_is_not_replaced_and_nothing_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(TESTBEDS, "_items", dict(TESTBEDS._items))
    name, path = f"record-of-{tmp_path.name}", tmp_path / "recorded.json"
    TESTBEDS.register(replace(tiny_testbed(tmp_path, name=name), recorded_outcomes=path))
    path.write_text("accounts")
    with refused(UsageError, code="not-ours"):
        record_outcomes(name, "all", 1, tmp_path / "store")
    assert path.read_text() == "accounts"


def test_a_collection_deletes_no_folder_that_the_store_did_not_make(tmp_path):
    """As where a store is a project's own folder, which has checkpoints and workers of its own."""
    for name in ("checkpoints/step-1", "workers/me", "staging/old"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("mine")
        os.utime(tmp_path / name, (1e9, 1e9))
        os.utime(tmp_path / name / "file", (1e9, 1e9))
    before = content(tmp_path)
    store = Store(tmp_path, run="r")
    unused.collect(store, tmp_path / "r", tmp_path / "r", 0, delete=True)
    unused.collect(store, tmp_path / "r", tmp_path / "r", 30, delete=True, most_gib=1e-12)

    assert content(tmp_path) == before


# -- a checkpoint's folder ---


def test_a_checkpoints_folder_is_told_by_its_files_names(tmp_path, checkpoint):
    assert is_checkpoint(checkpoint) and not is_checkpoint(checkpoint.parent)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "config.json").write_text("{}")

    assert is_checkpoint(tmp_path / "adapter") and not is_checkpoint(tmp_path / "app")
    assert not is_checkpoint(tmp_path / "nowhere")


def test_a_link_into_a_checkpoint_lies_in_it(tmp_path, checkpoint):
    (tmp_path / "link").symlink_to(checkpoint)
    with refused(UsageError, code="in-checkpoint"):
        check_outside(tmp_path / "link" / "deep" / "down", "--store")
    check_outside(checkpoint.parent, "--store")


@pytest.mark.parametrize(
    "words",
    [
        ["store", "ls", "--store=models/new/.depthgauge"],
        ["store", "gc", "--delete", "--store=models/new"],
        ["store", "push", "models/new", "--store=store"],
        ["store", "push", "file://{place}/models/new", "--store=store"],
        ["store", "pull", "elsewhere", "--store=models/new/store"],
        ["fingerprint", "./models/new", "--store=models/new"],
        ["accept", "prod", "./models/new", "--reason=good", "--store=models/new"],
        ["history", "models/new/history.jsonl"],
        ["results", "report.json", "models/new/results.json"],
        ["record", "pocket", "--store=models/new/store"],
    ],
)
def test_no_command_writes_into_a_checkpoint(words, checkpoint, tmp_path, monkeypatch, capsys):
    append(checkpoint / FILE, run(0))
    report_of(tmp_path, row())
    before = content(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(sys, "argv", ["depthgauge", *(word.format(place=tmp_path) for word in words)])

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4 and "into which nothing is written" in capsys.readouterr().err
    assert content(tmp_path) == before


def test_an_accepted_baseline_is_not_written_into_a_checkpoint(models, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(models / "old")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(sys, "argv", ["depthgauge", "accept", "prod", ".", "--reason=good", f"--store={tmp_path}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4 and "into which nothing is written" in capsys.readouterr().err
    assert not (models / "old" / "baselines").exists()


@pytest.mark.parametrize(
    "options, code",
    [
        ({"store": "b/new/.depthgauge"}, "in-checkpoint"),
        ({"report_dir": "a"}, "in-checkpoint"),
        ({"report_dir": "b/new/reports"}, "in-checkpoint"),
        ({"store": ""}, "no-name"),
        ({"report_dir": ""}, "no-name"),
    ],
)
def test_comparing_from_python_writes_nothing_into_a_checkpoint(options, code, models, tmp_path, monkeypatch):
    before = {name: content(models / name) for name in ("old", "a", "b")}
    monkeypatch.chdir(models)
    with refused(UsageError, code=code):
        compare_two("./old", "./a/new", **{"store": tmp_path / "store"} | options)
    assert {name: content(models / name) for name in ("old", "a", "b")} == before


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "old", "new", "--report-dir="],
        ["store", "ls", "--store="],
        ["store", "gc", "--reports="],
        ["record", "pocket", "--store="],
        ["record"],
        ["nothing"],
    ],
)
def test_a_command_line_that_is_not_understood_is_exit_4(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["depthgauge", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4 and "depthgauge" in capsys.readouterr().err
