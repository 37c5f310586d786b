"""One layer of the base trained at a time, all else frozen, as arXiv:2306.12198 asks which layer learns a task best."""

from depthgauge import METHODS, Method
from depthgauge.core.method import TrainingJob
from depthgauge_methods.settings import UnfreezingSettings


def train(job: TrainingJob) -> None:
    """Train; imported here, not above: listing the methods must not load torch."""
    from depthgauge_methods.one_layer import unfreeze

    unfreeze(job)


UNFREEZE_LAYER = METHODS.register(
    Method(
        name="unfreeze_layer",
        summary="each layer of the base trained alone, in turn; the best of them is kept",
        settings=UnfreezingSettings(),
        train=train,
        testbed="listops",
        optional=True,
    )
)
METHODS.register(
    UNFREEZE_LAYER.evolve(name="unfreeze_all", summary="the whole base trained", all_layers=True, steps=5400)
)
METHODS.register(
    UNFREEZE_LAYER.evolve(
        name="unfreeze_known_layer",
        summary="a base whose attention writes nothing, each layer trained alone to say who has won: one can learn it",
        control=True,
        tasks=("winner",),
        steps=200,
        trained_layer=2,
    )
)
METHODS.register(
    UNFREEZE_LAYER.evolve(
        name="unfreeze_random_answers",
        summary="each layer of the base trained alone, in turn, on answers dealt out at random",
        control=True,
        steps=100,
        dealt=True,
    )
)
