"""Instructions as the kernel and as valgrind count them, of threads and of children."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ppbench.instructions.callgrind import Callgrind
from ppbench.instructions.perf import Event, Perf
from ppbench.process import environment

BURNT_S = 0.1
BURN = f"import time\nwhile time.thread_time() < {BURNT_S}: pass"
TASK_CLOCK = Event(1, 1)
"""PERF_TYPE_SOFTWARE and PERF_COUNT_SW_TASK_CLOCK: nanoseconds, also where no processor's counters are to be had."""

UNDER_CALLGRIND = """
import os, threading
from ppbench.instructions.callgrind import Callgrind
counter = Callgrind()
def work(n=100_000):
    for _ in range(n): pass
def in_a_thread():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
def in_a_child():
    if (child := os.fork()) == 0: os._exit(0)
    os.waitpid(child, 0)
for action in (work, work, lambda: work(200_000), in_a_thread, in_a_child, work):
    counter.start()
    action()
    print(counter.elapsed())
"""


def burn() -> None:
    exec(BURN)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs perf_event_open")
def test_an_event_counts_in_threads_and_children_from_its_start_on() -> None:
    waits, goes_on = threading.Event(), threading.Event()

    def wait_and_burn() -> None:
        waits.set()
        goes_on.wait()
        burn()

    older = threading.Thread(target=wait_and_burn)
    older.start()
    waits.wait()
    counter = Perf(TASK_CLOCK)
    started_s = time.monotonic()
    goes_on.set()
    younger = threading.Thread(target=burn)
    younger.start()
    older.join()
    younger.join()
    in_threads_s = counter.elapsed() / 1e9
    # The kernel begins a thread's clock a little before the event's.
    assert 1.9 * BURNT_S <= in_threads_s <= 2 * (time.monotonic() - started_s) + 0.01
    subprocess.run([sys.executable, "-S", "-c", BURN], check=True)
    assert counter.elapsed() / 1e9 >= in_threads_s + 0.95 * BURNT_S
    counter.start()
    assert counter.elapsed() / 1e9 < in_threads_s


def test_what_no_kernel_counts_is_refused() -> None:
    with pytest.raises(OSError, match=r"\w"):
        Perf(Event(1, 1 << 40))


@pytest.mark.skipif(bool(Callgrind.why_not()), reason=str(Callgrind.why_not()))
def test_valgrind_counts_the_same_again_in_threads_and_nothing_where_children_were(tmp_path: Path) -> None:
    command = [*Callgrind.under(), sys.executable, "-S", "-c", UNDER_CALLGRIND]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(threads=1), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    *told, with_a_child, after_it = ended.stdout.split()
    _, again, twice, in_a_thread = map(int, told)
    assert twice == pytest.approx(2 * again, rel=0.01)
    assert in_a_thread == pytest.approx(again, rel=0.1)
    assert with_a_child == "None"
    assert int(after_it) == pytest.approx(again, rel=0.01)
