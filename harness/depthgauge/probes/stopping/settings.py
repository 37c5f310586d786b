"""What this probe is measured by: the constants and inputs that both `probe` and what computes it read."""

from dataclasses import dataclass

TOKENS = 32  # of an answer, at most


@dataclass(frozen=True, slots=True)
class ShortQuestion:
    """What a few words answer: `request` as a turn of a chat, `prompt` as a text to go on with where there is none."""

    request: str
    prompt: str
