"""Claims, a folder for each source: `pytest suites/` in a clone, `pytest --pyargs depthgauge_suites` anywhere."""

# Of the sources' reading list: systems that no suite asks about yet, and what nobody could.
UNTESTABLE = {
    "a rebuttal to 'Reviewer 1'": "names no paper and no system that could be measured",
}
