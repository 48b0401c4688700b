"""Parties in network namespaces: packets by pair and stage, and nothing left behind, whatever dies."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ppbench import store
from ppbench.errors import PeerGone, UnavailableError
from ppbench.launch.namespace_network import NamespaceNetwork
from ppbench.measure import experiment
from ppbench.measure.job import Job
from ppbench.process import Interpreter
from ppbench.records import JobRecord
from ppbench.report.summary import summary
from ppbench.scheme import Scheme
from schemes.plaintext import Plaintext
from tests.faults.job import DEADLINE_S, faulty_job
from tests.faults.scheme import Faulty
from tests.helpers.processes import processes_with, wait_until_gone
from tests.sketches.engine import WithEngine

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
LONGEST_S = 30.0
HEADERS_BYTES = 20 + 32
WIRE_COLUMNS = [
    "up_wire_bytes_per_sample",
    "down_wire_bytes_per_sample",
    "setup_up_wire_bytes",
    "setup_down_wire_bytes",
]


def held_namespaces() -> set[str]:
    """Those that this process holds open."""
    held = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            held.add(os.readlink(link))
        except OSError:
            continue
    return {name for name in held if name.startswith(("net:", "user:"))}


def networks_of(pids: Sequence[int]) -> dict[str, Path]:
    """The network namespaces that some processes' threads live in: name -> the file of one that does."""
    found = {}
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/ns/net"):
            try:
                found[os.readlink(thread)] = thread
            except OSError:
                continue
    return found


def everybody() -> list[int]:
    """All processes that are to be seen."""
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


@pytest.fixture
def marker(marker: str) -> Iterator[str]:
    """With the processes that the test starts all that they made must be gone."""
    interfaces = socket.if_nameindex()
    yield marker
    assert not wait_until_gone(marker)
    assert not held_namespaces()
    assert socket.if_nameindex() == interfaces


def over_namespaces(job: Job, n_together: int = 1) -> Job:
    """With so many participants in one process."""
    task = dataclasses.replace(job.task, n_participants=n_together, participants_per_process=n_together)
    return dataclasses.replace(job, task=task, wire="namespaces")


def traffic(record: JobRecord) -> dict[tuple[str, str, str], dict[str, float]]:
    """(stage, party, peer) -> count -> value."""
    assert record.status == "ok", record.reason
    counted: dict[tuple[str, str, str], dict[str, float]] = {}
    for one in record.records:
        if one.party and one.peer:
            counted.setdefault((one.stage, one.party, one.peer), {})[one.metric] = one.value
    return counted


@pytest.mark.parametrize(("scheme", "n_together"), [(Faulty(), 1), (Plaintext(), 3)])
def test_packets_are_counted_by_pair_and_stage(tmp_path: Path, marker: str, scheme: Scheme, n_together: int) -> None:
    """Also where nobody speaks to the helper, and for each of several participants that share a process."""
    job = dataclasses.replace(faulty_job(Faulty()), scheme=scheme)
    record = experiment.run(over_namespaces(job, n_together), tmp_path)
    counted = traffic(record)
    for (stage, party, peer), count in counted.items():
        back = counted[stage, peer, party]
        for unit in ("bytes", "packets"):
            assert count[f"wire_{unit}_sent"] == back[f"wire_{unit}_received"]
        # A late acknowledgement would be one of a stage in which nobody spoke.
        silent = count["payload_bytes_sent"] + count["payload_bytes_received"] == 0
        assert (count["wire_packets_sent"] == 0) == silent
        # Selective acknowledgements, and what is sent again, come on top.
        assert count["wire_bytes_sent"] >= count["payload_bytes_sent"] + HEADERS_BYTES * count["wire_packets_sent"]
    assert {r.source for r in record.records if r.metric.startswith("wire")} == {"veth"}
    assert summary([record]).loc[0, WIRE_COLUMNS].notna().all()
    assert summary([record]).loc[0, "bytes_source"] == "tcp_info"


def test_messages_and_payload_are_the_same_as_on_tcp(tmp_path: Path, marker: str) -> None:
    job = faulty_job(Faulty())
    near, apart = (experiment.run(one, tmp_path) for one in (job, over_namespaces(job)))
    ours, theirs = traffic(near), traffic(apart)
    assert ours == {
        at: {metric: value for metric, value in count.items() if not metric.startswith("wire")}
        for at, count in theirs.items()
    }
    assert summary([near]).loc[0, WIRE_COLUMNS].isna().all()


def test_an_engine_with_sockets_of_its_own_is_counted(tmp_path: Path, marker: str) -> None:
    job = dataclasses.replace(faulty_job(Faulty()), scheme=WithEngine())
    up = traffic(experiment.run(over_namespaces(job), tmp_path))["online", "participant-0", "coordinator"]
    assert up["message_bytes_sent"] == 0
    assert up["payload_bytes_sent"] == 20 * 64
    assert up["wire_packets_sent"] > 0
    assert up["wire_bytes_sent"] >= up["payload_bytes_sent"] + HEADERS_BYTES * up["wire_packets_sent"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise", "participant-0 failed in online: ValueError: the sensor is on fire"),
        ("kill", "participant-0 failed in online: killed by SIGKILL"),
        ("stop", f"the deadline of {DEADLINE_S:g} s passed in online"),
    ],
)
def test_a_party_that_fails_leaves_no_namespace(tmp_path: Path, marker: str, fault: str, told: str) -> None:
    job = faulty_job(Faulty(stage="online", fault=fault), DEADLINE_S if fault == "stop" else 60.0)
    record = experiment.run(over_namespaces(job), tmp_path)
    assert record.status == "failed"
    assert record.reason.startswith(told)


