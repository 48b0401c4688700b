"""The checks of each kind of plugin, in order, and how they are run."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from ppbench.data.dataset import DatasetSource
from ppbench.errors import unknown
from ppbench.models.model import Model
from ppbench.process import temporary_folder
from ppbench.registry import DATASETS, MODELS, SCHEMES, Registry
from ppbench.scheme import Scheme
from ppbench.testing import (
    checks_conduct,
    checks_dataset,
    checks_failure,
    checks_model,
    checks_options,
    checks_plugin,
    checks_prepare,
    checks_run,
    evidence,
)
from ppbench.testing.case import Case
from ppbench.testing.dataset_case import DatasetCase
from ppbench.testing.model_case import ModelCase
from ppbench.testing.plugin_case import PluginCase
from ppbench.testing.result import CheckFailed, CheckResult, CheckSkipped

Check = Callable[[Any], None]
"""Of the case that its kind of plugin has."""

DEADLINE_S = 120.0
_MODEL = "mlp"
_DATASETS = ("digits", "mnist")
"""What models are trained on where they take it, before any other."""

STATIC: tuple[Check, ...] = (
    checks_plugin.card_is_complete,
    checks_plugin.name_is_its_entry_point,
    checks_plugin.options_are_typed_with_defaults,
    checks_plugin.variant_names_what_differs,
    checks_plugin.roles_are_complete,
    checks_plugin.parties_can_find_it,
    checks_plugin.imports_with_numpy_alone,
)
RUNNING: tuple[Check, ...] = (
    checks_prepare.prepares_for_its_roles,
    checks_run.completes_a_job,
    checks_run.answers_every_sample,
    checks_run.records_are_complete,
    checks_run.every_message_is_received,
    checks_run.serves_two_participants,
    checks_run.same_seed_gives_same_answers,
    checks_run.same_job_moves_same_bytes,
    checks_prepare.prepares_once,
    checks_prepare.prepare_depends_on_its_key_alone,
    checks_conduct.parties_live_in_processes_of_their_own,
    checks_conduct.leaves_its_process_as_it_was,
    checks_conduct.opens_no_socket_of_its_own,
    checks_conduct.charges_no_stage_for_imports,
    checks_conduct.writes_no_file,
    checks_conduct.opens_no_file_of_others,
    checks_conduct.views_account_for_every_byte,
    checks_conduct.coordinator_sees_no_raw_sample,
    checks_run.memory_wire_moves_the_same_bytes,
    checks_run.takes_an_odd_last_batch,
    checks_run.takes_batches_of_one,
    checks_run.repeats_its_passes,
    checks_failure.wrong_shape_is_a_clean_error,
    checks_failure.dead_participant_ends_the_job,
    checks_conduct.leaves_the_calling_process_as_it_was,
    checks_failure.leaves_no_process,
)
"""In the order of their runs; the last two look back at all of them."""


_OF_EVERY_PLUGIN: tuple[Check, ...] = (
    checks_plugin.name_is_its_entry_point,
    checks_plugin.options_are_typed_with_defaults,
    checks_plugin.variant_names_what_differs,
    checks_plugin.parties_can_find_it,
    checks_plugin.imports_with_numpy_alone,
    checks_options.nonsense_is_refused,
    checks_options.can_be_a_key,
)


def _named(*checks: Check) -> dict[str, Check]:
    return {check.__name__: check for check in checks}


CHECKS = _named(*STATIC, *RUNNING)
"""Of a scheme."""
DATASET_CHECKS = _named(
    *_OF_EVERY_PLUGIN,
    checks_dataset.loads,
    checks_dataset.keeps_its_name,
    checks_dataset.loads_the_same_again,
    checks_dataset.sha256_tells_contents_apart,
    checks_dataset.every_class_can_be_learnt,
    checks_dataset.splits_share_few_samples,
    checks_dataset.leaves_its_process_as_it_was,
    checks_dataset.completes_a_job,
)
MODEL_CHECKS = _named(
    *_OF_EVERY_PLUGIN,
    checks_model.takes_or_refuses_a_shape,
    checks_model.trains,
    checks_model.answers_with_finite_logits,
    checks_model.learns,
    checks_model.same_seed_gives_same_weights,
    checks_model.seed_decides_the_weights,
    checks_model.survives_its_tree,
    checks_model.leaves_its_process_as_it_was,
    checks_model.completes_a_job,
)
CHECKS_OF: dict[str, dict[str, Check]] = {
    SCHEMES.what: CHECKS,
    DATASETS.what: DATASET_CHECKS,
    MODELS.what: MODEL_CHECKS,
}
"""By kind of plugin."""


def check_scheme(
    scheme: str | type[Scheme] | Scheme,
    *,
    dataset: str | DatasetSource = _DATASETS[0],
    model: str | Model | None = None,
    only: Collection[str] | None = None,
    raise_on_failure: bool = True,
    deadline_s: float = DEADLINE_S,
) -> list[CheckResult]:
    """Run every check, or those named in `only`, on a scheme: by name, by class, or with the options it was made with.

    Without `model`, the small MLP is used, or the first other one that the scheme takes. Each of the short jobs
    that the checks look at may take `deadline_s`. With `raise_on_failure`, an AssertionError lists all checks that
    failed. Raises ConfigError or UnavailableError if a name is unknown or what it needs is not installed.
    """
    return _all(scheme_results(scheme, dataset, model, only, deadline_s), scheme, raise_on_failure)


def check_dataset(
    dataset: str | type[DatasetSource] | DatasetSource,
    *,
    model: str | Model = _MODEL,
    only: Collection[str] | None = None,
    raise_on_failure: bool = True,
    deadline_s: float = DEADLINE_S,
) -> list[CheckResult]:
    """The same for a data set; `model` is trained on it for a short job."""
    return _all(dataset_results(dataset, model, only, deadline_s), dataset, raise_on_failure)


def check_model(
    model: str | type[Model] | Model,
    *,
    dataset: str | DatasetSource | None = None,
    only: Collection[str] | None = None,
    raise_on_failure: bool = True,
    deadline_s: float = DEADLINE_S,
) -> list[CheckResult]:
    """The same for a model, on a part of `dataset`, or of the first that can be had here and that it takes."""
    return _all(model_results(model, dataset, only, deadline_s), model, raise_on_failure)


def scheme_results(
    scheme: str | type[Scheme] | Scheme,
    dataset: str | DatasetSource = _DATASETS[0],
    model: str | Model | None = None,
    only: Collection[str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> Iterator[CheckResult]:
    """One check after the other."""
    _choose(only, CHECKS)
    given = SCHEMES.load(scheme) if isinstance(scheme, str) else scheme
    models = _first(MODELS, (_MODEL,)) if model is None else [_made(MODELS, model)]
    with temporary_folder("check") as folder:
        case = Case(given, folder, deadline_s, _made(DATASETS, dataset), models)
        try:
            yield from _results(case, CHECKS, only)
        finally:
            case.end_survivors()


def dataset_results(
    dataset: str | type[DatasetSource] | DatasetSource,
    model: str | Model = _MODEL,
    only: Collection[str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> Iterator[CheckResult]:
    """One check after the other."""
    _choose(only, DATASET_CHECKS)
    given = DATASETS.load(dataset) if isinstance(dataset, str) else dataset
    with temporary_folder("check") as folder:
        yield from _results(DatasetCase(given, folder, deadline_s, _made(MODELS, model)), DATASET_CHECKS, only)


def model_results(
    model: str | type[Model] | Model,
    dataset: str | DatasetSource | None = None,
    only: Collection[str] | None = None,
    deadline_s: float = DEADLINE_S,
) -> Iterator[CheckResult]:
    """One check after the other."""
    _choose(only, MODEL_CHECKS)
    given = MODELS.load(model) if isinstance(model, str) else model
    datasets = _first(DATASETS, _DATASETS) if dataset is None else [_made(DATASETS, dataset)]
    with temporary_folder("check") as folder:
        yield from _results(ModelCase(given, folder, deadline_s, datasets), MODEL_CHECKS, only)


def guarantee(check: Check) -> str:
    """What a plugin that passes the check keeps to, one line."""
    return " ".join((inspect.getdoc(check) or "").split())


def _all(results: Iterator[CheckResult], plugin: Any, raise_on_failure: bool) -> list[CheckResult]:
    ended = list(results)
    if raise_on_failure and (failed := [result for result in ended if result.failed]):
        lines = "\n".join(f"  {result.name}: {result.detail}" for result in failed)
        name = plugin if isinstance(plugin, str) else getattr(plugin, "name", str(plugin))
        raise AssertionError(f"{name} fails {len(failed)} of {len(ended)} checks:\n{lines}")
    return ended


def _choose(only: Collection[str] | None, checks: Mapping[str, Check]) -> None:
    for name in only or ():
        if name not in checks:
            raise unknown("check", name, checks)


def _made(registry: Registry[Any], plugin: Any) -> Any:
    return registry.load(plugin)() if isinstance(plugin, str) else plugin


def _first(registry: Registry[Any], first: tuple[str, ...]) -> list[Any]:
    """Every plugin of a kind that can run here, with its defaults, some of them before the others."""
    others = [name for name in registry.names() if name not in first]
    return [registry.load(name)() for name in (*first, *others) if registry.why_not(name) is None]


def _results(case: PluginCase[Any], checks: Mapping[str, Check], only: Collection[str] | None) -> Iterator[CheckResult]:
    for name, check in checks.items():
        if only is None or name in only:
            yield _result(name, check, case)


def _result(name: str, check: Check, case: PluginCase[Any]) -> CheckResult:
    began = time.perf_counter()
    passed = skipped = False
    detail = shown = ""
    try:
        check(case)
        passed = True
    except CheckSkipped as reason:
        skipped, detail = True, str(reason)
    except CheckFailed as failure:
        detail, shown = str(failure), failure.evidence
    except Exception as error:  # a plugin may raise anything from anywhere
        detail, shown = f"{type(error).__name__}: {error}", evidence.of_error(case.cls, error)
    return CheckResult(name, passed, skipped, " ".join(detail.split()), time.perf_counter() - began, shown)
