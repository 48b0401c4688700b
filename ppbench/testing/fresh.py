"""`python -m ppbench.testing.fresh`: builds a plugin as a party would, and says what importing it brought along."""

from __future__ import annotations

import json
import sys
from typing import Any

from ppbench.options import typed_fields
from ppbench.plugin import resolve

_BEFORE = set(sys.modules)


def main() -> None:
    """Read target and options as JSON from standard input, write modules and options as JSON to standard output."""
    given = json.load(sys.stdin)
    target: str = given["target"]
    cls: Any = resolve(target)
    plugin = cls(**typed_fields(cls, "plugin", given["options"]))
    imported = {name.partition(".")[0] for name in set(sys.modules) - _BEFORE}
    own = target.partition(":")[0].partition(".")[0]
    strangers = imported - sys.stdlib_module_names - {"numpy", "ppbench", own}
    print(json.dumps({"imports": sorted(strangers), "options": plugin.options()}))


if __name__ == "__main__":
    main()
