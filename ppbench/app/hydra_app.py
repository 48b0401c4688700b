"""`ppbench run`: from command line to results, through Hydra."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.errors import HydraException
from hydra.utils import to_absolute_path
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ppbench.app import config
from ppbench.app.asked import AskedJobs, Outcome
from ppbench.app.display import Display, complain, current_display, show
from ppbench.app.results_dir import make, new_results_dir
from ppbench.app.runner import run_job
from ppbench.errors import ConfigError, PpbenchError, told
from ppbench.launch.wires import shut_wires
from ppbench.profiles import CONF_DIR
from ppbench.store import read_all

_OTHER_WORK = ("help", "hydra_help", "cfg", "info", "shell_completion")
"""Flags of Hydra's that ask for something else than jobs."""
_IN_THIS_PROCESS = ("ppbench", "basic")
"""Launchers."""
_SWEEPERS = ("ppbench", "basic")


def run(arguments: Sequence[str]) -> int:
    """Run what Hydra makes of the arguments; the status is 0 if every job that can run here was measured.

    Raises PpbenchError before anything runs if a job is not configured well.
    """
    config.register()
    flags = _flags(arguments)
    if any(getattr(flags, name) for name in _OTHER_WORK):
        _through_hydra(flags)
        return 0
    given = list(flags.overrides)

    def asked_of(folder: Path) -> AskedJobs:
        flags.overrides = [*given, config.new_results_dir_override(folder)]
        try:
            return _asked(flags)
        except PpbenchError:
            shut_wires()
            raise
        except SystemExit as end:  # a plugin may raise anything
            raise ConfigError(f"a plugin ends the process when it is made: {told(end)}") from end

    with new_results_dir(asked_of, lambda asked: asked.results_dirs) as asked:
        for results_dir in asked.results_dirs:
            make(results_dir)
        with show() as display:
            try:
                _through_hydra(flags)
            except KeyboardInterrupt:
                _keep(asked)
                raise
            finally:
                shut_wires()
            outcome = asked.outcome()
            _report(outcome, display)
        return outcome.exit_status()


def _flags(arguments: Sequence[str]) -> argparse.Namespace:
    """What Hydra's own parser makes of the arguments, overrides as its grammar takes them."""

    def refuse(message: str) -> NoReturn:
        raise ConfigError(message)

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    flags = parser.parse_intermixed_args(arguments)
    if flags.experimental_rerun or ((flags.package or flags.resolve) and not flags.cfg):
        raise ConfigError("--experimental-rerun runs nothing here, and --package and --resolve need --cfg")
    flags.overrides = config.readable(flags.overrides)
    return flags


def _asked(flags: argparse.Namespace) -> AskedJobs:
    """Every job, checked before the first one starts. Raises PpbenchError."""
    composed = config.compose_all(flags.overrides, flags.config_dir, flags.config_name, flags.config_path)
    if composed.sweeper not in _SWEEPERS:
        raise ConfigError(
            f"hydra/sweeper={composed.sweeper} chooses jobs by what they return, and ppbench's return nothing: "
            "name the jobs with -m or in an experiment"
        )
    if len(composed.jobs) > 1 and not (composed.is_sweep or flags.multirun):
        raise ConfigError(f"{len(composed.jobs)} jobs are asked for: ppbench run -m sweeps")
    for one in composed.jobs:
        config.check_wires(one)
    jobs = [(config.to_job(one), config.results_dir(one), config.resume(one)) for one in composed.jobs]
    if composed.launcher in _IN_THIS_PROCESS:
        # What a wire lacks is found wanting before anything starts.
        for one in composed.jobs:
            config.open_wire_of(one)
    return AskedJobs(jobs)


def _through_hydra(flags: argparse.Namespace) -> None:
    """Let Hydra do what the flags say, with `_task` for each job. Raises PpbenchError."""
    command = list(sys.argv)

    def task(composed: DictConfig) -> None:
        # A job in a process of a launcher's still tells which command it comes from.
        sys.argv = command
        _task(composed)

    with _hydra_errors():
        _run_hydra(flags, get_args_parser(), task, flags.config_path or str(CONF_DIR), "config")


def _task(composed: DictConfig) -> None:
    """Measure one job, in whatever process and folder its launcher started it.

    What is no record is told here: of what a job raises, launchers tell nobody.
    """
    try:
        job = config.to_job(composed)
        config.open_wire_of(composed)
        folder = Path(to_absolute_path(str(config.results_dir(composed))))
        run_job(job, folder, config.resume(composed), current_display())
    except (Exception, SystemExit) as error:
        complain(error)


@contextlib.contextmanager
def _hydra_errors() -> Iterator[None]:
    """Inside, Hydra raises its errors, as PpbenchError, instead of ending the process with a message of its own."""
    name = "HYDRA_FULL_ERROR"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _report(outcome: Outcome, display: Display) -> None:
    """Tables and pictures of each folder; on the display the jobs asked for."""
    # What draws takes half a second to import, which a command that is refused does not pay.
    from ppbench.app.report import write_report
    from ppbench.report.costs import text_table
    from ppbench.report.width import terminal_width

    for results_dir, ended in outcome.ended.items():
        if ended:
            paths = write_report(results_dir, pdf=False)
            display.note("\n" + text_table(ended, terminal_width()))
            for path in paths:
                display.note(f"wrote {path}")
    for title in outcome.left_out:
        display.note(f"{title}: did not come to an end, see above")


def _keep(asked: AskedJobs) -> None:
    from ppbench.report.summary import write_tables

    for results_dir in asked.results_dirs:
        with contextlib.suppress(PpbenchError):
            write_tables(read_all(results_dir), results_dir)
