"""`ppbench` as a user calls it, in a process of its own, but without the second that its imports take.

The process is forked from one that has imported all that a command imports and done nothing else. What a user really
starts is started where the start itself matters: in test_examples, test_wheel, test_third_party and test_doors.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(["tests.helpers.preloaded"])
_PATH = "PYTHONPATH"


def run_command(
    *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None, timeout_s: float = 240.0
) -> subprocess.CompletedProcess[str]:
    """What became of `ppbench ARGUMENT...` in a folder, with these variables added to the environment."""
    variables = {**os.environ, **(environment or {})}
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / "stdout", Path(folder) / "stderr"]
        process = _WARM.Process(target=_become, args=(arguments, cwd or Path.cwd(), variables, streams))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["ppbench", *arguments], timeout_s)
        stdout, stderr = (stream.read_text() for stream in streams)
        return subprocess.CompletedProcess(["ppbench", *arguments], process.exitcode, stdout, stderr)


def _become(arguments: Sequence[str], cwd: Path, variables: Mapping[str, str], streams: Sequence[Path]) -> None:
    os.chdir(cwd)
    for descriptor, stream in zip((1, 2), streams, strict=True):
        opened = os.open(stream, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(variables)
    # As the interpreter does when it starts.
    added = [folder for folder in variables.get(_PATH, "").split(os.pathsep) if folder]
    sys.path[:] = [*added, *(folder for folder in sys.path if folder not in added)]
    sys.argv = ["ppbench", *arguments]
    from ppbench.cli import main

    sys.exit(main())
