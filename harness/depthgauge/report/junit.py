"""The verdicts as the XML that CI services read: a test case a claim, by its id, in a class a suite."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from depthgauge.core.plain import to_plain
from depthgauge.core.result import ClaimResult, Outcome
from depthgauge.page.escape import one_line
from depthgauge.report.folder import check_file
from depthgauge.report.outcome import Problem, inconclusive, shown
from depthgauge.store.folders import check_writable, write_atomically

SUITE = "depthgauge"
PROPERTY = "depthgauge_result"  # the whole row, as in report.json


def check_junit(path: Path) -> None:
    """Raises: UsageError for another program's file, and for one within a checkpoint's folder; StoreUnusable where
    nothing can be written.
    """
    check_file(path, "--junit-xml", is_ours)
    check_writable(path.parent, "--junit-xml")


def is_ours(text: str) -> bool:
    try:
        suite = ElementTree.fromstring(text).find("testsuite")
    except ElementTree.ParseError:
        return False
    return suite is not None and suite.get("name") == SUITE


def write_junit(
    path: Path, rows: Sequence[ClaimResult], problems: Sequence[Problem], headlines: Sequence[str] = ()
) -> None:
    """What fails the run is a failure; what is open or could not be tested is skipped; a problem is an error. The
    headlines are what the suite prints first; a run without a row, as of two equal checkpoints, is a case that passes.

    Raises: as `check_junit`.
    """
    check_junit(path)
    suite = ElementTree.Element("testsuite", name=SUITE)
    several = len({row.method for row in rows}) > 1
    for row in rows:
        class_name = f"{row.method}.{row.suite}" if several else row.suite
        case = ElementTree.SubElement(suite, "testcase", classname=class_name, name=row.claim)
        properties = ElementTree.SubElement(case, "properties")
        ElementTree.SubElement(properties, "property", name=PROPERTY, value=json.dumps(to_plain(row)))
        if row.fails or row.lost_capability:
            ElementTree.SubElement(case, "failure", message=f"{shown(row)}: {row.reason}")
        elif inconclusive(row) or row.outcome is Outcome.NOT_TESTABLE:
            ElementTree.SubElement(case, "skipped", message=f"{shown(row)}: {row.reason}")
    for problem in problems:
        case = ElementTree.SubElement(suite, "testcase", classname="depthgauge", name="not judged")
        ElementTree.SubElement(case, "error", message=one_line(problem.message)).text = problem.details or None
    if len(suite) == 0:
        ElementTree.SubElement(suite, "testcase", classname=SUITE, name="equal content")
    ElementTree.SubElement(suite, "system-out").text = "\n".join(
        one_line(headline, longest=None) for headline in headlines
    )
    for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))
    whole = ElementTree.Element("testsuites")
    whole.append(suite)
    ElementTree.indent(whole)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, ElementTree.tostring(whole, encoding="unicode", xml_declaration=True) + "\n")
