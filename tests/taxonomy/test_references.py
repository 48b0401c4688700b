"""What a row is set against: its own data set and model, and plaintext's bytes or the samples' information."""

from __future__ import annotations

import dataclasses
import importlib
import re
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from ppbench.data.dataset import Dataset, DatasetSource, Split
from ppbench.data.digits import Digits
from ppbench.modelled.devices import load_device
from ppbench.records import JobRecord, Record
from ppbench.report.groups import grouped
from ppbench.report.names import short_names
from ppbench.taxonomy.overview import write_overview
from ppbench.taxonomy.rows import TaxonomyRow, taxonomy_rows
from ppbench.taxonomy.table import write_taxonomy
from ppbench.taxonomy.thresholds import Thresholds, load_thresholds
from ppbench.taxonomy.write import write_taxonomy_report
from schemes.local import Local
from schemes.plaintext import Plaintext
from schemes.random_projection import RandomProjection
from tests.helpers.committed import altered, measured, quickstart, without
from tests.helpers.measured import measure, value
from tests.helpers.paths import PLUGINS, ROOT

PLAINTEXT = load_thresholds()
INFORMATION = dataclasses.replace(PLAINTEXT, reference="information")
DEVICE = load_device(PLAINTEXT.reference_device)
SQUARE = ("mnist", "square_tutorial")
EXAMPLE = ROOT / "docs" / "writing" / "scheme.md"
PROJECTION = "random_projection (retrain=False)"
N_SAMPLES, BATCH_SIZE = 20, 8


@dataclasses.dataclass(frozen=True)
class WideDigits(DatasetSource):
    """The same digits, stored as float32."""

    name: ClassVar[str] = "wide_digits"
    title: ClassVar[str] = "digits of four bytes a value"

    def load(self) -> Dataset:
        digits = Digits().load()
        train, test = (Split(split.samples.astype(np.float32), split.labels) for split in (digits.train, digits.test))
        return dataclasses.replace(digits, name=self.name, train=train, test=test, sha256="digits in float32")


def rows_of(jobs: list[JobRecord], thresholds: Thresholds = PLAINTEXT) -> dict[str, TaxonomyRow]:
    return {row.name: row for row in taxonomy_rows(grouped(jobs), thresholds, DEVICE)}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[JobRecord]]:
    """Plaintext and a projection that sends half as many values in float32, by how the digits are stored."""
    folder = tmp_path_factory.mktemp("results")
    schemes = Plaintext(), RandomProjection(retrain=False)
    return {
        source.name: [
            measure(scheme, folder, dataset=source, n_samples=N_SAMPLES, batch_size=BATCH_SIZE) for scheme in schemes
        ]
        for source in (Digits(), WideDigits())
    }


def communication(jobs: list[JobRecord], thresholds: Thresholds) -> tuple[str, float]:
    """The label of the projection, and what it is from."""
    row = rows_of([*jobs, *calibrated()], thresholds)[PROJECTION]
    assert row.communication is not None
    assert row.overhead.expansion is not None
    return row.communication.text, row.overhead.expansion


def calibrated() -> list[JobRecord]:
    """There are no rows at all where no job was calibrated."""
    return [measured("additive_noise")]


def test_swelling_over_plaintext_depends_on_how_samples_are_stored_and_over_information_does_not(
    jobs: dict[str, list[JobRecord]],
) -> None:
    narrow, wide = jobs["digits"], jobs["wide_digits"]
    labels, ratios = zip(*(communication(stored, PLAINTEXT) for stored in (narrow, wide)), strict=True)
    assert labels == ("swelling", "compression")
    assert ratios == pytest.approx((2, 0.5), rel=0.1)
    labels, ratios = zip(*(communication(stored, INFORMATION) for stored in (narrow, wide)), strict=True)
    assert labels == ("swelling", "swelling")
    assert ratios[0] < 2 * ratios[1]


