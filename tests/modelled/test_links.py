"""Link profiles, a job on a link, and what the model makes of measured bytes and rounds."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ppbench.app import config
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError
from ppbench.launch.link import PAYLOAD_BYTES, Link
from ppbench.measure.job import Job
from ppbench.modelled.inputs import Load
from ppbench.modelled.link_cost import (
    FEASIBLE_S_PER_SAMPLE,
    energy_j,
    link_cost,
    link_names,
    links,
    load_link,
    once_cost,
    read_link,
    transfer_s,
    travel_s,
)
from ppbench.models.mlp import Mlp
from ppbench.profiles import CONF_DIR
from ppbench.records import JobRecord
from ppbench.store import read_all
from schemes.mpc import Mpc
from schemes.plaintext import Plaintext
from tests.helpers.paths import RESULTS

LTE_M = CONF_DIR / "link" / "lte_m.yaml"
IN_PROFILES = st.sampled_from(link_names()).map(load_link)
SIZES = st.integers(0, 10_000_000)


def written(folder: Path, key: str, value: object) -> Path:
    """LTE-M's profile with one key changed; with the value ..., without it."""
    profile = yaml.safe_load(LTE_M.read_text()) | {"name": "mine"}
    place = profile["sources"] if key.startswith("sources.") else profile
    last = key.removeprefix("sources.")
    if value is ...:
        del place[last]
    else:
        place[last] = value
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(profile))
    return path


def measured(folder: str, scheme: str) -> JobRecord:
    """A committed job of a scheme that answers one image at a time, or in batches if none does."""
    jobs = [job for job in read_all(RESULTS / folder) if job.scheme == scheme and job.variant == ""]
    return min(jobs, key=lambda job: int(job.config["task"]["batch_size"]))


def test_every_profile_that_comes_with_ppbench_is_right() -> None:
    short = ["ble_4_2", "ble_5", "ethernet", "ieee_802_15_4", "wifi"]
    wide = ["lorawan_sf12", "lorawan_sf7", "lte_4g", "lte_m", "nb_iot", "nr_5g"]
    assert link_names() == sorted([*short, *wide, "mbit_1_50ms"])
    assert [link.name for link in links()][:2] == ["lorawan_sf12", "lorawan_sf7"]
    for link in links():
        assert Link.from_config(link.to_config()) == link


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rtt_s", ...),
        ("rtt_s", None),
        ("rtt_s", -0.1),
        ("rtt_s", math.nan),
        ("goodput_up_bit_per_s", 0),
        ("goodput_up_bit_per_s", "fast"),
        ("goodput_down_bit_per_s", math.inf),
        ("mtu_bytes", 0),
        ("mtu_bytes", 9000),
        ("mtu_bytes", 127.5),
        ("header_bytes_per_frame", -1),
        ("duty_cycle", 0),
        ("duty_cycle", 1.5),
        ("duplex", "both"),
        ("energy_sent_j_per_bit", -1e-9),
        ("base_power_w", True),
        ("latency_s", 0.1),
        ("sources", "my own"),
        ("sources.rtt_s", ...),
        ("sources.rtt_s", " "),
        ("sources.latency_s", "my own"),
        ("name", "lte_m"),
    ],
)
def test_a_wrong_profile_is_refused_in_one_line_that_names_file_and_key(
    tmp_path: Path, key: str, value: object
) -> None:
    with pytest.raises(ConfigError) as refused:
        read_link(written(tmp_path, key, value))
    assert "link/mine.yaml" in str(refused.value)
    assert key.removeprefix("sources.") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_profile_and_a_name_without_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("title: [")
    with pytest.raises(ConfigError, match=r"link/mine\.yaml cannot be read"):
        read_link(tmp_path / "mine.yaml")
    with pytest.raises(ConfigError, match="did you mean 'lte_m'"):
        load_link("ltem")


def composed(*overrides: str) -> Job:
    """The job that the command line makes of these."""
    config.register()
    (one,) = config.compose_all(["dataset=digits", "model=mlp", *overrides]).jobs
    return config.to_job(one)


def test_a_link_is_chosen_on_the_command_line_and_its_whole_profile_is_the_jobs() -> None:
    job = composed("link=lte_m", "wire=namespaces", "link.rtt_s=0.2")
    assert job.link == dataclasses.replace(load_link("lte_m"), rtt_s=0.2)
    again = Job.from_config(job.to_config())
    assert (again, again.id) == (job, job.id)
    assert "link=lte_m" in job.title


