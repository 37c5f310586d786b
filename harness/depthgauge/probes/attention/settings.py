"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

from dataclasses import dataclass

MAPPED_HEADS = 4  # the most changed heads, whose maps are kept for a picture


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedText:
    """A text, and the formulae or isotopes in it, as they are written there; none where nobody asks for them."""

    text: str
    terms: tuple[str, ...] = ()
