"""How Hydra runs ppbench's jobs: an experiment lists them, all are prepared at once, then measured one by one.

Hydra takes sweepers and launchers from the namespace `hydra_plugins` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from ppbench.app.sweep import expand


class JobsSweeper(BasicSweeper):
    """Hydra's own sweeper, which also takes an experiment's list of jobs: `hydra.sweeper.jobs`."""

    def __init__(self, jobs: Sequence[str] | None = None) -> None:
        super().__init__(max_batch_size=None, params=None)
        self._jobs = list(jobs or [])

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch all jobs as one batch."""
        assert self.launcher is not None
        assert self.hydra_context is not None
        jobs = expand(self._jobs, arguments, self.hydra_context.config_loader)
        return [self.launcher.launch(jobs, initial_job_idx=0)]


class PreparingLauncher(BasicLauncher):
    """Hydra's own launcher, which first checks every job and prepares them, as many at once as there are cores.

    Measurements run one at a time, so that they do not disturb one another.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse the sweep if one of its jobs is not configured well; else prepare all, then run each."""
        self._prepare(job_overrides)
        returned: Sequence[JobReturn] = super().launch(job_overrides, initial_job_idx)
        return returned

    def _prepare(self, job_overrides: Sequence[Sequence[str]]) -> None:
        # Hydra looks at its plugins at every start, also in programs that have nothing to do with ppbench.
        from ppbench.app.config import results_dir, resume, to_job
        from ppbench.app.display import current_display
        from ppbench.app.runner import prepare_jobs

        configs = [self._composed(overrides) for overrides in job_overrides]
        runs = [(to_job(config), results_dir(config), resume(config)) for config in configs]
        display = current_display()
        display.expect(len(configs))
        prepare_jobs(runs, display)

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        loader: Any = self.hydra_context.config_loader  # type: ignore[union-attr]
        composed: DictConfig = loader.load_sweep_config(self.config, list(overrides))
        return composed


_HERE = "hydra_plugins.ppbench.sweep"
_STORE = ConfigStore.instance()
_STORE.store(
    group="hydra/launcher", name="ppbench", node={"_target_": f"{_HERE}.PreparingLauncher"}, provider="ppbench"
)
_STORE.store(
    group="hydra/sweeper", name="ppbench", node={"_target_": f"{_HERE}.JobsSweeper", "jobs": []}, provider="ppbench"
)
