"""One job: everything that decides what is measured, as the configuration says it, checked before anything starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from ppbench.cache import digest
from ppbench.data.dataset import DatasetSource
from ppbench.errors import ConfigError, PpbenchError, UnavailableError, choose, in_range, told, unknown
from ppbench.instructions import COUNTERS, NONE
from ppbench.instructions.counter import Counter
from ppbench.launch.link import Link
from ppbench.launch.wires import WIRES
from ppbench.measure.absent import absent
from ppbench.models.model import Model
from ppbench.options import typed, typed_fields
from ppbench.plugin import Plugin, resolve, target_of
from ppbench.registry import DATASETS, MODELS, SCHEMES, Registry
from ppbench.scheme import Scheme

MOST = 2**31 - 1
"""The largest seed, count or number of seconds: what every table and clock can hold."""

P = TypeVar("P", bound=Plugin)
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """How much of the data set is used, and by whom."""

    n_samples: int | None = None
    """Test samples to classify, from the first on; None: all."""
    n_train_samples: int | None = None
    """Training samples that the participants' shards hold together; None: all."""
    batch_size: int = 256
    n_participants: int = 1
    participants_per_process: int = 1
    """How many light participants share one metered process."""

    def __post_init__(self) -> None:
        """Refuse counts below one."""
        in_range("task.n_samples", 1 if self.n_samples is None else self.n_samples, 1, MOST)
        in_range("task.n_train_samples", 1 if self.n_train_samples is None else self.n_train_samples, 1, MOST)
        in_range("task.batch_size", self.batch_size, 1, MOST)
        in_range("task.n_participants", self.n_participants, 1, MOST)
        in_range("task.participants_per_process", self.participants_per_process, 1, MOST)
        for option in ("n_samples", "n_train_samples"):
            n = getattr(self, option)
            if n is not None and n < self.n_participants:
                raise ConfigError(
                    f"task.{option}={n} leaves some of task.n_participants={self.n_participants} without any"
                )


@dataclasses.dataclass(frozen=True)
class MeasureOptions:
    """How often and how long it is measured."""

    warmup_batches: int = 1
    """Of each participant, ahead and unmeasured: they are answered, and training is rehearsed on as many samples."""
    repetitions: int = 3
    """Passes over the samples in one process."""
    processes: int = 1
    """Fresh sets of processes, each with all repetitions; intervals need at least 5."""
    threads: int = 1
    """Threads each party may compute with."""
    deadline_s: float = 600.0
    """After so many seconds from the parties' start the job is ended as failed."""
    prepare_deadline_s: float = 3600.0
    """After so many seconds of training and other preparation the job is ended as failed."""
    calibrate: bool = False
    """Whether to measure the host's rates as well, which the modelled time on a device needs."""
    view_batches: int = 0
    """Batches of each participant in a further, unmeasured pass that keeps what each party receives, for attacks."""
    memory_bytes: int | None = None
    """Resident memory from which on the process of a party, with all that it started, ends the job as failed."""
    instructions: str = NONE
    """Who counts the instructions of each party's process: `perf`, the processor, or `callgrind`, valgrind's.

    Under callgrind parties are some fifty times slower: neither their seconds nor their memory are recorded then, and
    the host is not calibrated.
    """

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        in_range("measure.warmup_batches", self.warmup_batches, 0, MOST)
        in_range("measure.repetitions", self.repetitions, 1, MOST)
        in_range("measure.processes", self.processes, 1, MOST)
        in_range("measure.threads", self.threads, 1, MOST)
        in_range("measure.view_batches", self.view_batches, 0, MOST)
        in_range("measure.memory_bytes", 1 if self.memory_bytes is None else self.memory_bytes, 1)
        choose("measure.instructions", self.instructions, (NONE, *COUNTERS))
        in_range("measure.deadline_s", self.deadline_s, 1e-3, MOST)
        in_range("measure.prepare_deadline_s", self.prepare_deadline_s, 1e-3, MOST)

    def to_config(self) -> dict[str, Any]:
        """Every option by name; those that came later only where they are set: a job's id is what it was before."""
        options = dataclasses.asdict(self)
        return {name: value for name, value in options.items() if _UNSET.get(name, ...) != value}

    @property
    def counter(self) -> type[Counter] | None:
        """What counts instructions, if anything does."""
        return COUNTERS.get(self.instructions)


_UNSET = {"memory_bytes": None, "instructions": NONE}


