"""The console command: its options, its settings from a project's pyproject.toml, and how it tells of progress."""

import subprocess
import sys

import pytest

from depthgauge.api import compare
from depthgauge.cli import main, parser
from depthgauge.cli.progress import EVERY_S, Bar, Log, shown
from depthgauge.core.claim import Margin
from depthgauge.core.errors import UsageError
from depthgauge.core.steps import counted, heard_by
from depthgauge.runs.config import ABOUT_METHODS, OPTIONS, options_from
from depthgauge.runs.conftests import load_conftest
from tests.bytes import save_byte_model
from tests.processes import refused


def help_of(command, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args([command, "--help"])
    return capsys.readouterr().out


def test_the_help_of_compare_has_every_option_that_it_takes_and_examples(capsys):
    text = help_of("compare", capsys)
    of_methods = {*ABOUT_METHODS, "checkpoint", "baseline"}

    assert not [option.spelled for option in OPTIONS if option.name not in of_methods and option.spelled not in text]
    assert text.count("  depthgauge compare ") >= 3


def test_the_version_is_that_of_the_distribution(capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit) as done:
        parser().parse_args(["--version"])
    assert done.value.code == 0 and capsys.readouterr().out.split() == ["depthgauge", version("depthgauge")]


# -- [tool.depthgauge] ---


def options_in(folder, text, **given):
    (folder / "pyproject.toml").write_text(text)
    return options_from({"start": folder, "baseline": "a", "checkpoint": "b"} | given)


def test_a_projects_settings_are_defaults_that_the_command_line_overrides(tmp_path):
    text = '[tool.depthgauge]\nlast-stage = "weights"\ntasks = ["x", "y"]\nall-stages = true\nworkers = 3\n'
    found = options_in(tmp_path, text, last_stage="files")

    assert (found.last_stage, found.tasks, found.all_stages, found.workers) == ("files", "x,y", True, 3)


def test_settings_about_methods_do_not_disturb_a_comparison(tmp_path):
    text = "[tool.depthgauge]\nseeds = 3\n"

    assert options_in(tmp_path, text).seeds is None
    assert options_in(tmp_path, text, baseline=None, method="grpo").seeds == 3


def test_margins_may_stand_in_the_settings(tmp_path):
    text = '[tool.depthgauge.margins]\nweights-within-margin = {value = 0.2, unit = "share", reason = "merges"}\n'

    assert options_in(tmp_path, text).margins == {"weights-within-margin": Margin(0.2, "share", "merges")}


@pytest.mark.parametrize(
    "text, parts",
    [
        ("[tool.depthgauge]\nexpct = 'trained'", ("expct", "expect")),
        ("[tool.depthgauge]\nbaseline = 'x'", ("baseline",)),
        ("[tool.depthgauge]\nworkers = 'two'", ("workers", "two")),
        ("[tool.depthgauge.margins]\nx = 1", ("CLAIM",)),
        ("[tool.depthgauge\n", ("TOML",)),
    ],
)
def test_a_setting_that_is_none_is_refused_with_its_file_and_key(text, parts, tmp_path):
    with pytest.raises(UsageError) as refused:
        options_in(tmp_path, text)
    assert all(part in str(refused.value) for part in (str(tmp_path / "pyproject.toml"), *parts))


def test_no_setting_is_read_from_a_checkpoints_folder(tmp_path):
    folder = save_byte_model(tmp_path / "model")

    assert options_in(folder, "[tool.depthgauge]\nlast-stage = 'files'").last_stage is None


# -- progress ---


def test_a_log_has_a_step_a_minute_and_every_notice(capsys):
    now = [0.0]
    log = Log(clock=lambda: now[0])
    for second in range(0, 200, 10):
        now[0] = float(second)
        log.advance(second // 10, 20)
        log.tell(f"measuring part {second}")
    log.tell("--dtype=bfloat16: slow here")
    lines = capsys.readouterr().out.splitlines()

    assert [line.rpartition(" ")[2] for line in lines[:-1]] == ["0", "60", "120", "180"]
    assert all("of 20 claims" in line for line in lines[:-1]) and EVERY_S == 60
    assert lines[-1] == "--dtype=bfloat16: slow here"


def test_a_log_says_once_a_minute_how_far_a_long_measurement_is(capsys):
    now = [0.0]
    with Log(clock=lambda: now[0]) as log:
        log.tell("measuring what takes long")
        for _ in counted(range(12)):
            now[0] += 25
    list(counted(range(3)))  # nobody listens now
    lines = capsys.readouterr().out.splitlines()

    assert [line.partition("long")[2] for line in lines] == ["", ": 3 of 12", ": 6 of 12", ": 9 of 12"]


@pytest.fixture
def bar():
    bar = Bar()
    bar.live.disable = True  # nothing is drawn here
    return bar


def test_the_live_bar_moves_within_a_long_measurement_and_never_back(bar):
    seen = []
    with bar:
        bar.advance(2, 10)
        bar.tell("measuring what takes long")
        for loop in (4, 8):
            for _ in counted(range(loop)):
                task = bar.live.tasks[0]
                seen.append((task.completed, task.description.partition(": ")[2]))
        bar.advance(3, 10)

    positions = [position for position, _ in seen]
    assert positions == sorted(positions) and len(set(positions)) > 4 and 2 <= positions[0] < positions[-1] < 3
    assert seen[3][1] == "3 of 4" and seen[-1][1] == "7 of 8"
    assert bar.live.tasks[0].completed == 3


@pytest.mark.heavy
def test_probes_say_how_far_they_are(tmp_path):
    heard, steps = set(), []
    baseline, candidate = save_byte_model(tmp_path / "old"), save_byte_model(tmp_path / "new", seed=1)
    claims = ("weights", "next-token", "residual-stream", "attention", "entropy")
    with heard_by(lambda done, total: heard.add(steps[-1])):
        compare(
            baseline, candidate, claims=[f"{name}-within-margin" for name in claims], store=tmp_path / "store",
            all_stages=True, tell=steps.append,
        )  # fmt: skip
    silent = [step for step in steps if step.startswith("measuring") and step not in heard]

    assert len(heard) > len(claims) and not silent


def test_quiet_prints_no_progress(capsys):
    with shown(quiet=True) as quiet:
        quiet.tell("measuring something")
        quiet.tell("a notice")
        list(counted(range(3)))

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "earlier, today", [("Exam", "ItemTask"), ("Tier", "Stage"), ("Economy", "MemoryOptions"), ("Needs", "Resources")]
)
def test_a_conftest_with_an_earlier_name_is_told_the_name_of_today(earlier, today, tmp_path):
    (tmp_path / "conftest.py").write_text(f"from depthgauge import {earlier}\n")

    with refused(UsageError, "ImportError", earlier, today):
        load_conftest(tmp_path / "conftest.py")


def test_a_store_of_an_earlier_version_is_one_sentence_and_exit_4(tmp_path, capsys, monkeypatch):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "layout").write_text("1")
    for name in ("a", "b"):
        save_byte_model(tmp_path / name)
    monkeypatch.setattr("sys.argv", ["depthgauge", "compare", *map(str, (tmp_path / "a", tmp_path / "b"))])
    monkeypatch.setattr("sys.argv", [*sys.argv, f"--store={tmp_path / 'store'}", f"--report-dir={tmp_path / 'r'}"])

    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    said = [line for line in (told.out + told.err).splitlines() if "layout" in line]
    assert ended.value.code == 4
    assert len(said) == 1 and "whose stores have layout '1'" in said[0] and "move that folder away" in said[0]


