"""Real commands on a network that somebody else reads and changes: he can stop a run, and never steer it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ppbench.bundle import Tree, flatten
from ppbench.data.digits import Digits
from ppbench.errors import PeerGone, ProtocolError, UnavailableError
from ppbench.launch.door import Door, RemoteOptions, close_door, open_door
from ppbench.launch.joining import DEVICE, RunOrder, run_key
from ppbench.measure import experiment
from ppbench.process import Interpreter
from ppbench.records import JobRecord
from ppbench.wire import control, handshake, reception
from ppbench.wire.authentication import TAG_BYTES
from ppbench.wire.engine import reserve_port
from ppbench.wire.message import SIZE, as_array, encode
from schemes.plaintext import Plaintext
from tests.helpers.adversary import HOST, Adversary, Seen
from tests.helpers.devices import LONGEST_S, device, device_command, ended, environment, launch, remote_job
from tests.helpers.ends import admitted

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a second loopback address")
CHANGED = "was changed, replayed, left out, reordered or put in on its way"
N_IDLE = 100
N_STRANGERS = 10_000


@contextlib.contextmanager
def between(door: Door, monkeypatch: pytest.MonkeyPatch) -> Iterator[Adversary]:
    """On the harness's port, and on that of each party which waits for the device."""
    adversary = Adversary(door.port, splits=not door.options.tls)
    say = control.send

    def overheard(connection: Any, word: str, tree: Tree = None, *rest: Any) -> None:
        if word == "connect":
            for port in (tree or {}).values():
                adversary.stand_in(port)
        say(connection, word, tree, *rest)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(control, "send", overheard)
            yield adversary
    finally:
        adversary.close()


def popen_spec(path: Path) -> Tree:
    """What once made a device run a command."""
    task = {"dataset": "digits", "sample_shape": [64], "sample_max": 1.0, "n_classes": 10, "batch_size": 1}
    return {
        "party": "participant-0",
        "scheme": "subprocess:Popen",
        "options": {"args": ["touch", str(path)]},
        "task": {**task, "n_participants": 1, "seed": 0},
        "record_view": False,
        "peers": [],
        "accepts": [],
        "hosts": {"participant-0": HOST},
        "interfaces": {},
        "authenticated": True,
        "tls": False,
        "certificate": None,
    }


