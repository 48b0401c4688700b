"""report.html in a real browser: one page, opened once from a file, and used as a reader would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from ppbench.page.write import write_page
from ppbench.report.groups import grouped
from ppbench.store import read_all
from tests.helpers.paths import RESULTS

pytestmark = pytest.mark.browser

FOLDER = RESULTS / "quickstart"
MODELLED = {
    "bytes": None,
    "time": ("modelled_online_s_per_sample", "modelled_offline_s_per_sample"),
    "energy": ("modelled_compute_j_per_sample", "modelled_radio_j_per_sample"),
    "memory": ("counted_ram_bytes",),
}
"""Column of the page -> those of modelled.csv that it is the sum of."""

BETTER = {"accuracy": 1, "time": -1, "bytes": -1, "rounds": -1, "energy": -1, "battery": 1, "memory": -1}
"""Column of the page -> whether more is better, or less."""


class Page:
    """The page, open in a browser, and everything it asked of the network."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def pick(self, name: str, value: str) -> None:
        Select(self.one(f"select[name={name}]")).select_by_value(value)

    def write(self, name: str, text: str) -> None:
        field = self.one(f"input[name={name}]")
        field.clear()
        field.send_keys(text)

    def names(self) -> list[str]:
        """Of the schemes that the table lists, baselines apart."""
        return [line.text for line in self.all("table.schemes tbody:not(.baselines) th a")]

    def values(self, key: str, body: str = "") -> dict[str, float]:
        """Job -> what a column of the table says of it, unrounded."""
        script = """return [...document.querySelectorAll(arguments[0])]
            .map((cell) => [cell.parentElement.dataset.job, Number(cell.dataset.value)])"""
        return dict(self.driver.execute_script(script, f'tbody{body} [data-column="{key}"][data-value]'))

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What came since it was asked for last."""
        found: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return found

    def requests(self) -> list[str]:
        """Addresses that were asked for since the browser started, the page's own and those inside it apart."""
        told = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        urls = [m["params"]["request"]["url"] for m in told if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "about:")) and "report.html" not in url]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    folder = tmp_path_factory.mktemp("page")
    (path,) = write_page(grouped(read_all(FOLDER)), folder)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    calm = "--force-prefers-reduced-motion"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000", calm):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        started.get(path.as_uri())
        yield Page(started)
    finally:
        started.quit()


@pytest.fixture(autouse=True)
def no_trace(page: Page) -> Iterator[None]:
    """Each test finds the page as it was opened, and leaves no error and no request behind."""
    page.driver.refresh()
    yield
    assert [entry for entry in page.log("browser") if entry["level"] == "SEVERE"] == []
    assert page.requests() == []


def test_columns_sort_both_ways_and_say_so(page: Page) -> None:
    for key in ("energy", "accuracy"):
        page.one(f"button[data-sort={key}]").click()
        ways = set()
        for _ in range(2):
            values = list(page.values(key, ":not(.baselines)").values())
            way = page.one(f"th.{key}").get_attribute("aria-sort")
            assert values == sorted(values, reverse=way == "descending")
            assert page.driver.switch_to.active_element == page.one(f"button[data-sort={key}]")
            ways.add(way)
            page.driver.switch_to.active_element.click()
        assert ways == {"ascending", "descending"}


def test_filters_keep_what_they_say_and_the_baselines(page: Page) -> None:
    baselines = len(page.all("tbody.baselines tr"))
    everything = page.names()
    page.one("input[name=alone]").click()
    assert set(page.names()) == {name for name in everything if not name.startswith("mpc")}
    page.pick("family", "ObfNet")
    assert page.names()
    assert all(name.startswith("obfnet") for name in page.names())
    assert len(page.all("tbody.baselines tr")) == baselines > 0
    page.driver.refresh()
    page.pick("link", "lorawan_sf12")
    page.one("input[name=feasible]").click()
    assert page.all("table.schemes tbody:not(.baselines) .is-no") == []
    assert len(page.names()) < len(everything)


