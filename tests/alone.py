"""`depthgauge.compare` of pairs of folders in a process in which some packages cannot be imported; rows as JSON.

python -m tests.alone STORE BLOCKED BASELINE=CANDIDATE ...
"""

import json
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder


class Blocker(MetaPathFinder):
    """Refuses to find some packages and all that is in them."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, fullname, path=None, target=None):
        if any(fullname == name or fullname.startswith(f"{name}.") for name in self.names):
            raise ModuleNotFoundError(f"No module named {fullname!r}: blocked", name=fullname)


def main(store: str, blocked: str, *pairs: str) -> None:
    names = [name for name in blocked.split(",") if name]
    assert not set(names) & set(sys.modules)
    sys.meta_path.insert(0, Blocker(names))
    from depthgauge.api import compare
    from depthgauge.core.plain import to_plain

    found = {}
    for pair in pairs:
        result = compare(*pair.split("="), store=store, all_stages=True, tell=lambda line: None)
        problems = [problem.message for problem in result.problems]
        found[pair] = {"rows": to_plain(list(result.rows)), "problems": problems, "exit": result.exit_code}
    loaded = [name for name in sys.modules if name.partition(".")[0] in ("trl", "lm_eval", "datasets")]
    print(json.dumps({"found": found, "loaded": sorted(loaded)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
