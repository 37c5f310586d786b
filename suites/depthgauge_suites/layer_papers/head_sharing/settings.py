"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

from dataclasses import dataclass

from depthgauge.core.testbed import Text

DRAWS = 100  # of pairs of a comparison and a subset, at each size of it; fewer where there are no more


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A question in several forms, that go on with `right` or with `wrong`; a chat is asked by the template."""

    forms: tuple[Text, ...]
    right: str
    wrong: str
