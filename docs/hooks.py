"""What mkdocs does to pages of ours: every page into the navigation, and links out of docs/ into plain text."""

import re
from pathlib import Path
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]*)\]\(\s*(?:\.\./)+(?:benchmarks|reports|README|harness)[^)]*\)")
DECISIONS = "DECISIONS"


def on_config(config: Any) -> Any:
    """Put every decision into the navigation, in the order of their numbers, and other pages last."""
    docs, listed = Path(config["docs_dir"]), str(config["nav"])
    pages = sorted(path.name for path in (docs / "decisions").glob("*.md"))
    others = sorted(path.name for path in docs.glob("*.md") if f"'{path.name}'" not in listed)
    config["nav"] += [{"More": others}] if others else []
    for entry in config["nav"]:
        if isinstance(entry, dict) and DECISIONS in entry.values():
            entry["Decisions"] = [f"decisions/{name}" for name in pages]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """What lies in the repository beside docs/ is no page of the site."""
    return OUTSIDE.sub(r"\1", markdown)
