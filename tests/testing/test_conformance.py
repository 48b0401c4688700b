"""Every scheme passes the conformance suite, and for every check there is a scheme that it finds."""

from __future__ import annotations

import dataclasses
import re

import pytest

import tests.broken.cheats  # noqa: F401 - more of BROKEN
from ppbench.app.check import print_check
from ppbench.errors import ConfigError
from ppbench.scheme import Scheme
from ppbench.testing import CheckResult, check_scheme
from ppbench.testing.suite import CHECKS, CHECKS_OF, STATIC
from tests.broken.datasets import BROKEN_DATASETS
from tests.broken.heavy import ImportsPandas
from tests.broken.models import BROKEN_MODELS
from tests.broken.schemes import BROKEN, NeverEndsWell
from tests.broken.sound import Sound

ELSEWHERE = {"parties_can_find_it", "imports_with_numpy_alone"}
"""Checks whose broken schemes cannot stand beside the others; each has a test of its own."""


def by_name(results: list[CheckResult]) -> dict[str, CheckResult]:
    return {result.name: result for result in results}


def test_a_sound_scheme_passes_every_check_that_applies() -> None:
    results = check_scheme(Sound)
    assert [result.name for result in results] == list(CHECKS)
    assert {result.name for result in results if not result.passed} == {"name_is_its_entry_point"}


def test_every_check_says_what_it_guarantees() -> None:
    assert len(CHECKS) >= 15
    assert all(check.__doc__ for checks in CHECKS_OF.values() for check in checks.values())


def test_every_check_has_a_scheme_that_fails_it() -> None:
    assert set(BROKEN) | ELSEWHERE == set(CHECKS)
    assert set(BROKEN_DATASETS) | {"imports_with_numpy_alone"} == set(CHECKS_OF["dataset"])
    assert set(BROKEN_MODELS) | {"imports_with_numpy_alone"} == set(CHECKS_OF["model"])


@pytest.mark.parametrize(
    ("check", "scheme"),
    [pytest.param(check, scheme, id=scheme.__name__) for check, schemes in BROKEN.items() for scheme in schemes],
)
@pytest.mark.usefixtures("same_environment")
def test_a_broken_scheme_fails_its_check(check: str, scheme: type[Scheme]) -> None:
    # One that all of them take: a preparation that fails is else tried with every model that there is.
    (result,) = check_scheme(scheme, model="mlp", only=[check], raise_on_failure=False, deadline_s=30)
    assert result.failed, result
    assert result.detail
    assert "\n" not in result.detail


@pytest.mark.parametrize("check", [check.__name__ for check in STATIC if check.__name__ in BROKEN])
def test_a_scheme_that_is_badly_declared_fails_no_other_check_of_its_declaration(check: str) -> None:
    static = [check.__name__ for check in STATIC]
    for scheme in BROKEN[check]:
        results = check_scheme(scheme, only=static, raise_on_failure=False)
        assert [result.name for result in results if result.failed] == [check]


def test_a_scheme_that_no_other_process_can_import() -> None:
    @dataclasses.dataclass(frozen=True)
    class Local(Sound):
        """Nobody else can find it."""

    (result,) = check_scheme(Local, only=["parties_can_find_it"], raise_on_failure=False)
    assert result.failed
    assert "Local" in result.detail


def test_a_module_that_brings_a_library_along() -> None:
    (result,) = check_scheme(ImportsPandas, only=["imports_with_numpy_alone"], raise_on_failure=False)
    assert result.failed
    assert "pandas" in result.detail


def test_a_failed_check_shows_where_the_role_was_and_what_its_party_printed() -> None:
    (result,) = check_scheme(NeverEndsWell, only=["completes_a_job"], raise_on_failure=False)
    assert result.detail == "coordinator failed in setup: as a test has it"
    where, printed, *log = result.evidence.splitlines()
    assert re.fullmatch(r'.*/tests/broken/schemes\.py:\d+ in setup: raise ProtocolError\("as a test has it"\)', where)
    assert printed == "coordinator printed:"
    assert log[-1].endswith("ProtocolError: as a test has it")


def test_failures_are_raised_together() -> None:
    (promises_nothing,) = BROKEN["card_is_complete"]
    with pytest.raises(AssertionError, match=r"fails 1 of 2 checks:\n  card_is_complete: card.guarantee is empty"):
        check_scheme(promises_nothing, only=["card_is_complete", "roles_are_complete"])


def test_a_check_or_scheme_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="did you mean 'card_is_complete'"):
        check_scheme(Sound, only=["card_is_complet"])
    with pytest.raises(ConfigError, match="did you mean 'plaintext'"):
        print_check(["plaintxt"])
