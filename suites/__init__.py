"""Claims, a file a subject: `pytest suites/` in a clone, `pytest --pyargs depthgauge.suites` anywhere."""

# Of the sources' reading list: systems that no suite asks about yet, and what nobody could.
UNTESTABLE = {
    "arXiv:2410.01334, skill paths": "in part: the paths of induction; no order in depth, no inclusiveness",
    "arXiv:2306.12198, one layer unfrozen": "not built: ListOps, and the winner of tic-tac-toe",
    "arXiv:2305.11934, CaloFlow": "in part: its two-sample test, about sampled texts; no showers from a flow",
    "a rebuttal to 'Reviewer 1'": "names no paper and no system that could be measured",
}
