"""The base, GRPO, and GRPO with gradient regularisation, uniform and depth-scaled.

All are Dr. GRPO (Liu et al. 2025, arXiv:2503.20783: no division by the standard deviation or by the length), without
KL penalty. They differ only in `SecondPass`, the gradient regulariser.
"""

from depthgauge import METHODS, Method
from depthgauge.core.installed import MODEL_LIBRARIES
from depthgauge.core.method import TrainingJob
from depthgauge.core.registry import BASE
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.settings import GRPOSettings, SecondPass


def train(job: TrainingJob) -> None:
    """Train with TRL. Imported here, not above: listing the methods must not load torch."""
    if job.launch is not None:
        from depthgauge_methods.second_pass.launch import launch

        launch(job)
        return
    prepare_libraries(job.threads)  # before TRL is imported, which reads the environment then
    from depthgauge_methods.second_pass.run import train_grpo

    train_grpo(job)


METHODS.register(BASE)
GRPO = METHODS.register(
    Method(
        name="grpo",
        summary="Dr. GRPO",
        settings=GRPOSettings(),
        train=train,
        supports_distributed=True,
        requires=(*MODEL_LIBRARIES, "trl"),
        suites=("training_health",),
        default_testbed="pocket",
    )
)
GRADREG = METHODS.register(
    GRPO.evolve(
        name="gradreg",
        summary="GRPO with uniform gradient regularisation",
        second_pass=SecondPass(),
    )
)
DEPTHSCALED = METHODS.register(
    GRADREG.evolve(
        name="depthscaled",
        summary="gradient regularisation scaled by depth, with directional noise in early attention",
        second_pass=SecondPass(depth="scaled", noise="shared"),
    )
)
DEPTHSCALED_NONOISE = METHODS.register(
    DEPTHSCALED.evolve(
        name="depthscaled_nonoise",
        summary="depth-scaled gradient regularisation without the noise",
        second_pass=SecondPass(depth="scaled"),
    )
)
