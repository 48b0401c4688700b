"""The built-in schemes on the zero-download data set: what they answer, send and keep to themselves."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ppbench.data.digits import Digits
from ppbench.errors import ProtocolError
from ppbench.records import JobRecord
from ppbench.scheme import Scheme
from schemes.local import Local
from schemes.obfnet import ObfNet
from schemes.obfnet.encoding import ENCODINGS, pack, unpack
from schemes.plaintext import Plaintext
from tests.helpers import measured
from tests.helpers.measured import arrays_seen, row

OBFNET = ObfNet(hidden=(32,), epochs=3)


measure = functools.partial(measured.measure, warmup_batches=1, batch_size=64)


def test_plaintext_sends_a_byte_a_pixel_and_answers_as_the_model(tmp_path: Path) -> None:
    measured = row(measure(Plaintext(), tmp_path))
    assert measured.agreement == 1
    assert measured.up_message_bytes_per_sample == 64
    assert measured.down_message_bytes_per_sample == 1
    assert measured.rounds == 2


@pytest.mark.parametrize("model", ["task", "small"])
def test_local_inference_sends_only_labels(tmp_path: Path, model: str) -> None:
    record = measure(Local(model=model), tmp_path, view_batches=1)
    measured = row(record)
    assert measured.accuracy > 0.95
    assert measured.up_message_bytes_per_sample == 1
    assert measured.rounds == 1
    assert not arrays_seen(record, tmp_path)


@pytest.mark.parametrize(("encoding", "n_bytes"), [("float32", 4), ("float16", 2), ("uint8", 1)])
def test_obfnet_in_every_encoding(tmp_path: Path, encoding: str, n_bytes: int) -> None:
    measured = row(measure(dataclasses.replace(OBFNET, encoding=encoding), tmp_path))
    assert measured.accuracy > 0.8
    step_bytes = 4 * 8 / 500 if encoding == "uint8" else 0
    assert measured.up_message_bytes_per_sample == pytest.approx(64 * n_bytes + step_bytes)


def test_obfnet_hides_the_raw_sample_unless_it_is_sent_raw(tmp_path: Path) -> None:
    clear = Digits().load().test.samples[:64] / np.float32(16)
    hidden = arrays_seen(record := measure(OBFNET, tmp_path, view_batches=1), tmp_path)
    assert not np.isclose(hidden[0][0], clear, atol=1e-3).all(axis=1).any()
    open_ = arrays_seen(measure(dataclasses.replace(OBFNET, raw_fraction=1.0), tmp_path, view_batches=1), tmp_path)
    assert np.array_equal(open_[0][0], clear)
    assert row(record).rounds == 2


def test_on_mixed_traffic_the_same_model_serves_both(tmp_path: Path) -> None:
    """The voluntary use of the paper's section 3.1: nobody tells the coordinator which samples are raw."""
    record = measure(dataclasses.replace(OBFNET, raw_fraction=0.5), tmp_path, view_batches=8)
    assert row(record).accuracy > 0.8
    clear = Digits().load().test.samples / np.float32(16)
    seen = np.concatenate([arrays[0] for arrays in arrays_seen(record, tmp_path)])
    raw = np.isclose(seen, clear, atol=1e-6).all(axis=1)
    assert 0.4 < raw.mean() < 0.6
    # It need not be told, but it can tell: obfuscated values exceed 1 somewhere, and raw ones never do.
    assert seen[raw].max() <= 1


def test_a_pool_gives_each_sample_one_of_its_nets(tmp_path: Path) -> None:
    record = measure(dataclasses.replace(OBFNET, pool_size=3), tmp_path, view_batches=8)
    measured = row(record)
    single = row(measure(OBFNET, tmp_path))
    assert measured.accuracy > 0.8
    assert 2.9 < measured.setup_down_bytes / single.setup_down_bytes < 3.1
    again = measure(dataclasses.replace(OBFNET, pool_size=3), tmp_path / "again", view_batches=8)
    first, second = (arrays_seen(r, f) for r, f in ((record, tmp_path), (again, tmp_path / "again")))
    same = [np.isclose(a[0], b[0]).all(axis=1).mean() for a, b in zip(first, second, strict=True)]
    assert 0.2 < np.mean(same) < 0.5


def test_nobody_imports_torch_who_only_answers(tmp_path: Path) -> None:
    measured = row(measure(OBFNET, tmp_path))
    assert max(measured.participant_peak_rss_bytes, measured.coordinator_peak_rss_bytes) < 80e6


@pytest.mark.parametrize("scheme", [Plaintext(), Local(), OBFNET], ids=lambda scheme: scheme.name)
def test_several_participants_share_the_samples(tmp_path: Path, scheme: Scheme) -> None:
    record = measure(scheme, tmp_path, n_participants=3, n_samples=100, batch_size=16)
    measured = row(record)
    assert measured.n_samples == 100
    assert measured.accuracy > 0.8
    answers = [r.value for r in record.records if r.metric == "n_answers"]
    assert answers == [100]


def test_participants_in_one_process_move_the_bytes_of_those_in_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each process prints something, so each keeps a log.
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    sizes = {"n_participants": 6, "n_samples": 60, "batch_size": 4}
    apart, together = (
        measure(Plaintext(), tmp_path / str(shared), **sizes, participants_per_process=shared) for shared in (1, 3)
    )

    def bytes_by_party(record: JobRecord) -> dict[tuple[str | None, str | None, str, str], float]:
        return {(r.party, r.peer, r.stage, r.metric): r.value for r in record.records if r.unit == "B" and r.peer}

    assert bytes_by_party(apart) == bytes_by_party(together)
    assert len(list((tmp_path / "3" / together.folder / "logs").iterdir())) == 3


def test_fresh_processes_and_repetitions_are_all_kept(tmp_path: Path) -> None:
    record = measure(Plaintext(), tmp_path, processes=2, repetitions=3)
    passes = {(r.process, r.repetition) for r in record.records if r.metric == "accuracy" and r.stage == "online"}
    assert passes == {(process, repetition) for process in range(2) for repetition in range(3)}


@given(
    samples=arrays(np.float32, st.tuples(st.integers(0, 5), st.just(7)), elements=st.floats(0, 1e4, width=32)),
    encoding=st.sampled_from(ENCODINGS),
)
def test_what_is_packed_comes_back(samples: np.ndarray, encoding: str) -> None:
    unpacked = unpack(pack(samples, encoding), encoding)
    largest = float(samples.max(initial=0))
    tolerance = {"float32": 0.0, "float16": largest * 2**-10 + 1e-6, "uint8": largest / 255 * 0.51 + 1e-35}[encoding]
    assert unpacked.dtype == np.float32
    assert np.abs(unpacked - samples).max(initial=0) <= tolerance


def test_samples_in_another_encoding_are_refused() -> None:
    with pytest.raises(ProtocolError, match="encoded as uint8 are awaited"):
        unpack(pack(np.zeros((1, 4), np.float32), "float32"), "uint8")
