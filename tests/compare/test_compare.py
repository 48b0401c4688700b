"""`ppbench compare`: what decides is named, what cannot be told says why, and nothing compared is not all well."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ppbench import records, store
from ppbench.cli import main
from ppbench.compare.folders import Compared, compare
from ppbench.compare.judge import Comparison
from ppbench.records import JobRecord, Record
from schemes.local import Local
from schemes.plaintext import Plaintext
from tests.helpers.changed import changed, plus, times
from tests.helpers.measured import measure

N_PROCESSES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two schemes on all the digits."""
    made = tmp_path_factory.mktemp("before")
    for scheme in (Plaintext(), Local()):
        measure(scheme, made)
    return made


@pytest.fixture
def jobs(folder: Path) -> list[JobRecord]:
    return store.read_all(folder)


def differing(compared: Compared) -> list[Comparison]:
    return [one for one in compared.comparisons if one.verdict in ("better", "worse")]


def write(jobs: list[JobRecord], path: Path) -> Path:
    for job in jobs:
        records.write(path, job)
    return path


def test_the_same_is_no_difference(jobs: list[JobRecord]) -> None:
    compared = compare(jobs, jobs)
    assert compared.outcome == "no regression"
    assert {one.verdict for one in compared.comparisons if one.decides} == {"no difference"}
    assert {"up_bytes_per_sample", "rounds", "messages", "accuracy"} <= {one.metric for one in compared.comparisons}


