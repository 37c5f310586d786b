"""Claims, a file a subject: `pytest suites/` in a clone, `pytest --pyargs depthgauge.suites` anywhere."""