def test_a_run_that_is_tampered_with_ends_with_its_reason(
    tmp_path: Path, bare_python: Path, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time something else is done to one frame; the device serves the next run all the same."""
    proof = tmp_path / "owned"
    kept: list[bytes] = []

    def puts_a_spec_in(seen: Seen) -> list[bytes]:
        if (seen.channel, seen.to_device, seen.number) != ("participant-0 to harness", True, 0):
            return [seen.data]
        skeleton, _ = flatten(popen_spec(proof))
        return [b"".join(encode("spec", [as_array(json.dumps([skeleton, 0]))])) + bytes(TAG_BYTES)]

    def changes_a_sample(seen: Seen) -> list[bytes]:
        if (seen.channel, seen.to_device, seen.number) != ("participant-0 to party", False, 1):
            return [seen.data]
        return [seen.data[:-40] + bytes([seen.data[-40] ^ 1]) + seen.data[-39:]]

    def replays_an_answer(seen: Seen) -> list[bytes]:
        if (seen.channel, seen.to_device) != ("participant-0 to party", True):
            return [seen.data]
        kept.append(seen.data)
        return [kept[0]]

    def changes_an_order(seen: Seen) -> list[bytes]:
        if (seen.channel, seen.to_device) != ("device to harness", True) or b"nonce" not in seen.data:
            return [seen.data]
        return [seen.data.replace(b'"threads', b'"Threads')]

    from_device, from_coordinator = (
        f"nothing usable came from {name}: frame" for name in ("participant-0", "coordinator")
    )
    outcomes = {
        puts_a_spec_in: f"participant-0 failed in start: frame 0 {CHANGED}",
        changes_a_sample: f"coordinator failed in online: {from_device} 1 {CHANGED}",
        replays_an_answer: f"participant-0 failed in online: {from_coordinator} 1 {CHANGED}",
        changes_an_order: "participant-0 was gone with its device before it started",
    }
    with between(door, monkeypatch) as adversary:
        far = device(bare_python, door, address=adversary.address)
        for does, reason in outcomes.items():
            adversary.does = does
            record = experiment.run(remote_job(Plaintext()), tmp_path / does.__name__)
            assert (record.status, record.reason.partition("; traceback in ")[0]) == ("failed", reason), does
        adversary.does = lambda seen: [seen.data]
        assert experiment.run(remote_job(Plaintext()), tmp_path).reason == ""
        close_door()
        said = ended(far)
    assert far.returncode == 0
    assert not proof.exists()
    assert re.search(rf"nothing usable came from the harness: frame \d+ {CHANGED}; waiting for it", "\n".join(said))


def test_who_listens_in_learns_no_key_and_with_tls_no_sample(
    tmp_path: Path, bare_python: Path, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same job, in clear and encrypted: the payload is the same to the byte, what is added has its own records."""
    sample = next(row.tobytes() for row in Digits().load().test.samples if len(set(row.tolist())) > 5)
    runs: list[JobRecord] = []
    for tls in (False, True):
        options = RemoteOptions("127.0.0.1:0", str(tmp_path / "token"), tls=tls)
        door = open_door(dataclasses.replace(options, certificate=str(tmp_path / "pem") if tls else None))
        with between(door, monkeypatch) as adversary:
            far = device(bare_python, door, *(["--tls"] if tls else []), address=adversary.address)
            runs.append(experiment.run(remote_job(Plaintext()), tmp_path / str(tls)))
            close_door()
            ended(far)
        assert runs[-1].reason == ""
        nonces = re.findall(rb"nonce\W+([0-9a-f]{32})", adversary.heard)
        assert bool(nonces) != tls
        run_keys = [run_key(door.token, nonce.decode()) for nonce in nonces]
        pair_keys = [handshake.pair_key(key, "participant-0", "coordinator") for key in run_keys]
        for key in (door.token, *run_keys, *pair_keys):
            assert key not in adversary.heard
            assert key.hex().encode() not in adversary.heard
        assert (b"participant-0" in adversary.heard) != tls
        assert (sample in adversary.heard) != tls
    clear, encrypted = (added_up(run) for run in runs)
    assert clear.keys() | {"tls_bytes_sent", "tls_bytes_received"} == encrypted.keys()
    assert {name: encrypted[name] for name in clear} == clear
    assert encrypted["tls_bytes_sent"] > 0


def added_up(job: JobRecord) -> dict[str, float]:
    """By metric, over parties and stages."""
    sums: dict[str, float] = {}
    for record in job.records:
        if record.peer is not None:
            sums[record.metric] = sums.get(record.metric, 0) + record.value
    return sums


def test_who_has_the_token_can_name_a_scheme_and_nothing_else(tmp_path: Path, bare_python: Path, door: Door) -> None:
    """A harness with every key says what the relay said: the device looks for a scheme of that name."""
    far = device(bare_python, door)
    (joined,) = door.gather([["participant-0"]])
    order = RunOrder(["participant-0"], "ab" * 16, 1)
    joined.run(order, float("inf"))
    party = None
    while party is None:
        party = door.admit({"participant-0": run_key(door.token, order.nonce)}.get, 1.0)
    connection = party.connection(authenticated=True)
    control.send(connection, "spec", popen_spec(tmp_path / "owned"))
    word, tree = control.Inbox(connection).receive()
    assert word == "failed"
    assert tree["reason"].startswith("no scheme named 'subprocess:Popen' (known: ")
    assert joined.state(LONGEST_S) == "exited with status 1"
    connection.close()
    close_door()
    ended(far)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "order",
    [
        None,
        {"parties": ["participant-0"], "nonce": "ab" * 16},
        {"parties": ["--token-file"], "nonce": "ab" * 16, "threads": 1},
        {"parties": [], "nonce": "ab" * 16, "threads": 1},
        {"parties": ["participant-0"], "nonce": "../" * 16, "threads": 1},
        {"parties": ["participant-0"], "nonce": "ab" * 16, "threads": True},
    ],
)
def test_what_no_harness_says_is_no_run(order: Tree) -> None:
    with pytest.raises(ProtocolError, match="a run "):
        RunOrder.from_tree(order)


