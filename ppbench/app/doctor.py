"""`ppbench doctor`: the machine, the versions, what can be measured here, and what is missing."""

from __future__ import annotations

import platform
import socket
from collections.abc import Iterator
from pathlib import Path

from ppbench import cache
from ppbench.errors import PpbenchError
from ppbench.instructions import COUNTERS
from ppbench.launch import confine, namespace_network
from ppbench.launch.wire import LOOPBACK
from ppbench.measure import machine, provenance
from ppbench.process import n_cpus
from ppbench.registry import REGISTRIES
from ppbench.wire import engine
from ppbench.wire.connection import KERNEL, Connection

_VERSIONS = ("ppbench-iot", "numpy", "torch", "hydra-core", "omegaconf", "pandas", "pydantic", "matplotlib")


def print_diagnosis() -> bool:
    """Print what was found; True if everything that ships with ppbench can run."""
    print(f"machine    {machine.cpu()}, {n_cpus()} cores, {_gib(machine.memory_bytes())}")
    print(f"system     {platform.platform()}, Python {platform.python_version()}")
    versions = provenance.package_versions(*_VERSIONS)
    print("versions   " + ", ".join(f"{name} {versions.get(name, 'missing')}" for name in _VERSIONS))
    print(f"code       {provenance.git_commit() or 'installed package'}")
    print(f"cache      {cache.cache_dir()}")
    print(f"payload    {_payload()}")
    print(f"engines    {_engines()}")
    print(f"wire       {_wire()}")
    print(f"parties    confined: {confine.told()}")
    print(f"peak RSS   {_peak_rss()}")
    for name, counter in COUNTERS.items():
        print(f"{name:<11}{counter.why_not() or f'counts instructions: measure.instructions={name}'}")
    faults = list(_faults())
    for fault in faults:
        print(f"missing    {fault}")
    if not faults:
        print("missing    nothing")
    return not faults


def _faults() -> Iterator[str]:
    if reason := cache.unwritable():
        yield reason
    if reason := _no_loopback():
        yield reason
    for registry in REGISTRIES:
        for name in registry.names():
            if reason := registry.why_not(name):
                yield reason


def _payload() -> str:
    if reason := _no_loopback():
        return f"nothing can be counted: {reason}"
    with socket.create_server((LOOPBACK, 0)) as listener:
        connection = Connection(socket.create_connection(listener.getsockname()))
        counted_by = connection.payload().source
        connection.close()
    return "counted by the kernel (TCP_INFO)" if counted_by == KERNEL else "counted by the channel: no TCP_INFO here"


def _no_loopback() -> str | None:
    """What keeps parties on this machine from meeting; None if nothing does."""
    try:
        with socket.create_server((LOOPBACK, 0)) as listener:
            socket.create_connection(listener.getsockname()).close()
    except OSError as error:
        return f"parties cannot meet on {LOOPBACK} ({error.strerror or error}): is the loopback interface up?"
    return None


def _engines() -> str:
    try:
        engine.check_available()
        engine.payload_by_socket(known=())
    except (PpbenchError, OSError) as error:
        return f"own sockets cannot be counted: {error}"
    return "own sockets are counted by the kernel (TCP_INFO)"


def _wire() -> str:
    if reason := namespace_network.unavailable():
        return f"bytes with headers cannot be counted: {reason}"
    return "bytes with headers are counted in network namespaces: wire=namespaces"


def _peak_rss() -> str:
    if Path("/proc/self/clear_refs").exists():
        return "per stage (VmHWM, reset through clear_refs)"
    return "since the start of each process (ru_maxrss)"


def _gib(n_bytes: int | None) -> str:
    return "memory unknown" if n_bytes is None else f"{n_bytes / 2**30:.0f} GiB"