@dataclasses.dataclass(frozen=True)
class Job:
    """One scheme on one task, measured in one way."""

    scheme: Scheme
    dataset: DatasetSource
    model: Model
    task: TaskOptions = TaskOptions()
    measure: MeasureOptions = MeasureOptions()
    wire: str = "tcp"
    link: Link | None = None
    """How each participant is really connected; None: as fast as the wire is."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse an unknown wire or one without the link, a negative seed, more participants than the scheme serves."""
        choose("wire", self.wire, WIRES.names())
        if self.link is not None:
            _check_shaped(self.link, self.wire)
        if self.measure.memory_bytes is not None and not WIRES.load(self.wire).own_processes:
            raise ConfigError(f"measure.memory_bytes needs processes of the parties' own: none on wire={self.wire}")
        if self.measure.counter is not None:
            _check_counted(self.measure.instructions, self.wire, self.task.participants_per_process)
        in_range("seed", self.seed, 0, MOST)
        if not self.scheme.card.several_participants:
            in_range(f"task.n_participants for scheme={self.scheme.name}", self.task.n_participants, 1, 1)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], classes: Mapping[str, str] | None = None) -> Job:
        """The job that a resolved configuration describes, whether or not it can run here, or even be imported.

        `classes` are the plugins as `classes()` names them, for those that no entry point declares.
        Raises ConfigError for what is unknown or out of range.
        """
        classes = classes or {}
        known = {field.name for field in dataclasses.fields(cls)}
        for key in config:
            if key not in known:
                raise unknown("configuration key", key, known)
        return cls(
            scheme=_plugin(SCHEMES, config, classes),
            dataset=_plugin(DATASETS, config, classes),
            model=_plugin(MODELS, config, classes),
            task=_options(TaskOptions, "task", config),
            measure=_options(MeasureOptions, "measure", config),
            wire=typed("wire", config.get("wire", "tcp"), str),
            link=None if config.get("link") is None else Link.from_config(config["link"]),
            seed=typed("seed", config.get("seed", 0), int),
        )

    def to_config(self) -> dict[str, Any]:
        """The configuration that describes this job, every option spelled out."""
        return {
            **{kind: {"name": plugin.name, **plugin.options()} for kind, plugin in self.plugins.items()},
            "task": dataclasses.asdict(self.task),
            "measure": self.measure.to_config(),
            "wire": self.wire,
            # Only where there is one: without it a job's id is what it was before there were links.
            **({} if self.link is None else {"link": self.link.to_config()}),
            "seed": self.seed,
        }

    def classes(self) -> dict[str, str]:
        """Kind of plugin -> `module:Class`."""
        return {kind: target_of(type(plugin)) for kind, plugin in self.plugins.items()}

    def check_available(self) -> None:
        """Raise UnavailableError, with the line that mends it, if a plugin of the job cannot run here."""
        for kind, plugin in self.plugins.items():
            try:
                reason = plugin.unavailable()
            except Exception as error:  # a plugin may raise anything
                reason = f"'{plugin.name}' cannot say whether it can run here ({told(error)})"
            if reason:
                raise UnavailableError(f"{kind} {reason}")
        if reason := WIRES.load(self.wire).why_not():
            raise UnavailableError(reason)
        if self.measure.counter and (reason := self.measure.counter.why_not()):
            raise UnavailableError(reason)

    @property
    def plugins(self) -> dict[str, Plugin]:
        """Kind of plugin -> the job's."""
        return {"scheme": self.scheme, "dataset": self.dataset, "model": self.model}

    @property
    def id(self) -> str:
        """Hash of the configuration: the same job has the same id everywhere."""
        return digest(self.to_config())

    @property
    def title(self) -> str:
        """Short and readable, for progress and folder names."""
        variant = f"({self.variant})" if self.variant else ""
        return self.scheme.name + variant + (f" seed={self.seed}" if self.seed else "")

    @property
    def variant(self) -> str:
        """The scheme's, and the link if there is one: jobs on different links are not to be taken for repetitions."""
        link = f"link={self.link.name}" if self.link else ""
        return ",".join(part for part in (self.scheme.variant(), link) if part)


def _check_shaped(link: Link, wire: str) -> None:
    if not WIRES.load(wire).shapes_links:
        able = " or ".join(f"wire={name}" for name in WIRES.names() if WIRES.load(name).shapes_links)
        raise ConfigError(f"link={link.name} needs {able}: no link is shaped on wire={wire}")
    if link.duty_cycle < 1:
        raise ConfigError(f"link={link.name} is modelled, not shaped: it may send {link.duty_cycle:.1%} of the time")


def _check_counted(instructions: str, wire: str, participants_per_process: int) -> None:
    if not WIRES.load(wire).counts_instructions:
        able = " or ".join(f"wire={name}" for name in WIRES.names() if WIRES.load(name).counts_instructions)
        raise ConfigError(f"measure.instructions={instructions} needs {able}: none are counted on wire={wire}")
    if participants_per_process > 1:
        raise ConfigError(
            f"measure.instructions={instructions} counts whole processes, "
            f"and task.participants_per_process={participants_per_process} would share one"
        )


def _plugin(registry: Registry[P], config: Mapping[str, Any], classes: Mapping[str, str]) -> P:
    chosen = config.get(registry.what)
    if not isinstance(chosen, Mapping) or "name" not in chosen:
        raise ConfigError(f"{registry.what} is not chosen: {registry.what}=NAME with one of {registry.names()}")
    options = {key: value for key, value in chosen.items() if key != "name"}
    if registry.what in classes:
        plugin: type[P] = resolve(classes[registry.what])
    else:
        try:
            plugin = registry.load(chosen["name"])
        except UnavailableError as error:
            return absent(registry.base, chosen["name"], str(error).removeprefix(f"{registry.what} "), options)
    try:
        return plugin(**typed_fields(plugin, registry.what, options))
    except PpbenchError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise ConfigError(f"{registry.what}={chosen['name']} cannot be made with {options} ({told(error)})") from error


def _options(kind: type[T], section: str, config: Mapping[str, Any]) -> T:
    return kind(**typed_fields(kind, section, config.get(section) or {}))
