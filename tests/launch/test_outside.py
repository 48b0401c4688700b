"""What the kernel shows of a process to who started it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from ppbench.launch import outside
from tests.helpers.processes import wait_until_gone

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
BURNT_S = 0.1
PROGRAM = f"""
import socket, subprocess, sys, time
burn = "import time\\nwhile time.process_time() < {BURNT_S}: pass\\n"
subprocess.run([sys.executable, "-S", "-c", burn])
waits = burn + "print(flush=True); time.sleep(60)"
living = subprocess.Popen([sys.executable, "-S", "-c", waits], stdout=subprocess.PIPE)
living.stdout.readline()
exec(burn)
listener = socket.create_server(("127.0.0.1", 0))
held = [socket.create_connection(listener.getsockname()), *socket.socketpair()]
held += [socket.create_server(("::1", 0), family=socket.AF_INET6)]
held += [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX)]
held[-2].bind(("127.0.0.1", 0)); held[-1].bind("\\0ppbench test"); held[-1].listen()
print(listener.getsockname()[1], held[0].getsockname()[1], held[-2].getsockname()[1], flush=True)
time.sleep(60)
"""


@pytest.fixture
def child(marker: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    yield process
    for pid in (*outside.descendants(process.pid), process.pid):
        subprocess.run(["kill", "-9", str(pid)], check=True)
    process.communicate()
    assert not wait_until_gone(marker)


def test_cpu_of_a_process_its_children_and_sockets_are_seen(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    listens, calls, datagrams = map(int, child.stdout.readline().split())
    # Its own, that of a child that has ended and of one that lives; start-up and ticks leave room.
    spent_s = outside.cpu_s(child.pid)
    assert 3 * BURNT_S - 4 * outside.TICK_S <= spent_s < 3 * BURNT_S + 2
    assert outside.peak_rss_bytes(child.pid) > 5e6
    found = sorted(map(str, outside.sockets(child.pid, outside.socket_names(child.pid))))
    (listens_6,) = (text for text in found if "::1" in text)
    assert found == sorted(
        [
            f"tcp 127.0.0.1:{listens}, listening",
            f"tcp 127.0.0.1:{calls} to 127.0.0.1:{listens}",
            listens_6,
            f"udp 127.0.0.1:{datagrams}",
            "unix unnamed",
            "unix unnamed",
            "unix @ppbench",
        ]
    )


def test_of_a_process_that_has_ended_nothing_is_said() -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    for read in (outside.cpu_s, outside.socket_names):
        with pytest.raises(FileNotFoundError):
            read(ended.pid)
