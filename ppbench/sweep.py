"""How Hydra runs several jobs: an experiment lists them, all are prepared two at a time, then measured one by one."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from ppbench.config import to_job
from ppbench.display import current_display
from ppbench.prepare import prepare_all

log = logging.getLogger(__name__)


def expand(lines: Sequence[str], overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every job: the union over an experiment's lines of each line's Cartesian product.

    A line is a row of overrides, as in "scheme=obfnet seed=0,1"; those of the command line apply to every line
    and win where both set the same key.
    """
    parser = OverridesParser.create()
    given = parser.parse_overrides(list(overrides))
    set_by_hand = {override.key_or_group for override in given}
    jobs: list[list[str]] = []
    for line in lines or [""]:
        own = [o for o in parser.parse_overrides(line.split()) if o.key_or_group not in set_by_hand]
        products = BasicSweeper.split_arguments([*own, *given], max_batch_size=None)
        jobs += itertools.chain.from_iterable(products)
    return jobs


class JobsSweeper(BasicSweeper):
    """Hydra's own sweeper, which also takes an experiment's list of jobs: `hydra.sweeper.jobs`."""

    def __init__(self, jobs: Sequence[str] | None = None) -> None:
        super().__init__(max_batch_size=None, params=None)
        self._jobs = list(jobs or [])

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch all jobs as one batch."""
        assert self.launcher is not None
        return [self.launcher.launch(expand(self._jobs, arguments), initial_job_idx=0)]


class PreparingLauncher(BasicLauncher):
    """Hydra's own launcher, which first checks every job and prepares them, as many at once as there are cores.

    Measurements run one at a time, so that they do not disturb one another.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse the sweep if one of its jobs is not configured well; else prepare all, then run each."""
        assert self.config is not None
        assert self.hydra_context is not None
        configs = [self._composed(overrides) for overrides in job_overrides]
        jobs = {job.id: job for job in map(to_job, configs)}
        display = current_display()
        display.expect(len(configs))
        prepare_all(list(jobs.values()), display)
        returned: Sequence[JobReturn] = super().launch(job_overrides, initial_job_idx)
        return returned

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        loader: Any = self.hydra_context.config_loader  # type: ignore[union-attr]
        composed: DictConfig = loader.load_sweep_config(self.config, list(overrides))
        return composed


def register() -> None:
    """Make Hydra know both."""
    store = ConfigStore.instance()
    store.store(group="hydra/launcher", name="ppbench", node={"_target_": "ppbench.sweep.PreparingLauncher"})
    store.store(group="hydra/sweeper", name="ppbench", node={"_target_": "ppbench.sweep.JobsSweeper", "jobs": []})
    Plugins.instance().register(PreparingLauncher)
    Plugins.instance().register(JobsSweeper)