@pytest.mark.parametrize(("device", "link"), [("cortex_m7", "lorawan_sf7"), ("raspberry_pi_4", "wifi")])
def test_numbers_are_those_of_modelled_csv_on_any_device_and_link(page: Page, device: str, link: str) -> None:
    page.pick("device", device)
    page.pick("link", link)
    table = pd.read_csv(FOLDER / "modelled.csv").set_index("job")
    table = table[(table.device == device) & (table.link == link)]
    for key, columns in MODELLED.items():
        shown = page.values(key)
        assert shown
        if columns:
            expected = table[list(columns)].sum(axis=1, skipna=False)
            assert shown == {job: pytest.approx(expected[job], rel=1e-9) for job in shown}
    feasible = {line.get_attribute("data-job"): line for line in page.all("table.schemes tr[data-job]")}
    for job, line in feasible.items():
        row = table.loc[str(job)]
        fits = row.feasible and row.link_feasible and row.link_setup_feasible is not False
        said = line.find_element(By.CSS_SELECTOR, "td.feasible b").text
        assert said == "no" if not fits else said in ("yes", "no")


def test_a_scheme_that_baselines_beat_in_every_column_says_so_and_none_is_called_best(page: Page) -> None:
    values = {key: page.values(key) for key in BETTER}
    lines = {str(line.get_attribute("data-job")): line for line in page.all("table.schemes tr[data-job]")}
    names = {job: line.find_element(By.CSS_SELECTOR, "th a").text for job, line in lines.items()}
    feasible = {job: line.find_element(By.CSS_SELECTOR, ".feasible b").text == "yes" for job, line in lines.items()}
    baselines = [str(line.get_attribute("data-job")) for line in page.all("tbody.baselines tr")]

    def beats(other: str, job: str) -> bool:
        ahead = [sign * (values[key][other] - values[key][job]) for key, sign in BETTER.items()]
        return feasible[other] >= feasible[job] and min(ahead) >= 0 and max(ahead) > 0

    for job in lines.keys() - set(baselines):
        expected = {names[other] for other in baselines if beats(other, job)}
        told = [note.text for note in lines[job].find_elements(By.CSS_SELECTOR, ".beaten")]
        assert {
            name for text in told for name in text.removeprefix("In no column better than ").split("; ")
        } == expected
    assert page.all(".beaten")
    assert "best" not in page.one("main").text.lower().split()


def test_figures_of_ones_own_count_and_bad_ones_are_refused(page: Page) -> None:
    before = page.values("energy")
    page.one("details.own summary").click()
    page.write("power_w", "0.148")
    doubled = page.values("energy")
    assert all(doubled[job] > before[job] for job in before)
    page.write("power_w", "-1")
    assert page.one("input[name=power_w]").get_attribute("aria-invalid") == "true"
    assert "must be a number above 0" in page.one("details.own").text
    page.write("samples_per_day", "48")
    assert "48 samples a day" in page.one("#verdict").text


def test_a_name_leads_to_the_schemes_section_with_everything_about_it(page: Page) -> None:
    link = page.one("tbody:not(.baselines) th a")
    link.click()
    # A section is filled when the browser tells that it is open.
    WebDriverWait(page.driver, 30).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".scheme[open] pre"))
    section = page.one(".scheme[open]")
    assert page.driver.switch_to.active_element == section.find_element(By.CSS_SELECTOR, "summary")
    assert link.text in section.text
    for told in ("Protects", "What each party does", "Stages", "Every repetition", "ppbench run scheme="):
        assert told in section.text


def test_every_mark_of_a_picture_is_a_link_that_says_what_it_is(page: Page) -> None:
    page.pick("axis-x", "bytes")
    marks = page.all("#pareto-body a.point")
    assert len(marks) >= len(page.values("bytes"))
    assert all("accuracy" in str(mark.get_attribute("aria-label")).lower() for mark in marks)
    assert page.driver.find_element(By.CSS_SELECTOR, "[name=axis-x]").is_displayed()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, theme: str) -> None:
    page.driver.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    page.driver.execute_script("document.querySelector('.scheme').open = true")
    found: dict[str, Any] = Axe().run(page.driver)
    assert found["testEngine"]["version"].startswith("4.")
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []


@pytest.mark.parametrize("width", [400, 800, 1400])
def test_the_page_never_scrolls_sideways(page: Page, width: int) -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
