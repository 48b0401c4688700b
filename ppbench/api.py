"""The same from Python: jobs by the same overrides as on the command line, results as pandas DataFrames."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ppbench.app import config
from ppbench.app.display import Quiet
from ppbench.app.report import write_report
from ppbench.app.results_dir import make, new_results_dir
from ppbench.app.runner import prepare_jobs, run_job
from ppbench.errors import ConfigError
from ppbench.launch.wires import shut_wires
from ppbench.records import tidy
from ppbench.report.summary import summary
from ppbench.store import read_all


def run(*overrides: str, results_dir: str | Path | None = None) -> pd.DataFrame:
    """Measure what `ppbench run` would with these overrides, sweeps and experiments included.

    Returns the summary, one row per job; `results_dir` is as on the command line, but one for all jobs. Raises
    ConfigError or UnavailableError before anything runs if a job is not configured well.
    """
    config.register()
    given = [*overrides, *([] if results_dir is None else [f"results_dir={config.quoted(str(results_dir))}"])]
    with new_results_dir(given) as new:
        of_this_call = f"{config.NEW_RESULTS_DIR}={config.quoted(str(new))}"
        composed = config.compose_all([*config.readable(given), of_this_call]).jobs
        jobs = [config.to_job(one) for one in composed]
        folders = {config.results_dir(one) for one in composed}
        if len(folders) > 1:
            raise ConfigError(f"results_dir is {len(folders)} folders, and one summary is returned: run once for each")
        (folder,), resume = folders, config.resume(composed[0])
        make(folder)
        prepare_jobs([(job, folder, resume) for job in jobs], Quiet())
        try:
            for one, job in zip(composed, jobs, strict=True):
                config.open_wire_of(one)
                run_job(job, folder, resume, Quiet())
        finally:
            shut_wires()
        write_report(folder, pdf=False)
        return load_summary(folder)


def load_summary(results_dir: str | Path) -> pd.DataFrame:
    """One row per job of a results folder."""
    return summary(read_all(Path(results_dir)))


def load_records(results_dir: str | Path) -> pd.DataFrame:
    """Every measured value of a results folder, one row each."""
    return tidy(read_all(Path(results_dir)))
