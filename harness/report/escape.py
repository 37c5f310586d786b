"""Text that a model wrote, or a folder is called, is hostile input to a page."""

import html
import re

SPECIAL = re.compile(r"[\\`*_{}\[\]()#+!|~:/@$]|\.(?=\w)")


def escape(text: str, limit: int = 400) -> str:
    """`text` as it will read in markdown and HTML, on one line: no markup, link, table cell or tag can come of it."""
    cut = text if len(text) <= limit else text[:limit] + "..."
    line = "".join(character if character.isprintable() else " " for character in cut)
    return SPECIAL.sub(lambda match: f"&#{ord(match.group())};", html.escape(line, quote=False))
