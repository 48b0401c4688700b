"""The committed reference results reach what is claimed of them."""

from __future__ import annotations

import pandas as pd

from ppbench import store
from ppbench.report.origin import origin
from tests.helpers.paths import RESULTS

PAPER = RESULTS / "obfnet_paper" / "summary.csv"


def test_the_paper_is_reproduced() -> None:
    """Section 3.3: LeNet at least as good as 98.98 %, ten ObfNet2 with a mean above the paper's 98.29 %."""
    table = pd.read_csv(PAPER)
    assert set(table.status) == {"ok"}
    assert table.accuracy_plaintext.min() >= 0.99
    obfnet2 = table[(table.scheme == "obfnet") & table.variant.isna()]
    assert sorted(obfnet2.seed) == list(range(10))
    assert obfnet2.accuracy.mean() >= 0.984
    assert obfnet2.participant_peak_rss_bytes.max() < 80e6


def test_each_folder_says_what_measured_it() -> None:
    told = (RESULTS / "README.md").read_text()
    for packed in RESULTS.glob(f"*/{store.PACKED_JOBS}"):
        measured_by = origin(store.read_all(packed.parent)).removeprefix("Measured by ").rstrip(".")
        assert f"| `{packed.parent.name}` | {measured_by} |" in told
