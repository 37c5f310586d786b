"""What somebody meets on the first day: tracebacks of their own code, tests run again, the report in a browser."""

import json
from types import SimpleNamespace

import pytest

from depthgauge.cli.run import open_pages
from depthgauge.core.errors import InvalidComparison, raised_by_user_code
from depthgauge.core.plain import to_plain
from depthgauge.core.result import Outcome
from depthgauge.pytest_plugin.claims import ROW
from depthgauge.pytest_plugin.controller import Controller
from depthgauge.report.junit import write_junit
from depthgauge.report.outcome import problem_of
from depthgauge.runs.result import Result, lines_of
from tests.test_report import row


def own_code():
    raise KeyError("no such column")


def test_what_a_users_own_code_raised_is_shown_with_its_traceback_and_is_in_junits_file(tmp_path):
    try:
        own_code()
    except KeyError as error:
        problem = problem_of(raised_by_user_code(InvalidComparison("probe mine raises KeyError"), error))
    lines = list(lines_of(Result(problems=(problem,), exit_code=21)))
    write_junit(tmp_path / "junit.xml", (), (problem,))

    assert any("own_code" in line for line in lines) and any("no such column" in line for line in lines)
    assert "own_code" in (tmp_path / "junit.xml").read_text()


def test_a_claim_that_another_plugin_runs_again_has_one_row_its_last():
    config = SimpleNamespace(getoption=lambda *_: None, option=SimpleNamespace(collectonly=False, maxfail=0))
    controller = Controller(config, SimpleNamespace(active=False, engine=None))
    for outcome in (Outcome.INCONCLUSIVE, Outcome.REFUTED, Outcome.SUPPORTED):
        sent = json.dumps(to_plain(row(outcome=outcome)))
        controller.pytest_runtest_logreport(
            SimpleNamespace(user_properties=[(ROW, sent)], when="call", passed=True, failed=False, nodeid="x")
        )

    assert [each.outcome for each in controller.findings.rows] == [Outcome.SUPPORTED]


def test_open_shows_the_html_beside_the_page_and_where_there_is_no_browser_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "report.html").write_text("<p>")
    shown = []
    monkeypatch.setattr("webbrowser.open", lambda address: shown.append(address))  # None: no browser
    open_pages([tmp_path / "report.md"])

    assert shown == [(tmp_path / "report.html").as_uri()]
    assert str(tmp_path / "report.html") in capsys.readouterr().err


@pytest.mark.parametrize("result", [Result(rows=(row(),)), Result(note="nothing is missing")])
def test_a_result_shows_itself_in_a_notebook(result):
    text = result._repr_html_()

    assert text.startswith("<p>") and all(each.claim in text for each in result.rows) and result.note in text
