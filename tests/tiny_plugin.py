"""A pytest plugin that registers the tiny testbed, so that the real suites run on it: `-p tests.tiny_plugin`."""

import os
from pathlib import Path

from depthgauge import METHODS, TESTBEDS
from depthgauge_methods.grpo import GRPO
from tests.tiny import tiny_testbed

TESTBEDS.register(tiny_testbed(Path(os.environ["TINY_BASE"]), steps=8))
METHODS.register(GRPO.evolve(name="sick", summary="learns nothing and is found out", temperature=0.01))
