"""Which code and versions a job is measured with, and whether they are the same as when it was measured before."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import ppbench
from ppbench import code
from ppbench.launch.wires import WIRES
from ppbench.measure.job import Job
from ppbench.measure.provenance import package_versions
from ppbench.plugin import distribution
from ppbench.records import PluginIdentity, Provenance
from ppbench.registry import REGISTRIES

_ENTRY = "ppbench.measure.experiment"
_NOT_MEASURING = tuple(
    f"ppbench.{name}" for name in ("__main__", "api", "app", "cli", "modelled", "report", "taxonomy", "testing")
)
"""What asks for jobs and what is made of records: none of it changes one."""

_NONE = "no distribution"


def identified(origin: Provenance, job: Job) -> Provenance:
    """The provenance of a job that can run here, with its identity.

    Raises ModuleNotFoundError for a plugin without a source.
    """
    return origin.model_copy(update={"plugins": _plugins(job), "harness_code": _harness_code(job.wire)})


def changes(job: Job, measured: Provenance) -> list[str]:
    """What of a job's identity is another now than when it was measured, in words; empty if nothing is."""
    if measured.harness_code is None:
        return ["it was measured before identities were recorded"]
    return list(dict.fromkeys(_changes(job, measured)))


def _changes(job: Job, measured: Provenance) -> Iterator[str]:
    for kind, now in _plugins(job).items():
        title = f"{kind} '{job.plugins[kind].name}'"
        before = measured.plugins.get(kind, PluginIdentity(distribution=None, version=None, code=""))
        if now.distribution != before.distribution:
            yield f"{title} is from {now.distribution or _NONE}, not from {before.distribution or _NONE}"
        elif now.version != before.version:
            yield f"{now.distribution} {before.version} -> {now.version}"
        if now.code != before.code:
            yield f"code of {title} changed"
    if ppbench.__version__ != measured.ppbench_version:
        yield f"ppbench {measured.ppbench_version} -> {ppbench.__version__}"
    elif _harness_code(job.wire) != measured.harness_code:
        yield "code of the harness changed"
    for engine, version in _engine_versions(job).items():
        if version != (installed := measured.package_versions.get(engine)):
            yield f"{engine} {installed or 'not installed'} -> {version or 'not installed'}"


def _plugins(job: Job) -> dict[str, PluginIdentity]:
    found = {}
    for registry in REGISTRIES:
        plugin = type(job.plugins[registry.what])
        name, version = registry.declared_by(plugin) or (None, None)
        found[registry.what] = PluginIdentity(distribution=name, version=version, code=code.of_class(plugin))
    return found


def harness_modules(wire: str) -> Mapping[str, Path]:
    """The files of all that measures over this wire, whosever it is, by module."""
    entry = WIRES.load(wire).__module__
    return code.closure([_ENTRY, entry], ("ppbench", entry.partition(".")[0]), _NOT_MEASURING)


@functools.cache
def _harness_code(wire: str) -> str:
    return code.digest(harness_modules(wire))


def _engine_versions(job: Job) -> dict[str, str | None]:
    required = [distribution(need) for plugin in job.plugins.values() for need in plugin.requires.values()]
    found = package_versions("numpy", "torch", *required)
    return {name: found.get(name) for name in ("numpy", "torch", *required)}
