"""CPU, wall time and peak memory as the kernel has them; no assertion depends on how fast the machine is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ppbench import meter
from ppbench.meter import Meter, peak_rss_bytes

MB = 1 << 20
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux resets the peak")


def compute(cpu_s: float) -> None:
    until_s = time.thread_time() + cpu_s
    while time.thread_time() < until_s:
        sum(range(1000))


@pytest.mark.parametrize("own_process", [True, False])
def test_computing_costs_cpu_time_and_sleeping_does_not(own_process: bool) -> None:
    one = Meter(own_process)
    compute(0.1)
    busy = one.read()
    assert busy.cpu_s >= 0.1
    assert busy.wall_s >= 0.1
    one.start()
    time.sleep(0.3)
    idle = one.read()
    assert idle.wall_s >= 0.3
    assert idle.cpu_s < idle.wall_s / 2


def test_reading_goes_on_and_starting_begins_anew() -> None:
    one = Meter(own_process=True)
    compute(0.05)
    first, second = one.read(), one.read()
    assert second.cpu_s >= first.cpu_s >= 0.05
    assert second.wall_s >= first.wall_s
    one.start()
    assert one.read().cpu_s < first.cpu_s


def test_other_threads_are_charged_to_a_process_and_not_to_a_party_that_shares_it() -> None:
    whole, shared = Meter(own_process=True), Meter(own_process=False)
    other = threading.Thread(target=compute, args=(0.2,))
    other.start()
    other.join()
    assert whole.read().cpu_s >= 0.2
    assert shared.read().cpu_s < 0.2


def test_children_that_have_ended_are_charged() -> None:
    one = Meter(own_process=True)
    code = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert one.read().cpu_s >= 0.3


def test_the_peak_is_at_least_what_was_in_use() -> None:
    one = Meter(own_process=True)
    held = np.ones(50 * MB, np.uint8)
    assert one.read().peak_rss_bytes >= held.nbytes


@linux
def test_the_peak_grows_and_is_forgotten_at_the_next_start() -> None:
    # In a process of its own: other tests of this one have had a higher peak.
    code = (
        "import numpy as np; from ppbench.meter import Meter; one = Meter(own_process=True)\n"
        f"before = one.read().peak_rss_bytes; held = np.ones({50 * MB}, np.uint8); after = one.read().peak_rss_bytes\n"
        "del held; one.start(); print(after - before, after - one.read().peak_rss_bytes)"
    )
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    grown, forgotten = map(int, child.stdout.split())
    assert grown > 45 * MB
    assert forgotten > 40 * MB


@linux
def test_the_peak_is_not_that_of_the_parent() -> None:
    held = np.ones(200 * MB, np.uint8)
    code = "from ppbench.meter import peak_rss_bytes; print(peak_rss_bytes())"
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(child.stdout) < held.nbytes


def test_where_the_kernel_tells_less_the_peak_is_that_since_the_process_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = peak_rss_bytes()
    monkeypatch.setattr(meter, "_PROCESSES", tmp_path)
    monkeypatch.setattr(meter, "_CLEAR_REFS", tmp_path)
    assert Meter(own_process=True).read().peak_rss_bytes >= known // 2
    assert os.listdir(tmp_path) == []
