"""The command that measures a job again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ppbench.errors import PpbenchError
from ppbench.measure.job import MeasureOptions, TaskOptions
from ppbench.records import JobRecord
from ppbench.registry import REGISTRIES


def command(job: JobRecord) -> str:
    """`ppbench run` with all in which the job differs from the defaults of this version."""
    words = []
    for registry in REGISTRIES:
        chosen: Mapping[str, Any] = job.config.get(registry.what, {})
        name = str(chosen.get("name", ""))
        words.append(f"{registry.what}={name}")
        try:
            defaults = registry.load(name).defaults()
        except PpbenchError:
            defaults = {}
        words += _differing(registry.what, chosen, defaults, ("name",))
    words += _differing("task", job.config["task"], vars(TaskOptions()))
    words += _differing("measure", job.config["measure"], vars(MeasureOptions()))
    if (wire := job.config.get("wire", "tcp")) != "tcp":
        words.append(f"wire={wire}")
    if link := job.config.get("link"):
        words.append(f"link={link['name']}")
    if job.seed:
        words.append(f"seed={job.seed}")
    return shlex.join(["ppbench", "run", *words])


def _differing(
    section: str, options: Mapping[str, Any], defaults: Mapping[str, Any], beside: tuple[str, ...] = ()
) -> list[str]:
    return [
        f"{section}.{key}={_written(value)}"
        for key, value in options.items()
        if key not in beside and (key not in defaults or _plain(value) != _plain(defaults[key]))
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _written(value: Any) -> str:
    """As the command line reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    return str(value)
