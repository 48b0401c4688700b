"""A job is left as it was measured only as long as the code and the versions that measured it are the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ppbench
from ppbench import records
from ppbench.app.runner import MeasuredBefore, measured_before
from ppbench.cli import main
from ppbench.data.digits import Digits
from ppbench.measure import experiment
from ppbench.measure.identity import harness_modules
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.records import JOB_FILE
from schemes.plaintext import Plaintext
from tests.helpers.command import run_command
from tests.helpers.package import write_package
from tests.helpers.paths import ROOT
from tests.sketches.common import LeastSquares

SMALL = ["task.n_samples=20", "task.batch_size=10", "measure.repetitions=1", "measure.calibrate=false"]
SCHEME = """
import dataclasses
from tests.broken.sound import Participant, Sound, roles
from theirs.shift import SHIFT

class Shifted(Participant):
    def classify(self, party, batch):
        return (super().classify(party, batch) + SHIFT) % 10

@dataclasses.dataclass(frozen=True)
class Theirs(Sound):
    name = "theirs"
    roles = roles(Shifted)
"""
MODEL = """
import dataclasses
import numpy as np
from ppbench.models.network import Linear, Network
from tests.sketches.common import LeastSquares
from theirs.turn import TURN

@dataclasses.dataclass(frozen=True)
class Turned(LeastSquares):
    name = "turned"

    def train(self, dataset, progress):
        (layer,) = super().train(dataset, progress).layers
        return Network((64,), (Linear(np.roll(layer.weight, TURN, 0), np.roll(layer.bias, TURN, 0)),))
"""
DECLARED = {"ppbench.schemes": "theirs = theirs.scheme:Theirs", "ppbench.models": "turned = theirs.model:Turned"}


def test_what_other_code_measured_is_measured_again(tmp_path: Path) -> None:
    def write(shift: str = "0", turn: str = "0", version: str = "1.0") -> None:
        # Of another length each time: a compiled file is taken for that of a source as old and as long.
        sources = {"shift.py": f"SHIFT = {shift}\n", "turn.py": f"TURN = {turn}\n"}
        files = {"__init__.py": "", "scheme.py": SCHEME, "model.py": MODEL, **sources}
        write_package(tmp_path, "theirs", files, DECLARED, version)

    def run(*more: str) -> tuple[str, float]:
        environment = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
            "PPBENCH_CACHE": str(tmp_path / "cache"),
        }
        given = ["run", "scheme=theirs", "dataset=digits", "model=turned", *SMALL, "results_dir=results", *more]
        ended = run_command(*given, cwd=tmp_path, environment=environment)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        (accuracy,) = pd.read_csv(tmp_path / "results" / "summary.csv").accuracy
        return ended.stdout, accuracy

    write()
    told, accuracy = run()
    assert "measured again" not in told
    assert accuracy > 0.7
    (file,) = (tmp_path / "results").glob("*/job.json")
    plugins = json.loads(file.read_text())["provenance"]["plugins"]
    assert {kind: plugin["version"] for kind, plugin in plugins.items() if plugin["distribution"] == "theirs"} == {
        "scheme": "1.0",
        "model": "1.0",
    }

    write(shift="10 // 2")
    assert "theirs: measured before, left as it is\n" in run("resume=any")[0]
    told, accuracy = run()
    assert "theirs: measured again: code of scheme 'theirs' changed\n" in told
    assert accuracy < 0.3

    write(shift="10 // 2", turn="-10 // 2", version="1.1")
    told, accuracy = run()
    assert "theirs: measured again: theirs 1.0 -> 1.1, code of model 'turned' changed\n" in told
    assert accuracy > 0.7, "the model is trained by the new code too"


@pytest.fixture(scope="module")
def job() -> Job:
    measure = MeasureOptions(repetitions=1, warmup_batches=0)
    return Job(Plaintext(), Digits(), LeastSquares(), TaskOptions(n_samples=20), measure, wire="memory")


@pytest.fixture(scope="module")
def measured(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder where the job was measured by what is here."""
    folder = tmp_path_factory.mktemp("results")
    assert experiment.run(job, folder).status == "ok"
    return folder


def before(job: Job, folder: Path) -> MeasuredBefore:
    found = measured_before(job, folder, resume=True)
    assert found
    return found


def test_what_the_same_code_measured_is_left(job: Job, measured: Path) -> None:
    assert before(job, measured).is_left
    assert measured_before(job, measured, resume=False) is None


def old(provenance: dict[str, Any]) -> None:
    del provenance["plugins"], provenance["harness_code"]


def changed(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda provenance: provenance.update(fields)


def scheme_of_other_code(provenance: dict[str, Any]) -> None:
    provenance["plugins"]["scheme"]["code"] = "0" * 16


def data_from_elsewhere(provenance: dict[str, Any]) -> None:
    provenance["plugins"]["dataset"]["distribution"] = "elsewhere"


def older_numpy(provenance: dict[str, Any]) -> None:
    provenance["package_versions"]["numpy"] = "1.0"


def no_torch(provenance: dict[str, Any]) -> None:
    provenance["package_versions"].pop("torch", None)
    provenance["package_versions"]["pandas"] = "0.1"  # what draws tables measures nothing


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (old, "it was measured before identities were recorded"),
        (changed(harness_code="0" * 16), "code of the harness changed"),
        (changed(ppbench_version="0.1"), f"ppbench 0.1 -> {ppbench.__version__}"),
        (scheme_of_other_code, "code of scheme 'plaintext' changed"),
        (data_from_elsewhere, "dataset 'digits' is from ppbench-iot, not from elsewhere"),
        (older_numpy, f"numpy 1.0 -> {np.__version__}"),
        (no_torch, "torch not installed -> "),
    ],
)
def test_why_a_job_is_measured_again(
    job: Job, measured: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    record = records.read(next(measured.glob(f"*/{JOB_FILE}")).parent)
    provenance = record.provenance.model_dump(mode="json")
    change(provenance)
    records.write(tmp_path, record.model_copy(update={"provenance": record.provenance.model_validate(provenance)}))
    (told,) = before(job, tmp_path).changes
    assert told.startswith(reason)
    left = measured_before(job, tmp_path, resume="any")
    assert left
    assert left.is_left


def test_what_measures_counts_and_what_draws_does_not() -> None:
    over_tcp, over_namespaces = (set(harness_modules(wire)) for wire in ("tcp", "namespaces"))
    assert {"ppbench.measure.scoring", "ppbench.launch.host", "ppbench.wire.channel", "ppbench.meter"} <= over_tcp
    assert "ppbench.launch.namespaces" in over_namespaces - over_tcp
    rooms = {module.split(".")[1] for module in over_tcp | over_namespaces if module != "ppbench"}
    assert rooms.isdisjoint({"api", "app", "cli", "modelled", "report", "taxonomy", "testing"})


def test_what_cannot_run_here_any_more_is_not_given_up_for_nothing(
    job: Job, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plaintext, "requires", {"a_library_that_nobody_has": "a_library>=1"})
    found = before(job, measured)
    assert found.is_left
    assert found.remark.startswith(", as it cannot run here: scheme 'plaintext' needs what is not installed")


def test_a_resume_that_is_none_of_the_three_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "scheme=plaintext", "dataset=digits", "model=mlp", "resume=maybe", "results_dir=here"]) == 2
    assert capsys.readouterr().err == "ppbench: resume=maybe is not one of true, false, any\n"
    assert not (tmp_path / "here").exists()
