"""Random projection in training: whose matrix it is, what public samples give away, and many participants."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from ppbench import bundle
from ppbench.bundle import Array, Tree
from ppbench.data.dataset import unit
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError
from ppbench.learners.roles import PerturbedTraining
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.privacy.chance import seeded_words
from ppbench.records import JobRecord
from schemes.local_dp_training import LocalDpTraining
from schemes.random_projection import ProjectionTraining
from schemes.random_projection.projection import gaussian_matrix
from schemes.random_projection.regression import regression
from schemes.rotation import Rotation
from tests.helpers import measured
from tests.helpers.measured import row
from tests.sketches.common import LeastSquares

D = 64
N_TRAIN = 1297


measure = functools.partial(measured.measure, model=LeastSquares(), wire="memory")


def shards_of(record: JobRecord, folder: Path) -> dict[str, Array]:
    """Participant -> what the coordinator got of its shard."""
    view: list[Tree] = bundle.load(folder / record.folder / "views" / "coordinator.npz")
    return {
        entry["from"]: np.concatenate(
            [e["arrays"][0] for e in view if (e["from"], e["name"]) == (entry["from"], "shard")]
        )
        for entry in view
        if entry["name"] == "shard"
    }


def matrices_of(record: JobRecord, folder: Path) -> list[Array]:
    """The participants' matrices, by what only the harness can do: compare all they sent with all they had."""
    train = Digits().load().train
    parts = np.array_split(np.random.default_rng(0).permutation(N_TRAIN), len(shards_of(record, folder)))
    sent = shards_of(record, folder)
    clear = [unit(train.samples[part], 16) for part in parts]
    return [np.linalg.lstsq(own, sent[f"participant-{i}"], rcond=1e-6)[0] for i, own in enumerate(clear)]


def same_rows(one: Array, other: Array) -> int:
    """Of pixels that are 0 in nearly all of a shard, the rows cannot be told: they may differ, or be 0 in both."""
    return int(np.isclose(one, other, atol=1e-3).all(axis=1).sum())


def test_a_shared_matrix_is_shared_and_the_same_each_time(tmp_path: Path) -> None:
    scheme = ProjectionTraining(matrix="shared")
    one, other = (measure(scheme, tmp_path / f, 1, n_participants=2, n_samples=20) for f in ("one", "other"))
    first, second = matrices_of(one, tmp_path / "one")
    again, _ = matrices_of(other, tmp_path / "other")
    assert same_rows(first, second) > 50
    assert same_rows(first, again) == D


def test_a_private_matrix_is_everybodys_own_and_another_each_time(tmp_path: Path) -> None:
    scheme = ProjectionTraining()
    one, other = (measure(scheme, tmp_path / f, 1, n_participants=2, n_samples=20) for f in ("one", "other"))
    first, second = matrices_of(one, tmp_path / "one")
    again, _ = matrices_of(other, tmp_path / "other")
    assert same_rows(first, second) < 10
    assert same_rows(first, again) < 10


def test_with_more_private_matrices_learning_together_gets_harder(tmp_path: Path) -> None:
    def accuracy(n_participants: int, **options: str | int) -> float:
        scheme = ProjectionTraining(**options)  # type: ignore[arg-type]
        return float(row(measure(scheme, tmp_path, n_participants=n_participants, n_train_samples=1200)).accuracy)

    # Matrices are the operating system's chance: each bound is five standard deviations or more from the mean, which
    # is 0.98, 0.92 and 0.77 here and 0.80 below.
    private = [accuracy(n) for n in (1, 5, 20)]
    assert private[0] > 0.95
    assert private[0] > private[1]
    assert private[1] - 0.05 > private[2]
    assert accuracy(20, matrix="shared") > 0.95
    assert accuracy(20, public_samples=40) > 0.9
    # Nor is it worth the while: what each participant's own 60 samples teach is as much.
    assert accuracy(20, models="each") > private[2] - 0.07


def test_with_public_samples_the_coordinator_sees_the_private_ones(tmp_path: Path) -> None:
    table = [
        row(measure(ProjectionTraining(public_samples=m), tmp_path, n_participants=4, n_train_samples=600))
        for m in (2, 16, 64, 400)
    ]
    errors = [line.reconstruction_mse for line in table]
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < 0.01 < errors[0]
    assert table[0].accuracy < table[1].accuracy < table[2].accuracy
    n_messages = 4
    assert table[2].setup_down_bytes == pytest.approx(64 * D, abs=n_messages * 64)
    sent = {r.value for r in measured_bytes(ProjectionTraining(public_samples=64), tmp_path)}
    assert sent == {(64 + 150) * 32 * 4 + 150}


def measured_bytes(scheme: ProjectionTraining, folder: Path) -> list[Tree]:
    record = measure(scheme, folder, n_participants=4, n_train_samples=600)
    return [
        r
        for r in record.records
        if (r.stage, r.metric) == ("train", "message_bytes_sent") and (r.party or "").startswith("participant")
    ]


