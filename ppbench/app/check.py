"""`ppbench check [KIND=]NAME [OVERRIDE ...]`: which plugin is meant, its checks, and the results to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ppbench.app import config
from ppbench.errors import ConfigError, UnavailableError, unknown
from ppbench.plugin import Plugin
from ppbench.registry import REGISTRIES, Registry
from ppbench.testing.result import CheckResult
from ppbench.testing.suite import CHECKS_OF, dataset_results, guarantee, model_results, scheme_results


def print_check(arguments: Sequence[str]) -> bool:
    """Run all checks on what the first argument names, with overrides as `ppbench run` has them; whether none failed.

    A bare name is looked for among schemes first, then data sets, then models, files of options included. Raises
    ConfigError for a name or an option that there is not, UnavailableError if what it needs is not installed.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    registry, name, others = _subject(arguments[0])
    given = _given(registry, name, arguments[1:])
    kinds = {kind: plugin for kind, plugin in given.items() if kind != registry.what}
    subject = given[registry.what]
    variant = f"({subject.variant()})" if isinstance(subject, Plugin) and subject.variant() else ""
    title = f"{registry.what} {subject.name}{variant}"
    console = Console()
    for other in others:
        console.print(f"'{name}' is a {other} too: ppbench check {other}={name}", highlight=False)
    with console.status(f"checking {title}"):
        results = list(_results(registry, subject, kinds))
    table = Table("check", "", "s", "guarantees, or why not", title=escape(title), title_justify="left")
    for result in results:
        verdict = "passed" if result.passed else "skipped" if result.skipped else "FAILED"
        told = result.detail or guarantee(CHECKS_OF[registry.what][result.name])
        table.add_row(result.name, verdict, f"{result.seconds:.1f}", escape(told))
    console.print(table)
    for result in results:
        if result.evidence:
            console.print(f"\n{result.name}: {result.detail}", highlight=False, markup=False, soft_wrap=True)
            for line in result.evidence.splitlines():
                console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    n_failed = sum(result.failed for result in results)
    console.print(
        f"{title}: {sum(result.passed for result in results)} passed, {n_failed} failed", highlight=False, markup=False
    )
    return not n_failed


def _subject(argument: str) -> tuple[Registry[Any], str, list[str]]:
    """The kind and the name that are meant, and of what other kinds there is one of this name."""
    kind, equals, name = argument.partition("=")
    if equals:
        chosen = [registry for registry in REGISTRIES if registry.what == kind]
        if not chosen:
            raise unknown("kind of plugin", kind, [registry.what for registry in REGISTRIES])
        return chosen[0], name, []
    has = [registry for registry in REGISTRIES if argument in _names(registry)]
    if not has:
        raise unknown(
            "scheme, data set or model", argument, {name for registry in REGISTRIES for name in _names(registry)}
        )
    return has[0], argument, [registry.what for registry in has[1:]]


def _names(registry: Registry[Any]) -> set[str]:
    return {*registry.names(), *config.choices_of(registry.what)}


def _given(registry: Registry[Any], name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """By kind: the plugin that is checked, and those that the overrides choose to check it with."""
    for override in overrides:
        if override.partition("=")[0].partition(".")[0] not in CHECKS_OF:
            raise ConfigError(
                f"'{override}' is no choice or option of {', '.join(CHECKS_OF)}, which is all that is checked"
            )
    config.register()
    composed = config.compose_all(config.readable([f"{registry.what}={name}", *overrides])).jobs
    if len(composed) > 1:
        raise ConfigError(f"{len(composed)} jobs are asked for: one thing is checked at a time")
    job = config.to_job(composed[0])
    made = {"scheme": job.scheme, "dataset": job.dataset, "model": job.model}
    chosen = {registry.what, *(override.partition("=")[0].partition(".")[0] for override in overrides)}
    for kind in chosen:
        if reason := made[kind].unavailable():
            raise UnavailableError(f"{kind} {reason}")
    return {kind: plugin for kind, plugin in made.items() if kind in chosen}


def _results(registry: Registry[Any], subject: Any, others: dict[str, Any]) -> Iterator[CheckResult]:
    run: dict[str, Any] = {"scheme": scheme_results, "dataset": dataset_results, "model": model_results}
    yield from run[registry.what](subject, **others)
