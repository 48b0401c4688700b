"""`ppbench recommend DIR key=value ...`: which of the measured schemes a device could use, and which not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ppbench.errors import PpbenchError
from ppbench.modelled.use import Use
from ppbench.recommendation.candidates import Candidate, candidates, row, table
from ppbench.recommendation.question import Question, in_words
from ppbench.recommendation.text import HOW_KNOWN, text
from ppbench.report.width import terminal_width
from ppbench.store import read_all


def print_recommendation(results_dir: Path, words: Sequence[str], form: str) -> None:
    """Print what is feasible, in order of energy, and why the rest is not.

    Raises PpbenchError for a question that is not one, and for a folder of which nothing can be modelled.
    """
    question = Question.of_words(words)
    use = question.use()
    found = _found(results_dir, question, use)
    if form == "json":
        print(json.dumps(_document(found, question, use, results_dir), indent=1, allow_nan=False))
    else:
        print(text(found, question, use, str(results_dir), terminal_width()), end="")


def recommended(results_dir: Path, question: Question) -> pd.DataFrame:
    """The same as a table, one row per scheme and variant. Raises PpbenchError as `print_recommendation` does."""
    return table(_found(results_dir, question, question.use()))


def _found(results_dir: Path, question: Question, use: Use) -> list[Candidate]:
    jobs = read_all(results_dir)
    try:
        return candidates(jobs, question, use)
    except PpbenchError as error:
        raise PpbenchError(f"{results_dir}: {error}") from error


def _document(found: Sequence[Candidate], question: Question, use: Use, results_dir: Path) -> dict[str, Any]:
    return {
        "holds_for": in_words(question, use),
        "question": dataclasses.asdict(question),
        "results_dir": str(results_dir),
        "feasible": [row(one) for one in found if one.feasible],
        "not_feasible": [row(one) for one in found if not one.feasible],
        "how_known": HOW_KNOWN,
    }
