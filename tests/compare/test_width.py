"""What `ppbench compare` prints fits the terminal that it is read on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppbench import records
from ppbench.cli import main
from tests.helpers.committed import altered, measured


def test_a_table_fits_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = measured("plaintext")
    for name, one in (("before", job), ("after", altered(job, rounds=3.0, accuracy=0.5))):
        records.write(tmp_path / name, one)

    def tables() -> list[list[str]]:
        assert main(["compare", str(tmp_path / "before"), str(tmp_path / "after")]) == 1
        lines = capsys.readouterr().out.splitlines()
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]

    whole = tables()
    monkeypatch.setenv("COLUMNS", "60")
    assert tables() == whole
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    narrow = tables()
    height = len(whole)
    assert len(narrow) > height
    parts = [narrow[i : i + height] for i in range(0, len(narrow), height)]
    # Beside the two columns that each begins with, they are the whole table; the second line is a rule.
    for i, row in enumerate(whole):
        assert i == 1 or all(part[i][:2] == row[:2] for part in parts)
        assert i == 1 or [cell for part in parts for cell in part[i][2:]] == row[2:]