@pytest.mark.parametrize(
    ("change", "metric"),
    [
        (times("payload_bytes_sent", 1.1), "up_bytes_per_sample"),
        (plus("payload_bytes_sent", 1), "up_bytes_per_sample"),
        (plus("rounds", 1), "rounds"),
        (plus("accuracy", -0.03), "accuracy"),
    ],
)
def test_what_has_become_worse_is_named(
    folder: Path,
    jobs: list[JobRecord],
    change: Callable[[Record], float],
    metric: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plaintext, local = jobs
    after = write([changed(plaintext, change), local], tmp_path / "after")
    assert main(["compare", str(folder), str(after)]) == 1
    told = capsys.readouterr().out
    (line,) = [line for line in told.splitlines() if metric in line and line.startswith("|")]
    assert "plaintext" in line
    assert "worse" in line
    # The other way round it is an improvement.
    assert main(["compare", str(after), str(folder)]) == 0
    assert "better" in capsys.readouterr().out


def test_an_accuracy_within_chance_is_no_difference(jobs: list[JobRecord]) -> None:
    plaintext, _ = jobs
    assert compare(jobs, [changed(plaintext, plus("accuracy", -0.004)), jobs[1]]).outcome == "no regression"


def test_what_an_engine_says_once_may_move_by_an_address(jobs: list[JobRecord]) -> None:
    unknown = jobs[0].model_copy(update={"scheme": "of_somebody_else"})
    for more, outcome in ((64, "no regression"), (65, "regression")):
        after = changed(unknown, plus("payload_bytes_sent", more, "setup"))
        assert compare([unknown], [after]).outcome == outcome


@pytest.mark.parametrize(("right", "verdict"), [(4, "cannot tell"), (3, "cannot tell"), (0, "worse")])
def test_of_few_answers_only_much_can_be_told(jobs: list[JobRecord], right: int, verdict: str) -> None:
    def of_four(n_right: int) -> Callable[[Record], float]:
        values = {"n_samples": 4, "n_answers": 4, "accuracy": n_right / 4}
        return lambda record: values.get(record.metric, record.value)

    compared = compare([changed(jobs[0], of_four(4))], [changed(jobs[0], of_four(right))])
    (found,) = [one for one in compared.comparisons if one.metric == "accuracy"]
    assert found.verdict == verdict
    assert found.why.endswith("by chance 25.00% to 100.00% of 4")


def test_what_an_accountant_rounds_is_no_other_promise(jobs: list[JobRecord]) -> None:
    def promising(epsilon: float) -> list[JobRecord]:
        promise = Record("job", "epsilon", epsilon, "1", source="prv")
        return [jobs[0].model_copy(update={"records": [*jobs[0].records, promise]})]

    for epsilon, outcome in ((3.01 + 1e-9, "no regression"), (3.011, "regression")):
        assert compare(promising(3.01), promising(epsilon)).outcome == outcome


def test_what_the_kernel_adds_to_a_payload_may_move_by_a_hundredth(jobs: list[JobRecord]) -> None:
    def on_the_wire(factor: float) -> list[JobRecord]:
        sent = [record for record in jobs[0].records if record.metric == "payload_bytes_sent"]
        wire = [dataclasses.replace(r, metric="wire_bytes_sent", value=r.value * factor, source="veth") for r in sent]
        return [jobs[0].model_copy(update={"records": [*jobs[0].records, *wire]})]

    for factor, outcome in ((1.109, "no regression"), (1.2, "regression")):
        assert compare(on_the_wire(1.1), on_the_wire(factor)).outcome == outcome


def test_another_machine_and_other_versions_excuse_no_byte(jobs: list[JobRecord]) -> None:
    elsewhere = {"cpu": "another", "python_version": "3.14.1", "package_versions": {"numpy": "3.0"}}
    after = [
        changed(job, plus("payload_bytes_sent", 1)).model_copy(
            update={"provenance": job.provenance.model_copy(update=elsewhere)}
        )
        for job in jobs
    ]
    assert compare(jobs, after).outcome == "regression"


def test_bytes_that_no_card_promises_may_move_by_a_hundredth(jobs: list[JobRecord]) -> None:
    unknown = [job.model_copy(update={"scheme": "of_somebody_else"}) for job in jobs[:1]]
    for factor, outcome in ((1.009, "no regression"), (1.02, "regression")):
        after = [changed(unknown[0], times("payload_bytes_sent", factor))]
        assert compare(unknown, after).outcome == outcome


def test_a_job_that_fails_now_is_a_regression(jobs: list[JobRecord]) -> None:
    failed = jobs[0].model_copy(update={"status": "failed", "reason": "it broke", "records": []})
    compared = compare(jobs, [failed, jobs[1]])
    assert compared.outcome == "regression"
    assert list(compared.failed.values()) == ["failed: it broke"]


def test_a_job_that_failed_before_is_told(
    jobs: list[JobRecord], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write([jobs[0].model_copy(update={"status": "failed", "reason": "it broke", "records": []})], tmp_path)
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 6
    assert "- plaintext, digits, mlp: not measured before: failed: it broke\n" in capsys.readouterr().out


def test_other_data_are_not_compared(jobs: list[JobRecord]) -> None:
    other = [
        job.model_copy(update={"provenance": job.provenance.model_copy(update={"data_sha256": "0"})}) for job in jobs
    ]
    compared = compare(jobs, other)
    assert compared.outcome == "not comparable"
    assert len(compared.other_data) == 2


@pytest.mark.parametrize("damage", ["another schema version", "other jobs", "no jobs"])
def test_nothing_compared_is_not_all_well(
    folder: Path, jobs: list[JobRecord], damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if damage == "other jobs":
        write(
            [
                job.model_copy(update={"dataset": "x", "config": {**job.config, "dataset": {"name": "x"}}})
                for job in jobs
            ],
            tmp_path,
        )
    elif damage == "another schema version":
        for path in write(jobs, tmp_path).glob(f"*/{records.JOB_FILE}"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    assert main(["compare", str(tmp_path), str(folder)]) == 6
    assert "nothing compared" in capsys.readouterr().out


def test_an_option_that_one_version_does_not_know_separates_nothing(jobs: list[JobRecord]) -> None:
    older = []
    for job in jobs:
        measured = {option: value for option, value in job.config["measure"].items() if option != "threads"}
        older.append(job.model_copy(update={"config": {**job.config, "measure": measured}}))
    compared = compare(older, jobs)
    assert compared.outcome == "no regression"
    assert not compared.only_before


def test_a_folder_that_is_not_there_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(folder), str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_json_holds_every_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(folder), str(folder), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["outcome"] == "no regression"
    assert {one["verdict"] for one in document["comparisons"]} == {"no difference", "cannot tell"}


def with_processes(job: JobRecord, n: int, seconds: float, rng: np.random.Generator) -> JobRecord:
    """As if so many sets of processes had measured it, the participant taking about so long for a pass."""
    once = [record for record in job.records if record.process is None]
    repeated = [
        dataclasses.replace(
            record,
            process=process,
            value=seconds * rng.lognormal(0, 0.01) if record.metric == "cpu_s" else record.value,
        )
        for process in range(n)
        for record in job.records
        if record.process == 0
    ]
    return job.model_copy(update={"records": [*once, *repeated]})


def cpu(compared: Compared) -> Comparison:
    (found,) = [one for one in compared.comparisons if one.metric == "participant_cpu_s_per_sample"]
    return found


@pytest.mark.parametrize(
    ("n", "before_s", "after_s", "in_turn", "verdict", "outcome"),
    [
        (N_PROCESSES, 1.0, 1.3, True, "worse", "regression"),
        (N_PROCESSES, 1.0, 1.3, False, "worse", "no regression"),
        (N_PROCESSES, 1.3, 1.0, True, "better", "no regression"),
        (N_PROCESSES, 1.0, 1.02, True, "no difference", "no regression"),
        (4, 1.0, 2.0, True, "cannot tell", "no regression"),
        (N_PROCESSES, 0.001, 0.002, True, "cannot tell", "no regression"),
    ],
)
def test_seconds_decide_where_both_were_measured_in_turn(
    jobs: list[JobRecord], n: int, before_s: float, after_s: float, in_turn: bool, verdict: str, outcome: str
) -> None:
    rng = np.random.default_rng(1)
    before, after = ([with_processes(jobs[0], n, seconds, rng)] for seconds in (before_s, after_s))
    compared = compare(before, after, in_turn)
    found = cpu(compared)
    assert found.verdict == verdict
    assert compared.outcome == outcome
    if n == N_PROCESSES and before_s >= 1:
        assert found.ratio_low is not None
        assert found.ratio_high is not None
        assert found.ratio_low <= after_s / before_s * 1.01
        assert found.ratio_high >= after_s / before_s * 0.99


def test_seconds_of_two_machines_cannot_be_told_apart(jobs: list[JobRecord]) -> None:
    rng = np.random.default_rng(1)
    before, after = ([with_processes(jobs[0], N_PROCESSES, seconds, rng)] for seconds in (1.0, 2.0))
    moved = [after[0].model_copy(update={"provenance": after[0].provenance.model_copy(update={"cpu": "another"})})]
    assert cpu(compare(before, moved, in_turn=True)).why == "another machine"


def test_what_happened_once_for_all_processes_is_one_value(jobs: list[JobRecord]) -> None:
    rng = np.random.default_rng(3)
    before = [with_processes(jobs[0], N_PROCESSES, 1.0, rng)]
    dearer = [changed(before[0], lambda record: record.value * (2 if record.stage == "model" else 1))]
    compared = compare(before, dearer, in_turn=True)
    (model,) = [one for one in compared.comparisons if one.metric == "model_cpu_s"]
    assert (model.verdict, model.why) == ("cannot tell", "1 of 5 processes")


def test_where_nothing_differs_hardly_ever_is_something_found(jobs: list[JobRecord]) -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(40):
        before, after = ([with_processes(jobs[0], N_PROCESSES, 1.0, rng)] for _ in range(2))
        found += bool([one for one in differing(compare(before, after, in_turn=True)) if one.metric.endswith("_s")])
    assert found <= 1


def with_instructions(job: JobRecord, n: float, python_version: str = "3.11.7") -> JobRecord:
    """As if callgrind had counted the participant's in a pass."""
    at = {"party": "participant-0", "process": 0, "repetition": 0}
    counted = Record("online", "instructions", n, "1", source="callgrind", **at)  # type: ignore[arg-type]
    config = {**job.config, "measure": {**job.config["measure"], "instructions": "callgrind"}}
    made = job.provenance.model_copy(update={"python_version": python_version})
    return job.model_copy(update={"records": [*job.records, counted], "config": config, "provenance": made})


@pytest.mark.parametrize(
    ("before", "after", "python_version", "verdict"),
    [
        (1e8, 1.009e8, "3.11.7", "no difference"),
        (1e8, 1.02e8, "3.11.7", "worse"),
        (1e8, 0.98e8, "3.11.7", "better"),
        (1e3, 2e3, "3.11.7", "cannot tell"),
        (1e8, 1.02e8, "3.12.0", "cannot tell"),
    ],
)
def test_instructions_decide_where_they_were_counted_in_one_way(
    jobs: list[JobRecord], before: float, after: float, python_version: str, verdict: str
) -> None:
    compared = compare([with_instructions(jobs[0], before)], [with_instructions(jobs[0], after, python_version)])
    (found,) = [one for one in compared.comparisons if "instructions" in one.metric]
    assert found.verdict == verdict
    assert compared.outcome == ("regression" if verdict == "worse" else "no regression")


def test_instructions_that_only_one_folder_has_decide_nothing(jobs: list[JobRecord]) -> None:
    for before, after in ((jobs[:1], [with_instructions(jobs[0], 1e8)]), ([with_instructions(jobs[0], 1e8)], jobs[:1])):
        compared = compare(before, after)
        assert compared.outcome == "no regression"
        assert not [one for one in differing(compared) if "instructions" in one.metric]


@pytest.mark.slow
@pytest.mark.parametrize("other", ["HEAD", sys.executable], ids=["a revision", "an environment"])
def test_two_versions_are_measured_by_turns(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["scheme=plaintext", "dataset=digits", "model=mlp", "measure.repetitions=1"]
    assert main(["compare", "--interleave", other, "--processes", "1", *asked]) == 0
    lines = capsys.readouterr().out.splitlines()
    (bytes_up,) = [line for line in lines if "up_bytes_per_sample" in line]
    assert "no difference" in bytes_up
    seconds = [line for line in lines if "_s_per_sample" in line]
    assert seconds
    assert all("1 of 5 processes" in line for line in seconds)


@pytest.mark.parametrize(
    ("other", "override", "told"),
    [
        ("no-such-revision", "scheme=plaintext", "no-such-revision"),
        (sys.executable, "results_dir=here", "results_dir=here: what is measured for a comparison by turns is kept"),
        (sys.executable, "measure.processes=3", "measure.processes=3: --processes says how many"),
        ("without-ppbench", "scheme=plaintext", "without-ppbench measures nothing: no ppbench here"),
    ],
)
def test_what_is_no_comparison_by_turns_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    other: str,
    override: str,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    python = tmp_path / "without-ppbench"
    python.write_text("#!/bin/sh\necho no ppbench here >&2\nexit 1\n")
    python.chmod(0o755)
    assert main(["compare", "--interleave", other, override]) == 2
    complaint = capsys.readouterr().err
    assert told in complaint
    assert len(complaint.splitlines()) == 1


def test_of_two_empty_folders_both_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    assert main(["compare", str(tmp_path / "before"), str(tmp_path / "after")]) == 6
    told = capsys.readouterr().out
    assert all(f"{tmp_path / name} holds no results" in told for name in ("before", "after"))
