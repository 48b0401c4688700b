"""`ppbench recommend`: what is feasible for whom, in which order, and why not the rest."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

import ppbench
from ppbench import records, store
from ppbench.cli import main
from ppbench.errors import ConfigError
from ppbench.profiles import CONF_DIR
from ppbench.records import JobRecord
from tests.helpers.committed import altered, measured
from tests.helpers.paths import RESULTS

QUICKSTART = RESULTS / "quickstart"
ASKED = ("device=cortex_m4", "link=ble_5", "samples_per_day=24")
M7 = {"device": "cortex_m7", "link": "wifi", "samples_per_day": 24}


def write(folder: Path, *jobs: JobRecord) -> Path:
    for job in jobs:
        records.write(folder, job)
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some jobs of the README's table, each in a folder of its own."""
    jobs = [measured("plaintext"), measured("local", "model=local_cnn"), measured("obfnet", "hidden=[]")]
    return write(tmp_path_factory.mktemp("few"), *jobs, measured("mpc"))


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def answer(folder: Path, *words: str, status: int = 0) -> str:
        assert main(["recommend", str(folder), *words]) == status
        printed = capsys.readouterr()
        return printed.err if status else printed.out

    return answer


def titles(lines: list[str]) -> set[str]:
    """Of all columns of all tables."""
    return {cell.strip() for line in lines if line.startswith("| scheme") for cell in line.split("|")}


def line(text: str, name: str, begin: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(f"{begin} {name}")]
    return found


@pytest.mark.parametrize(("device", "link"), [("cortex_m4", "ble_5"), ("phone", "lorawan_sf7"), ("esp32", "nr_5g")])
def test_figures_are_those_of_the_tables(device: str, link: str) -> None:
    """modelled.csv and summary.csv, put together as docs/devices.md says."""
    found = ppbench.recommend(
        QUICKSTART, device=device, link=link, samples_per_day=100, battery_wh=2, n_devices=7
    ).set_index("job")
    modelled = pd.read_csv(QUICKSTART / "modelled.csv")
    modelled = modelled[(modelled.device == device) & (modelled.link == link)].set_index("job").loc[found.index]
    summary = pd.read_csv(QUICKSTART / "summary.csv").set_index("job").loc[found.index]

    def same(name: str, expected: pd.Series) -> None:
        pd.testing.assert_series_equal(found[name], expected, check_names=False, rtol=1e-9)

    same("modelled_j_per_sample", modelled.modelled_compute_j_per_sample + modelled.modelled_radio_j_per_sample)
    once = [f"modelled_{part}_{stage}_j" for part in ("compute", "radio") for stage in ("setup", "train")]
    computable = modelled.modelled_compute_setup_j.notna()
    once_j = modelled[once].sum(axis=1).where(computable)
    same("modelled_once_j", once_j)
    spent_j = 100 * found.modelled_j_per_sample
    same("modelled_battery_days", ((2 * 3600 - once_j).clip(lower=0) / spent_j).where(computable))
    seconds = modelled.modelled_online_s_per_sample + modelled.modelled_offline_s_per_sample
    same("modelled_busy_s_per_day", 100 * (seconds + modelled.modelled_link_s_per_sample))
    carried = modelled.link_feasible & modelled.link_setup_feasible
    same("feasible", modelled.feasible & carried & (found.modelled_busy_s_per_day <= 86400))
    cores = 700 * (summary.coordinator_cpu_s_per_sample + summary.third_party_cpu_s_per_sample.fillna(0)) / 86400
    terabytes = 700 * 30 * (summary.up_bytes_per_sample + summary.down_bytes_per_sample) / 1e12
    same("modelled_terabytes_per_month", terabytes)
    # What the coordinator does ahead of samples is in no column there.
    ahead = found.third_parties != ""
    same("modelled_coordinator_cores", cores.where(~ahead, found.modelled_coordinator_cores))
    assert (found.modelled_coordinator_cores[ahead] > cores[ahead]).all()
    assert not found.reason[~found.feasible].eq("").any()


