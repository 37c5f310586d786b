"""Break a base on purpose, so that a claim about its descendants must be refuted."""

import torch

from harness.types import TrainingJob
from methods.controls import Sabotage
from methods.second_pass.run import fresh_base

SHARPER, FLATTER, CHAOS_STD = 1000.0, 0.1, 1.0


def sabotage_base(job: TrainingJob) -> None:
    """Fill the job's folder with a broken copy of the testbed's base; the seed decides fresh weights."""
    model, tokenizer = fresh_base(job.testbed.base)
    settings: Sabotage = job.method.settings
    generator = torch.Generator().manual_seed(job.seed)
    with torch.no_grad():
        if settings.kind in ("untrained", "chaotic"):
            std = model.config.initializer_range if settings.kind == "untrained" else CHAOS_STD
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
                else:
                    parameter.fill_(1.0)
        elif settings.kind == "amnesic":
            for name, parameter in model.named_parameters():
                if name.endswith("o_proj.weight"):
                    parameter.zero_()
        else:  # the final norm's gain multiplies every logit, and leaves the embedding that is tied to the head alone
            model.model.norm.weight.mul_(SHARPER if settings.kind == "sharpened" else FLATTER)
    model.save_pretrained(job.folder)
    tokenizer.save_pretrained(job.folder)
