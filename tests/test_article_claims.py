"""Every statement of the sources has a claim or test that exists, or a reason; docs/claims.md lists the reasons."""

import ast
import re

import pytest

import depthgauge_suites
from depthgauge.core.registry import SUITES, load_entry_points
from depthgauge.history.catalogue import claims_of, suites_in
from tests.processes import ROOT

PAGE = ROOT / "docs" / "article-claims.md"
MOST_WITHOUT_A_TEST = 10
REASON = "not tested: "


def statements():
    """By statement what tests it, of every table."""
    rows = [line.strip("| \n").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [tuple(row) for row in rows if row != ["statement", "tested by"]]


@pytest.fixture(scope="module")
def claims():
    load_entry_points()
    modules = {module for name in SUITES for package in SUITES[name].modules for module in suites_in(package)}
    return {test.__claim__.id for module in modules for test in claims_of(module)}


def test_every_row_is_a_statement_and_what_tests_it():
    assert len(statements()) > 60
    assert all(len(row) == 2 for row in statements())
    assert all(tested.startswith((REASON, "`")) for _, tested in statements())


def test_every_claim_and_test_that_is_named_exists(claims):
    for statement, tested in statements():
        for name in re.findall(r"`([^`]+)`", tested):
            if "::" in name:
                file, _, function = name.partition("::")
                tree = ast.parse((ROOT / file).read_text())
                assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name
            else:
                assert name in claims, f"{statement}: {name}"


def test_at_most_ten_statements_are_without_a_test_and_the_catalogue_lists_each_with_its_reason():
    reasons = {
        statement: tested.removeprefix(REASON) for statement, tested in statements() if tested.startswith(REASON)
    }
    listed = {key.partition(": ")[2] or key: why for key, why in depthgauge_suites.UNTESTABLE.items()}

    assert 0 < len(reasons) <= MOST_WITHOUT_A_TEST
    assert reasons.items() <= listed.items()


def test_every_claim_of_the_articles_is_named(claims):
    """What the two articles' suite judges, but for the health of a training, which they do not speak about."""
    named = {name for _, tested in statements() for name in re.findall(r"`([^`]+)`", tested)}
    of_articles = {
        test.__claim__.id
        for module in suites_in("depthgauge_suites.articles")
        for test in claims_of(module)
        if "Dangi 2026a" in test.__claim__.citation or "Dangi 2026b" in test.__claim__.citation
    }
    assert of_articles <= named
