"""The counts are proven: what each wire says went over it is what was sent, to the byte, in every run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ppbench import bundle, records
from ppbench.data.digits import Digits
from ppbench.launch.namespace_network import MTU_BYTES
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from tests.helpers.known_bytes import KnownBytes, frame_bytes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's counts are Linux's")
N_RUNS = 100
IP_AND_TCP_HEADER_BYTES = 20 + 32
"""TCP with timestamps."""
DUPLICATE_TOLD_BYTES = 12
"""What the selective acknowledgement of a duplicate adds to a packet's header."""
MSS_BYTES = MTU_BYTES - IP_AND_TCP_HEADER_BYTES
MESSAGES = (0, 1, MTU_BYTES - 1, MTU_BYTES, MTU_BYTES + 1, 10_000_000)
FRAMES = (MSS_BYTES - 1, MSS_BYTES, MSS_BYTES + 1, MTU_BYTES - 1, MTU_BYTES, MTU_BYTES + 1)
SIZES = (*MESSAGES, *(n_bytes - frame_bytes(0) for n_bytes in FRAMES))
PARTIES = ("participant-0", "coordinator")


@pytest.mark.parametrize("wire", ["tcp", "memory", "namespaces"])
def test_every_count_is_what_was_sent_in_100_of_100_runs(tmp_path: Path, wire: str) -> None:
    job = Job(
        scheme=KnownBytes(sizes=SIZES),
        dataset=Digits(),
        model=Mlp(),
        task=TaskOptions(n_samples=1, batch_size=1),
        # What TCP had to send again in the last run would only be told at the begin of a further one.
        measure=MeasureOptions(repetitions=N_RUNS + 1, warmup_batches=0),
        wire=wire,
    )
    record = experiment.run(job, tmp_path)
    assert record.status == "ok", record.reason
    table = records.tidy([record])
    runs = table[(table.stage == "online") & table.peer.notna()].pivot_table("value", ["party", "repetition"], "metric")
    for party in PARTIES:
        counted = runs.loc[party].iloc[:N_RUNS]
        for way in ("sent", "received"):
            assert (counted[f"message_bytes_{way}"] == sum(SIZES)).sum() == N_RUNS
            assert (counted[f"payload_bytes_{way}"] == sum(map(frame_bytes, SIZES))).sum() == N_RUNS
    if wire == "namespaces":
        for party, peer in (PARTIES, PARTIES[::-1]):
            counted, there = runs.loc[party].iloc[:N_RUNS], runs.loc[peer].iloc[:N_RUNS]
            headers = IP_AND_TCP_HEADER_BYTES * counted.wire_packets_sent
            beside = counted.wire_bytes_sent - headers - _extras(tmp_path / record.folder, party, peer)
            assert (beside == counted.payload_bytes_sent).sum() == N_RUNS
            assert (counted.wire_bytes_sent <= MTU_BYTES * counted.wire_packets_sent).all()
            assert (counted.wire_bytes_sent == there.wire_bytes_received).all()
            assert (counted.wire_packets_sent == there.wire_packets_received).all()
    else:
        assert not [metric for metric in runs.columns if metric.startswith("wire")]


def _extras(folder: Path, party: str, peer: str) -> pd.Series[float]:
    """By run, the bytes that the kernel had `party` send beside payload and headers."""
    ours, theirs = (bundle.load(folder / "published" / f"{name}.npz")["extras"] for name in (party, peer))
    sent_again, told = np.diff(ours[:, 0]), np.diff(theirs[:, 1])
    return pd.Series(sent_again + DUPLICATE_TOLD_BYTES * told, dtype=float)
