"""A pytest plugin that registers the tiny testbed, so that the real suites run on it: `-p tests.tiny_plugin`."""

import os
from dataclasses import replace
from pathlib import Path

from depthgauge import METHODS, TESTBEDS
from depthgauge_methods.grpo import GRPO
from tests.tiny import tiny_testbed

TINY = tiny_testbed(Path(os.environ["TINY_BASE"]), steps=8)
TESTBEDS.register(TINY)
TESTBEDS.register(replace(TINY, name="own", suites=("method",)))
METHODS.register(GRPO.evolve(name="sick", summary="learns nothing and is found out", temperature=0.01))
