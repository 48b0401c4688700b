"""Device profiles: those that come with ppbench, and what is refused of others."""

from __future__ import annotations

import functools
import operator
from pathlib import Path

import pytest
import yaml

from ppbench.errors import ConfigError
from ppbench.modelled.devices import device_names, devices, load_device, read_device
from ppbench.profiles import CONF_DIR

M4 = CONF_DIR / "device" / "cortex_m4.yaml"


def written(folder: Path, key: str, value: object) -> Path:
    """The Cortex-M4's profile with one key changed; with the value ..., without it."""
    profile = yaml.safe_load(M4.read_text())
    *where, last = key.split(".")
    place = functools.reduce(operator.getitem, where, profile)
    if value is ...:
        del place[last]
    else:
        place[last] = value
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(profile))
    return path


def test_every_profile_that_comes_with_ppbench_is_right_and_says_where_each_figure_is_from() -> None:
    microcontrollers = ["cortex_m4", "cortex_m7", "esp32", "esp32_s3"]
    others = ["coral_edge_tpu", "phone", "raspberry_pi_3b_plus", "raspberry_pi_4"]
    assert device_names() == sorted(microcontrollers + others)
    assert {device.name for device in devices()} == {*microcontrollers, *others}
    for device in devices():
        assert not all(map(device.is_assumed, device.sources)), device.name


def test_a_networks_accelerator_has_no_rate_for_anything_else() -> None:
    tpu = load_device("coral_edge_tpu")
    assert (tpu.float_mac_per_s, tpu.word_mac_per_s, tpu.butterfly_per_s) == (None, None, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ram_bytes", ...),
        ("title", ...),
        ("sources", ...),
        ("sources.power_w", ...),
        ("sources.power_w", ""),
        ("sources.power_w", "assumption: "),
        ("sources.weight_kg", "a balance"),
        ("sources", "none"),
        ("title", 4),
        ("dense_mac_per_s", -1.0),
        ("dense_mac_per_s", 0),
        ("dense_mac_per_s", float("nan")),
        ("dense_mac_per_s", float("inf")),
        ("dense_mac_per_s", "fast"),
        ("dense_mac_per_s", True),
        ("dense_mac_per_s", None),
        ("butterfly_per_s", -3),
    ],
)
def test_a_profile_with_a_fault_is_refused_in_a_line_that_names_file_and_key(
    tmp_path: Path, key: str, value: object
) -> None:
    with pytest.raises(ConfigError) as refused:
        read_device(written(tmp_path, key, value))
    line = str(refused.value)
    assert "\n" not in line
    assert "device/mine.yaml" in line
    assert key.rpartition(".")[2] in line


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"device/mine.yaml: .*ram_byte'; did you mean 'ram_bytes'"):
        read_device(written(tmp_path, "ram_byte", 4))


def test_an_unknown_device_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match="no device named 'cortex_m5'; did you mean 'cortex_m"):
        load_device("cortex_m5")


@pytest.mark.parametrize("text", ["", "- a list", "title: [", "title: ${nowhere}"])
def test_a_file_that_is_no_profile_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"device/mine\.yaml") as refused:
        read_device(path)
    assert "\n" not in str(refused.value)
