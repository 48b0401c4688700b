"""`ppbench run`: from command line to results, through Hydra."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ppbench import config
from ppbench.display import current_display, show
from ppbench.errors import ConfigError
from ppbench.records import JobRecord, read_all
from ppbench.report.summary import write_tables
from ppbench.report.table import text_table
from ppbench.report.write import write_report
from ppbench.runner import exit_status, run_job
from ppbench.wire.door import close_door, open_door

_errors: list[Exception] = []
"""What jobs and report raised: of a sweep's jobs Hydra keeps it to itself, and of its callbacks it makes warnings."""


class ReportWriter(Callback):
    """When the last job has ended, whichever launcher ran it: tables and pictures."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Read the time in the default `results_dir` now: Hydra hands what was read to every job of the sweep."""
        _ = config.results_dir

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After a single job."""
        self._write(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After a sweep."""
        self._write(config)

    def _write(self, config: DictConfig) -> None:
        folder = Path(config.results_dir)
        try:
            paths = write_report(folder)
            current_display().note("\n" + text_table(read_all(folder)))
        except Exception as error:
            _errors.append(error)
            return
        for path in paths:
            current_display().note(f"wrote {path}")


def run(arguments: Sequence[str]) -> int:
    """Run what Hydra makes of the arguments; the status is 0 if every job that can run here was measured."""
    config.register()
    _refuse_early(arguments)
    _errors.clear()
    outcomes: list[JobRecord] = []
    folders: set[Path] = set()

    def task(composed: DictConfig) -> None:
        try:
            job = config.to_job(composed)
            if job.wire == "remote":
                open_door(config.to_remote(composed))
            outcomes.append(run_job(job, Path(composed.results_dir), composed.resume, current_display()))
            folders.add(Path(composed.results_dir))
        except Exception as error:
            _errors.append(error)

    # Hydra's parser refuses a flag between overrides.
    flags_first = sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))
    command_line, sys.argv = sys.argv, ["ppbench run", *flags_first]
    try:
        with show():
            hydra.main(version_base="1.3", config_path=config.CONF_DIR, config_name="config")(task)()
    except SystemExit as end:
        raise end.__cause__ or end from None
    except KeyboardInterrupt:
        for folder in folders:
            write_tables(read_all(folder), folder)
        raise
    finally:
        close_door()
        sys.argv = command_line
    if _errors:
        raise _errors[0]
    return exit_status(outcomes)


def _refuse_early(arguments: Sequence[str]) -> None:
    """Check every job before the first one starts; a sweeper that is not ours chooses its jobs as it goes."""
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    if len(overrides) == len(arguments) - arguments.count("-m") - arguments.count("--multirun") and not any(
        override.startswith("hydra/sweeper=") for override in overrides
    ):
        composed = config.compose_all(overrides)
        for one in composed:
            config.to_job(one)
            config.to_remote(one)
        sweeps = len(overrides) < len(arguments) or any(
            override.startswith(("+experiment=", "hydra.mode=")) for override in overrides
        )
        if len(composed) > 1 and not sweeps:
            raise ConfigError(f"{len(composed)} jobs are asked for: ppbench run -m sweeps")
