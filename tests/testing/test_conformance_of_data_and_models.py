"""A sound data set and a sound model pass the conformance checks, and for every check there is one that fails it."""

from __future__ import annotations

import pytest

from ppbench.data.dataset import DatasetSource
from ppbench.models.model import Model
from ppbench.testing import check_dataset, check_model
from tests.broken.datasets import BROKEN_DATASETS, SoundData
from tests.broken.heavy import LoadsWithPandas, TrainsWithPandas
from tests.broken.models import BROKEN_MODELS, SoundModel


def test_sound_data_sets_and_models_pass_every_check_that_applies() -> None:
    for results in (check_dataset(SoundData(n_train=90)), check_model(SoundModel(seed=3))):
        assert {result.name for result in results if not result.passed} == {"name_is_its_entry_point"}


@pytest.mark.parametrize(
    ("check", "source"),
    [
        pytest.param(check, source, id=source.__name__)
        for check, sources in BROKEN_DATASETS.items()
        for source in sources
    ],
)
@pytest.mark.usefixtures("same_environment")
def test_a_broken_data_set_fails_its_check(check: str, source: type[DatasetSource]) -> None:
    (result,) = check_dataset(source, model=SoundModel(), only=[check], raise_on_failure=False)
    assert result.failed, result
    assert result.detail
    assert "\n" not in result.detail


@pytest.mark.parametrize(
    ("check", "model"),
    [pytest.param(check, model, id=model.__name__) for check, models in BROKEN_MODELS.items() for model in models],
)
def test_a_broken_model_fails_its_check(check: str, model: type[Model]) -> None:
    (result,) = check_model(model, dataset=SoundData(), only=[check], raise_on_failure=False)
    assert result.failed, result
    assert result.detail
    assert "\n" not in result.detail


def test_data_sets_and_models_whose_module_brings_a_library_along() -> None:
    only = ["imports_with_numpy_alone"]
    for results in (
        check_dataset(LoadsWithPandas, only=only, raise_on_failure=False),
        check_model(TrainsWithPandas, only=only, raise_on_failure=False),
    ):
        assert results[0].failed
        assert "pandas" in results[0].detail


def test_a_failed_check_shows_where_the_plugin_was() -> None:
    (loaded,) = check_dataset(BROKEN_DATASETS["loads"][0], only=["loads"], raise_on_failure=False)
    (trained,) = check_model(BROKEN_MODELS["trains"][0], dataset=SoundData(), only=["trains"], raise_on_failure=False)
    (shaped,) = check_model(
        BROKEN_MODELS["takes_or_refuses_a_shape"][0], only=["takes_or_refuses_a_shape"], raise_on_failure=False
    )
    assert "datasets.py:" in loaded.evidence
    assert 'in load: raise ValueError("the disk is on fire")' in loaded.evidence
    assert 'in train: raise ValueError("out of luck")' in trained.evidence
    assert shaped.evidence.endswith("in check: height, width = sample_shape")
