"""Text that a model wrote, or a folder is called, is hostile input to a page."""

import re

LONGEST = 400  # characters
# What would become markup, a link, a mention, an emoji, mathematics or a tag; everything else reads as it is.
SPECIAL = re.compile(
    r"[\\`*|~$]|<(?=[a-z/!?])"
    r"|_(?!\w)|(?<!\w)_"
    r"|\](?=[(\[:])"
    r"|@(?=\w)|#(?=\d)"
    r"|:(?=//)|:(?=[\w+-]+:)"
    r"|(?<=www)\."
    r"|&(?=#?\w+;)",
    re.IGNORECASE,
)


def escape(text: str) -> str:
    """`text` as it will read in markdown and HTML, on one line: no markup, link, table cell or tag can come of it."""
    return SPECIAL.sub(lambda match: f"&#{ord(match.group())};", one_line(text))


def one_line(text: str) -> str:
    """`text` without what ends a line, turns it, or commands a terminal, and not too long."""
    cut = text if len(text) <= LONGEST else text[:LONGEST] + "..."
    return "".join(character if character.isprintable() else " " for character in cut)
