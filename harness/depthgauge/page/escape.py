"""Text that a model wrote, or a folder is called, is hostile input to a page."""

import re

LONGEST = 400  # characters
# What would become markup, a link, a mention, an emoji, mathematics or a tag; everything else reads as it is.
SPECIAL = re.compile(
    r"[\\`*|~$]|<(?=[a-z/!?])"
    r"|_(?![^\W_])|(?<![^\W_])_"
    r"|\](?=[(\[:])"
    r"|@(?=\w)|#(?=\d)"
    r"|:(?=//)|:(?=[\w+-]+:)"
    r"|(?<=www)\."
    r"|&(?=#?\w+;)",
    re.IGNORECASE,
)


def escape(text: str, longest: int | None = LONGEST) -> str:
    """`text` as it will read in markdown and HTML, on one line: no markup, link, table cell or tag can come of it."""
    return SPECIAL.sub(lambda match: f"&#{ord(match.group())};", one_line(text, longest))


def one_line(text: str, longest: int | None = LONGEST) -> str:
    """`text` without what ends a line, turns it, or commands a terminal, and not too long; None is any length."""
    cut = text if longest is None or len(text) <= longest else text[:longest] + "..."
    return "".join(character if character.isprintable() else " " for character in cut)
