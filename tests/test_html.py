"""The HTML report: one file, inert whatever models write, and what a reader does with it in a real browser."""

import importlib.resources
import json
import re
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selenium import webdriver
from selenium.webdriver.common.by import By

from depthgauge.core.estimate import Estimate
from depthgauge.page.escape import escape, one_line
from depthgauge.page.section import Grid, Marked, Picture, Piece, Section, Table
from depthgauge.report.html import heat_of, html_of, inline, interval_of
from depthgauge.report.outcome import Problem
from tests.test_report import INCONCLUSIVE, NOT_TESTABLE, REFUTED, row

HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](http://x/y.png)",
    "\x1b[31mred", "a\u202eb", "nul\x00l", "</td></table>", "&lt;b&gt;", "`code` | cell", "x" * 100_000,
    "'\"><svg onload=alert(1)>",
)  # fmt: skip
DOT = b"\x89PNG\r\n\x1a\n"


def page_of(folder, rows=(), sections=(), problems=(), code=1):
    (folder / "dot.png").write_bytes(DOT)
    return html_of(
        title="candidate against baseline", code=code, headline="Blocked: <b>", summary=["**2 REFUTED.**"], rows=rows,
        problems=problems, top=(), sections=sections, folder=folder,
    )  # fmt: skip


def section_of(text):
    told = Table(["checkpoint", "says"], [[escape(text), escape(text)]], folded=escape(text))
    marked = Marked(escape(text), [Piece(text), Piece(text, 0.5, text)])
    return Section("What it says", [escape(text), told, marked])


# -- the file ---


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_model_wrote_is_text_and_nothing_else(text, tmp_path):
    rows = [row(REFUTED, claim="c", reason=text, method=text, estimate=None)]
    page = page_of(tmp_path, rows, [section_of(text)], [Problem(exit_code=21, message=text)])
    harmless = page_of(
        tmp_path, [row(REFUTED, claim="c", estimate=None)], [section_of("x")], [Problem(exit_code=21, message="x")]
    )

    def tags(html):
        return re.findall(r"<(\w+)", html)

    assert tags(page) == tags(harmless)
    assert not set(page) & {"\x1b", "\u202e", "\x00"}
    assert len(page) < len(harmless) + 6000


@given(st.text())
def test_escaped_text_reads_in_html_as_it_was(text):
    read = re.sub(r"<[^>]*>", "", str(inline(escape(text))))
    plain = read.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    shown = "".join(character if character.isprintable() else " " for character in text[:400])

    assert plain.split() == (shown + ("..." if len(text) > 400 else "")).split()


def test_the_file_asks_nothing_of_the_network(tmp_path):
    pictures = [Picture("dot.png", "a dot", (1, 1), print, (), grids=[Grid("g", ["a"], ["b"], np.ones((1, 1)))])]
    page = page_of(tmp_path, [row()], [Section("s", pictures)])

    assert 'src="data:image/png;base64,' in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "http" not in page.replace("http-equiv", "")


def test_an_interval_is_drawn_on_its_region():
    estimate = Estimate(
        estimand="e", unit="nats", point=0.5, low=0.0, high=1.0, level=0.95, n=9, method="t", generalises_over="texts"
    )
    svg = str(interval_of(row(INCONCLUSIVE, estimate=estimate, bounds=(None, 0.5), region="<= 0.5 nats")))

    assert '<rect class="region" x="0.0" y="1" width="50.0"' in svg
    assert 'x1="16.0" x2="84.0"' in svg and 'cx="50.0"' in svg
    assert "measured 0.5 from 0 to 1, claimed &lt;= 0.5 nats" in svg
    assert interval_of(row(estimate=None)) is None


def test_a_grid_names_every_number_and_leaves_out_what_is_none():
    svg = str(heat_of(Grid("g", ["layer 0", "layer 1"], ["q", "k"], np.array([[1.0, 0.5], [np.nan, 0]]))))

    assert re.findall(r"<title>([^<]*)</title>", svg) == ["layer 0, q: 1", "layer 0, k: 0.5", "layer 1, k: 0"]
    assert [float(share) for share in re.findall(r'fill-opacity="([^"]*)"', svg)] == [1, 0.53, 0.06]