def test_least_squares_recovers_the_matrix_once_public_samples_span_the_space() -> None:
    """Generic vectors do so as soon as there are as many as dimensions. Images never do: pixels that are 0 in all of
    them say nothing of their row, and no image needs it.
    """
    matrix = gaussian_matrix(D, 32, seeded_words(np.random.default_rng(0)))

    def error(public: Array, basis: Array | None = None) -> float:
        recovered = np.linalg.lstsq(public, public @ matrix, rcond=1e-6)[0]
        true = matrix if basis is None else basis @ matrix
        found = recovered if basis is None else basis @ recovered
        return float(np.linalg.norm(found - true) / np.linalg.norm(true))

    generic = np.random.default_rng(1).random((D, D)).astype(np.float32)
    curve = [error(generic[:m]) for m in (8, 32, 56, 63, 64)]
    assert curve == sorted(curve, reverse=True)
    assert curve[0] > 0.9
    assert curve[3] > 0.05
    assert curve[4] < 1e-2

    images = unit(Digits().load().train.samples, 16)
    assert np.linalg.matrix_rank(images[:D]) < D
    assert np.linalg.matrix_rank(images) == 61
    assert error(images) > 0.1
    spanned = np.linalg.svd(images, full_matrices=False)[2][:61]
    assert error(images, spanned) < 1e-3


def test_regression_of_public_samples_needs_no_more_of_them_than_a_projection_has_values() -> None:
    """Ridge regression has no peak where both are the same number, as plain least squares has."""
    samples = unit(Digits().load().train.samples, 16)
    public, private = samples[:200], samples[200:]
    matrix = gaussian_matrix(D, 32, seeded_words(np.random.default_rng(0)))

    def mse(back: Array) -> float:
        return float(np.square(private @ matrix @ back - private).mean())

    ridge = [mse(regression(public[:m] @ matrix, public[:m])) for m in (8, 16, 32, 64, 200)]
    assert ridge == sorted(ridge, reverse=True)
    plain = np.linalg.lstsq(public[:32] @ matrix, public[:32], rcond=None)[0]
    assert mse(plain) > 3 * ridge[2]


def test_public_samples_are_in_nobodys_shard(tmp_path: Path) -> None:
    scheme = ProjectionTraining(public_samples=100)
    record = measure(scheme, tmp_path, 1, n_train_samples=1197, n_samples=10)
    told = bundle.load(tmp_path / record.folder / "views" / "participant-0.npz")
    (public,) = (entry["arrays"][0] for entry in told if entry["name"] == "public samples")
    train = Digits().load().train.samples
    order = np.random.default_rng(0).permutation(N_TRAIN)
    assert np.array_equal(public, train[order[1197:]])

    options = TaskOptions(n_train_samples=1198, n_samples=10)
    measured = MeasureOptions(warmup_batches=0, repetitions=1)
    refused = experiment.run(Job(scheme, Digits(), LeastSquares(), options, measured, wire="memory"), tmp_path)
    assert refused.status == "failed"
    assert "100 public samples, but task.n_train_samples=1198 leaves 99 of 1297" in refused.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme",
    [
        ProjectionTraining(),
        ProjectionTraining(public_samples=20),
        ProjectionTraining(matrix="shared"),
        Rotation(),
        LocalDpTraining(learner="knn"),
    ],
    ids=lambda scheme: f"{scheme.name}-{scheme.variant()}",
)
def test_participants_in_one_process_move_the_bytes_of_those_in_their_own(
    tmp_path: Path, scheme: PerturbedTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each process prints something, so each keeps a log.
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    sizes = {"n_participants": 6, "n_train_samples": 200, "n_samples": 60, "batch_size": 4}
    apart, together = (
        measure(scheme, tmp_path / str(shared), participants_per_process=shared, wire="tcp", **sizes)
        for shared in (1, 3)
    )

    def bytes_by_party(record: JobRecord) -> dict[tuple[str | None, str | None, str, str], float]:
        return {(r.party, r.peer, r.stage, r.metric): r.value for r in record.records if r.unit == "B" and r.peer}

    assert bytes_by_party(apart) == bytes_by_party(together)
    assert any(stage == "train" for _, _, stage, _ in bytes_by_party(apart))
    assert row(apart).train_up_bytes == row(together).train_up_bytes > 0
    assert len(list((tmp_path / "3" / together.folder / "logs").iterdir())) == 3


@pytest.mark.slow
def test_a_hundred_participants_share_host_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each process prints something, so each keeps a log.
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    sizes = {"n_participants": 100, "participants_per_process": 25, "n_samples": 200, "batch_size": 2}
    scheme = ProjectionTraining(learner="knn", public_samples=40)
    record = measure(scheme, tmp_path, wire="tcp", n_train_samples=1200, **sizes)
    answered = [r.value for r in record.records if (r.stage, r.metric) == ("online", "n_answers")]
    assert answered == [200]
    assert row(record).accuracy > 0.85
    measured = {r.party for r in record.records if (r.stage, r.metric) == ("train", "cpu_s")}
    assert measured == {"coordinator", *(f"participant-{i}" for i in range(100))}
    assert len(list((tmp_path / record.folder / "logs").iterdir())) == 1 + 4


def test_options_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="k <= d"):
        ProjectionTraining(ratio=1.5, matrix="shared")
    with pytest.raises(ConfigError, match="not one of shared, private"):
        ProjectionTraining(matrix="own")
    with pytest.raises(ConfigError, match="not one of one, each"):
        ProjectionTraining(models="two")
    with pytest.raises(ConfigError, match=r"is for scheme\.matrix='private'"):
        ProjectionTraining(matrix="shared", public_samples=5)
    with pytest.raises(ConfigError, match=r"scheme\.public_samples"):
        ProjectionTraining(public_samples=-1)
