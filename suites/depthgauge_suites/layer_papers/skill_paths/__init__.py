"""Which paths carry a skill (arXiv:2410.01334): what the logits owe to heads, beyond what they owe on a background."""

from depthgauge_suites.layer_papers.skill_paths.probe import LabelPaths, SkillPaths
from depthgauge_suites.layer_papers.skill_paths.readings import (
    carried_by_induction_heads,
    gained_in_context,
    included_induction,
    layers_of_skills,
    learnt_above_induction,
)
from depthgauge_suites.layer_papers.skill_paths.settings import EXAMPLES, MOST, PROMPTS, SEQUENCES

__all__ = [
    "EXAMPLES",
    "MOST",
    "PROMPTS",
    "SEQUENCES",
    "LabelPaths",
    "SkillPaths",
    "carried_by_induction_heads",
    "gained_in_context",
    "included_induction",
    "layers_of_skills",
    "learnt_above_induction",
]
