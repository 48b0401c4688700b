"""One scheme for each check, broken so that this check finds it."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.cache import cache_dir
from ppbench.data.dataset import Dataset
from ppbench.errors import PeerGone, ProtocolError
from ppbench.party import Party
from ppbench.privacy.guarantee import Privacy
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task, TaskFacts
from tests.broken.sound import Coordinator, Idle, Participant, Sound, roles

BROKEN: dict[str, list[type[Scheme]]] = {}
"""Check -> the schemes that must fail it."""

S = TypeVar("S", bound=type[Scheme])


def breaks(check: str) -> Callable[[S], S]:
    """Say which check must find the scheme."""

    def add(scheme: S) -> S:
        BROKEN.setdefault(check, []).append(scheme)
        return scheme

    return add


@breaks("card_is_complete")
@dataclasses.dataclass(frozen=True)
class PromisesNothing(Sound):
    card: ClassVar[SchemeCard] = dataclasses.replace(Sound.card, guarantee=" ")


@breaks("name_is_its_entry_point")
@dataclasses.dataclass(frozen=True)
class TakesAnothersName(Sound):
    name: ClassVar[str] = "plaintext"


@breaks("name_is_its_entry_point")
@dataclasses.dataclass(frozen=True)
class NamedLikeAPath(Sound):
    name: ClassVar[str] = "../sound"


@breaks("options_are_typed_with_defaults")
class NoDataclass(Sound):
    width: int = 3


@breaks("options_are_typed_with_defaults")
@dataclasses.dataclass(frozen=True)
class OptionThatNoFileHolds(Sound):
    layers: frozenset[int] = frozenset()


@breaks("variant_names_what_differs")
@dataclasses.dataclass(frozen=True)
class NamelessVariants(Sound):
    width: int = 3

    def variant(self) -> str:
        return ""


@breaks("roles_are_complete")
@dataclasses.dataclass(frozen=True)
class NobodyCoordinates(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant}


@breaks("roles_are_complete")
@dataclasses.dataclass(frozen=True)
class CoordinatorStaysAway(Sound):
    def active_roles(self) -> tuple[str, ...]:
        return ("participant",)


@breaks("roles_are_complete")
@dataclasses.dataclass(frozen=True)
class TrainsOnPaperOnly(Sound):
    card: ClassVar[SchemeCard] = dataclasses.replace(Sound.card, task="training")


@breaks("prepares_for_its_roles")
@dataclasses.dataclass(frozen=True)
class PreparesForAStranger(Sound):
    name: ClassVar[str] = "a_stranger"  # what is prepared is kept by name

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {**super().prepare(task), "cordinator": {}}


@breaks("prepares_for_its_roles")
@dataclasses.dataclass(frozen=True)
class PreparesAnObject(Sound):
    name: ClassVar[str] = "an_object"  # what is prepared is kept by name

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {**super().prepare(task), "participant": {1, 2}}


@breaks("prepares_for_its_roles")
@dataclasses.dataclass(frozen=True)
class PreparesFromTestLabels(Sound):
    name: ClassVar[str] = "test_labels"  # what is prepared is kept by name

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {**super().prepare(task), "participant": {"labels": self.test_labels(task)}}

    def test_labels(self, task: Task) -> Array:
        """What it must not find."""
        labels: Array = task.dataset.test.labels  # type: ignore[attr-defined]
        return labels


@breaks("prepares_for_its_roles")
@dataclasses.dataclass(frozen=True)
class SearchesItsProcess(PreparesFromTestLabels):
    name: ClassVar[str] = "searches_process"

    def test_labels(self, task: Task) -> Array:
        (whole,) = [found for found in gc.get_objects() if isinstance(found, Dataset)]
        return whole.test.labels


@breaks("prepares_once")
@dataclasses.dataclass(frozen=True)
class NeverTheSameKey(Sound):
    name: ClassVar[str] = "another_key"  # what is prepared is kept by name

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        return {"drawn": secrets.randbits(32)}


@breaks("prepare_depends_on_its_key_alone")
@dataclasses.dataclass(frozen=True)
class PreparesForABatchSize(Sound):
    name: ClassVar[str] = "a_batch_size"  # what is prepared is kept by name

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {**super().prepare(task), "participant": {"batch_size": task.facts.batch_size}}


class FailingCoordinator(Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        raise ProtocolError("as a test has it")


@breaks("completes_a_job")
@dataclasses.dataclass(frozen=True)
class NeverEndsWell(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(coordinator=FailingCoordinator)


class QuietlyGone(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        os._exit(0)


@breaks("answers_every_sample")
@dataclasses.dataclass(frozen=True)
class NobodyAnswers(Sound):
    card: ClassVar[SchemeCard] = dataclasses.replace(Sound.card, tolerates_dropouts=True)
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(QuietlyGone)


class UncountedCoordinator(Coordinator):
    on_critical_path = False


@breaks("records_are_complete")
@dataclasses.dataclass(frozen=True)
class CountsNoRounds(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(coordinator=UncountedCoordinator)


class Talkative(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        party.to("proxy").send("nobody listens", 1)
        super().online(party, batch)


@breaks("every_message_is_received")
@dataclasses.dataclass(frozen=True)
class TalksToTheWall(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Talkative, proxy=Idle)


class ForOneOnly(Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        party.participant.send_tree("model", artifacts["model"])


@breaks("serves_two_participants")
@dataclasses.dataclass(frozen=True)
class KnowsOneParticipant(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(coordinator=ForOneOnly)


class Guessing(Participant):
    def classify(self, party: Party, batch: Batch) -> Array:
        return np.frombuffer(secrets.token_bytes(batch.size), np.uint8) % party.task.n_classes


@breaks("same_seed_gives_same_answers")
@dataclasses.dataclass(frozen=True)
class AnswersByChance(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Guessing)


class Padding(Coordinator):
    def online(self, party: Party, batch: Batch) -> None:
        party.participant.receive("labels")
        party.participant.send("seen", np.zeros((1, secrets.randbelow(1 << 16)), np.uint8))


@breaks("same_job_moves_same_bytes")
@dataclasses.dataclass(frozen=True)
class PadsByChance(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(coordinator=Padding)


_STARTED: list[subprocess.Popen[bytes]] = []


@breaks("leaves_no_process")
@dataclasses.dataclass(frozen=True)
class LeavesAProcess(Sound):
    """What a party starts ends with it, so it is started where the harness asks the scheme itself."""

    def privacy(self, facts: TaskFacts) -> Privacy | None:
        _STARTED.append(subprocess.Popen(["sleep", "8"]))
        return None


class Forking(Participant):
    """Goes on as a child of the process that the harness has started."""

    def __init__(self, scheme: Scheme) -> None:
        super().__init__(scheme)
        in_a_party = any("ppbench.launch" in argument for argument in sys.orig_argv)
        if in_a_party and (child := os.fork()):
            os.waitpid(child, 0)
            os._exit(0)


@breaks("parties_live_in_processes_of_their_own")
@dataclasses.dataclass(frozen=True)
class LeavesItsProcess(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Forking)


class Seeding(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        np.random.seed(batch.index)
        super().online(party, batch)


@breaks("leaves_its_process_as_it_was")
@dataclasses.dataclass(frozen=True)
class SeedsForAll(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Seeding)


class Exporting(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        os.environ["PPBENCH_TEST_LEFT_BEHIND"] = "1"
        super().online(party, batch)


@breaks("leaves_the_calling_process_as_it_was")
@dataclasses.dataclass(frozen=True)
class ChangesTheEnvironment(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Exporting)


class Whispering(Participant):
    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        with socket.create_connection(("127.0.0.1", int(party.coordinator.receive("port")))) as aside:
            aside.sendall(b"what no channel sees")


class Overhearing(Coordinator):
    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        for participant in party.participants:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                participant.send("port", listener.getsockname()[1])
                listener.accept()[0].recv(64)


@breaks("opens_no_socket_of_its_own")
@dataclasses.dataclass(frozen=True)
class TalksAside(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Whispering, Overhearing)


class ThreadedWhispering(Participant):
    """The same from a thread that the role starts."""

    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        address = ("127.0.0.1", int(party.coordinator.receive("port")))
        thread = threading.Thread(target=lambda: socket.create_connection(address).close())
        thread.start()
        thread.join()


@breaks("opens_no_socket_of_its_own")
@dataclasses.dataclass(frozen=True)
class TalksAsideInAThread(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(ThreadedWhispering, Overhearing)


class ImportingLate(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        importlib.import_module("pandas")
        super().online(party, batch)


@breaks("charges_no_stage_for_imports")
@dataclasses.dataclass(frozen=True)
class ImportsInAStage(Sound):
    requires: ClassVar[Mapping[str, str]] = {"pandas": "pandas>=2.1"}
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(ImportingLate)


class Writing(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        with tempfile.NamedTemporaryFile(dir=Path(tempfile.gettempdir())) as file:
            np.save(file, batch.samples)
        super().online(party, batch)


@breaks("writes_no_file")
@dataclasses.dataclass(frozen=True)
class KeepsSamplesOnDisk(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Writing)


class Sharing(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        with contextlib.suppress(PermissionError), tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            np.save(file, batch.samples)
        super().online(party, batch)


@breaks("writes_no_file")
@dataclasses.dataclass(frozen=True)
class SharesSamplesInMemory(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Sharing)


class Prying(Coordinator):
    def online(self, party: Party, batch: Batch) -> None:
        with contextlib.suppress(OSError):
            (cache_dir() / "datasets" / "mnist.npz").read_bytes()
        super().online(party, batch)


@breaks("opens_no_file_of_others")
@dataclasses.dataclass(frozen=True)
class LooksUpTheLabels(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(coordinator=Prying)


class RawSending(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        # The connection's own socket, so that no new one shows.
        party.coordinator.connection.socket.sendall(b"\0" * 32)


class RawReceiving(Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        for participant in party.participants:
            rest = 32
            while rest:
                with contextlib.suppress(BlockingIOError):
                    rest -= len(participant.connection.socket.recv(rest))


@breaks("views_account_for_every_byte")
@dataclasses.dataclass(frozen=True)
class SendsBesideTheFrames(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(RawSending, RawReceiving)


class Revealing(Participant):
    def classify(self, party: Party, batch: Batch) -> Array:
        party.coordinator.send("samples", party.task.unit(batch.samples).T)
        return super().classify(party, batch)


class Seeing(Coordinator):
    def online(self, party: Party, batch: Batch) -> None:
        party.participant.receive("samples")
        super().online(party, batch)


@breaks("coordinator_sees_no_raw_sample")
@dataclasses.dataclass(frozen=True)
class SendsSamplesPackedAcross(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Revealing, Seeing)


_LIVES_HERE: set[str] = set()


class Alone(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        self.claim(party)

    def claim(self, party: Party) -> None:
        """Take the process for one party's own."""
        _LIVES_HERE.add(party.name)
        party.coordinator.send("here", 1)


