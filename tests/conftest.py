"""What CI does otherwise: it installs what every test needs, so a skipped test has failed; and it draws no lots."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers.processes import wait_until_gone

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


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch computes with one thread, as in parties: on a busy machine two are thirty times slower than one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With PPBENCH_NO_SKIPS in the environment, end as failed if a test was skipped.

    Those that need what is no package of Python's are told as skipped and no more.
    """
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    skipped = [report for report in skipped if "latex" not in report.keywords]
    if os.environ.get("PPBENCH_NO_SKIPS") and reporter and skipped and exitstatus == 0:
        reporter.write_line("PPBENCH_NO_SKIPS is set, and a test was skipped", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
