"""The way data takes: job -> task -> prepare -> parties -> answers -> records. Nothing below imports this file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ppbench import bundle, records
from ppbench.bundle import Array, Tree
from ppbench.errors import PluginFault, PpbenchError, UnavailableError, message, one_line, told
from ppbench.measure import scoring, tracebacks
from ppbench.measure.calibration import Rate, calibrate, pooled
from ppbench.measure.identity import identified
from ppbench.measure.job import Job
from ppbench.measure.load import OwnedSamples, owned_samples
from ppbench.measure.parties import JobFailed, Parties
from ppbench.measure.prepare import Prepared, prepared
from ppbench.measure.provenance import provenance
from ppbench.measure.readings import Reading, published_by_round
from ppbench.party import participant_name, role_of
from ppbench.progress import Progress, silent
from ppbench.records import JobRecord, Machine, Record, Stage, Status


def run(job: Job, results_dir: Path, progress: Progress = silent) -> JobRecord:
    """Measure one job and write its folder; a job that fails is written too, with the reason and all up to there.

    Raises PpbenchError if the folder cannot be written.
    """
    folder = records.make_folder(results_dir, records.folder_name(job.scheme.name, job.id))
    origin = provenance(job)
    measured: list[Record] = []
    machines: dict[str, Machine] = {}
    dropouts: list[str] = []
    status: Status = "ok"
    reason = ""
    try:
        job.check_available()
        origin = identified(origin, job)
        start = prepared(job, folder / "logs", progress)
        data = start.dataset
        origin = origin.model_copy(update={"data_sha256": data.sha256, "data_route": data.route})
        n_samples = job.task.n_samples or len(data.test)
        owned = owned_samples(data.test, start.model_answers, n_samples, job.task.n_participants)
        # `extend` and `+=` keep what came before a value that is refused.
        measured += scoring.preparation(start)
        measured += scoring.reference(owned, job.task.batch_size)
        measured += scoring.arithmetic(job.scheme, start)
        measured += scoring.residence(job.scheme, start.task.facts)
        before = _host_rates(job)
        measured += scoring.privacy(job.scheme, start.task.facts)
        if job.scheme.takes_part_in("train"):
            measured += scoring.training_set(start.task)
        for process in range(job.measure.processes):
            of_parties = _measure(job, start, owned, process, folder, machines, dropouts, progress)
            measured += scoring.undistorted(of_parties, job.measure.counter)
        measured += scoring.steps(job.scheme, measured)
        measured += scoring.calibration(pooled(before, _host_rates(job)))
        if job.measure.view_batches:
            _keep_views(job, start, owned, folder)
    except UnavailableError as error:
        status, reason = "unavailable", one_line(message(error))
    except PpbenchError as error:
        status, reason = "failed", one_line(message(error))
        if isinstance(error, PluginFault):
            reason += tracebacks.keep(error, folder / "logs", "harness.txt")
    except OSError as error:
        status, reason = "failed", f"{error.filename or type(error).__name__}: {error.strerror or error}"
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        status, reason = "failed", told(error) + tracebacks.keep(error, folder / "logs", "harness.txt")
    job_record = JobRecord(
        id=job.id,
        scheme=job.scheme.name,
        variant=job.variant,
        dataset=job.dataset.name,
        model=job.model.name,
        task=job.scheme.card.task,
        seed=job.seed,
        config=job.to_config(),
        status=status,
        reason=reason,
        dropouts=dropouts,
        provenance=origin.model_copy(update={"machines": machines}),
        records=measured,
    )
    records.write(results_dir, job_record)
    return job_record


def _host_rates(job: Job) -> list[Rate]:
    counter = job.measure.counter
    # Where there are no seconds, no device's are modelled from them.
    if not job.measure.calibrate or (counter and counter.slow_down > 1):
        return []
    return calibrate(job.scheme.card.arithmetic, job.task.batch_size, job.measure.threads)


def _measure(
    job: Job,
    start: Prepared,
    owned: list[OwnedSamples],
    process: int,
    folder: Path,
    machines: dict[str, Machine],
    dropouts: list[str],
    progress: Progress,
) -> Iterator[Record]:
    """One fresh set of processes through all stages, the online stage with its warm-up and all repetitions."""
    by_round: dict[int, dict[str, dict[str, Array]]] = {}
    with _warmed_up(job, start, owned, folder) as parties, _dropouts_told(parties, dropouts):
        _keep_machines(parties, machines)
        for stage, readings in _before_online(job, start, owned, parties):
            yield from scoring.costs(stage, readings, process, counter=job.measure.counter)
            if stage == "train":
                yield from scoring.training_rounds(readings, process)
                by_round = published_by_round(readings)
        if job.scheme.takes_part_in("online"):
            plan = _plan(owned, job.task.batch_size)
            _unmeasured_pass(job, parties, plan, job.measure.warmup_batches)
            for repetition in range(job.measure.repetitions):
                progress(f"measuring {job.title}", process * job.measure.repetitions + repetition, _passes(job))
                for stage, readings in _pass(job, parties, plan):
                    yield from scoring.costs(stage, readings, process, repetition, job.measure.counter)
                yield from scoring.answers(readings, start.task, owned, process, repetition)
        parties.release()
        yield from scoring.dropouts(parties.dropped, process)
        yield from scoring.witnessed(parties.names, parties.seen_from_outside, process)
    for name, results in parties.published.items():
        bundle.save(folder / "published" / f"{name}.npz", results)
    for number, of_round in by_round.items():
        yield from scoring.published(job.scheme, start.finished_task, of_round, process, number)
    yield from scoring.published(job.scheme, start.finished_task, parties.published, process)
    progress(f"measuring {job.title}", (process + 1) * job.measure.repetitions, _passes(job))


@contextlib.contextmanager
def _dropouts_told(parties: Parties, lines: list[str]) -> Iterator[None]:
    """Who drops out inside is told, also if the job fails for it."""
    try:
        yield
    finally:
        lines += [f"{name} {parties.dropped[name]}" for name in parties.names if name in parties.dropped]


def _keep_machines(parties: Parties, machines: dict[str, Machine]) -> None:
    """Raises PpbenchError if a party lives on another machine than in the job's earlier processes."""
    for name, described in parties.machines.items():
        machine = Machine(**described)
        if machines.setdefault(name, machine) != machine:
            raise PpbenchError(f"{name} was on {machines[name].cpu} and is on {machine.cpu} now: see --index")