class AloneToo(Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        for participant in party.participants:
            participant.receive("here")
        if _LIVES_HERE:
            raise ProtocolError("somebody lives here already")


@breaks("memory_wire_moves_the_same_bytes")
@dataclasses.dataclass(frozen=True)
class SharesAModulesState(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Alone, AloneToo)


class FullBatchesOnly(Participant):
    def classify(self, party: Party, batch: Batch) -> Array:
        labels = np.zeros(party.task.batch_size, np.uint8)
        labels[: batch.size] = super().classify(party, batch)
        return labels


@breaks("takes_an_odd_last_batch")
@dataclasses.dataclass(frozen=True)
class FillsEveryBatch(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(FullBatchesOnly)


class Squeezing(Participant):
    def classify(self, party: Party, batch: Batch) -> Array:
        return super().classify(party, batch).squeeze()


class SizeBlind(Coordinator):
    def online(self, party: Party, batch: Batch) -> None:
        party.participant.receive("labels")
        party.participant.send("seen", batch.size)


@breaks("takes_batches_of_one")
@dataclasses.dataclass(frozen=True)
class SqueezesItsAnswers(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Squeezing, SizeBlind)


class OnePass(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        self.pads = [1, 2]

    def online(self, party: Party, batch: Batch) -> None:
        if not self.pads:
            raise ProtocolError("no pad is left")
        self.pads.pop()
        super().online(party, batch)


@breaks("repeats_its_passes")
@dataclasses.dataclass(frozen=True)
class UsesUpItsPads(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(OnePass)


class Trusting(Participant):
    def classify(self, party: Party, batch: Batch) -> Array:
        weight = np.ones((party.task.dimension, party.task.n_classes))
        labels: Array = (batch.samples @ weight).argmax(axis=1).astype(np.uint8)
        return labels


@breaks("wrong_shape_is_a_clean_error")
@dataclasses.dataclass(frozen=True)
class FailsByAccident(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Trusting)


class Careless(Participant):
    def classify(self, party: Party, batch: Batch) -> Array:
        return super().classify(party, Batch(batch.index, batch.size, batch.samples[:, : party.task.dimension]))


@breaks("wrong_shape_is_a_clean_error")
@dataclasses.dataclass(frozen=True)
class CutsWhatIsTooLong(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Careless)


class Inconsolable(Coordinator):
    def online(self, party: Party, batch: Batch) -> None:
        try:
            super().online(party, batch)
        except PeerGone as error:
            raise ProtocolError("cannot go on without it") from error


@breaks("dead_participant_ends_the_job")
@dataclasses.dataclass(frozen=True)
class ToleratesOnPaperOnly(Sound):
    card: ClassVar[SchemeCard] = dataclasses.replace(Sound.card, tolerates_dropouts=True)
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(coordinator=Inconsolable)
