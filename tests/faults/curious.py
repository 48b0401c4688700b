"""A scheme that works, and whose participant tries which files it may read, and in which folders it may write."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.party import Party
from ppbench.scheme import Role
from tests.broken.sound import Participant, Sound, roles


class Trying(Participant):
    """Publishes how far it came."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        party.publish("read", np.array([_reads(Path(path)) for path in self.scheme.files]))
        folders = (*self.scheme.folders, tempfile.gettempdir())
        party.publish("written", np.array([_writes(Path(path)) for path in folders]))


def _reads(path: Path) -> bool:
    with contextlib.suppress(PermissionError):
        path.read_bytes()
        return True
    return False


def _writes(folder: Path) -> bool:
    with contextlib.suppress(PermissionError), tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"a sample")
        return True
    return False


@dataclasses.dataclass(frozen=True)
class Curious(Sound):
    """Reads `files`, and writes into `folders`, and at last into its own for temporary files, where it can."""

    name: ClassVar[str] = "curious"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Trying)
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def prepare_key(self, facts: Any) -> Mapping[str, Any]:
        """Nothing that is prepared depends on an option."""
        return {}
