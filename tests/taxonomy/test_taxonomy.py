"""Thresholds, and the labels that numbers get by them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppbench import profiles
from ppbench.errors import ConfigError
from ppbench.scheme import Communication
from ppbench.taxonomy.labels import (
    CommunicationLabel,
    Overhead,
    communication_agrees,
    communication_reason,
    computation_agrees,
    computation_reason,
    label_communication,
    label_computation,
)
from ppbench.taxonomy.thresholds import COMPUTATION_LABELS, EXPANSION_LABELS, Borders, load_thresholds

THRESHOLDS = load_thresholds()
TEXT = (profiles.CONF_DIR / "taxonomy.yaml").read_text()
NOTHING = Overhead(None, None, None, "", None, None, None, None)
positive = st.floats(1e-9, 1e9)


def times(projection: float, inference: float | None = None, device_s: float | None = None) -> Overhead:
    return dataclasses.replace(
        NOTHING, times_random_projection=projection, times_plain_inference=inference, device_s_per_sample=device_s
    )


def sending(up_bytes: float, rounds: float = 2, setup_bytes: float = 0, encoding: str = "") -> Overhead:
    return dataclasses.replace(
        NOTHING,
        rounds=rounds,
        up_bytes_per_sample=up_bytes,
        plaintext_up_bytes_per_sample=784.0,
        setup_bytes=setup_bytes,
        encoding=encoding,
    )


def communication(overhead: Overhead) -> CommunicationLabel:
    label = label_communication(overhead, THRESHOLDS)
    assert label is not None
    return label


def test_computation_thresholds_are_the_geometric_means_of_the_exemplars() -> None:
    low, medium, high = (
        THRESHOLDS.exemplars[name].macs_per_sample
        for name in ("random_projection", "plain_inference", "homomorphic_encryption")
    )
    between = Borders(math.sqrt(low * medium), math.sqrt(medium * high))
    for borders, unit in (
        (THRESHOLDS.times_random_projection, low),
        (THRESHOLDS.times_plain_inference, medium),
        (THRESHOLDS.device_s_per_sample, 35e6),
    ):
        assert borders.lower * unit == pytest.approx(between.lower, rel=0.005)
        assert borders.upper * unit == pytest.approx(between.upper, rel=0.005)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("low_below: 0.0102, high_above: 10.2", "low_below: 11, high_above: 10.2", "low_below=11 must be less than"),
        ("low_below: 0.0102, ", "", "computation.device_s_per_sample.low_below is missing"),
        ("firmness_share: 0.25", "firmness: 0.25", "unknown key communication.firmness"),
        ("label: low", "label: tiny", "computation.exemplars.random_projection.label='tiny' is not one of low, medium"),
        ("high_above: 1164", "high_above: 1e7", "calls homomorphic_encryption medium"),
        ("compression_below: 0.8", "compression_below: 1.1", "communication.expansion must have 1"),
        ("iterative_above_rounds: 2", "iterative_above_rounds: -2", "communication.iterative_above_rounds=-2"),
        ("iterative_above_rounds: 2", "iterative_above_rounds: two", "communication.iterative_above_rounds='two'"),
        (
            "reference: plaintext",
            "reference: entropy",
            "communication.reference='entropy' is not one of plaintext, inf",
        ),
        ("  reference: plaintext\n", "", "communication.reference is missing"),
        ("[1, 100, 10000]", "[100, 1]", "communication.amortised_over_samples=[100, 1]"),
        ("reference_device: cortex_m4", "reference_device: 4", "reference_device=4 must be a name"),
        ("firmness_factor: 3", "firmness_factor: 0.3", "computation.firmness_factor=0.3 must be at least 1"),
        ("communication:", "communication: {", "cannot be read"),
    ],
)
def test_wrong_thresholds_are_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    path = tmp_path / "taxonomy.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ConfigError) as raised:
        load_thresholds(path)
    assert message in str(raised.value)
    assert "taxonomy.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read"):
        load_thresholds(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", THRESHOLDS.exemplars)
def test_an_exemplar_gets_the_papers_label(name: str) -> None:
    exemplars = THRESHOLDS.exemplars
    macs = exemplars[name].macs_per_sample
    overhead = times(
        macs / exemplars["random_projection"].macs_per_sample,
        macs / exemplars["plain_inference"].macs_per_sample,
        macs / 35e6,
    )
    label = label_computation(overhead, THRESHOLDS)
    assert label is not None
    assert label.label == exemplars[name].label


def test_the_border_between_projection_and_inference_is_not_firm() -> None:
    projection, inference = times(1.0, 0.738, 0.0088), times(1.355, 1.0, 0.0119)
    for overhead in (projection, inference):
        label = label_computation(overhead, THRESHOLDS)
        assert label is not None
        assert not label.firm
        assert label.alternatives == ("low", "medium")


def test_the_middle_criterion_decides() -> None:
    label = label_computation(times(1e7, 10, 1.0), THRESHOLDS)
    assert label is not None
    assert label.label == "medium"
    higher_of_two = label_computation(times(0.1, 10), THRESHOLDS)
    assert higher_of_two is not None
    assert higher_of_two.label == "medium"


def test_memory_overrides_time_and_is_firm() -> None:
    overhead = dataclasses.replace(times(5.0, 3.0, 0.02), misfit="needs at least 15 MB of RAM; it has 655 kB")
    label = label_computation(overhead, THRESHOLDS)
    assert label is not None
    assert (label.label, label.by_time, label.firm) == ("high", "medium", True)
    assert label.text == "high (memory)"
    assert computation_reason(overhead, label, "medium") == overhead.misfit


def test_nothing_measured_has_no_label() -> None:
    assert label_computation(NOTHING, THRESHOLDS) is None
    assert label_communication(NOTHING, THRESHOLDS) is None
    assert label_communication(dataclasses.replace(sending(784), rounds=None), THRESHOLDS) is None
    assert computation_agrees(None, "low") is None
    assert communication_agrees(communication(sending(784)), None) is None


@given(st.lists(positive, min_size=3, max_size=3), st.floats(1, 1e6))
def test_more_of_everything_is_never_a_lower_label(values: list[float], factor: float) -> None:
    projection, inference, device_s = values
    less = label_computation(times(projection, inference, device_s), THRESHOLDS)
    more = label_computation(times(projection * factor, inference * factor, device_s * factor), THRESHOLDS)
    assert less is not None
    assert more is not None
    assert COMPUTATION_LABELS.index(less.label) <= COMPUTATION_LABELS.index(more.label)
    assert less.label in less.alternatives


@given(positive, positive)
def test_more_bytes_are_never_a_lower_label(few: float, more: float) -> None:
    labels = [communication(sending(up)) for up in sorted((few, more))]
    assert EXPANSION_LABELS.index(labels[0].expansion) <= EXPANSION_LABELS.index(labels[1].expansion)
    assert all(label.expansion in label.alternatives for label in labels)


@pytest.mark.parametrize(
    ("up_bytes", "rounds", "text", "firm"),
    [
        (784, 2, "retention", True),
        (785, 1, "retention", True),
        (784 * 1.22, 2, "retention", False),
        (784 * 1.28, 2, "swelling", False),
        (3136, 2, "swelling", True),
        (392, 2, "compression", True),
        (130_000, 46, "iterative, swelling", True),
        (392, 3, "iterative, compression", True),
    ],
)
def test_communication_labels(up_bytes: float, rounds: float, text: str, firm: bool) -> None:
    label = communication(sending(up_bytes, rounds))
    assert (label.text, label.firm) == (text, firm)


@pytest.mark.parametrize(
    ("up_bytes", "rounds", "papers", "reason"),
    [
        (3136, 2, "retention/compression", "float32 sends 4 times plaintext's bytes"),
        (784, 2, "retention/compression", ""),
        (784, 4, "retention/compression", "4 rounds"),
        (3136, 4, "retention/compression", "4 rounds; float32 sends 4 times plaintext's bytes"),
        (3136, 4, "iterative", ""),
        (3136, 2, "iterative", "2 rounds"),
        (3136, 4, "swelling", ""),
        (784, 2, "swelling", "float32 sends 1 times plaintext's bytes"),
    ],
)
def test_a_label_agrees_or_there_is_a_reason(
    up_bytes: float, rounds: float, papers: Communication, reason: str
) -> None:
    overhead = sending(up_bytes, rounds, encoding="float32")
    label = communication(overhead)
    assert communication_agrees(label, papers) is (reason == "")
    assert communication_reason(overhead, label, papers) == reason


def test_the_reason_against_high_is_the_ratio() -> None:
    overhead = times(433, 91, 2.71)
    label = label_computation(overhead, THRESHOLDS)
    assert label is not None
    assert computation_reason(overhead, label, "high").startswith("433 times a random projection, not millions")


@given(st.floats(1, 1e9), st.floats(0, 1e9))
def test_setup_spread_over_more_samples_weighs_less(up_bytes: float, setup_bytes: float) -> None:
    overhead = sending(up_bytes, setup_bytes=setup_bytes)
    spread = [overhead.amortised_expansion(n) for n in THRESHOLDS.amortised_over_samples]
    values = [value for value in (*spread, overhead.expansion) if value is not None]
    assert len(values) == len(spread) + 1
    assert values == sorted(values, reverse=True)


def test_thresholds_of_a_package_count_and_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taxonomy.yaml").write_text(TEXT.replace("iterative_above_rounds: 2", "iterative_above_rounds: 4"))
    monkeypatch.setattr(profiles, "plugin_conf_dirs", lambda: {"theirs": tmp_path})
    thresholds = load_thresholds()
    assert (thresholds.iterative_above_rounds, thresholds.where) == (4, "theirs's conf/taxonomy.yaml")
    assert THRESHOLDS.where == "conf/taxonomy.yaml"


def test_thresholds_of_two_packages_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "taxonomy.yaml").write_text(TEXT)
    monkeypatch.setattr(profiles, "plugin_conf_dirs", lambda: {name: tmp_path / name for name in ("one", "other")})
    with pytest.raises(ConfigError, match="several packages bring thresholds"):
        load_thresholds()
