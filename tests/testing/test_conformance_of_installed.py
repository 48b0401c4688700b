"""Every plugin that comes with ppbench passes the conformance checks, and so do schemes that a test defines."""

from __future__ import annotations

import pytest

from ppbench.registry import DATASETS, MODELS, SCHEMES
from ppbench.scheme import Scheme
from ppbench.testing import check_dataset, check_model, check_scheme
from ppbench.testing.suite import MODEL_CHECKS
from tests.sketches.common import LeastSquares
from tests.sketches.dealer import WithDealer
from tests.sketches.engine import WithEngine
from tests.sketches.k_anonymity import KAnonymity
from tests.sketches.secure_aggregation import SecureAggregation

SHORT: dict[str, dict[str, int]] = {name: {"epochs": 1} for name in ("random_projection", "obfnet")}
UNTRAINED = list(MODEL_CHECKS)[: list(MODEL_CHECKS).index("trains")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMES.names())
def test_an_installed_scheme_conforms(name: str) -> None:
    if reason := SCHEMES.why_not(name):
        pytest.skip(reason)
    # What trains for long by default trains shortly here: no check asks how well.
    check_scheme(SCHEMES.load(name)(**SHORT[name]) if name in SHORT else name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme", [WithDealer(ahead=True), WithEngine(), SecureAggregation(), KAnonymity()], ids=lambda scheme: scheme.name
)
def test_a_scheme_that_is_not_installed_conforms(scheme: Scheme) -> None:
    results = {result.name: result for result in check_scheme(scheme, model=LeastSquares())}
    assert results["name_is_its_entry_point"].skipped
    assert results["completes_a_job"].passed


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS.names())
def test_an_installed_data_set_conforms(name: str) -> None:
    check_dataset(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS.names())
def test_an_installed_model_conforms_as_far_as_it_need_not_be_trained(name: str) -> None:
    # `ppbench check` trains it four times, which takes minutes; one model is in test_check_command.
    check_model(name, only=UNTRAINED)