def test_idle_connections_keep_no_device_out_and_no_promise_waiting(
    tmp_path: Path, bare_python: Path, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is given up meanwhile: all are heard beside the device."""
    monkeypatch.setattr(reception, "TIMEOUT_S", 10 * LONGEST_S)
    door = open_door(RemoteOptions("127.0.0.1:0", str(tmp_path / "token"), wait_s=0.5))
    with contextlib.ExitStack() as idle:
        socks = [idle.enter_context(socket.create_connection(("127.0.0.1", door.port))) for _ in range(N_IDLE)]
        with pytest.raises(UnavailableError, match=r"0 came within remote\.wait_s=0\.5"):
            door.gather([["participant-0"]])
        far = device(bare_python, door)
        while not door.devices:
            assert door.admit(lambda name: None, 0.1) is None
        assert len(door.gather([["participant-0"]])) == 1
        assert not select.select(socks, [], [], 0)[0]
        close_door()
    ended(far)
    assert far.returncode == 0


def test_the_harness_survives_whatever_strangers_say_to_it(tmp_path: Path, bare_python: Path, marker: str) -> None:
    """The real command: each of them says something else instead of a handshake, or amid it; then a device comes."""
    port, token = reserve_port(HOST), tmp_path / "token"
    small = ["dataset=digits", "model=mlp", "task.n_samples=20", "measure.repetitions=1", "measure.calibrate=false"]
    wire = ["wire=remote", f"remote.listen={HOST}:{port}", f"remote.token_file={token}"]
    command = [sys.executable, "-m", "ppbench.cli", "run", *small, *wire, f"results_dir={tmp_path / 'results'}"]
    told = tmp_path / "told"
    with told.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment()) as harness:
        while "waiting for 1 device" not in told.read_text():
            assert harness.poll() is None
            time.sleep(0.05)
        lot = random.Random(0)
        for _ in range(N_STRANGERS):
            hello = lot.randbytes(32) + bytes([len(DEVICE)]) + DEVICE.encode()
            saying = hello + lot.randbytes(lot.choice((31, 32, 4096)))
            saying = lot.choice((saying, hello[: lot.randrange(len(hello))], lot.randbytes(lot.randrange(200))))
            with socket.create_connection((HOST, port)) as stranger, contextlib.suppress(OSError):
                stranger.sendall(saying)
                stranger.shutdown(socket.SHUT_WR)
                stranger.settimeout(LONGEST_S)
                while stranger.recv(1 << 12):
                    pass
        far = launch(*Interpreter(str(bare_python)).command("ppbench.cli"), *device_command(f"{HOST}:{port}", token))
        assert ended(far)[-1].endswith("the harness says that it is over")
    assert harness.returncode == 0, told.read_text()
    assert "Traceback" not in told.read_text()


def test_a_device_survives_whatever_is_said_to_it(bare_python: Path, door: Door) -> None:
    """It hears garbage instead of a handshake's answer; then, from one who knows the token, of a wrong tag and behind
    a right one; and comes back each time."""
    lot = random.Random(0)
    body = lot.randbytes(100_000)
    sayings = {
        SIZE.pack(len(body)) + body + bytes(TAG_BYTES): False,
        SIZE.pack(0xFFFFFFFF) + body: False,
        SIZE.pack(len(body)) + body: True,
        b"".join(encode("run", [as_array("[null, 7]")])): True,
        b"".join(encode("run", [as_array('["{}", 0]')])): True,
    }
    with socket.create_server((HOST, 0)) as false:
        far = device(bare_python, door, address=f"{HOST}:{false.getsockname()[1]}")
        false.accept()[0].close()
        for saying, tagged in sayings.items():
            party = admitted(false, "harness", {"device": door.token}.get)
            with contextlib.suppress(PeerGone):
                party.connection(authenticated=tagged).send([saying])
            party.socket.settimeout(LONGEST_S)
            with party.socket, contextlib.suppress(ConnectionError):
                while party.socket.recv(1 << 16):
                    pass
    far.terminate()
    said = ended(far)
    assert sum("nothing usable came from the harness" in line for line in said) == len(sayings), said
    assert not any("Traceback" in line for line in said)
