"""In which order and with how many threads tests run, and what CI does otherwise: it draws no lots, and installs what
every test needs, so that a skipped test has failed.

What comes with the system and not with pip may be missing there too: a test that is skipped for it says `apt-get`.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ppbench.process import THREAD_VARIABLES
from tests.helpers.processes import wait_until_gone

# Before anything that reads them is imported, here or in a worker: the workers take all cores already, and
# on a busy machine two threads are thirty times slower than one.
os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")

# No example may fail because the machine is busy. In CI the examples are the same each time, so that what fails there
# is what the commit changed; anywhere else they are new ones.
settings.register_profile(
    "ppbench",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("ppbench")


@pytest.fixture
def same_environment() -> Iterator[None]:
    """What a test changes in the environment is undone."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def marker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """In the environment of every process that the test starts, and checked to be gone with it."""
    text = uuid.uuid4().hex
    monkeypatch.setenv("PPBENCH_TEST_MARKER", text)
    yield text
    left = wait_until_gone(text)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that may take longest come first: workers who take a file each then end together, and train at once."""
    by_file: dict[Path, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(item.path, []).append(item)
    items[:] = [item for of_file in sorted(by_file.values(), key=_length, reverse=True) for item in of_file]


def _length(of_file: list[pytest.Item]) -> tuple[float, int, int]:
    """What a file's tests may take, how many of them are slow, and how many there are."""
    limits = [mark.args[0] for item in of_file if (mark := item.get_closest_marker("timeout"))]
    n_slow = sum(1 for item in of_file if item.get_closest_marker("slow"))
    return max(limits, default=0), n_slow, len(of_file)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With PPBENCH_NO_SKIPS in the environment, end as failed if a test was skipped for what pip could install."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter and os.environ.get("PPBENCH_NO_SKIPS") else []
    if reporter and exitstatus == 0 and any("apt-get" not in str(report.longrepr) for report in skipped):
        reporter.write_line("PPBENCH_NO_SKIPS is set, and a test was skipped", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
