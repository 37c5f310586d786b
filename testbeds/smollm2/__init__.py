"""SmolLM2-135M-Instruct: a real language model of 30 layers, with an inside, that two cores can measure.

Its weights are brought by `make smollm2`. Nothing is trained on it yet: it judges finished checkpoints.
"""

from depthgauge import TESTBEDS, Exam, Testbed
from depthgauge.testbeds.common import COMMON
from depthgauge.testbeds.smollm2 import history, weights
from depthgauge.types import Item


def history_items() -> tuple[Item, ...]:
    """Facts of history, answered by the likelihood of whole options: the base is right in 78.5 % of 470."""
    return tuple(
        Item(id=fact.prompt, prompt=fact.prompt, answer=fact.answer, options=fact.options) for fact in history.facts()
    )


SMOLLM2 = TESTBEDS.register(
    Testbed(
        name="smollm2",
        base=weights.folder(),
        base_from="'make smollm2' brings it.",
        exams=(Exam(name="history", items=history_items),),
        materials=COMMON.materials,
    )
)
