"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

from dataclasses import dataclass
from typing import Literal

TOP_HEADS = 20  # of all heads, as Dangi 2026a looks at
Domain = Literal["chemistry", "physics"]
DOMAINS: tuple[Domain, ...] = ("chemistry", "physics")


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingText:
    """A sentence and the formula or isotope in it, which a tokenizer takes apart, with words before and after it."""

    text: str
    term: str
    domain: Domain
