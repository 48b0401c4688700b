"""What the tests of the remote wire stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ppbench.launch.door import Door, RemoteOptions, close_door, open_door
from tests.helpers.devices import LONGEST_S, make_bare_environment


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with this code and numpy."""
    return make_bare_environment(tmp_path_factory.mktemp("device"))


@pytest.fixture
def door(tmp_path: Path, marker: str) -> Iterator[Door]:
    """Open on a port that the system chose; closed before the marker is looked for."""
    yield open_door(RemoteOptions("127.0.0.1:0", str(tmp_path / "token"), wait_s=LONGEST_S))
    close_door()
