"""The documentation's site is built without a warning, needs nothing from elsewhere, and says what schemes say."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from ppbench import units
from ppbench.app.config import choices_of
from ppbench.registry import SCHEMES
from tests.helpers.paths import RESULTS, ROOT

pytestmark = pytest.mark.slow

LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}
"""Element -> the attribute by which a browser loads something without being asked."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Elements(HTMLParser):
    """What a page loads, and where its links lead."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if target := given.get(LOADING.get(tag, "")):
            self.loaded.append(target)
        if tag == "a" and (target := given.get("href")):
            self.links.append(target)


def text_of(page: Path) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page.read_text())).split())


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(SCHEMES.names())
    for page in pages:
        for target in Elements(page).loaded:
            assert not re.match(r"\w+:|//", target) or target.startswith("data:"), f"{page.name} loads {target}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//|@import", style.read_text()), style


def test_links_within_the_site_lead_somewhere(site: Path) -> None:
    """Those to files of the repository among them, which pages have beside them only on GitHub."""
    for page in site.rglob("*.html"):
        for link in Elements(page).links:
            target = unquote(link.partition("#")[0])
            if page.name != "404.html" and target and not re.match(r"\w+:", target):
                assert (page.parent / target).is_file(), f"{page.relative_to(site)}: {link}"


@pytest.mark.parametrize("name", SCHEMES.names())
def test_each_scheme_has_a_page_of_what_it_says_of_itself(site: Path, name: str) -> None:
    scheme = SCHEMES.load(name)
    text = text_of(site / "schemes" / f"{name}.html")
    card = scheme.card
    for said in (scheme.title, card.source, card.protects, card.guarantee, *scheme.roles, *scheme.defaults()):
        assert " ".join(said.replace("`", "").split()) in text
    for variant in choices_of("scheme"):
        if variant.startswith(f"{name}_"):
            assert f"scheme={variant}" in text


def test_a_page_shows_bounds_as_the_scheme_tells_them(site: Path) -> None:
    text = text_of(site / "schemes" / "obfnet.html")
    assert "raw_fraction 0.0 from 0 to 1 Share of" in text
    assert "pool_size 1 at least 1 How many ObfNets" in text


def test_a_page_has_the_measured_rows(site: Path) -> None:
    """Of each folder, as the committed table has them."""
    row = pd.read_csv(RESULTS / "he" / "summary.csv").query("scheme == 'barni' and n_samples == 200").iloc[0]
    text = text_of(site / "schemes" / "barni.html")
    figures = (units.seconds(row.participant_cpu_s_per_sample), units.seconds(row.coordinator_cpu_s_per_sample))
    assert " ".join([*figures, units.size(row.up_bytes_per_sample), units.size(row.down_bytes_per_sample)]) in text
