"""GRPO that trains adapters: weights generated from the weights (arXiv:2312.00700), and LoRA with as many parameters.

On the pocket base both have some 8,100: two maps of rank 32 for queries and for values, shared by all layers, against
two of rank 1 in each of 36 layers.
"""

from dataclasses import replace

from depthgauge import METHODS
from depthgauge.core.testbed import LoRA
from depthgauge_methods.grpo import GRPO
from depthgauge_methods.settings import AdapterSettings, Gift

GIFT = METHODS.register(
    replace(
        GRPO,
        name="gift",
        parent="grpo",
        summary="GRPO of two maps that generate the change of queries and values from their weights",
        settings=AdapterSettings(adapter=Gift()),
        suites=(*GRPO.suites, "depthgauge_suites.layer_papers.test_gift"),
        optional=True,
    )
)
LORA = METHODS.register(
    replace(
        GRPO,
        name="lora",
        parent="grpo",
        summary="GRPO of low-rank adapters of queries and values",
        settings=AdapterSettings(adapter=LoRA(rank=1, alpha=1, targets=("q_proj", "v_proj"))),
        optional=True,
    )
)
