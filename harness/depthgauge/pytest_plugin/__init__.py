"""The pytest plugin: the only package that imports pytest. Its hooks, from the files that hold them."""

from depthgauge.pytest_plugin.claims import pytest_pyfunc_call, pytest_report_teststatus
from depthgauge.pytest_plugin.collection import (
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_generate_tests,
    pytest_ignore_collect,
    pytest_itemcollected,
    pytest_pycollect_makeitem,
)
from depthgauge.pytest_plugin.jobs import pytest_runtestloop
from depthgauge.pytest_plugin.options import pytest_addhooks, pytest_addoption, pytest_load_initial_conftests
from depthgauge.pytest_plugin.startup import (
    pytest_configure,
    pytest_configure_node,
    pytest_report_header,
    pytest_sessionstart,
)

__all__ = [
    "pytest_addhooks",
    "pytest_addoption",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_generate_tests",
    "pytest_ignore_collect",
    "pytest_itemcollected",
    "pytest_load_initial_conftests",
    "pytest_pycollect_makeitem",
    "pytest_pyfunc_call",
    "pytest_report_header",
    "pytest_report_teststatus",
    "pytest_runtestloop",
    "pytest_sessionstart",
]