def _keep_views(job: Job, start: Prepared, owned: list[OwnedSamples], folder: Path) -> None:
    """A further pass in fresh processes where every party keeps what it receives; nothing of it is measured."""
    with _parties(job, start, folder, record_view=True) as parties:
        for _ in _before_online(job, start, owned, parties):
            pass
        if job.scheme.takes_part_in("online"):
            _unmeasured_pass(job, parties, _plan(owned, job.task.batch_size), job.measure.view_batches)
        for name, view in parties.release().items():
            bundle.save(folder / "views" / f"{name}.npz", view)


@contextlib.contextmanager
def _warmed_up(job: Job, start: Prepared, owned: list[OwnedSamples], folder: Path) -> Iterator[Parties]:
    """Parties that have rehearsed what happens once; where that went wrong, fresh ones that have not."""
    with _parties(job, start, folder) as parties:
        if _rehearsed(job, start, owned, parties):
            yield parties
            return
    with _parties(job, start, folder) as parties:
        yield parties


def _rehearsed(job: Job, start: Prepared, owned: list[OwnedSamples], parties: Parties) -> bool:
    """Let the parties train as `_unmeasured_pass` lets them answer, on the first batches of each participant's shard.

    What a process does for the first time takes it longer, and of those that share one only the first pays for it. All
    that is trained in earnest trains as well on few samples, but for schemes that need many: whatever goes wrong in a
    rehearsed training fails no job. Who answers others on demand has no rehearsal, as it could not be ended.

    Returns whether these parties can be measured now. Raises JobFailed if setup fails, or the deadline passes.
    """
    n_samples = job.measure.warmup_batches * job.task.batch_size
    if not n_samples or not job.scheme.takes_part_in("train") or job.scheme.takes_part_in("serve"):
        return True
    stages = _before_online(job, start, owned, parties, n_samples)
    next(stages)
    try:
        for _ in stages:
            pass
        parties.renew()
    except JobFailed:
        if parties.is_overdue:
            raise
        return False
    return not parties.dropped


def _parties(job: Job, start: Prepared, folder: Path, record_view: bool = False) -> Parties:
    return Parties(
        scheme=job.scheme,
        facts=start.task.facts,
        wire=job.wire,
        threads=job.measure.threads,
        deadline_s=job.measure.deadline_s,
        log_dir=folder / "logs",
        participants_per_process=job.task.participants_per_process,
        record_view=record_view,
        shape=job.link.shape if job.link else None,
        memory_bytes=job.measure.memory_bytes,
        counter=None if record_view else job.measure.counter,
    )


def _before_online(
    job: Job, start: Prepared, owned: list[OwnedSamples], parties: Parties, most: int | None = None
) -> Iterator[tuple[Stage, dict[str, Reading]]]:
    """Samples and shards to their owners, then each stage before the batches that some role takes part in.

    `most` is how many samples each shard has left; None: all.
    """
    training = job.scheme.takes_part_in("train")
    parties.load(_belongings(start, owned, training, most))
    artifacts = {name: {"artifacts": start.artifacts.get(role_of(name))} for name in parties.names}
    yield "setup", parties.stage("setup", artifacts)
    if training:
        yield "train", parties.stage("train")


def _belongings(start: Prepared, owned: list[OwnedSamples], training: bool, most: int | None) -> dict[str, Tree]:
    belongings: dict[str, Tree] = {participant_name(i): {"samples": own.samples} for i, own in enumerate(owned)}
    if training:
        for i, shard in enumerate(start.task.shards()):
            belongings[participant_name(i)]["shard"] = {"samples": shard.samples[:most], "labels": shard.labels[:most]}
    return belongings


def _plan(owned: list[OwnedSamples], batch_size: int) -> list[list[str | int]]:
    """[owner, first, last + 1] of every batch: the participants take turns, each through its own samples."""
    plan: list[list[str | int]] = []
    for first in range(0, max(len(own.labels) for own in owned), batch_size):
        for i, own in enumerate(owned):
            if first < len(own.labels):
                plan.append([participant_name(i), first, min(first + batch_size, len(own.labels))])
    return plan


def _unmeasured_pass(job: Job, parties: Parties, plan: list[list[str | int]], n_batches: int) -> None:
    """Over the first batches of each participant."""
    for _ in _pass(job, parties, [batch for batch in plan if int(batch[1]) < n_batches * job.task.batch_size]):
        pass


def _pass(job: Job, parties: Parties, plan: list[list[str | int]]) -> Iterator[tuple[Stage, dict[str, Reading]]]:
    """Once over the batches: what each pass uses up is made anew before it, and charged to the offline stage."""
    stages: tuple[Stage, ...] = ("offline", "online")
    for stage in stages:
        if job.scheme.takes_part_in(stage):
            yield stage, parties.stage(stage, {name: {"plan": plan} for name in parties.living})


def _passes(job: Job) -> int:
    return job.measure.processes * job.measure.repetitions
