"""The same from Python: jobs by the same overrides as on the command line, results as pandas DataFrames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from ppbench.app import config
from ppbench.app.display import Quiet
from ppbench.app.recommend import recommended
from ppbench.app.report import write_report
from ppbench.app.results_dir import make, new_results_dir
from ppbench.app.runner import prepare_jobs, run_job
from ppbench.errors import ConfigError
from ppbench.launch.wires import shut_wires
from ppbench.recommendation.question import Question
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
    readable = config.readable(given)

    def composed_with(folder: Path) -> list[DictConfig]:
        return config.compose_all([*readable, config.new_results_dir_override(folder)]).jobs

    with new_results_dir(composed_with, lambda jobs: map(config.results_dir, jobs)) as composed:
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


def recommend(results_dir: str | Path, **question: Any) -> pd.DataFrame:
    """What of a results folder a device could use: by data set what is `feasible` in order of energy, then the rest.

    `question` has device, link (names of profiles, or files of one's own) and samples_per_day, and what else matters of
    `ppbench.recommendation.question.Question`. One row per scheme and variant; units are in the names of the columns,
    and what is not measured is called modelled or counted there. `reason` says why one is not feasible. Raises
    ConfigError for a question that is not one, and PpbenchError for a folder of which nothing can be modelled.
    """
    return recommended(Path(results_dir), Question.of(question))