def test_what_is_feasible_comes_in_order_of_energy_and_the_rest_with_its_reasons(
    few: Path, told: Callable[..., str]
) -> None:
    found = ppbench.recommend(few, device="cortex_m4", link="lorawan_sf7", samples_per_day=24)
    feasible = found[found.feasible]
    assert len(feasible) >= 2
    assert feasible.modelled_j_per_sample.is_monotonic_increasing
    assert found.feasible.is_monotonic_decreasing
    text = told(few, "device=cortex_m4", "link=lorawan_sf7", "samples_per_day=24")
    rows = [row.split("|")[1].strip() for row in text.splitlines() if row.startswith("|")][2:]
    assert [row.removesuffix(", baseline") for row in rows] == list(feasible.name)
    assert {row.removesuffix(", baseline") for row in rows if row.endswith("baseline")} == {"plaintext", "local_cnn"}
    for one in found[~found.feasible].itertuples():
        _, _, after = text.partition(f"\n- {one.name}:")
        told_of_it, _, _ = after.replace("\n  - ", "; ").partition("\n")
        assert told_of_it.lstrip("; ") == one.reason


def test_it_says_for_whom_it_holds_what_is_modelled_and_what_each_protects(few: Path, told: Callable[..., str]) -> None:
    text = told(few, *ASKED, "battery_wh=2", "n_devices=100000000", "accuracy_min=0.9", "third_party=false")
    (holds,) = [part for part in text.split("\n\n") if part.startswith("This holds for")]
    for words in (
        "100,000,000 devices: Cortex-M4",
        "Cortex-M4",
        "24 samples a day each",
        "2 Wh",
        "at least 90 %",
        "no third party",
    ):
        assert words in holds
    assert "sleeps" in text
    assert "best" not in text
    assert "protects, by its card: nothing" in line(text, "plaintext", "-")
    assert {"battery", "cores", "TB/month"} <= titles(text.splitlines())


@pytest.mark.parametrize(
    ("asked", "name", "reason"),
    [
        ({"accuracy_min": 0.99}, "obfnet1", "accuracy 98.17 %, below 99 %"),
        ({"third_party": False}, "mpc", "needs a third party: dealer"),
        ({"latency_max_s": 60}, "local_cnn", "in batches of 256 (task.batch_size=1 measures it one by one)"),
        ({"samples_per_day": 1e9}, "local_cnn", "1,000,000,000 samples a day keep"),
        ({"link": "lorawan_sf12"}, "mpc", "hours a sample"),
        ({"device": "coral_edge_tpu"}, "mpc", "cannot compute modulo 2^64"),
    ],
)
def test_who_asks_for_more_gets_the_reason(few: Path, asked: dict[str, object], name: str, reason: str) -> None:
    found = ppbench.recommend(few, **{**M7, **asked}).set_index("name")
    assert not found.feasible[name]
    assert reason in found.reason[name]
    without = ppbench.recommend(few, **{**M7, "device": "phone"}).set_index("name")
    assert without.feasible[name]


def test_an_accuracy_on_few_samples_says_what_else_it_may_be(told: Callable[..., str]) -> None:
    text = told(QUICKSTART, "device=phone", "link=wifi", "samples_per_day=24", "accuracy_min=0.98")
    _, _, after = text.partition("- cryptonets protects")
    assert after.splitlines()[1].startswith("  - on 200 samples its accuracy may as well be")
    assert "| 96.4 to 99.9 |" in line(text, "cryptonets", "|")


def test_a_lower_bound_without_privacy_says_so(tmp_path: Path, told: Callable[..., str]) -> None:
    """`mpc_tfp` needs no third party, because the coordinator knows every mask."""
    dealt = measured("mpc")
    job = dealt.model_copy(
        update={
            "variant": "provider=tfp (no privacy: lower bound)",
            "config": {**dealt.config, "scheme": {**dealt.config["scheme"], "provider": "tfp"}},
            "records": [record for record in dealt.records if "dealer" not in (record.party, record.peer)],
        }
    )
    text = told(write(tmp_path, job), "device=phone", "link=wifi", "samples_per_day=24", "third_party=false")
    assert "no privacy: lower bound" in line(text, "mpc_tfp", "-")


