"""Participants on another machine, in an environment that has numpy and nothing else."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ppbench
from ppbench import cli, store
from ppbench.errors import ConfigError
from ppbench.launch.door import Door, RemoteOptions, close_door, open_door
from ppbench.launch.joining import make_token, read_token
from ppbench.launch.namespace_network import NamespaceNetwork
from ppbench.measure import experiment
from ppbench.measure.job import Job
from ppbench.measure.machine import machine
from ppbench.process import Interpreter
from ppbench.records import JobRecord
from ppbench.wire.engine import reserve_port
from schemes.plaintext import Plaintext
from tests.faults.scheme import Faulty
from tests.helpers.devices import LONGEST_S, device, device_command, ended, environment, launch, remote_job
from tests.helpers.processes import processes_with, wait_until_gone
from tests.helpers.remote_schemes import Calling, Needy

DEADLINE_S = 4.0
ROOMY_DEADLINE_S = 6.0
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs namespaces and /proc")


def read_until(process: subprocess.Popen[str], beginning: str) -> None:
    assert process.stdout is not None
    assert any(line.startswith(beginning) for line in process.stdout), f"it never said {beginning!r}"


def payload(job: JobRecord) -> list[tuple[object, ...]]:
    rows = [r for r in job.records if "_bytes_" in r.metric and r.metric[0] in "mp" and r.stage in ("setup", "online")]
    return sorted((r.stage, r.metric, r.party, r.peer, r.process, r.repetition, r.value, r.source) for r in rows)


def tags(job: JobRecord, way: str) -> list[float]:
    return [record.value for record in job.records if record.metric == f"authentication_bytes_{way}"]


def messages(job: JobRecord, way: str) -> list[float]:
    return [record.value for record in job.records if record.metric == f"messages_{way}"]


def test_a_sweep_over_a_network_gives_the_bytes_of_this_machine(tmp_path: Path, bare_python: Path, marker: str) -> None:
    """Two machines' worth of namespaces; the device has numpy alone and serves every process of every job."""
    lacks = "import importlib.util as u; print([m for m in ('torch', 'hydra', 'pandas', 'pydantic') if u.find_spec(m)])"
    assert ended(launch(str(bare_python), "-P", "-c", lacks)) == ["[]"]
    token = tmp_path / "token"
    make_token(token)
    jobs = ["scheme=plaintext,obfnet1", "dataset=digits", "model=mlp", "task.n_samples=20", "task.batch_size=8"]
    jobs += ["measure.calibrate=false", "measure.repetitions=1", "measure.view_batches=1"]
    network = NamespaceNetwork([("harness", "device")])
    network.make(time.monotonic() + LONGEST_S)

    def inside(name: str, interpreter: Interpreter, *arguments: str) -> subprocess.Popen[str]:
        handles = network.user, network.descriptor(name)
        command = [*network.command(interpreter, "ppbench.cli", *handles), *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=handles, env=environment()
        )

    remote = ["wire=remote", f"remote.token_file={token}", f"results_dir={tmp_path / 'remote'}"]
    try:
        harness = inside("harness", Interpreter(), "run", "-m", *jobs, *remote)
        address = f"{network.addresses['harness']}:7700"
        far = inside("device", Interpreter(str(bare_python)), *device_command(address, token))
        told = ended(harness)
        assert harness.returncode == 0, told
        said = ended(far)
    finally:
        network.close()
    assert far.returncode == 0
    assert said[-1] == "ppbench participant: the harness says that it is over"
    measured = store.read_all(tmp_path / "remote")
    assert [one.scheme for one in measured] == ["plaintext", "obfnet"]
    for one in measured:
        unseen = {**one.config["measure"], "view_batches": 0}
        other = experiment.run(Job.from_config({**one.config, "wire": "tcp", "measure": unseen}), tmp_path / "tcp")
        assert (one.status, other.status) == ("ok", "ok")
        assert payload(one) == payload(other)
        assert {record.source for record in one.records if "payload" in record.metric} == {"tcp_info"}
        for way in ("sent", "received"):
            assert tags(one, way) == [16 * n for n in messages(one, way)]
        assert not [record for record in other.records if "authentication" in record.metric]
        assert one.provenance.machines["participant-0"].model_dump() == machine()
        assert list(one.provenance.machines) == ["participant-0"]
        assert not other.provenance.machines
        assert (tmp_path / "remote" / one.folder / "views" / "participant-0.npz").exists()


def test_the_token_is_made_for_its_owner_alone(tmp_path: Path, door: Door) -> None:
    path = door.options.token_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(read_token(path)) == 32
    assert open_door(door.options) is door
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=re.escape(f"the token file {path} can be read or changed by others: chmod")):
        Door(dataclasses.replace(door.options, listen="127.0.0.1:0"))
    assert cli.main(device_command("127.0.0.1:1", path)) == 2
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=re.escape(f"remote.listen='127.0.0.1:{door.port}' cannot be listened on")):
        Door(dataclasses.replace(door.options, listen=f"127.0.0.1:{door.port}"))


