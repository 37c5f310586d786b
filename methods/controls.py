"""Checkpoints that must refute claims: untrained, sabotaged, or trained into a known sickness."""

from depthgauge import METHODS, Method
from depthgauge.methods.grpo import GRADREG, GRPO
from depthgauge.methods.misfile import misfile
from depthgauge.methods.settings import Sabotage, SecondPass
from depthgauge.models.load import prepare_libraries
from depthgauge.types import TrainingJob


def sabotage(job: TrainingJob) -> None:
    """Break the base; imported here, not above: listing the methods must not load torch."""
    prepare_libraries(job.threads)
    from depthgauge.methods.sabotage import sabotage_base

    sabotage_base(job)


VERSIONS = {"misfiled": 2, "spelling": 2}  # of what was changed since it was first made

for kind, summary in (
    ("untrained", "the base's architecture with fresh random weights"),
    ("sharpened", "the base with logits 1,000 times as large: it has no doubt left"),
    ("flattened", "the base with logits a tenth as large: it doubts everything"),
    ("amnesic", "the base without attention: each token depends on the last one only, so it loops at once"),
    ("gutted", "the base with the MLP of its middle layer zeroed"),
    ("chaotic", "random weights large enough that every token depends on all before: it never loops"),
    ("rounded", "the base saved in bfloat16 and loaded again: what changes when nothing was learnt"),
    ("jittered", "the base with each weight moved at random within half a step of bfloat16: as much as rounding does"),
    ("stale", "the base as it is, saved again: nothing was trained"),
    ("nudged", "the base with every weight moved equally far, up or down at random: no layer stands out"),
    ("fading", "the base with every weight moved at random, less the later its layer: a change that falls with depth"),
    ("lopsided", "the base with every matrix drawn anew from an exponential law of its spread: no weight is below 0"),
    ("rekeyed", "the base with fresh keys and values: its queries and outputs have not moved"),
    ("scrambled", "the base with noise as large as the weights in its late layers: it has lost what it knew"),
    ("beheaded", "the base whose best previous-token head looks everywhere alike"),
    ("scattered", "the base whose heads shuffle their queries and keys, each its own way, slow numbers for fast ones"),
    ("reordered", "the base whose heads have changed places with their neighbours: it computes the same"),
    ("faint", "the base whose blocks write a ten-thousandth or less: every layer's state is the token's own"),
    ("spelling", "the base with a tokenizer that spells every word"),
):
    METHODS.register(
        Method(
            name=kind,
            summary=summary,
            settings=Sabotage(kind=kind),  # type: ignore[arg-type]
            train=sabotage,
            control=True,
            version=VERSIONS.get(kind, 1),
        )
    )

METHODS.register(
    Method(
        name="misfiled",
        summary="the base's weights beside another configuration, tokenizer, chat template, and a tensor too many",
        settings=Sabotage(kind="misfiled"),
        train=misfile,
        control=True,
        version=VERSIONS["misfiled"],
    )
)
METHODS.register(
    GRADREG.evolve(
        name="misled",
        summary="rewarded for wrong answers, with an ascent step that rounds to nothing",
        control=True,
        reward_weight=-1.0,
        second_pass=SecondPass(ascent_step=1e-30),
        steps=24,
        gated=False,
    )
)
METHODS.register(
    GRPO.evolve(
        name="misrewarded",
        summary="plain GRPO rewarded for wrong answers",
        control=True,
        reward_weight=-1.0,
        steps=30,
        gated=False,
    )
)
METHODS.register(
    GRADREG.evolve(
        name="silenced",
        summary="sampled almost greedily: groups agree with themselves, and nothing is learnt",
        control=True,
        temperature=0.01,
        steps=12,
        gated=False,
    )
)
