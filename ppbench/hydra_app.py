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
from ppbench.records import JobRecord, read_all
from ppbench.report.table import text_table
from ppbench.report.write import write_report
from ppbench.runner import exit_status, run_job


class ReportWriter(Callback):
    """When the last job has ended, whichever launcher ran it: tables and pictures."""

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After a single job."""
        self._write(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After a sweep."""
        self._write(config)

    def _write(self, config: DictConfig) -> None:
        folder = Path(config.results_dir)
        paths = write_report(folder)
        current_display().note("\n" + text_table(read_all(folder)))
        for path in paths:
            current_display().note(f"wrote {path}")


def run(arguments: Sequence[str]) -> int:
    """Run what Hydra makes of the arguments; the status is 0 if every job that can run here was measured."""
    config.register()
    _refuse_early(arguments)
    outcomes: list[JobRecord] = []

    def task(composed: DictConfig) -> None:
        job = config.to_job(composed)
        outcomes.append(run_job(job, Path(composed.results_dir), composed.resume, current_display()))

    # Hydra's parser refuses a flag between overrides.
    flags_first = sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))
    command_line, sys.argv = sys.argv, ["ppbench run", *flags_first]
    try:
        with show():
            hydra.main(version_base="1.3", config_path=config.CONF_DIR, config_name="config")(task)()
    finally:
        sys.argv = command_line
    return exit_status(outcomes)


def _refuse_early(arguments: Sequence[str]) -> None:
    """Check every job before the first one starts; a sweeper that is not ours chooses its jobs as it goes."""
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    if len(overrides) == len(arguments) - arguments.count("-m") - arguments.count("--multirun") and not any(
        override.startswith("hydra/sweeper=") for override in overrides
    ):
        for composed in config.compose_all(overrides):
            config.to_job(composed)