def test_who_has_another_token_or_version_is_refused(tmp_path: Path, bare_python: Path, door: Door) -> None:
    other = tmp_path / "other"
    make_token(other)
    address = f"127.0.0.1:{door.port}"
    stranger = launch(*Interpreter(str(bare_python)).command("ppbench.cli"), *device_command(address, other))
    told = device_command(address, door.options.token_path)
    program = f"import ppbench, sys; ppbench.__version__ = '0.0.1'; from ppbench import cli; sys.exit(cli.main({told}))"
    old = launch(str(bare_python), "-P", "-c", program)
    until_s = time.monotonic() + LONGEST_S
    while (stranger.poll() is None or old.poll() is None) and time.monotonic() < until_s:
        assert door.admit(lambda name: None, 0.1) is None
    assert not door.devices
    waits = f"ppbench participant: waiting for the harness at {address}"
    assert ended(stranger) == [
        waits,
        f"ppbench: who listens at {address} is not harness of this run: is {other} a copy of the harness's token file?",
    ]
    versions = f"it has ppbench 0.0.1, the harness has ppbench {ppbench.__version__}"
    assert ended(old) == [waits, f"ppbench: the harness refuses this device: {versions}"]
    assert (stranger.returncode, old.returncode) == (2, 2)


def test_a_run_that_fails_is_told_and_the_next_one_goes_on(tmp_path: Path, bare_python: Path, door: Door) -> None:
    """Whatever happens to a run on the device: the harness knows how it ended, and the device serves the next one."""
    far = device(bare_python, door)
    late = f"the deadline of {DEADLINE_S:g} s passed in online, waiting for coordinator (waiting), "
    no_engine = "coordinator failed in setup: coordinator's engine cannot call participant-0 on its own machine"
    outcomes = {
        Faulty(stage="setup", fault="raise"): "participant-0 failed in setup: ValueError: the sensor is on fire",
        Faulty(stage="online", fault="kill"): "participant-0 failed in online: killed by SIGKILL",
        Needy(): "participant-0 failed in setup: 'needy' needs what is not installed there: pip install 'pandas>=2.1'",
        Faulty(stage="online", fault="stop"): late + "participant-0 (running)",
        Calling(): f"{no_engine}: wire=tcp",
        Faulty(): "",
    }
    for scheme, reason in outcomes.items():
        record = experiment.run(remote_job(scheme, DEADLINE_S if scheme.fault == "stop" else LONGEST_S), tmp_path)
        told, _, where = record.reason.partition("; traceback in ")
        assert told == reason
        who = reason.partition(" ")[0]
        raised = reason.startswith(who + " failed") and "killed" not in reason
        assert where == (f"{record.folder}/logs/{who}.txt" if raised else "")
        assert (record.status == "ok") == (not reason)
    (log,) = tmp_path.glob("faulty-*/logs/participant-0.txt")
    assert "the sensor is on fire" in log.read_text()
    close_door()
    said = ended(far)
    assert far.returncode == 0
    assert "ppbench participant: participant-0: ValueError: the sensor is on fire" in said
    assert "ppbench participant: participant-0: ModuleNotFoundError: No module named 'pandas'" in said
    assert len(said) <= 2 + len(outcomes)


def test_several_devices_and_a_deadline_that_counts_from_when_they_are_here(
    tmp_path: Path, bare_python: Path, door: Door
) -> None:
    """Two processes of two participants each; the first device asks for the second of them."""
    asks = device(bare_python, door, "--index", "3")
    others: list[subprocess.Popen[str]] = []
    timer = threading.Timer(ROOMY_DEADLINE_S + 0.5, lambda: others.append(device(bare_python, door)))
    timer.start()
    job = remote_job(Plaintext(), ROOMY_DEADLINE_S, n_participants=4, participants_per_process=2)
    record = experiment.run(job, tmp_path)
    assert record.reason == ""
    assert sorted(record.provenance.machines) == [f"participant-{i}" for i in range(4)]
    assert [chosen.index for chosen in door.gather([["participant-0", "participant-1"], ["participant-3"]])] == [
        None,
        3,
    ]
    close_door()
    for process in (asks, *others):
        ended(process)
        assert process.returncode == 0


def test_without_a_device_or_a_door_the_job_cannot_run_here(tmp_path: Path, marker: str) -> None:
    record = experiment.run(remote_job(Plaintext()), tmp_path)
    assert (record.status, record.reason.partition(" for ")[0]) == ("unavailable", "wire=remote needs an open door")
    open_door(RemoteOptions("127.0.0.1:0", str(tmp_path / "token"), wait_s=0.1))
    record = experiment.run(remote_job(Plaintext()), tmp_path)
    close_door()
    assert record.status == "unavailable"
    assert record.reason == (
        "wire=remote needs 1 device(s) that run `ppbench participant`: 0 came within remote.wait_s=0.1"
    )