def test_when_the_harness_is_killed_nothing_is_left(tmp_path: Path, marker: str) -> None:
    overrides = ["scheme=plaintext", "dataset=digits", "model=mlp", "wire=namespaces", "measure.repetitions=1000000"]
    harness = subprocess.Popen(
        [sys.executable, "-m", "ppbench.cli", "run", *overrides, f"results_dir={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert harness.stdout is not None
    for line in harness.stdout:
        if line.startswith("measuring"):
            break
    own = os.readlink("/proc/self/ns/net")
    apart = {name: file for name, file in networks_of(processes_with(marker)).items() if name != own}
    # The process's first thread is the party's: one namespace each, and the harness in none of them.
    assert len(apart) == 2
    with contextlib.ExitStack() as held:
        # While we hold them the kernel gives their names to no other test's.
        for file in apart.values():
            held.enter_context(open(file))
        harness.kill()
        harness.communicate(timeout=LONGEST_S)
        assert not wait_until_gone(marker)
        # A process that ends shows its environment no more while it still leaves its namespace.
        until_s = time.monotonic() + LONGEST_S
        while left := apart.keys() & networks_of(everybody()).keys():
            assert time.monotonic() < until_s, left
            time.sleep(0.05)


@pytest.fixture
def builder_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to write: what the process that makes the namespaces does before it begins."""
    site = tmp_path / "site"
    site.mkdir()
    body = site / "builder_does.py"
    (site / "sitecustomize.py").write_text(
        "import sys\nif 'ppbench.launch.veths' in sys.orig_argv: import builder_does\n"
    )
    monkeypatch.syspath_prepend(str(site))
    return body


def test_a_builder_that_is_killed_or_stopped_ends_the_start(builder_does: Path, marker: str) -> None:
    network = NamespaceNetwork([("one", "other")])
    builder_does.write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(PeerGone, match="killed by SIGKILL"):
        network.make(time.monotonic() + LONGEST_S)
    builder_does.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    with pytest.raises(TimeoutError):
        network.make(time.monotonic() + 1)


def test_without_pyroute2_the_reason_names_it(builder_does: Path, marker: str) -> None:
    builder_does.write_text("import sys; sys.modules['pyroute2'] = None")
    with pytest.raises(UnavailableError, match="pip install pyroute2"):
        NamespaceNetwork([("one", "other")]).make(time.monotonic() + LONGEST_S)


FORBIDDEN = """
import pathlib, sys
from ppbench.launch import enter
enter.unshare(enter.NEW_USER)
pathlib.Path("/proc/sys/user/max_user_namespaces").write_text("0")
from ppbench.cli import main
main(sys.argv[1:])
main(["doctor"])
"""


def test_where_user_namespaces_are_forbidden_the_job_is_unavailable(tmp_path: Path, marker: str) -> None:
    """In a user namespace that allows none below it, which is how a system forbids them."""
    job = ["scheme=plaintext", "dataset=digits", "model=mlp", "wire=namespaces", f"results_dir={tmp_path}"]
    command = [sys.executable, "-c", FORBIDDEN, "run", *job]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    (record,) = store.read_all(tmp_path)
    assert record.status == "unavailable", ran.stderr
    assert "wire=namespaces cannot run here: this system forbids user namespaces" in record.reason
    assert "bytes with headers cannot be counted: wire=namespaces cannot run here" in ran.stdout


ASK = """
import socket, threading
thread = threading.Thread(target=lambda: print(*(name for _, name in socket.if_nameindex())))
thread.start()
thread.join()
"""


def interfaces_inside(network: NamespaceNetwork, descriptor: int, folder: Path) -> set[str]:
    """The interfaces that a thread of a process inside a namespace sees."""
    (folder / "ask.py").write_text(ASK)
    ran = subprocess.run(
        network.command(Interpreter(), "ask", network.user, descriptor),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        pass_fds=[network.user, descriptor],
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=True,
    )
    return set(ran.stdout.split())


def test_each_namespace_has_an_interface_for_each_peer_alone(tmp_path: Path, marker: str) -> None:
    third = "a third party whose name is long"
    network = NamespaceNetwork(
        [("coordinator", "participant-0"), (third, "participant-0")], [("coordinator", "participant-0")]
    )
    (tmp_path / "ask.py").write_text(ASK)
    network.make(time.monotonic() + LONGEST_S)
    try:
        at_participant, at_third, at_relay = (
            interfaces_inside(network, descriptor, tmp_path)
            for descriptor in (network.descriptor("participant-0"), network.descriptor(third), network.relay)
        )
    finally:
        network.close()
    assert at_participant == {"lo", "coordinator", network.interfaces["participant-0"][third]}
    assert at_third == {"lo", "participant-0"}
    assert at_relay == {"lo", *network.relay_ends["coordinator", "participant-0"]}
