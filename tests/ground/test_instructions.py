"""Instructions as the kernel counts them; what valgrind counts is tested where parties are started under it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from ppbench.instructions.perf import Event, Perf

BURNT_S = 0.1
BURN = f"import time\nwhile time.thread_time() < {BURNT_S}: pass"
TASK_CLOCK = Event(1, 1)
"""PERF_TYPE_SOFTWARE and PERF_COUNT_SW_TASK_CLOCK: nanoseconds, also where no processor's counters are to be had."""


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
