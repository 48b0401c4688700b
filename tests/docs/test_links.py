"""Every link of the documentation that stays in the repository leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "results" / "README.md"]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: Path) -> set[str]:
    """As GitHub makes them of headings; each is another's only once in our pages."""
    prose = re.sub(r"^```.*?^```$", "", text.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_links_lead_somewhere(text: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text.read_text())):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        there = (text.parent / target).resolve() if target else text
        assert there.is_file(), link
        assert there.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(there), link
