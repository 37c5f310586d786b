"""Declared differences: fields that are named may differ, and stand in the report; no other one may."""

import json
import shutil

import pytest

from depthgauge import compare
from depthgauge.probes.files.readings import field_of, is_allowed
from tests.bytes import save_byte_model
from tests.processes import refused


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("allow")


@pytest.fixture(scope="module")
def base(place):
    return save_byte_model(place / "base")


@pytest.fixture(scope="module")
def candidate(base, place):
    """Other settings of generation, two of them, and another stop token."""
    shutil.copytree(base, place / "candidate")
    path = place / "candidate" / "generation_config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"temperature": 0.5, "top_k": 7, "eos_token_id": [3, 256]}))
    return place / "candidate"


def files_rows(base, candidate, place, **options):
    found = compare(
        str(base), str(candidate), last_stage="files", expect="equal", store=str(place / "store"),
        report_dir=str(place / "reports"), **options,
    )  # fmt: skip
    return found, {row.claim: row for row in found.rows}


def test_without_a_name_every_difference_is_refuted(base, candidate, place):
    found, rows = files_rows(base, candidate, place)

    assert found.exit_code == 1
    assert rows["same-generation"].outcome == rows["same-special-tokens"].outcome == "REFUTED"


def test_named_differences_are_allowed_and_stand_in_the_report(base, candidate, place):
    names = "generation_config.eos_token_id,generation_config.temperature,generation_config.top_k"
    found, rows = files_rows(base, candidate, place, allow=names)
    page = (place / "reports" / "candidate" / "report.md").read_text()

    assert {row.outcome for row in rows.values()} == {"SUPPORTED"}
    assert rows["same-special-tokens"].estimate.where.startswith("allowed: generation_config.json: eos_token_id: ")
    assert "allowed: temperature: 1.0 -> 0.5; allowed: top_k: 50 -> 7" in rows["same-generation"].estimate.where
    assert "allowed: " in page and "eos_token_id" in page
    assert found.exit_code == 0


def test_a_difference_that_is_not_named_is_refuted_beside_those_that_are(base, candidate, place):
    _, rows = files_rows(base, candidate, place, allow="generation_config.temperature,generation_config.eos_token_id")
    row = rows["same-generation"]

    assert (row.outcome, row.estimate.point) == ("REFUTED", 1)
    assert row.estimate.where.startswith("top_k: 50 -> 7; allowed: temperature")
    assert rows["same-special-tokens"].outcome == "SUPPORTED"


@pytest.mark.parametrize("name", ["eos_token_id", "model.weight", "tensors.lm_head"])
def test_a_name_without_a_file_that_is_known_is_exit_4(base, candidate, place, name):
    from depthgauge.core.errors import UsageError

    with refused(UsageError, f"--allow={name}", "FILE.FIELD", "generation_config"):
        files_rows(base, candidate, place, allow=name)


@pytest.mark.parametrize(
    "part, text, field",
    [
        ("config", "rope_parameters.rope_theta: 1.0 -> 2.0", "config.rope_parameters.rope_theta"),
        ("generation", "top_k: None -> 7", "generation_config.top_k"),
        ("special tokens", "generation_config.json: eos_token_id: 2 -> 7", "generation_config.eos_token_id"),
        ("unaligned special tokens", "config.json: pad_token_id: None -> 0, and", "config.pad_token_id"),
        ("chat template", "line 3: 'a: b' -> 'c'", "chat_template.line 3"),
        ("tensors", "lm_head.weight is missing", "tensors.lm_head.weight is missing"),
    ],
)
def test_a_difference_has_the_name_that_allows_it(part, text, field):
    assert field_of(part, text) == field


def test_what_holds_a_field_allows_it_and_what_begins_alike_does_not():
    assert is_allowed("config.rope_parameters.rope_theta", ("config.rope_parameters",))
    assert is_allowed("chat_template.line 3", ("chat_template",))
    assert not is_allowed("config.rope_parameters.rope_theta", ("config.rope",))
    assert not is_allowed("config.rope_theta", ())
