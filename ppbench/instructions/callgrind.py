"""Instructions as valgrind's callgrind counts them, which executes a process itself, some fifty times slower.

Callgrind is spoken to from within the process, by what valgrind.h calls client requests: a sequence of instructions
without effect, which no compiler makes and which valgrind knows. There are no other ways to learn of a count while a
process runs but files with a cost for every function, and a debugger's connection.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import platform
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from ppbench.errors import PpbenchError
from ppbench.instructions.counter import Counter

PROGRAM = "valgrind"
_LOG = "callgrind.log"
_TASKS = Path("/proc/self/task")
_EVENTS_OF_A_THREAD = re.compile(rb"^events-\d+: (\d+)$", re.M)

# In valgrind.h and callgrind.h.
_MONITOR_COMMAND = 0x1202
_START_INSTRUMENTATION = (ord("C") << 24 | ord("T") << 16) + 4
_N_ARGUMENTS = 6
_REQUEST_X86_64 = bytes.fromhex(
    "4889f8"  # mov rax, rdi: where request and arguments are
    "31d2"  # xor edx, edx: what comes back without valgrind
    "48c1c703 48c1c70d 48c1c73d 48c1c733 4887db"  # rol rdi by 3, 13, 61, 51; xchg rbx, rbx
    "4889d0"  # mov rax, rdx
    "c3"  # ret
)


class Callgrind(Counter):
    """Of a process that was started with `under`, but of nothing that it starts."""

    name: ClassVar[str] = "callgrind"
    slow_down: ClassVar[float] = 50.0

    def __init__(self) -> None:
        """In the folder that the process was started in, valgrind keeps its log."""
        self._request = _Request()
        self._log = Path.cwd() / _LOG
        self._read_up_to = 0
        self._counts = False

    @classmethod
    def why_not(cls) -> str | None:
        """See `Counter.why_not`."""
        if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
            return f"measure.instructions={cls.name} needs Linux on x86_64"
        if shutil.which(PROGRAM) is None:
            return f"measure.instructions={cls.name} needs {PROGRAM}: apt-get install {PROGRAM}"
        return None

    @classmethod
    def under(cls) -> Sequence[str]:
        """See `Counter.under`: nothing is counted before `start`, what is imported until then is faster."""
        return (
            shutil.which(PROGRAM) or PROGRAM,
            "--tool=callgrind",
            "--instr-atstart=no",
            "--vgdb=no",
            f"--log-file={_LOG}",
            "--callgrind-out-file=/dev/null",
        )

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        """See `Counter.versions`."""
        if cls.why_not():
            return {}
        told = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
        return {PROGRAM: told.strip().removeprefix(f"{PROGRAM}-")}

    def start(self) -> None:
        """See `Counter.start`."""
        if not self._counts:
            self._request(_START_INSTRUMENTATION)
            self._counts = True
        self._n_faults_of_children = _faults_of_ended_children()
        self._started_at = self._now()

    def elapsed(self) -> int | None:
        """See `Counter.elapsed`: None if the process has started others meanwhile, which valgrind does not follow."""
        count = self._now() - self._started_at
        had_children = _faults_of_ended_children() > self._n_faults_of_children
        return None if had_children or any(map(_has_children, _TASKS.iterdir())) else count

    def _now(self) -> int:
        """Of all threads, also of those that have ended. Raises PpbenchError outside of callgrind."""
        command = ctypes.create_string_buffer(b"status internal")
        self._request(_MONITOR_COMMAND, ctypes.addressof(command))
        told = b""
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as log:
            log.seek(self._read_up_to)
            told = log.read()
        self._read_up_to += len(told)
        if not (events := _EVENTS_OF_A_THREAD.findall(told)):
            raise PpbenchError(f"callgrind does not say in {_LOG} how many instructions it has counted")
        return sum(map(int, events))


class _Request:
    """A client request, in machine code."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_REQUEST_X86_64)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._ask = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def __call__(self, *words: int) -> None:
        """The number of a request and what it takes."""
        request = (ctypes.c_uint64 * _N_ARGUMENTS)(*words)
        self._ask(ctypes.addressof(request))


def _has_children(task: Path) -> bool:
    """Whether a thread has some that live; one that has ended meanwhile has none."""
    with contextlib.suppress(OSError):
        return bool((task / "children").read_text())
    return False


def _faults_of_ended_children() -> int:
    """Page faults of all children that were waited for: each has some."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