# -- verify ---


CONFTEST = """
from depthgauge import METHODS, TESTBEDS, Method, Testbed

def train(job):
    from depthgauge.models.load import load_uncached

    model, tokenizer = load_uncached(job.testbed.base)
    for parameter in model.parameters():
        parameter.data.mul_(0.99)
    model.save_pretrained(job.folder)
    tokenizer.save_pretrained(job.folder)
    (job.folder / "training_log.json").write_text('[{{"step": 0}}]')

TESTBEDS.register(Testbed(name="ours", base={base!r}))
METHODS.register(Method(name="mine", summary="shrinks all", train=train, default_testbed="ours"))
"""


def verify(*words, place):
    """`depthgauge verify` as its users start it."""
    folders = [f"--store={place / 'store'}", f"--report-dir={place / 'reports'}"]
    command = [sys.executable, "-m", "depthgauge", "verify", *words, *folders]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


def test_verify_says_every_unknown_method_at_once_and_offers_no_control(tmp_path):
    done = verify("nope,nada,grpo", place=tmp_path)
    assert done.returncode == UsageError.exit_code
    assert "'nope' and 'nada'" in done.stderr and "untrained" not in done.stderr


@pytest.mark.heavy
def test_verify_trains_a_method_of_a_conftest_and_judges_it(tmp_path):
    base = save_byte_model(tmp_path / "base")
    (tmp_path / "conftest.py").write_text(CONFTEST.format(base=str(base)))
    done = verify("mine", "--conftest=conftest.py", "--claims=weights-moved-from-base", place=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "reports" / "mine" / "report.json").is_file()