def test_without_a_link_a_job_has_the_id_that_it_had_before_there_were_links() -> None:
    job = composed("wire=namespaces")
    assert job.link is None
    assert "link" not in job.to_config()
    assert job.id != composed("wire=namespaces", "link=wifi").id


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["link=lte_m"], "link=lte_m needs wire=namespaces"),
        (["link=lorawan_sf7", "wire=namespaces"], "modelled, not shaped: it may send 1.0% of the time"),
        (["link=lte_m", "wire=namespaces", "link.rtt_s=-1"], r"link/lte_m\.yaml: rtt_s"),
        (["link=lte_m", "wire=namespaces", "link.rtt=1"], "did you mean 'rtt_s'"),
        (["link.rtt_s=1"], "no option in link"),
        (["link=ltem"], "did you mean 'lte_m'"),
    ],
)
def test_a_link_that_cannot_be_shaped_is_refused_before_anything_runs(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed(*overrides)


def test_a_job_made_in_python_is_held_to_the_same() -> None:
    with pytest.raises(ConfigError, match="needs wire=namespaces"):
        Job(Plaintext(), Digits(), Mlp(), link=load_link("wifi"))


@given(link=IN_PROFILES, n_packets=st.integers(1, 10_000))
def test_full_packets_in_one_long_message_have_the_goodput_of_the_profile(link: Link, n_packets: int) -> None:
    one_way = dataclasses.replace(link, duplex="full")
    payload_bytes = n_packets * PAYLOAD_BYTES
    up_s = transfer_s(Load(payload_bytes, 0, 1, 0), one_way)
    down_s = transfer_s(Load(0, payload_bytes, 0, 1), one_way)
    assert up_s == pytest.approx(8 * payload_bytes / link.goodput_up_bit_per_s)
    assert down_s == pytest.approx(8 * payload_bytes / link.goodput_down_bit_per_s)


@given(link=IN_PROFILES, up=SIZES, down=SIZES, more=st.integers(1, 100_000), messages=st.integers(1, 50))
def test_more_bytes_or_steps_never_take_less(link: Link, up: int, down: int, more: int, messages: int) -> None:
    load = Load(up, down, messages, messages, 2)
    for larger in (
        dataclasses.replace(load, up_bytes=up + more),
        dataclasses.replace(load, down_bytes=down + more),
        dataclasses.replace(load, steps=3),
    ):
        assert transfer_s(larger, link) + travel_s(larger, link) >= transfer_s(load, link) + travel_s(load, link) - 1e-9
        assert energy_j(larger, link) >= energy_j(load, link) * (1 - 1e-9)


@given(link=IN_PROFILES, up=SIZES, down=SIZES)
def test_ends_that_send_at_once_save_time_on_a_full_duplex_link_alone(link: Link, up: int, down: int) -> None:
    by_turns = Load(up, down, 1, 1, 2)
    at_once = dataclasses.replace(by_turns, at_once=True)
    if link.duplex == "full":
        assert transfer_s(at_once, link) == pytest.approx(
            max(transfer_s(Load(up, 0, 1, 0), link), transfer_s(Load(0, down, 0, 1), link))
        )
    else:
        assert transfer_s(at_once, link) == transfer_s(by_turns, link)


def test_nothing_sent_takes_nothing() -> None:
    for link in links():
        assert transfer_s(Load(0, 0, 0, 0), link) == energy_j(Load(0, 0, 0, 0), link) == 0


def test_a_measured_job_on_each_link_takes_what_it_took_without_one_and_the_bytes_at_the_goodput() -> None:
    job = measured("he", "cryptonets")
    up_bytes = 131_000  # what the table in README.md says, rounded
    latency_s = next(record.value for record in job.records if record.metric == "latency_s")
    for link in links():
        cost = link_cost(job, link)
        assert cost is not None
        assert cost.link == link.name
        bytes_s = 8 * up_bytes / link.goodput_up_bit_per_s / link.duty_cycle
        assert bytes_s < cost.link_s_per_batch < 3 * bytes_s + 2 * link.rtt_s
        assert cost.latency_s_per_batch > latency_s / 10 + bytes_s
        setup = once_cost(job, link, "setup")
        assert setup is not None
        assert setup.link_s > 8 * 7e6 / link.goodput_up_bit_per_s


def test_a_link_whose_duty_cycle_cannot_carry_a_scheme_says_so_with_the_hours() -> None:
    encrypted = link_cost(measured("he", "cryptonets"), load_link("lorawan_sf7"))
    assert encrypted is not None
    hours = encrypted.link_s_per_sample / 3600
    assert not encrypted.feasible
    assert 5 < hours < 12
    assert encrypted.reason == f"not feasible: {hours:.1f} hours a sample; LoRaWAN EU868 SF7 may send 1.0% of the time"
    raw = link_cost(measured("quickstart", "plaintext"), load_link("lorawan_sf7"))
    assert raw is not None
    assert (raw.feasible, raw.reason) == (True, "")
    assert raw.link_s_per_sample < FEASIBLE_S_PER_SAMPLE


def test_silence_between_sendings_takes_time_and_no_energy() -> None:
    job = measured("he", "cryptonets")
    limited = load_link("lorawan_sf7")
    free = dataclasses.replace(limited, duty_cycle=1.0)
    with_limit, without = link_cost(job, limited), link_cost(job, free)
    assert with_limit is not None
    assert without is not None
    assert with_limit.energy_j_per_sample == without.energy_j_per_sample
    assert with_limit.link_s_per_batch > 50 * without.link_s_per_batch


def test_a_job_that_failed_has_no_cost() -> None:
    failed = measured("he", "cryptonets").model_copy(update={"records": []})
    assert link_cost(failed, load_link("wifi")) is None


def test_rounds_take_as_many_steps_as_the_scheme_declares() -> None:
    job = measured("mpc", "mpc")
    link = load_link("mbit_1_50ms")
    undeclared = [record for record in job.records if record.metric != "one_way_steps"]
    declared = [record for record in undeclared if (record.stage, record.metric) == ("online", "rounds")]
    longer = dataclasses.replace(declared[0], stage="job", metric="one_way_steps", value=100.0)
    fewer = link_cost(job.model_copy(update={"records": undeclared}), link)
    more = link_cost(job.model_copy(update={"records": [*undeclared, longer]}), link)
    assert fewer is not None
    assert more is not None
    n_more = 100 - declared[0].value
    assert more.link_s_per_batch - fewer.link_s_per_batch == pytest.approx(n_more * link.shape.delay_s)


@pytest.mark.parametrize(
    ("options", "rounds", "steps"),
    [({}, 46, 90), ({}, 1, 1), ({"engine": "stock"}, 6, 24), ({"engine": "spu"}, 11, 11), ({"weights": "stock"}, 2, 8)],
)
def test_gloo_makes_more_steps_of_rounds(options: dict[str, str], rounds: int, steps: int) -> None:
    assert Mpc(**options).one_way_steps(rounds) == steps  # type: ignore[arg-type]
    assert Plaintext().one_way_steps(2) == 2
