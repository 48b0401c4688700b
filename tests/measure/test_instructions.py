"""Instructions are counted per party and stage, in real processes; seconds that are the counter's are no records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ppbench.compare.folders import compare
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError
from ppbench.instructions.callgrind import Callgrind
from ppbench.instructions.perf import Perf
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.records import JobRecord
from ppbench.report.summary import summary
from schemes.plaintext import Plaintext
from tests.helpers.known_work import KnownWork
from tests.helpers.measured import attempt, measure

STEPS = 300
needs_callgrind = pytest.mark.skipif(bool(Callgrind.why_not()), reason=str(Callgrind.why_not()))


def job(wire: str = "tcp", participants_per_process: int = 1, **options: Any) -> Job:
    task = TaskOptions(participants_per_process=participants_per_process)
    return Job(Plaintext(), Digits(), Mlp(), task, MeasureOptions(**options), wire=wire)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"instructions": "valgrind"}, "measure.instructions"),
        ({"instructions": "callgrind", "wire": "memory"}, "wire=tcp"),
        ({"instructions": "perf", "wire": "remote"}, "wire=tcp"),
        ({"instructions": "perf", "participants_per_process": 2}, "task.participants_per_process=2"),
    ],
)
def test_what_cannot_be_counted_is_refused(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        job(**asked)


def test_a_job_that_counts_none_has_the_id_it_always_had() -> None:
    assert "instructions" not in job().to_config()["measure"]
    assert job(instructions="perf").id != job().id


def test_the_processor_counts_or_the_job_says_why_not(tmp_path: Path) -> None:
    record = attempt(Plaintext(), tmp_path, n_samples=4, instructions="perf")
    if why_not := Perf.why_not():
        assert (record.status, record.reason) == ("unavailable", why_not)
        assert "\n" not in why_not
    else:
        assert counted(record, "coordinator")["online"] > 0
        assert any(r.metric == "cpu_s" and r.party for r in record.records)


def counted(record: JobRecord, party: str) -> dict[str, float]:
    """Stage -> instructions."""
    return {r.stage: r.value for r in record.records if (r.metric, r.party) == ("instructions", party)}


@needs_callgrind
@pytest.mark.slow
def test_more_instructions_are_a_regression_and_the_same_code_is_none(tmp_path: Path) -> None:
    def run(steps: int, name: str) -> JobRecord:
        return measure(KnownWork(steps), tmp_path / name, n_samples=2, instructions="callgrind")

    before, again, more = run(STEPS, "before"), run(STEPS, "again"), run(STEPS * 105 // 100, "more")
    # As if the code had changed, and not an option.
    after = more.model_copy(update={"config": before.config, "variant": before.variant})
    same = {one.metric: one for one in compare([before], [again]).comparisons}
    assert same["participant_instructions_per_sample"].verdict == "no difference"
    assert compare([before], [again]).outcome == "no regression"
    (worse,) = [one for one in compare([before], [after]).comparisons if one.is_regression]
    assert (worse.job.partition(" ")[0], worse.metric) == ("known_work", "participant_instructions_per_sample")
    assert worse.ratio == pytest.approx(1.05, abs=0.01)

    assert {r.source for r in before.records if r.metric == "instructions"} == {"callgrind"}
    assert counted(before, "participant-0").keys() == counted(before, "coordinator").keys() == {"setup", "online"}
    # What valgrind took is neither the parties' time nor their memory.
    assert not [r for r in before.records if r.party and r.process is not None and r.unit == "s"]
    assert not [r for r in before.records if "rss" in r.metric]
    assert summary([before]).participant_instructions_per_sample.notna().all()
    uncounted = measure(KnownWork(STEPS), tmp_path / "uncounted", n_samples=2)
    assert bytes_of(uncounted) == bytes_of(before)


def bytes_of(record: JobRecord) -> dict[tuple[str, str | None, str], float]:
    return {(r.stage, r.party, r.metric): r.value for r in record.records if r.unit == "B" and r.peer}
