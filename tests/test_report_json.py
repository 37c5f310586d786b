"""report.json: its JSON Schema is that of the types which a run writes, and each real report is as it says."""

import json
import math
from dataclasses import replace

import jsonschema
import pytest

from depthgauge import compare
from depthgauge.core.errors import UsageError
from depthgauge.core.estimate import Estimate
from depthgauge.core.plain import to_plain, written
from depthgauge.core.record import SCHEMA, ReportRecord, read_report
from depthgauge.core.result import ClaimResult, Evidence, Outcome
from depthgauge.report.schema import FILE, json_schema
from tests.bytes import save_byte_model
from tests.processes import ROOT, refused
from tests.reports import write_report_json

ESTIMATE = Estimate(
    estimand="change", unit="share", point=0.5, low=-math.inf, high=1.0, level=0.95, n=3, method="exact",
    generalises_over="weights",
)  # fmt: skip
ROW = ClaimResult(
    claim="held", statement="holds", suite="test_held", method="ours", citation="ours", published="not published",
    region="<= 1 share", rationale="why", outcome=Outcome.SUPPORTED, reason="it lies there", estimate=ESTIMATE,
    control="broken", control_outcome=Outcome.REFUTED, control_reason="it lies outside",
    evidence=(Evidence(method="ours", seed=0, checkpoint="a", key="b", probe="p:P"),), recorded=(Outcome.REFUTED,),
    bounds=(None, 1.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def schema():
    return jsonschema.Draft202012Validator(json.loads(FILE.read_text()))


def test_the_published_schema_is_that_of_the_types():
    assert json.loads(FILE.read_text()) == json_schema(), "run 'make schema'"


def test_the_schema_is_one_of_its_draft(schema):
    schema.check_schema(schema.schema)


@pytest.mark.parametrize("report", sorted((ROOT / "reports").rglob("report.json")), ids=lambda path: path.parent.name)
def test_reports_that_are_published_are_as_the_schema_says(report, schema):
    schema.validate(json.loads(report.read_text()))
    assert read_report(report).verdicts


def test_a_run_writes_what_the_schema_says_and_what_is_read_again_is_the_same(tmp_path, schema):
    baseline, candidate = (save_byte_model(tmp_path / name, seed=seed) for seed, name in enumerate("ab"))
    result = compare(
        baseline, candidate, claims=["same-tensors", "weights-within-margin"], all_stages=True,
        store=str(tmp_path / "store"), report_dir=str(tmp_path / "reports"), tell=lambda line: None,
    )  # fmt: skip
    path = result.reports[0].with_name("report.json")
    record = read_report(path)

    schema.validate(json.loads(path.read_text()))
    assert record.verdicts == result.rows and record.exit_code == result.exit_code == 1
    assert list(record.run.checkpoints) == ["candidate", "baseline"] and record.schema == SCHEMA
    assert to_plain(record) == json.loads(path.read_text())


def test_numbers_that_are_not_finite_are_read_as_they_were(tmp_path, schema):
    path = write_report_json(tmp_path / "report.json", [ROW, replace(ROW, estimate=None)])

    schema.validate(json.loads(path.read_text()))
    assert read_report(path).verdicts == (ROW, replace(ROW, estimate=None))


def edited(path, edit):
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    "edit, values, code",
    [
        (lambda data: data.update(schema=3), ["schema 3", "reads 4"], None),
        (lambda data: data.pop("schema"), [], "not-ours"),
        (lambda data: data.pop("run"), ["'run'"], None),
        (lambda data: data["verdicts"][0].update(outcome="FINE"), ["'FINE'", "Outcome"], None),
        (lambda data: data["verdicts"][0].update(gates=True), ["verdicts[0].gates"], None),
        (lambda data: data["verdicts"][0]["estimate"].update(n="3"), ["verdicts[0].estimate.n", "'3'"], None),
        (lambda data: data["run"].update(seeds=0), ["run.seeds", "is 0", "list"], None),
        (lambda data: data["verdicts"][0].update(bounds=[0]), ["bounds", "1 entries", "have 2"], None),
    ],
)
def test_what_is_no_report_is_refused_in_a_sentence_and_by_the_schema(tmp_path, schema, edit, values, code):
    path = write_report_json(tmp_path / "report.json", [ROW])
    edited(path, edit)

    with refused(UsageError, path, *values, code=code):
        read_report(path)
    assert not schema.is_valid(json.loads(path.read_text()))


@pytest.mark.parametrize("text", ["[]", "3", "nothing", ""])
def test_another_file_is_no_report(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)

    with refused(UsageError, code="not-ours"):
        read_report(path)


def test_every_field_of_a_report_stands_on_its_page():
    page = (ROOT / "docs" / "report-json.md").read_text()
    kinds = (ReportRecord, ClaimResult, Estimate)
    names = {name for kind in kinds for name, field in kind.__dataclass_fields__.items() if written(field)}

    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
