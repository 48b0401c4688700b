"""A scheme under check: the runs that the checks look at, each made once, when the first check asks for it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import signal
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ppbench.bundle import Array
from ppbench.data.dataset import DatasetSource
from ppbench.errors import PpbenchError
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.measure.prepare import Prepared, prepared
from ppbench.models.model import Model
from ppbench.registry import SCHEMES, Registry
from ppbench.scheme import COORDINATOR, PARTICIPANT, Scheme, TaskFacts
from ppbench.testing import probe, watch
from ppbench.testing.outcome import Outcome
from ppbench.testing.plugin_case import PluginCase
from ppbench.testing.result import skip_if

N_SAMPLES = 32
BATCH_SIZE = 16
N_ODD_SAMPLES = 37
PAIR_BATCH_SIZE = 8
_MARKER = "PPBENCH_CHECK"


@dataclasses.dataclass
class Case(PluginCase[Scheme]):
    """One scheme, and what it is checked with."""

    registry: ClassVar[Registry[Any]] = SCHEMES

    dataset: DatasetSource
    models: Sequence[Model]
    """The first that the scheme takes is used."""
    marker: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def scheme(self) -> Scheme:
        """The scheme with its options. Raises CheckSkipped if it cannot be made."""
        return self.plugin

    @functools.cached_property
    def model(self) -> Model:
        """The first model that the scheme takes; where it takes none, the first, so that the reason is seen."""
        for model in self.models if len(self.models) > 1 else ():
            with contextlib.suppress(PpbenchError):
                self._prepared(self.job(self.scheme, model=model))
                return model
        return self.models[0]

    @functools.cached_property
    def facts(self) -> TaskFacts:
        """What every party of the plain job knows."""
        data = self.dataset.load()
        return TaskFacts(data.name, data.sample_shape, data.sample_max, data.n_classes, BATCH_SIZE, 1, seed=0)

    @property
    def answers(self) -> bool:
        """Whether there is an online stage."""
        return self.scheme.takes_part_in("online")

    @property
    def third_parties(self) -> list[str]:
        """The roles beside participant and coordinator."""
        return [role for role in self.scheme.active_roles() if role not in (PARTICIPANT, COORDINATOR)]

    @contextlib.contextmanager
    def marked(self) -> Iterator[None]:
        """Inside, whatever this process starts carries a mark by which `survivors` finds it."""
        os.environ[_MARKER] = self.marker
        try:
            yield
        finally:
            os.environ.pop(_MARKER, None)

    def survivors(self) -> dict[int, str]:
        """Process id -> command line of the processes, other than this one, that carry the mark."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.marker.encode() in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = command.decode(errors="replace").strip()
        return found

    def end_survivors(self) -> None:
        """Kill what the runs should not have left."""
        for pid in self.survivors():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def job(
        self,
        scheme: Scheme,
        n_samples: int = N_SAMPLES,
        batch_size: int = BATCH_SIZE,
        n_participants: int = 1,
        warmup_batches: int = 0,
        repetitions: int = 1,
        view_batches: int = 0,
        wire: str = "tcp",
        model: Model | None = None,
    ) -> Job:
        """One short job."""
        measure = MeasureOptions(
            warmup_batches=warmup_batches,
            repetitions=repetitions,
            deadline_s=self.deadline_s,
            view_batches=view_batches,
        )
        task = TaskOptions(n_samples=n_samples, batch_size=batch_size, n_participants=n_participants)
        return Job(scheme, self.dataset, model or self.model, task, measure, wire)

    def need(self, outcome: Outcome) -> Outcome:
        """The same outcome, if the job ended well. Raises CheckSkipped if not: another check reports that."""
        skip_if(outcome.record.status != "ok", f"what it looks at failed: {outcome.reason}")
        return outcome

    @functools.cached_property
    def start(self) -> Prepared:
        """What the plain job starts from. Raises PpbenchError."""
        return self._prepared(self._plain_job)

    @functools.cached_property
    def plain(self) -> Outcome:
        """One participant, as any user would run it."""
        return self._run("plain", self._plain_job)

    @functools.cached_property
    def pair(self) -> Outcome:
        """Two participants, or as many as it serves, every party watched, in a measured pass and in one with views."""
        return self._run("pair", self._pair_job)

    @functools.cached_property
    def pair_start(self) -> Prepared:
        """What the watched pair starts from: prepared apart from `start`. Raises PpbenchError."""
        return self._prepared(self._pair_job)

    @functools.cached_property
    def has_engine(self) -> bool:
        """Whether a party runs an engine of its own, which cannot live twice in one process."""
        return any(report["uses_engine"] for report in self.pair.reports().values())

    @functools.cached_property
    def memory(self) -> Outcome:
        """The plain job on the in-memory wire."""
        skip_if(self.has_engine, "its engine needs a process for each party")
        return self.light("memory")

    @functools.cached_property
    def odd(self) -> Outcome:
        """A job like the plain one, on as many samples as leave the last batch short."""
        return self.light("odd", n_samples=N_ODD_SAMPLES)

    def light(self, label: str, **options: int) -> Outcome:
        """A plain job in this process's memory, where the scheme can run there: it starts at once."""
        wire = "tcp" if self.has_engine else "memory"
        return self._run(label, self.job(self.scheme, wire=wire, **options))  # type: ignore[arg-type]

    @property
    def n_watched(self) -> int:
        """Participants of the watched job."""
        return 2 if self.cls.card.several_participants else 1

    def faulty(self, fault: str, n_participants: int) -> Outcome:
        """A watched job with a fault."""
        job = self.job(probe.probed(self.scheme, fault), n_participants=n_participants)
        return self._run(fault, job)

    @functools.cached_property
    def state_before(self) -> dict[str, str]:
        """The state of this process before any role has run in it."""
        self.dataset.load()
        # Importing a large library may well set environment variables, or draw from `random`: that is not the scheme's
        # doing. A role imports what it computes with when it is made.
        for module in self.cls.requires:
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        for role in self.cls.roles.values():
            with contextlib.suppress(Exception):
                role(self.scheme)
        return watch.global_state()

    def raw_samples(self, n: int) -> list[Array]:
        """The n raw samples of each split, (d,) each, that are least likely to appear anywhere by chance."""
        data = self.dataset.load()
        splits = [data.test.samples[: 2 * N_SAMPLES]]
        if self.scheme.takes_part_in("train"):
            splits.append(data.train.samples)
        return [sample for split in splits for sample in sorted(split, key=_n_distinct, reverse=True)[:n]]

    def _prepared(self, job: Job) -> Prepared:
        return prepared(job, self.folder / "prepared" / "logs")

    @property
    def _plain_job(self) -> Job:
        return self.job(self.scheme)

    @property
    def _pair_job(self) -> Job:
        return self.job(
            probe.probed(self.scheme),
            n_samples=2 * N_SAMPLES,
            batch_size=PAIR_BATCH_SIZE,
            n_participants=self.n_watched,
            view_batches=2 * N_SAMPLES // PAIR_BATCH_SIZE,
        )

    def _run(self, label: str, job: Job) -> Outcome:
        _ = self.state_before
        with self.marked():
            record = experiment.run(job, self.folder / label)
        return Outcome(record, self.folder / label / record.folder, self.cls)


def _n_distinct(sample: Array) -> int:
    return len(set(sample.tolist()))
