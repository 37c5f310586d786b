"""Every family gets numbers or a sentence: docs/families.md is what the command gives, and no cell is a fault."""

import re

import pytest

from benchmarks.families import COLUMNS, FAMILIES, TABLE, page, rows

QUICK = ("llama", "gpt2", "opt", "phi", "falcon", "mamba", "jamba", "qwen3_next")


def cells(text):
    """Family -> the words of its cells, without the numbers of notes."""
    table = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    return {family.strip(): [re.sub(r" \d+$", "", one.strip()) for one in rest] for family, *rest in table}


WRITTEN = cells(TABLE.read_text())


def test_the_table_has_at_least_thirty_families_and_no_fault():
    assert len(WRITTEN) >= 30
    assert set(WRITTEN) == set(FAMILIES)
    words = {word for row in WRITTEN.values() for word in row}
    assert words <= {"measured", "slowly", "not defined"}
    assert all(len(row) == len(COLUMNS) for row in WRITTEN.values())


def test_what_is_defined_for_every_language_model_is_measured_in_every_family():
    names = [column.name for column in COLUMNS]
    for family, row in WRITTEN.items():
        found = dict(zip(names, row, strict=True))
        assert {found[name] for name in ("exams", "entropy", "divergence", "activations")} == {"measured"}, family


@pytest.mark.parametrize("family", QUICK)
def test_a_family_gives_what_the_table_says(family):
    assert cells(page(rows([family]))) == {family: WRITTEN[family]}


@pytest.mark.heavy
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in QUICK])
def test_every_other_family_gives_what_the_table_says(family):
    assert cells(page(rows([family]))) == {family: WRITTEN[family]}
