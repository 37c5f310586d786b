"""Normalising flows of a toy calorimeter's showers, a teacher and a student that draws faster (arXiv:2305.11934)."""

from depthgauge import METHODS, Method
from depthgauge.core.method import TrainingJob
from depthgauge_methods.settings import ShowerSettings


def train(job: TrainingJob) -> None:
    """Train; imported here, not above: listing the methods must not load torch."""
    from depthgauge_methods.flows import train_flow

    train_flow(job)


TEACHER = METHODS.register(
    Method(
        name="shower_teacher",
        summary="a masked autoregressive flow, trained on simulated showers",
        settings=ShowerSettings(),
        train=train,
        testbed="showers",
        optional=True,
        requires=("torch", "zuko"),
    )
)
METHODS.register(
    TEACHER.evolve(name="shower_student", summary="its inverse, trained to draw as the teacher does", distilled=True)
)
METHODS.register(
    TEACHER.evolve(name="shower_untrained", summary="the teacher before its first step", control=True, steps=0)
)