def test_what_a_baseline_beats_in_every_column_says_so(tmp_path: Path, told: Callable[..., str]) -> None:
    """The same work and bytes as a baseline's, and fewer right answers; a cheaper one is beaten by nobody."""
    small = measured("local", "model=local_cnn")
    worse = altered(small, accuracy=0.9).model_copy(update={"scheme": "of_a_stranger", "id": "0"})
    other = {**worse.config, "scheme": {**worse.config["scheme"], "thrifty": True}}
    cheaper = altered(worse, payload_bytes_sent=0.5).model_copy(
        update={"id": "1", "variant": "thrifty", "config": other}
    )
    found = ppbench.recommend(write(tmp_path, small, worse, cheaper), **M7).set_index("scheme")
    beaten = dict(zip(found.loc["of_a_stranger"].variant, found.loc["of_a_stranger"].beaten_by, strict=True))
    assert beaten == {worse.variant: "local_cnn", "thrifty": ""}
    assert found.beaten_by["local"] == ""
    text = told(tmp_path, "device=cortex_m7", "link=wifi", "samples_per_day=24")
    assert text.count("no better in any column than local_cnn") == 1
    assert "unknown, as it is not installed here" in text


def test_nothing_feasible_is_an_answer(few: Path, told: Callable[..., str]) -> None:
    text = told(few, *ASKED, "accuracy_min=1")
    assert "nothing of what was measured is feasible" in text
    assert "This holds for" in text
    assert not ppbench.recommend(few, **M7, accuracy_min=1.0).feasible.any()


def test_packed_or_not_is_the_same(few: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    shutil.copytree(few, packed)
    store.pack(packed)
    pd.testing.assert_frame_equal(ppbench.recommend(packed, **M7), ppbench.recommend(few, **M7))


def test_a_device_and_a_link_of_ones_own(few: Path, tmp_path: Path) -> None:
    device, link = (
        yaml.safe_load((CONF_DIR / path).read_text()) for path in ("device/cortex_m7.yaml", "link/wifi.yaml")
    )
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(device | {"title": "Tiny", "flash_bytes": 1000}))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(link | {"name": "mine", "energy_sent_j_per_bit": 1.0}))
    found = ppbench.recommend(
        few, device=tmp_path / "tiny.yaml", link=str(tmp_path / "mine.yaml"), samples_per_day=1
    ).set_index("name")
    assert "Tiny has 1.00 kB of flash" in found.reason["local_cnn"]
    assert found.modelled_j_per_sample["plaintext"] > 8 * 784


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("device=cortex_m4", "link=lora", "samples_per_day=24"), "did you mean 'lorawan_sf7'?"),
        (("device=cortex", "link=ble_5", "samples_per_day=24"), "no device named 'cortex'"),
        (("device=mine.yaml", "link=ble_5", "samples_per_day=24"), "device=mine.yaml: there is no such file"),
        (("device=cortex_m4", "link=ble_5"), "samples_per_day is missing"),
        (("link=ble_5", "samples_per_day=24"), "device is missing"),
        ((*ASKED, "samples_per_day=12"), "samples_per_day is given twice"),
        ((*ASKED[:2], "samples_per_day=0"), "samples_per_day=0.0 must be from"),
        ((*ASKED[:2], "samples_per_day=nan"), "samples_per_day='nan' must be a number"),
        ((*ASKED, "n_devices=1.5"), "n_devices='1.5' must be a whole number"),
        ((*ASKED, "accuracy_min=98"), "accuracy_min=98.0 must be from 0 to 1"),
        ((*ASKED, "third_party=no"), "third_party='no' is not one of true, false"),
        ((*ASKED, "task=guessing"), "task='guessing' is not one of inference, training"),
        ((*ASKED, "accuracy=0.9"), "no key named 'accuracy'; did you mean 'accuracy_min'?"),
        ((*ASKED, "mnist"), "'mnist' is no key=value"),
        ((*ASKED, "dataset=adult"), "there is no job of dataset=adult (there are: inference, mnist, lenet)"),
    ],
)
def test_a_question_that_is_none_is_refused_in_one_line(
    few: Path, told: Callable[..., str], words: tuple[str, ...], says: str
) -> None:
    (line,) = told(few, *words, status=2).splitlines()
    assert says in line