@pytest.mark.parametrize("dies", ["harness", "device"])
def test_whatever_dies_nothing_is_left_on_either_machine(
    tmp_path: Path, bare_python: Path, marker: str, dies: str
) -> None:
    """In the middle of a job that would go on for hours, one of the two commands is killed."""
    token, address = tmp_path / "token", f"127.0.0.1:{reserve_port('127.0.0.1')}"
    make_token(token)
    job = ["scheme=plaintext", "dataset=digits", "model=mlp", "measure.calibrate=false", "measure.repetitions=1000000"]
    remote = ["wire=remote", f"remote.listen={address}", f"remote.token_file={token}", f"results_dir={tmp_path}"]
    harness = launch(*Interpreter().command("ppbench.cli"), "run", *job, *remote)
    read_until(harness, "ppbench: waiting for 1 device(s)")
    far = launch(
        *Interpreter(str(bare_python)).command("ppbench.cli"), *device_command(address, token, "--wait-s", "1")
    )
    read_until(harness, "measuring")
    assert len(processes_with(marker)) >= 4  # both commands and both parties
    {"harness": harness, "device": far}[dies].kill()
    told, said = ended(harness), ended(far)
    assert not wait_until_gone(marker)
    if dies == "harness":
        assert far.returncode == 0
        assert said[-1] == f"ppbench participant: no harness at {address} for 1 s"
    else:
        assert harness.returncode == 1
        assert any("participant-0 failed in online: gone with its device" in line for line in told)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--connect", "here"], "--connect='here' must be HOST:PORT, with a port from 0 to 65535"),
        (["--connect", "here:70000"], "--connect='here:70000' must be HOST:PORT, with a port from 0 to 65535"),
        (["--token-file", "gone"], "the token file gone cannot be read: No such file or directory"),
        (["--token-file", os.devnull], f"the token file {os.devnull} must hold 64 hexadecimal digits"),
        (["--wait-s", "-1"], "--wait-s=-1.0 must be at least 0"),
        (["--index", "-1"], "--index=-1 must be at least 0"),
    ],
)
def test_a_wrong_argument_is_told_in_one_line(
    tmp_path: Path, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    make_token(token)
    assert cli.main([*device_command("127.0.0.1:1", token), *arguments]) == 2
    assert capsys.readouterr().err == f"ppbench: {reason}\n"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("remote.listen=here", "remote.listen='here' must be HOST:PORT, with a port from 0 to 65535"),
        ("remote.wait_s=-1", "remote.wait_s=-1.0 must be at least 0"),
        ("remote.certificate=x.pem", "remote.certificate='x.pem' needs remote.tls=true"),
        ("remote.lisen=x", "no option in remote named 'lisen'; did you mean 'listen'?"),
    ],
)
def test_a_wrong_option_is_told_before_anything_starts(
    override: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "scheme=plaintext", "dataset=digits", "model=mlp", "wire=remote", override]) == 2
    assert reason in capsys.readouterr().err


def test_a_device_says_what_may_be_wrong_with_who_answers(tmp_path: Path, bare_python: Path, marker: str) -> None:
    make_token(tmp_path / "token")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        given = device_command(address, tmp_path / "token", "--wait-s", "0", "--tls")
        far = launch(*Interpreter(str(bare_python)).command("ppbench.cli"), *given)
        listener.accept()[0].close()
        said = ended(far)
    expected = f"no harness at {address} for 0 s: who answers there breaks off; does it have remote.tls=true?"
    assert said[-1] == f"ppbench participant: {expected}"


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("remote.token_file={}", "the token file {} can be read or changed by others: chmod 600 {}"),
        ("remote.certificate={}", "{} holds no certificate with its unencrypted key, as PEM"),
        (
            "remote.listen=192.0.2.1:0",
            "'192.0.2.1:0' cannot be listened on: Cannot assign requested address\n",
        ),
    ],
)
def test_what_the_wire_lacks_is_told_before_anything_starts(
    tmp_path: Path, option: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("nothing that would serve")
    file.chmod(0o644 if "token" in option else 0o600)
    token = [] if "token" in option else [f"remote.token_file={tmp_path / 'token'}"]
    wire = ["wire=remote", "remote.listen=127.0.0.1:0", f"remote.tls={'certificate' in option}".lower(), *token]
    given = ["scheme=plaintext", "dataset=digits", "model=mlp", *wire, option.format(file)]
    assert cli.main(["run", *given, f"results_dir={tmp_path / 'results'}"]) == 2
    complaint = capsys.readouterr().err
    assert reason.format(file, file) in complaint
    assert len(complaint.splitlines()) == 1
    assert not (tmp_path / "results").exists()
