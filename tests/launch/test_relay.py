"""The relay that shapes links: real TCP between namespaces, a job over it, and its queues by themselves."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ppbench
from ppbench.errors import PeerGone, UnavailableError
from ppbench.launch.namespace_network import NamespaceNetwork
from ppbench.launch.relay import QUEUE_BYTES, Direction, Medium, Shape
from ppbench.launch.shaping import RelayProcess
from ppbench.launch.wires import WIRES
from ppbench.modelled.link_cost import load_link
from ppbench.process import Interpreter, environment
from ppbench.wire.interfaces import ETHERNET_HEADER_BYTES
from tests.helpers.processes import processes_with

DEVICE, CLOUD = "participant-0", "coordinator"
LONGEST_S = 30.0
HEADERS_BYTES = 52
MSS_BYTES = 1448
SLOW = Shape(2e6, 8e6, 0.02, 1500, 0, half_duplex=False)
SHAPES = st.builds(
    Shape,
    st.floats(1e4, 1e9),
    st.floats(1e4, 1e9),
    st.floats(0, 2),
    st.integers(20, 1500),
    st.integers(0, 60),
    st.booleans(),
)
ARRIVALS = st.lists(st.tuples(st.sampled_from(["up", "down"]), st.floats(0, 1), st.integers(20, 1500)), max_size=40)


@pytest.fixture
def network(marker: str) -> Iterator[NamespaceNetwork]:
    """A device and a cloud, with a relay's namespace between them."""
    made = NamespaceNetwork([(CLOUD, DEVICE)], relayed=[(CLOUD, DEVICE)])
    made.make(time.monotonic() + LONGEST_S)
    yield made
    made.close()