def test_a_question_from_python_is_as_strict(few: Path) -> None:
    with pytest.raises(ConfigError, match=r"n_devices=1\.5 must be of type int"):
        ppbench.recommend(few, **M7, n_devices=1.5)


def test_a_folder_that_cannot_be_modelled_is_no_answer(tmp_path: Path, told: Callable[..., str]) -> None:
    (line,) = told(RESULTS / "obfnet_paper", *ASKED, status=2).splitlines()
    assert "measure.calibrate=true" in line
    assert "holds no results" in told(tmp_path, *ASKED, status=2)


def test_what_failed_or_was_not_calibrated_is_told_among_the_rest(tmp_path: Path, told: Callable[..., str]) -> None:
    failed = measured("mpc").model_copy(update={"status": "failed", "reason": "it broke", "records": []})
    bare = measured("obfnet")
    bare = bare.model_copy(update={"records": [record for record in bare.records if record.party]})
    text = told(write(tmp_path, measured("plaintext"), failed, bare), *ASKED)
    assert line(text, "mpc", "-") == "- mpc: failed: it broke"
    assert "measure.calibrate=true" in line(text, "obfnet", "-")


def test_bytes_that_the_model_leaves_out_are_no_saving(tmp_path: Path) -> None:
    """What a participant receives ahead of its samples comes over the link too, though no model of the link has it."""
    job = measured("mpc")
    moved = [
        dataclasses.replace(record, stage="offline")
        if (record.stage, record.metric, record.party) == ("online", "payload_bytes_received", "participant-0")
        else record
        for record in job.records
    ]
    found = ppbench.recommend(
        write(tmp_path, job.model_copy(update={"records": moved})), device="phone", link="wifi", samples_per_day=24
    )
    assert not found.feasible[0]
    assert "preprocessing moves" in found.reason[0]


def test_json_has_the_question_and_every_figure(few: Path, told: Callable[..., str]) -> None:
    document = json.loads(told(few, *ASKED, "--format", "json"))
    assert document["question"]["link"] == "ble_5"
    assert "Cortex-M4" in document["holds_for"]
    found = ppbench.recommend(few, device="cortex_m4", link="ble_5", samples_per_day=24)
    assert [row["name"] for row in document["feasible"] + document["not_feasible"]] == list(found.name)
    assert [row["modelled_j_per_sample"] for row in document["feasible"]] == list(
        found.modelled_j_per_sample[found.feasible]
    )


def test_data_sets_are_not_ranked_against_each_other(tmp_path: Path, told: Callable[..., str]) -> None:
    plaintext, small = measured("plaintext"), measured("local", "model=local_cnn")
    other = altered(small, ("digits", "mlp")).model_copy(update={"id": "0"})
    folder = write(tmp_path, plaintext, small, other)
    text = told(folder, *ASKED)
    assert "mnist: feasible" in text
    assert "digits: feasible" in text
    only = ppbench.recommend(folder, device="cortex_m4", link="ble_5", samples_per_day=24, dataset="digits")
    assert list(only.dataset) == ["digits"]


def test_a_table_fits_the_terminal(few: Path, told: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    wide = told(few, *ASKED)
    monkeypatch.setenv("COLUMNS", "80")
    assert told(few, *ASKED) == wide
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    rows = [row for row in told(few, *ASKED).splitlines() if row.startswith("|")]
    assert max(map(len, rows)) <= 80
    header = {cell.strip() for row in rows if row.startswith("| scheme") for cell in row.split("|")}
    assert header == {
        cell.strip() for cell in next(r for r in wide.splitlines() if r.startswith("| scheme")).split("|")
    }
