"""Become a module that reaches others over its channels alone.

    python -m ppbench.launch.confine FOLDER [--hide PATH]... [--read PATH]... [--under=WORD]... MODULE [ARGUMENT]...

Of the file system it then has what code consists of, to be read, and FOLDER for temporary files. Code is the system's
folders, the interpreter's, those on `sys.path` and those of projects installed from where they are; of these, paths
that are hidden are left out. What it starts stays in its session, which the harness charges it for and ends.

With `--under`, whose words are a program and its arguments, the module runs in an interpreter under that program: what
was restricted stays so, whatever the program is.

It imports the standard library alone, and restricts itself before the module starts any thread.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import runpy
import sys
import urllib.parse
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ppbench.launch import landlock, seccomp
from ppbench.launch.landlock import Access

READ = Access.READ_FILE | Access.READ_DIR | Access.EXECUTE
_OWN_FOLDER = ~(Access.MAKE_CHAR | Access.MAKE_BLOCK)
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix/store", "/sys")
_OF_THE_KERNEL = ("cpuinfo", "meminfo", "stat", "loadavg", "uptime", "version", "filesystems", "sys", "device-tree")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_SET_CHILD_SUBREAPER = 36
_NAME = "ppbench.launch.confine"


def arguments(
    folder: Path, hidden: Collection[Path], module: str, readable: Collection[Path] = (), under: Sequence[str] = ()
) -> list[str]:
    """What to tell this module, after which come the arguments of the other.

    `readable` are files that it may read, even within what is hidden.
    """
    told = [("--hide", path) for path in hidden] + [("--read", path) for path in readable]
    paths = [part for flag, path in told for part in (flag, str(path.resolve()))]
    return [str(folder), *paths, *(f"--under={word}" for word in under), module]


def hidden() -> list[Path]:
    """What is hidden from this process; its own folder may be in it, and code."""
    if _NAME not in sys.orig_argv:
        return []
    return list(_parsed(sys.orig_argv[sys.orig_argv.index(_NAME) + 1 :]).hide)


def told() -> str:
    """What confines a party's process here, in a few words."""
    abi = landlock.abi()
    files = f"files by Landlock (ABI {abi})" if abi else "files by nothing: this kernel has no Landlock"
    others = "children and sockets by " + ("seccomp" if seccomp.available() else "nothing: no seccomp here")
    return f"{files}, {others}"


def keep_children() -> None:
    """Whoever this process starts, and whoever that starts, stays in its session, where there is seccomp."""
    if seccomp.available():
        landlock.no_new_privileges()
        seccomp.forbid((*seccomp.LEAVE_SESSION, *seccomp.SHARE_WITH_STRANGERS))


def keep_sockets() -> None:
    """Nobody in this process, nor whom it starts, opens a further socket, where there is seccomp."""
    if seccomp.available():
        landlock.no_new_privileges()
        seccomp.forbid(seccomp.OPEN_SOCKETS)


def confine(folder: Path, hidden: Sequence[Path], readable: Sequence[Path]) -> None:
    """Restrict this process, where the kernel can."""
    if sys.platform.startswith("linux"):
        # An orphan's time is then kept here, whether or not anybody waits for it.
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)
    keep_children()
    if landlock.abi():
        rules = landlock.Ruleset()
        for path, access in _readable([path.resolve() for path in hidden]):
            rules.allow(path, access)
        for path in readable:
            rules.allow(path, Access.READ_FILE)
        for device in _DEVICES:
            rules.allow(f"/dev/{device}", Access.READ_FILE | Access.WRITE_FILE | Access.IOCTL_DEV | Access.TRUNCATE)
        # It stays open: a rule is of this very entry, which the kernel would else forget and make anew.
        own = os.open("/proc/self", os.O_PATH)
        os.set_inheritable(own, True)
        rules.allow_open(own, READ | Access.WRITE_FILE)
        rules.allow(folder, _OWN_FOLDER)
        rules.restrict()


def _readable(hidden: Sequence[Path]) -> Iterator[tuple[Path, Access]]:
    """What code consists of, but for what is hidden."""
    for name in _OF_THE_KERNEL:
        yield Path("/proc", name), READ
    yield Path("/etc/resolv.conf").resolve(), READ
    for path in sorted({path.resolve() for path in _code()}):
        yield from _without(path, hidden)


def _code() -> Iterator[Path]:
    yield from map(Path, (*_SYSTEM, sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix))
    yield from map(Path, filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)))
    for entry in map(Path, sys.path):
        yield entry
        for child in _children(entry):
            if child.is_symlink():
                yield Path(child)
            elif child.name.endswith(".dist-info"):
                yield from _project(Path(child, "direct_url.json"))


def _project(direct_url: Path) -> Iterator[Path]:
    """The folder of a project that was installed from where it is (PEP 610)."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        origin = json.loads(direct_url.read_text())
        if origin["dir_info"].get("editable"):
            yield Path(urllib.parse.unquote(urllib.parse.urlparse(origin["url"]).path))


def _without(path: Path, hidden: Sequence[Path]) -> Iterator[tuple[Path, Access]]:
    """A folder whole, or what is in it beside the hidden; names may be listed in all of it."""
    inside = [other for other in hidden if path in other.parents]
    if not inside:
        yield path, READ
        return
    yield path, Access.READ_DIR
    for child in _children(path):
        if not child.is_symlink() and Path(child) not in inside:
            yield from _without(Path(child), inside)


def _children(folder: Path) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as children:
        return list(children)
    return []


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {_NAME}", description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--hide", action="append", default=[], metavar="PATH", type=Path)
    parser.add_argument("--read", action="append", default=[], metavar="PATH", type=Path)
    parser.add_argument("--under", action="append", default=[], metavar="WORD")
    parser.add_argument("module", metavar="MODULE")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def main() -> None:
    """Restrict this process, and become the module."""
    parsed = _parsed(sys.argv[1:])
    confine(parsed.folder, parsed.hide, parsed.read)
    os.environ["TMPDIR"] = str(parsed.folder)
    if parsed.under:
        module = [sys.executable, "-P", "-m", parsed.module, *parsed.arguments]
        os.execv(parsed.under[0], [*parsed.under, *module])
    sys.argv = [parsed.module, *parsed.arguments]
    runpy.run_module(parsed.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