@contextlib.contextmanager
def end(network: NamespaceNetwork, name: str, word: str, n_bytes: int) -> Iterator[subprocess.Popen[str]]:
    """A process in a party's namespace, killed if it has not ended."""
    inside = (network.user, network.descriptor(name))
    command = NamespaceNetwork.command(Interpreter(), "tests.helpers.relay_end", *inside)
    process = subprocess.Popen(
        [*command, word, network.addresses[CLOUD], str(n_bytes)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(threads=1),
        pass_fds=inside,
    )
    with process:
        yield process
        process.kill()


def seconds(network: NamespaceNetwork, n_bytes: int) -> dict[str, list[float]]:
    """Round trips, and transfers of so many bytes each way, as the device measures them."""
    with end(network, CLOUD, "listen", n_bytes) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "listening\n"
        with end(network, DEVICE, "connect", n_bytes) as connecting:
            found: dict[str, list[float]] = json.loads(connecting.communicate(timeout=LONGEST_S)[0])
    return found


def relay(network: NamespaceNetwork, shape: Shape, folder: Path) -> RelayProcess:
    return RelayProcess(network, shape, folder / "relay.log", time.monotonic() + LONGEST_S)


@pytest.mark.parametrize("half_duplex", [False, True])
def test_tcp_has_the_delay_and_the_goodput_that_were_set(
    network: NamespaceNetwork, tmp_path: Path, half_duplex: bool
) -> None:
    shape = dataclasses.replace(SLOW, half_duplex=half_duplex)
    n_packets = 60
    with relay(network, shape, tmp_path):
        measured = seconds(network, n_packets * MSS_BYTES)
    packets_bits = 8 * n_packets * (MSS_BYTES + HEADERS_BYTES)
    expected = {
        "rtt": 2 * shape.delay_s,
        "up": 2 * shape.delay_s + packets_bits / shape.up_bit_per_s,
        "down": 2 * shape.delay_s + packets_bits / shape.down_bit_per_s,
    }
    for what, least_s in expected.items():
        # Never faster; the best of several is not slower by more than acknowledgements and a busy machine explain.
        assert 0.999 * least_s <= min(measured[what]) < 1.25 * least_s, what
    assert (tmp_path / "relay.log").read_text() == ""


def test_without_the_relay_nothing_passes(network: NamespaceNetwork, tmp_path: Path) -> None:
    with relay(network, SLOW, tmp_path):
        pass
    with end(network, CLOUD, "listen", 1) as listening, end(network, DEVICE, "connect", 1) as connecting:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "listening\n"
        with pytest.raises(subprocess.TimeoutExpired):
            connecting.wait(1.0)


def test_a_relay_that_cannot_open_its_interfaces_is_refused_with_the_place_of_its_log(
    network: NamespaceNetwork, tmp_path: Path
) -> None:
    network.relay_ends[CLOUD, DEVICE] = ("missing0", "missing1")
    with pytest.raises(PeerGone, match=r"ended before it forwarded anything: see .*relay\.log"):
        relay(network, SLOW, tmp_path).__enter__()
    assert "No such device" in (tmp_path / "relay.log").read_text()


def test_a_relay_that_is_stopped_is_ended_all_the_same(network: NamespaceNetwork, tmp_path: Path, marker: str) -> None:
    with relay(network, SLOW, tmp_path):
        (pid,) = processes_with(marker)
        os.kill(pid, signal.SIGSTOP)
    assert processes_with(marker) == []


def test_a_job_waits_for_its_link_and_leaves_nothing_behind(tmp_path: Path, marker: str) -> None:
    job = ("scheme=plaintext", "dataset=digits", "model=mlp", "task.n_samples=4", "task.batch_size=1")
    how = ("wire=namespaces", "measure.repetitions=1", "measure.calibrate=false")
    (row,) = ppbench.run(*job, *how, "link=lte_m", results_dir=tmp_path).to_dict("records")
    link = load_link("lte_m")
    assert (row["status"], row["agreement"]) == ("ok", 1.0)
    assert row["latency_s_per_batch"] > link.rtt_s + 8 * row["up_bytes_per_sample"] / link.goodput_up_bit_per_s
    assert processes_with(marker) == []


def test_a_wire_that_cannot_shape_links_says_so(tmp_path: Path) -> None:
    for name in ("tcp", "memory"):
        wire = WIRES.load(name)([(CLOUD, DEVICE)], 1, tmp_path, Interpreter())
        with pytest.raises(UnavailableError, match=f"no link is shaped on wire={name}"):
            wire.shape(SLOW)


@pytest.fixture
def pipe() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@given(shape=SHAPES, arrivals=ARRIVALS)
def test_frames_leave_in_order_and_never_two_at_once_nor_before_they_came(
    shape: Shape, arrivals: list[tuple[str, float, int]]
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        rates = {"up": shape.up_bit_per_s, "down": shape.down_bit_per_s}
        directions = {way: Direction(ours, rate, shape) for way, rate in rates.items()}
        both = list(directions.values())
        media = [Medium(both)] if shape.half_duplex else [Medium([direction]) for direction in both]
        came: dict[str, list[tuple[float, float]]] = {"up": [], "down": []}
        for way, arrived_s, packet_bytes in sorted(arrivals, key=lambda arrival: arrival[1]):
            directions[way].take(bytes(ETHERNET_HEADER_BYTES + packet_bytes), arrived_s)
            came[way].append((arrived_s, 8 * shape.frame_bytes(packet_bytes) / rates[way]))
        for medium in media:
            medium.advance(1e9)
            assert medium.starts_s == float("inf")
        sendings = []
        for way, direction in directions.items():
            for arrived_s, sending_s in came[way]:
                sent_s = direction.due_s - shape.delay_s
                direction.deliver(direction.due_s)
                theirs.recv(1 << 16)
                assert sent_s - sending_s >= arrived_s - 1e-6
                sendings.append((way, sent_s - sending_s, sent_s))
            assert direction.due_s == float("inf")
        for way in directions:
            own = [(start, stop) for one, start, stop in sendings if shape.half_duplex or one == way]
            by_start = sorted(own)
            assert all(stop <= start + 1e-6 for (_, stop), (start, _) in itertools.pairwise(by_start))


def test_ends_that_both_have_much_to_send_take_turns(pipe: tuple[socket.socket, socket.socket]) -> None:
    shape = dataclasses.replace(SLOW, half_duplex=True, delay_s=0.0, down_bit_per_s=SLOW.up_bit_per_s)
    up, down = Direction(pipe[0], SLOW.up_bit_per_s, shape), Direction(pipe[0], SLOW.up_bit_per_s, shape)
    medium = Medium([up, down])
    for _ in range(100):
        up.take(bytes(1514), 0.0)
    down.take(bytes(1514), 0.0)
    medium.advance(1e9)
    assert down.due_s == pytest.approx(2 * 8 * 1500 / SLOW.up_bit_per_s)


def test_a_queue_that_is_full_drops_what_comes_and_counts_it(pipe: tuple[socket.socket, socket.socket]) -> None:
    direction = Direction(pipe[0], 1.0, SLOW)
    frame = bytes(1 << 20)
    for _ in range(QUEUE_BYTES // len(frame)):
        direction.take(frame, 0.0)
    assert direction.n_dropped == 0
    direction.take(bytes(60), 0.0)
    assert direction.n_dropped == 1
