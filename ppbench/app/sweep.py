"""From an experiment's list of jobs, and what the command line adds, to the overrides of every single job."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser


def expand(lines: Sequence[str], overrides: Sequence[str], loader: ConfigLoader) -> list[list[str]]:
    """The overrides of every job: the union over an experiment's lines of each line's Cartesian product.

    A line is a row of overrides, as in "scheme=obfnet seed=0,1"; those of the command line apply to every line
    and win where both set the same key, or where a line sets an option of what the command line chooses otherwise. What
    is then the same is one job. The loader knows the choices that `glob(...)` stands for.
    """
    parser = OverridesParser.create(loader)
    given = parser.parse_overrides(list(overrides))
    set_by_hand = {override.key_or_group for override in given}
    jobs: list[list[str]] = []
    for line in lines or [""]:
        own = [o for o in parser.parse_overrides(line.split()) if not _is_set(o.key_or_group, set_by_hand)]
        products = BasicSweeper.split_arguments([*own, *given], max_batch_size=None)
        jobs += itertools.chain.from_iterable(products)
    return [list(job) for job in dict.fromkeys(map(tuple, jobs))]


def _is_set(key: str, set_by_hand: set[str]) -> bool:
    """Whether the command line sets it, or chooses the plugin whose option it is."""
    section, dot, _ = key.partition(".")
    return key in set_by_hand or (bool(dot) and section in set_by_hand)
