"""From readings to records: one record per measured value, and the answers held against labels and model."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

import numpy as np

from ppbench.bundle import Array
from ppbench.cache import MakingCost
from ppbench.errors import PluginFault, PpbenchError, told
from ppbench.instructions.counter import Counter
from ppbench.launch.reports import Traffic
from ppbench.measure.calibration import Rate
from ppbench.measure.information import COMPRESSOR, information_bytes
from ppbench.measure.load import OwnedSamples
from ppbench.measure.prepare import Prepared
from ppbench.measure.readings import Reading
from ppbench.party import participant_name
from ppbench.records import Record, Stage, check_finite, unit_of
from ppbench.scheme import COORDINATOR, FinishedTask, Scheme, Task, TaskFacts
from ppbench.wire import interfaces

_METRIC = re.compile(r"[A-Za-z]\w{0,99}", re.ASCII)


def preparation(start: Prepared) -> Iterator[Record]:
    """What model and scheme cost the coordinator before any participant came, and what the model alone can do."""
    yield from _making("model", start.model_cost)
    yield from _making("prepare", start.cost)
    accuracy = float((start.model_answers == start.dataset.test.labels).mean())
    yield Record(stage="model", metric="accuracy", value=accuracy, unit="1")
    yield Record(stage="model", metric="macs_per_sample", value=start.task.model.network.macs, unit="1")
    yield Record(stage="model", metric="parameters", value=start.task.model.network.n_parameters, unit="1")


def costs(
    stage: Stage,
    readings: Mapping[str, Reading],
    process: int,
    repetition: int | None = None,
    counter: type[Counter] | None = None,
) -> Iterator[Record]:
    """All that one stage cost each party; `counter` is what counted its instructions."""
    for party, reading in readings.items():

        def record(metric: str, value: float, unit: str, party: str = party, **more: str | int | None) -> Record:
            at = {"party": party, "process": process, "repetition": repetition}
            return Record(stage=stage, metric=metric, value=value, unit=unit, **at, **more)  # type: ignore[arg-type]

        report = reading.report
        spent = {} if reading.dropped_out else {**vars(report.cost), "channel_cpu_s": report.channel_cpu_s}
        for metric, value in spent.items():
            if value is not None and (metric != "cpu_s" or report.cpu_is_known):
                counted_by = counter.name if counter and metric == "instructions" else None
                yield record(metric, value, unit_of(metric), source=counted_by)
        if report.engine_bytes is not None:
            yield record("engine_bytes", report.engine_bytes, "B", source="engine")
        if report.batch_wall_s:
            yield record("scheme_wall_s", sum(seconds for _, seconds in report.batch_wall_s), "s")
        if report.answers:
            for batch, seconds in report.batch_wall_s:
                yield record("latency_s", seconds, "s", batch=batch)
        for peer, traffic in reading.traffic.items():
            for metric, value, unit, source in _counts(traffic):
                yield record(metric, value, unit, peer=peer, source=source)
    deepest = max(reading.report.rounds for reading in readings.values())
    yield Record(stage=stage, metric="rounds", value=deepest, unit="1", process=process, repetition=repetition)


def undistorted(records: Iterable[Record], counter: type[Counter] | None) -> Iterator[Record]:
    """What parties cost, without the seconds and the memory that are those of a counter under which they ran."""
    for record in records:
        is_distorted = record.unit == "s" or record.metric in ("peak_rss_bytes", "start_rss_bytes")
        if not (counter and counter.slow_down > 1 and is_distorted):
            yield record


def training_rounds(readings: Mapping[str, Reading], process: int) -> Iterator[Record]:
    """What each training round took each party and added to the critical path, where parties say that rounds end."""
    deepest: dict[int, int] = {}
    for party, reading in readings.items():
        for ended in reading.report.training_rounds:
            deepest[ended.number] = max(ended.rounds, deepest.get(ended.number, 0))
            record = functools.partial(Record, stage="train", party=party, process=process, training_round=ended.number)
            for metric in ("cpu_s", "wall_s", "channel_cpu_s"):
                yield record(metric=metric, value=getattr(ended, metric), unit=unit_of(metric))
            for peer, traffic in ended.traffic.items():
                for metric, value, unit, source in _counts(traffic):
                    yield record(metric=metric, value=value, unit=unit, peer=peer, source=source)
    reached = 0
    for number, depth in sorted(deepest.items()):
        more = max(0, depth - reached)
        yield Record("train", "rounds", more, "1", process=process, training_round=number)
        reached += more
    if deepest:
        yield Record("train", "training_rounds", len(deepest), "1", process=process)


def answers(
    readings: Mapping[str, Reading], task: Task, owned: Sequence[OwnedSamples], process: int, repetition: int
) -> Iterator[Record]:
    """The answers of one pass against the labels, and against what the model says of the clear samples."""

    def record(metric: str, value: float) -> Record:
        return Record(stage="online", metric=metric, value=value, unit="1", process=process, repetition=repetition)

    answered = {name: (reading, own) for name, reading, own in _answering(readings, owned)}
    if not answered:
        return
    given = np.concatenate([np.concatenate(reading.report.answers) for reading, _ in answered.values()])
    labels = np.concatenate([own.labels for _, own in answered.values()])
    model_answers = np.concatenate([own.model_answers for _, own in answered.values()])
    yield record("accuracy", float((given == labels).mean()))
    yield record("agreement", float((given == model_answers).mean()))
    yield record("n_answers", len(given))
    errors = []
    for name, (reading, own) in answered.items():
        if reading.report.logits:
            errors.append(_logit_error(reading.report.logits, task, own))
            # `max` may pass over one that is NaN.
            check_finite("logit error", errors[-1], "online", name)
    if errors:
        yield record("largest_logit_error", max(errors))
    squares = [
        error for name, reading in readings.items() for error in _reconstruction_errors(name, reading, task, owned)
    ]
    if squares:
        yield record("reconstruction_mse", float(np.concatenate(squares).mean()))


def arithmetic(scheme: Scheme, start: Prepared) -> Iterator[Record]:
    """What one sample takes a participant, by kind of layer, where it can be counted.

    Raises PluginFault if the scheme cannot say.
    """
    with _asking(scheme, "count its macs"):
        macs = scheme.macs(start.task.facts, start.artifacts)
        counts = {} if macs is None else {"dense": float(macs.dense), "convolution": float(macs.convolution)}
    for kind, value in counts.items():
        yield Record(stage="job", metric=f"participant_{kind}_macs_per_sample", value=value, unit="1", source="counted")


def residence(scheme: Scheme, facts: TaskFacts) -> Iterator[Record]:
    """What a participant must hold at once by the protocol, where that is less than whole messages.

    Raises PluginFault if the scheme cannot say.
    """
    with _asking(scheme, "count what must be resident"):
        if (counted := scheme.resident_bytes(facts)) is None:
            return
        resident = float(counted)
    if resident < 0:
        raise PluginFault(f"{scheme.name}: resident_bytes is {resident:g}; it must be at least 0")
    yield Record(stage="job", metric="participant_resident_bytes", value=resident, unit="B", source="counted")


def steps(scheme: Scheme, measured: Iterable[Record]) -> Iterator[Record]:
    """What the rounds of a batch take on a link, where an engine makes it more than as many ways.

    Raises PluginFault if the scheme cannot say.
    """
    rounds = [int(record.value) for record in measured if (record.stage, record.metric) == ("online", "rounds")]
    if not rounds:
        return
    with _asking(scheme, "count its steps"):
        n_steps = float(scheme.one_way_steps(max(rounds)))
    if n_steps != max(rounds):
        yield Record(stage="job", metric="one_way_steps", value=n_steps, unit="1", source="declared")


def calibration(rates: Iterable[Rate]) -> Iterator[Record]:
    """How fast the host computes what the participant computes, per second of CPU time."""
    for rate in rates:
        for metric, value in zip(rate.metrics, (rate.median, rate.low, rate.high), strict=True):
            yield Record(stage="job", metric=metric, value=value, unit="1/s")


def privacy(scheme: Scheme, facts: TaskFacts) -> Iterator[Record]:
    """What the scheme promises in terms of differential privacy, and by which accountant.

    Raises PluginFault if the scheme cannot say.
    """
    with _asking(scheme, "say what it promises"):
        if (promised := scheme.privacy(facts)) is None:
            return
        values = {metric: float(getattr(promised, metric)) for metric in ("epsilon", "delta", "noise_scale")}
        accountant = str(promised.accountant)
    for metric, value in values.items():
        yield Record(stage="job", metric=metric, value=value, unit="1", source=accountant)


def published(
    scheme: Scheme,
    task: FinishedTask,
    results: Mapping[str, Mapping[str, Array]],
    process: int,
    training_round: int | None = None,
) -> Iterator[Record]:
    """What the results that one set of processes published are worth, by the scheme's own measure.

    Those of a training round are a stage's, and become none of the job's. Raises PluginFault if the scheme cannot say.
    """
    stage: Stage = "job" if training_round is None else "train"
    with _asking(scheme, "score its results"):
        values = {str(name): float(value) for name, value in scheme.score(task, results).items()}
    for name in values:
        if not _METRIC.fullmatch(name):
            raise PluginFault(f"{scheme.name}: score named a value {name!r}; a name is letters, digits and _")
    for name, value in values.items():
        yield Record(stage, f"published_{name}", value, "1", process=process, training_round=training_round)


@contextlib.contextmanager
def _asking(scheme: Scheme, what: str) -> Iterator[None]:
    """A plugin may raise anything, and return anything: what is no number is an error of its own."""
    try:
        yield
    except PpbenchError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginFault(f"{scheme.name} cannot {what}: {told(error)}") from error


def reference(owned: Sequence[OwnedSamples], batch_size: int) -> Iterator[Record]:
    """How good the model is on the clear samples of this job, and what these are without their redundancy."""
    labels = np.concatenate([own.labels for own in owned])
    model_answers = np.concatenate([own.model_answers for own in owned])
    accuracy = float((labels == model_answers).mean())
    yield Record(stage="job", metric="accuracy_plaintext", value=accuracy, unit="1")
    yield Record(stage="job", metric="n_samples", value=len(labels), unit="1")
    information = information_bytes([own.samples for own in owned], batch_size) / len(labels)
    yield Record(stage="job", metric="information_bytes_per_sample", value=information, unit="B", source=COMPRESSOR)


def training_set(task: Task) -> Iterator[Record]:
    """How many training samples the participants hold together."""
    yield Record(stage="job", metric="n_train_samples", value=task.n_dealt, unit="1")


def dropouts(dropped: Mapping[str, str], process: int) -> Iterator[Record]:
    """The participants that dropped out where the scheme tolerates it."""
    for party in dropped:
        yield Record(stage="job", metric="dropped", value=1, unit="1", party=party, process=process)


def witnessed(parties: Iterable[str], seen: Set[str], process: int) -> Iterator[Record]:
    """Whether the harness could hold what each party says of itself against what the kernel says, 1 or 0."""
    for party in parties:
        value = float(party in seen)
        yield Record(stage="job", metric="seen_from_outside", value=value, unit="1", party=party, process=process)


def _logit_error(logits: Sequence[Array], task: Task, owned: OwnedSamples) -> float:
    own = task.model.network(task.facts.unit(owned.samples))
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.abs(np.concatenate(logits) - own).max())


def _reconstruction_errors(party: str, reading: Reading, task: Task, owned: Sequence[OwnedSamples]) -> Iterator[Array]:
    """Squared errors of values in [0, 1], guess by guess. Raises PpbenchError if they are not finite."""
    by_owner = {participant_name(i): own.samples for i, own in enumerate(owned)}
    for owner, first, guess in reading.report.guesses:
        with np.errstate(invalid="ignore", over="ignore"):
            squares = np.square(guess - task.facts.unit(by_owner[owner][first : first + len(guess)])).ravel()
            check_finite("reconstruction error", float(squares.sum()), "online", party)
        yield squares


def _answering(
    readings: Mapping[str, Reading], owned: Sequence[OwnedSamples]
) -> Iterator[tuple[str, Reading, OwnedSamples]]:
    for i, own in enumerate(owned):
        name = participant_name(i)
        if name in readings and len(readings[name].report.answers):
            yield name, readings[name], own


def _making(stage: Stage, cost: MakingCost) -> Iterator[Record]:
    yield Record(stage=stage, metric="cpu_s", value=cost.cpu_s, unit="s", party=COORDINATOR)
    yield Record(stage=stage, metric="wall_s", value=cost.wall_s, unit="s", party=COORDINATOR)


def _counts(traffic: Traffic) -> Iterator[tuple[str, int, str, str | None]]:
    """Metric, value, unit, and who counted."""
    counted_by = {"payload": traffic.source, "wire": interfaces.SOURCE}
    for metric, value in vars(traffic).items():
        if metric != "source" and value is not None:
            yield metric, value, unit_of(metric), counted_by.get(metric.partition("_")[0])