def test_information_is_what_zlib_makes_of_the_raw_batches(jobs: dict[str, list[JobRecord]]) -> None:
    for source in (Digits(), WideDigits()):
        samples = source.load().test.samples[:N_SAMPLES]
        batches = [samples[:8], samples[8:16], samples[16:]]
        expected = sum(len(zlib.compress(batch.tobytes(), 6)) for batch in batches) / N_SAMPLES
        for job in jobs[source.name]:
            assert value(job, "job", "information_bytes_per_sample") == expected
            (record,) = (r for r in job.records if r.metric == "information_bytes_per_sample")
            assert (record.source, record.unit) == ("zlib 6", "B")


@pytest.mark.parametrize(("thresholds", "column"), [(PLAINTEXT, "x plaintext"), (INFORMATION, "x information")])
def test_table_and_file_say_what_the_reference_is(
    jobs: dict[str, list[JobRecord]], tmp_path: Path, thresholds: Thresholds, column: str
) -> None:
    rows = list(rows_of([*jobs["digits"], *calibrated()], thresholds).values())
    write_taxonomy(rows, thresholds, DEVICE, tmp_path)
    write_overview(rows, thresholds, tmp_path)
    text = (tmp_path / "tables/taxonomy.md").read_text()
    assert f"| {column} |" in " ".join(text.splitlines()[2].split())
    assert f"{column}: bytes up" in text
    table = pd.read_csv(tmp_path / "taxonomy.csv").set_index("name")
    projection = table.loc[PROJECTION]
    assert projection.reference == thresholds.reference
    assert projection.expansion == projection[f"times_{thresholds.reference}"]
    assert projection.expansion == pytest.approx(projection.up_bytes_per_sample / projection.reference_bytes_per_sample)
    told = {"plaintext": "plaintext's bytes", "information": "the bytes that zlib 6 makes of the samples"}
    assert told[thresholds.reference] in (tmp_path / "tables/overview.md").read_text()


def test_information_is_unknown_of_results_from_before_it_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppbench.taxonomy.write.load_thresholds", lambda: INFORMATION)
    jobs = measured("plaintext"), measured("random_projection", "encoding=float16")
    old = [without(job, "information_bytes_per_sample") for job in jobs]
    assert write_taxonomy_report(grouped(old), tmp_path)
    table = pd.read_csv(tmp_path / "taxonomy.csv")
    assert table.communication_measured.isna().all()
    assert table.computation_measured.notna().all()
    unknown = "no label of communication: the bytes that zlib 6 makes of the samples are unknown"
    assert unknown in (tmp_path / "tables/taxonomy.md").read_text()


def test_x_inference_is_that_of_the_rows_own_model() -> None:
    """A network of another size on the same data set is another inference."""
    encrypted, local = measured("cryptonets"), measured("local")
    assert encrypted.model == "square_tutorial"
    projection = measured("random_projection", "encoding=float16")
    without = rows_of([local, encrypted, projection])["cryptonets"].overhead
    assert without.times_plain_inference is None
    assert without.times_random_projection is not None
    small = altered(local, SQUARE, cpu_s=0.5)
    with_own = rows_of([local, small, encrypted])
    overhead, own = with_own["cryptonets"].overhead, with_own["local, square_tutorial"].group
    encrypted_s = with_own["cryptonets"].group.median("participant_cpu_s_per_sample")
    local_s = own.median("participant_cpu_s_per_sample")
    assert encrypted_s is not None
    assert local_s is not None
    assert overhead.times_plain_inference == pytest.approx(encrypted_s / local_s)
    assert with_own["local, lenet"].overhead.times_plain_inference == 1


