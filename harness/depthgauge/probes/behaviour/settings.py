"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

from dataclasses import dataclass
from typing import Literal

TOKENS = 40  # of an answer, at most
Kind = Literal["harmless", "json", "language", "numbered", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """A turn of a chat, and what meets it: keys with commas, a language's code, or a number, by its kind."""

    kind: Kind
    prompt: str
    wanted: str = ""
