"""The methods and testbeds of test_launch: a process that has loaded this module knows them by their names."""

from dataclasses import replace
from pathlib import Path

from depthgauge import METHODS, TESTBEDS
from depthgauge.core.testbed import MemoryOptions
from depthgauge_methods.grpo import GRADREG, GRPO, SecondPass
from tests.launched import train_and_die_once, train_exactly, train_keyed
from tests.tiny import tiny_testbed

for depth, noise in (("uniform", False), ("scaled", True)):
    second = SecondPass(depth=depth, noise=noise, ascent_step=1e-3, penalty=0.1)
    exact = GRADREG.evolve(name=f"exact_{depth}", summary="in float64", second_pass=second)
    METHODS.register(replace(exact, train=train_exactly))
METHODS.register(replace(GRADREG, name="keyed", train=train_keyed))
METHODS.register(replace(GRADREG, name="dies", train=train_and_die_once))
METHODS.register(GRPO.evolve(name="sick", summary="learns nothing", temperature=0.01))

for steps, parts in ((3, 1), (3, 4), (8, 1), (16, 1)):
    testbed = tiny_testbed(Path("none"), name=f"tiny_{steps}_{parts}", steps=steps)
    assert testbed.training is not None
    memory_options = MemoryOptions(accumulation=parts)
    TESTBEDS.register(replace(testbed, training=replace(testbed.training, memory_options=memory_options)))
