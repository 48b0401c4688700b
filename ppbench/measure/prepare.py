"""What a scheme makes once per model, made in a worker process and kept by content.

A worker (`python -m ppbench.measure.prepare`) reads a job's configuration from standard input and says on standard
output, a JSON object a line, how far it is; what it makes, the harness finds in the cache. So the harness never holds
a model in training, and several jobs are prepared at once, one core each, before the first is measured.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import faulthandler
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ppbench import cache, code
from ppbench.bundle import Array, Tree
from ppbench.data.dataset import Dataset
from ppbench.errors import PluginFault, PpbenchError, message, told
from ppbench.launch import confine
from ppbench.measure import tracebacks
from ppbench.measure.job import Job
from ppbench.measure.load import answers_of, dataset_of, kept_task, trained_task, training_dataset_of
from ppbench.plugin import distribution, target_of
from ppbench.process import (
    die_with_parent,
    ending,
    environment,
    kill_session,
    module_command,
    n_cpus,
    start_session,
)
from ppbench.progress import Progress, silent
from ppbench.scheme import FinishedTask, Scheme, Task

_KIND = "prepared"


class PreparationFailed(PpbenchError):
    """A job could not be prepared; `traceback` is what was printed, empty where the reason says all."""

    def __init__(self, reason: str, traceback: str = "", kept: str = "") -> None:
        super().__init__(reason + kept)
        self.reason = reason
        self.traceback = traceback


@dataclasses.dataclass(frozen=True)
class Prepared:
    """All that a job starts from; plugins are handed the task and their own artifacts, and nothing else of it."""

    task: Task
    dataset: Dataset
    """With the test split, which only the harness holds."""
    artifacts: Mapping[str, Tree]
    """By role."""
    cost: cache.MakingCost
    """Of the scheme's preparation from nothing, the model's training not included."""
    model_cost: cache.MakingCost
    """Of training the model."""

    @property
    def finished_task(self) -> FinishedTask:
        """The task when its stages are over."""
        return FinishedTask(**vars(self.task), test=self.dataset.test)

    @functools.cached_property
    def model_answers(self) -> Array:
        """(n_test,) of the task's label type: what the model says of the clear test samples.

        Raises ConfigError if an output is not finite.
        """
        return answers_of(self.task.model, self.dataset)


def prepared(job: Job, log_dir: Path, progress: Progress = silent) -> Prepared:
    """What the job starts from, by a worker where it is not in the cache.

    Raises PpbenchError; of what nobody foresaw, the traceback is in the job's `log_dir`, in the file that it names.
    """
    try:
        with _foreseen(job):
            return _prepared(job, progress)
    except PreparationFailed as error:
        if not error.traceback:
            raise
        kept = tracebacks.keep(error.traceback, log_dir, "prepare.txt")
        raise PreparationFailed(error.reason, error.traceback, kept) from error


@contextlib.contextmanager
def _foreseen(job: Job) -> Iterator[None]:
    """Inside, whatever a plugin raises becomes a PpbenchError."""
    try:
        yield
    except PpbenchError:
        raise
    except (Exception, SystemExit) as error:
        printed = "".join(traceback.format_exception(error))
        raise PreparationFailed(f"{job.title} could not be prepared: {told(error)}", printed) from error


def _prepared(job: Job, progress: Progress) -> Prepared:
    dataset = dataset_of(job, progress)
    if found := _kept(job, dataset):
        job.scheme.check(found.task)
        return found
    _work([job], progress, at_once=1)
    if found := _kept(job, dataset):
        return found
    raise PreparationFailed(f"{job.title}: what its worker prepared is not in the cache at {cache.cache_dir()}")


def prepare_all(jobs: Sequence[Job], progress: Progress = silent) -> None:
    """Make what the cache lacks, one core each; a job that fails here fails again, and says why, when it is run."""
    lacking = [job for job in jobs if _lacks(job, progress)]
    with contextlib.suppress(PpbenchError):
        _work(lacking, progress, at_once=n_cpus())


def _lacks(job: Job, progress: Progress) -> bool:
    """Whether there is something to make for a job that can run here."""
    try:
        with _foreseen(job):
            job.check_available()
            return _kept(job, dataset_of(job, progress)) is None
    except PpbenchError:
        return False


def _kept(job: Job, dataset: Dataset) -> Prepared | None:
    if (kept := kept_task(job, dataset.training)) is None:
        return None
    task, model_cost = kept
    entry = cache.lookup(_KIND, _key(job.scheme, task))
    return Prepared(task, dataset, entry.content, entry.cost, model_cost) if entry else None


def _key(scheme: Scheme, task: Task) -> Mapping[str, Any]:
    return {
        "scheme": target_of(type(scheme)),
        "scheme_key": _plain(scheme.prepare_key(task.facts)),
        "n_train_samples": task.n_dealt,
        "model": task.model.key,
        "code": [code.of_class(type(scheme)), code.of("ppbench.scheme")],
        "versions": cache.versions("numpy", *map(distribution, scheme.requires.values())),
    }


def _artifacts(scheme: Scheme, task: Task) -> Mapping[str, Tree]:
    """What the scheme makes, by role. Raises PluginFault if it is something else."""
    made: Any = scheme.prepare(task)
    if not isinstance(made, Mapping):
        raise PluginFault(f"{scheme.name}: prepare returned {type(made).__name__}, not artifacts by role")
    if strangers := [str(role) for role in made if role not in scheme.roles]:
        raise PluginFault(f"{scheme.name}: prepare made something for {', '.join(strangers)}, which is no role of its")
    return made


def _plain(key: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(key))


def _work(jobs: Sequence[Job], progress: Progress, at_once: int) -> None:
    processes: list[subprocess.Popen[bytes]] = []
    stopped = threading.Event()

    def one(job: Job) -> None:
        if not stopped.is_set():
            _supervise(job, progress, processes, stopped)

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        try:
            futures = [pool.submit(one, job) for job in jobs]
            errors = [future.exception() for future in futures]
        except BaseException:
            stopped.set()
            for process in processes:
                kill_session(process)
            raise
    for error in errors:
        if error:
            raise error


def _supervise(
    job: Job, progress: Progress, processes: list[subprocess.Popen[bytes]], stopped: threading.Event
) -> None:
    with tempfile.TemporaryFile() as complaints:
        process = start_session(
            module_command("ppbench.measure.prepare"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment(threads=1),
        )
        processes.append(process)
        if stopped.is_set():  # between the check above and here
            kill_session(process)
        late = threading.Event()

        def end() -> None:
            late.set()
            kill_session(process)

        timer = threading.Timer(job.measure.prepare_deadline_s, end)
        timer.daemon = True
        timer.start()
        try:
            failure = _followed(process, job, progress)
            status = process.wait()
        finally:
            timer.cancel()
            kill_session(process)  # what it started may be there yet
        if late.is_set():
            raise PreparationFailed(f"the deadline of {job.measure.prepare_deadline_s:g} s passed in prepare")
        if failure:
            raise PreparationFailed(failure["reason"], failure["traceback"])
        if status:
            complaints.seek(0)
            printed = complaints.read().decode(errors="replace").strip()
            raise PreparationFailed(f"{job.title} could not be prepared: {ending(status)}", printed)


def _followed(process: subprocess.Popen[bytes], job: Job, progress: Progress) -> Mapping[str, str]:
    """Give a worker its job and hear it out; how it failed, if it said so."""
    assert process.stdin
    assert process.stdout
    with contextlib.suppress(BrokenPipeError):  # a worker that is dead already has a status that says so
        process.stdin.write(json.dumps({"config": job.to_config(), "classes": job.classes()}).encode())
        process.stdin.close()
    failure: Mapping[str, str] = {}
    for line in process.stdout:
        said = json.loads(line)
        if "progress" in said:
            progress(*said["progress"])
        else:
            failure = said["failure"]
    return failure


def main() -> int:
    """Prepare the job on standard input."""
    die_with_parent()
    confine.keep_children()
    faulthandler.enable()
    says = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def progress(what: str, done: int, total: int) -> None:
        print(json.dumps({"progress": [what, done, total]}), file=says)

    try:
        given = json.load(sys.stdin)
        job = Job.from_config(given["config"], given["classes"])
        with _foreseen(job):
            task = trained_task(job, training_dataset_of(job, progress), progress)
            job.scheme.check(task)
            cache.cached(_KIND, _key(job.scheme, task), lambda: _artifacts(job.scheme, task))
    except PpbenchError as error:
        failure = {"reason": message(error), "traceback": getattr(error, "traceback", "")}
        print(json.dumps({"failure": failure}), file=says)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
