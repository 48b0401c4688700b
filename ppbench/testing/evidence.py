"""Where in a plugin's own code something went wrong, and what was printed: for the person who is to mend it."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path

from ppbench.plugin import Plugin

_FRAME = re.compile(r'^\s*File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>\S+)\n\s+(?P<source>.+)$', re.M)
_CORE = {"ppbench.plugin", "ppbench.scheme", "ppbench.data.dataset", "ppbench.models.model", "ppbench.testing.probe"}
"""Where plugins begin, and nobody's plugin is."""
_MOST_LINES = 30
"""Of a log: its end tells what happened."""


def of_error(plugin: type[Plugin], error: BaseException) -> str:
    """The plugin's last frame in what it raised here; empty if none of the frames is its own."""
    return _last_frame(plugin, "".join(traceback.format_exception(error)))


def of_text(plugin: type[Plugin], printed: str, name: str = "it") -> str:
    """The plugin's last frame in what a process printed, and the end of that."""
    if not printed:
        return ""
    frame = _last_frame(plugin, printed)
    told = [frame] if frame else []
    lines = printed.splitlines()
    cut = [] if len(lines) <= _MOST_LINES else ["..."]
    return "\n".join([*told, f"{name} printed:", *(f"  {line}" for line in [*cut, *lines[-_MOST_LINES:]])])


def _last_frame(plugin: type[Plugin], printed: str) -> str:
    own = [frame for frame in _FRAME.finditer(printed) if _is_own(plugin, frame["file"])]
    if not own:
        return ""
    last = own[-1]
    return f"{last['file']}:{last['line']} in {last['function']}: {last['source']}"


def _is_own(plugin: type[Plugin], file: str) -> bool:
    """Whether a file is in a package that defines the plugin, its roles, or what these are made from."""
    classes = [cls for made in (plugin, *getattr(plugin, "roles", {}).values()) for cls in made.__mro__]
    theirs = {cls for cls in classes if cls.__module__ not in _CORE | sys.stdlib_module_names}
    return any(_beside(cls) in (Path(file), *Path(file).parents) for cls in theirs)


def _beside(cls: type) -> Path:
    """The folder of the package that defines a class; its file, if it is a module by itself."""
    module = sys.modules.get(cls.__module__)
    file = Path(getattr(module, "__file__", None) or "?")
    return file.parent if "." in cls.__module__ else file
