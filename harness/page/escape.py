"""Text that a model wrote, or a folder is called, is hostile input to a page."""

import re

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


def escape(text: str, limit: int = 400) -> str:
    """`text` as it will read in markdown and HTML, on one line: no markup, link, table cell or tag can come of it."""
    cut = text if len(text) <= limit else text[:limit] + "..."
    line = "".join(character if character.isprintable() else " " for character in cut)
    return SPECIAL.sub(lambda match: f"&#{ord(match.group())};", line)