def test_a_long_reason_is_cut():
    assert one_line("a" * 500) == "a" * 400 + "..."


# -- in a browser ---

SMALL = Estimate(
    estimand="e", unit="share", point=-5.0, low=-6.0, high=-4.0, level=0.95, n=9, method="t", generalises_over="texts"
)


QUIET = (
    "headless", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-sync", "no-first-run",
    "disable-component-update",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium or chromedriver is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (*QUIET, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{flag}")
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page of four claims, and of what a hostile model says, at an address within it."""

    def open_page(where=""):
        rows = [
            row(REFUTED, claim="weights-within-margin", index=0, reason="layer 12 down"),
            row(INCONCLUSIVE, claim="entropy-within-margin", index=1, estimate=SMALL),
            row(claim="same-tensors", index=2),
            row(NOT_TESTABLE, claim="induction-head-within-margin", index=3, estimate=None),
        ]
        grid = Grid("change", ["layer 0", "layer 1"], ["q", "k"], np.array([[1.0, 0.5], [0.2, 0]]))
        sections = [section_of(text) for text in HOSTILE] + [
            Section("s", [Picture("dot.png", "a dot", (1, 1), print, (), grids=[grid])])
        ]
        (tmp_path / "report.html").write_text(page_of(tmp_path, rows, sections), encoding="utf-8")
        browser.get("about:blank")
        browser.get(f"file://{tmp_path / 'report.html'}{where}")
        return browser

    return open_page


def claims(browser):
    found = browser.find_elements(By.CSS_SELECTOR, ".toggle")
    return [one.text for one in found if one.is_displayed()]


@pytest.mark.full
def test_columns_sort_both_ways_by_their_values(opened):
    page = opened()
    button = page.find_elements(By.CSS_SELECTOR, "th button")
    button[1].click()
    upwards, order = claims(page), page.find_elements(By.CSS_SELECTOR, "th")[1].get_attribute("aria-sort")
    button[1].click()

    assert upwards == ["induction-head-within-margin", "entropy-within-margin", "weights-within-margin", "same-tensors"]
    assert claims(page)[-2:] == upwards[1::-1] and order == "ascending"


@pytest.mark.full
def test_claims_are_filtered_by_words_and_by_outcome(opened):
    page = opened()
    page.find_element(By.ID, "words").send_keys("layer 12")
    by_words, count = claims(page), page.find_element(By.ID, "count").text
    page.find_element(By.ID, "words").clear()
    page.find_element(By.ID, "words").send_keys(" ")
    page.find_element(By.CSS_SELECTOR, "input[value=SUPPORTED]").click()

    assert by_words == ["weights-within-margin"] and count == "1 of 4 claims"
    assert "same-tensors" not in claims(page) and len(claims(page)) == 3


@pytest.mark.full
def test_a_claim_opens_to_its_evidence_and_can_be_linked_to(opened):
    page = opened("#claim-1")
    linked = page.find_element(By.CSS_SELECTOR, "#claim-1 .detail")
    other = page.find_element(By.CSS_SELECTOR, "#claim-0 .detail")
    before = other.is_displayed()
    page.find_element(By.CSS_SELECTOR, "#claim-0 .toggle").send_keys("\n")

    assert linked.is_displayed() and not before
    assert other.is_displayed() and "that must refute it" in other.text
    assert page.current_url.endswith("#claim-0")


@pytest.mark.full
@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 1280), ("light", 360)])
def test_it_is_accessible_quiet_and_alone(opened, scheme, width):
    page = opened("#claim-0")
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    page.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.execute_script(importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.execute_async_script("const done = arguments[0]; axe.run().then(done)")
    wide = page.execute_script("return document.documentElement.scrollWidth - innerWidth")
    asked = [json.loads(one["message"])["message"] for one in page.get_log("performance")]
    addresses = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]

    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []
    assert wide <= 0
    assert not [one for one in page.get_log("browser") if one["level"] == "SEVERE"]
    assert {address.partition(":")[0] for address in addresses} <= {
        "file",
        "data",
        "about",
        "chrome",
        "chrome-untrusted",
    }
