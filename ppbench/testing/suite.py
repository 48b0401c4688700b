"""The checks in order, and the two ways to run them."""

from __future__ import annotations

import inspect
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ppbench.data.dataset import DatasetSource
from ppbench.errors import UnavailableError, unknown
from ppbench.models.model import Model
from ppbench.registry import DATASETS, MODELS, SCHEMES
from ppbench.scheme import Scheme
from ppbench.testing import checks_conduct, checks_failure, checks_plugin, checks_prepare, checks_run
from ppbench.testing.case import Case
from ppbench.testing.result import CheckFailed, CheckResult, CheckSkipped

_MODEL = "mlp"

Check = Callable[[Case], None]

DEADLINE_S = 120.0

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

CHECKS: dict[str, Check] = {check.__name__: check for check in STATIC + RUNNING}


def check_scheme(
    scheme: str | type[Scheme] | Scheme,
    *,
    dataset: str | DatasetSource = "digits",
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
    results = list(_results(scheme, dataset, model, only, deadline_s))
    if raise_on_failure and (failed := [result for result in results if result.failed]):
        lines = "\n".join(f"  {result.name}: {result.detail}" for result in failed)
        raise AssertionError(f"{_name(scheme)} fails {len(failed)} of {len(results)} checks:\n{lines}")
    return results


def print_check(name: str, dataset: str = "digits", model: str | None = None) -> bool:
    """Run all checks on an installed scheme and print the results; whether none failed.

    Raises ConfigError or UnavailableError if there is no such scheme or what it needs is not installed.
    """
    from rich.console import Console
    from rich.table import Table

    if reason := SCHEMES.why_not(name):
        raise UnavailableError(reason)
    console = Console()
    with console.status(f"checking {name}"):
        results = list(_results(name, dataset, model, None, DEADLINE_S))
    table = Table("check", "", "s", "guarantees, or why not", title=f"scheme {name}", title_justify="left")
    for result in results:
        verdict = "passed" if result.passed else "skipped" if result.skipped else "FAILED"
        table.add_row(result.name, verdict, f"{result.seconds:.1f}", result.detail or _guarantee(result.name))
    console.print(table)
    n_failed = sum(result.failed for result in results)
    console.print(f"{name}: {sum(result.passed for result in results)} passed, {n_failed} failed", highlight=False)
    return not n_failed


def _results(
    scheme: str | type[Scheme] | Scheme,
    dataset: str | DatasetSource,
    model: str | Model | None,
    only: Collection[str] | None,
    deadline_s: float,
) -> Iterator[CheckResult]:
    given = SCHEMES.load(scheme) if isinstance(scheme, str) else scheme
    source = DATASETS.load(dataset)() if isinstance(dataset, str) else dataset
    for name in only or ():
        if name not in CHECKS:
            raise unknown("check", name, CHECKS)
    with tempfile.TemporaryDirectory(prefix="ppbench-check-") as folder:
        case = Case(given, source, _models(model), Path(folder), deadline_s)
        try:
            for name, check in CHECKS.items():
                if only is None or name in only:
                    yield _result(name, check, case)
        finally:
            case.end_survivors()


def _models(model: str | Model | None) -> list[Model]:
    if isinstance(model, Model):
        return [model]
    others = [name for name in MODELS.names() if name != _MODEL and MODELS.why_not(name) is None]
    return [MODELS.load(name)() for name in ([_MODEL, *others] if model is None else [model])]


def _result(name: str, check: Check, case: Case) -> CheckResult:
    began = time.perf_counter()
    passed = skipped = False
    detail = ""
    try:
        check(case)
        passed = True
    except CheckSkipped as reason:
        skipped, detail = True, str(reason)
    except CheckFailed as failure:
        detail = str(failure)
    except Exception as error:  # a plugin may raise anything from anywhere
        detail = f"{type(error).__name__}: {error}"
    return CheckResult(name, passed, skipped, " ".join(detail.split()), time.perf_counter() - began)


def _guarantee(name: str) -> str:
    return " ".join((inspect.getdoc(CHECKS[name]) or "").split())


def _name(scheme: str | type[Scheme] | Scheme) -> str:
    return scheme if isinstance(scheme, str) else getattr(scheme, "name", str(scheme))