def test_rows_of_several_data_sets_and_models_are_told_apart(tmp_path: Path) -> None:
    local, noise = measured("local"), measured("additive_noise")
    told = [local, altered(local, SQUARE), altered(local, ("digits", "mlp")), noise]
    rows = list(rows_of(told).values())
    assert {row.name for row in rows} == {
        "local, mnist, lenet",
        "local, mnist, square_tutorial",
        "local, digits",
        "additive_noise",
    }
    write_taxonomy(rows, PLAINTEXT, DEVICE, tmp_path)
    write_overview(rows, PLAINTEXT, tmp_path)
    for name in ("taxonomy.md", "overview.md"):
        _, _, header, _, *lines = (tmp_path / "tables" / name).read_text().splitlines()
        assert [cell.strip() for cell in header.split("|")[1:4]] == ["scheme", "data set", "model"]
        tasks = {tuple(cell.strip() for cell in line.split("|")[2:4]) for line in lines if line.startswith("|")}
        assert tasks == {("mnist", "lenet"), SQUARE, ("digits", "mlp")}


def test_no_two_groups_have_a_name_whatever_tells_them_apart() -> None:
    local = measured("local")
    batched = {**local.config, "task": {**local.config["task"], "batch_size": 1}}
    twins = [local, local.model_copy(update={"config": batched})]
    groups = grouped([*twins, *(altered(twin, SQUARE) for twin in twins), *quickstart()])
    names = short_names(groups)
    assert len(set(names)) == len(groups)
    assert [name for name in names if name.startswith("local (batch_size")] == [
        "local (batch_size=256), lenet",
        "local (batch_size=1), lenet",
        "local (batch_size=256), square_tutorial",
        "local (batch_size=1), square_tutorial",
    ]


def test_a_table_over_one_data_set_and_model_has_no_column_for_them(tmp_path: Path) -> None:
    rows = list(rows_of([measured("local"), measured("additive_noise")]).values())
    write_taxonomy(rows, PLAINTEXT, DEVICE, tmp_path)
    header = (tmp_path / "tables/taxonomy.md").read_text().splitlines()[2]
    assert [cell.strip() for cell in header.split("|")[1:3]] == ["scheme", "n"]


def test_only_labels_that_the_paper_gives_are_counted(tmp_path: Path) -> None:
    """It says nothing of how a network on the device communicates."""
    assert Local.card.communication is None
    rows = list(rows_of([measured("local"), measured("additive_noise"), measured("plaintext")]).values())
    write_taxonomy(rows, PLAINTEXT, DEVICE, tmp_path)
    # Noise: low and swelling, against low and retention; local: medium; plaintext: none.
    assert "2 of 3 labels are the paper's." in (tmp_path / "tables/taxonomy.md").read_text()


def test_examples_of_schemes_that_the_paper_does_not_have_claim_none_of_its_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the documentation shows, and the package that it points to."""
    monkeypatch.syspath_prepend(str(PLUGINS / "hello_scheme"))
    example: dict[str, Any] = {"__name__": "example"}
    blocks = re.findall(r"^```python\n(.*?)^```$", EXAMPLE.read_text(), re.MULTILINE | re.DOTALL)
    code = next(block for block in blocks if "class Coarse(" in block)
    exec(compile(code, EXAMPLE.name, "exec", dont_inherit=True), example)
    for card in (example["Coarse"].card, importlib.import_module("hello_scheme").Hello.card):
        assert (card.computation, card.communication) == (None, None)


def test_a_record_of_information_makes_no_other_record_another() -> None:
    """Old jobs have all but this one."""
    job = without(measured("plaintext"), "information_bytes_per_sample")
    informed = job.model_copy(
        update={"records": [*job.records, Record("job", "information_bytes_per_sample", 100.0, "B", source="zlib 6")]}
    )
    noise = measured("additive_noise")
    before, after = rows_of([job, noise])["plaintext"], rows_of([informed, noise])["plaintext"]
    assert dataclasses.replace(after.overhead, information_bytes_per_sample=None) == before.overhead
    assert after.overhead.times_information == pytest.approx((after.overhead.up_bytes_per_sample or 0) / 100)
