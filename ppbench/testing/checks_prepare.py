"""What the coordinator makes once, and keeps."""

from __future__ import annotations

import json
from typing import Any

from ppbench import bundle
from ppbench.bundle import Tree
from ppbench.errors import PpbenchError
from ppbench.measure.prepare import PreparationFailed
from ppbench.testing import evidence
from ppbench.testing.case import Case
from ppbench.testing.result import CheckFailed, require, skip_if


def prepares_for_its_roles(case: Case) -> None:
    """`prepare` ends well, takes no files or objects out with it, and names only roles that there are."""
    try:
        artifacts = case.start.artifacts
    except PreparationFailed as error:
        raise CheckFailed(error.reason, evidence.of_text(case.cls, error.traceback, "the preparation")) from error
    except PpbenchError as error:
        raise CheckFailed(str(error)) from error
    strangers = sorted(set(artifacts) - set(case.scheme.roles))
    require(not strangers, f"prepare makes something for {strangers}; the roles are {sorted(case.scheme.roles)}")


def prepares_once(case: Case) -> None:
    """A second job with the same key finds what the first one made, and need not make it again."""
    key, again = (_plain(case.scheme.prepare_key(case.facts)) for _ in range(2))
    require(key == again, "prepare_key is another each time it is asked")
    first, second = case.need(case.plain), case.need(case.odd)
    for metric in ("wall_s", "cpu_s"):
        require(
            first.values("prepare", metric) == second.values("prepare", metric),
            "the second job was prepared anew, though nothing differs",
        )


def prepare_depends_on_its_key_alone(case: Case) -> None:
    """The same model and prepare_key give the same artifacts, whatever else differs, to the bit."""
    _prepared(case)
    try:
        other = case.pair_start
    except PpbenchError as error:
        raise CheckFailed(f"prepared a second time it fails: {error}") from error
    key = _plain(case.scheme.prepare_key(case.start.task.facts))
    other_key = _plain(case.scheme.prepare_key(other.task.facts))
    skip_if(key != other_key, "prepare_key takes the number of participants or the batch size into account")
    require(
        _same(case.start.artifacts, other.artifacts),
        "prepare made other artifacts for two participants and batches of 8, but prepare_key is the same",
    )


def _prepared(case: Case) -> None:
    try:
        _ = case.start
    except PpbenchError as error:
        skip_if(True, f"it could not be prepared: {error}")


def _plain(key: Any) -> Any:
    return json.loads(json.dumps(key))


def _same(one: Tree, other: Tree) -> bool:
    """Equal to the bit, arrays by type, shape and bytes."""
    (skeleton, arrays), (other_skeleton, other_arrays) = bundle.flatten(one), bundle.flatten(other)
    described = [(array.dtype, array.shape, array.tobytes()) for array in arrays]
    return skeleton == other_skeleton and described == [(a.dtype, a.shape, a.tobytes()) for a in other_arrays]
