"""What we use of Hydra that it does not promise to keep: a version that moves it fails here, before it is allowed."""

from __future__ import annotations

import ast
import importlib
import inspect
import tomllib

import pytest

from tests.helpers.paths import ROOT

USED = {
    "hydra._internal.hydra.Hydra.create_main_hydra2": ("task_name", "config_search_path"),
    "hydra._internal.utils.create_config_search_path": ("search_path_dir",),
    "hydra._internal.utils._run_hydra": ("args", "args_parser", "task_function", "config_path", "config_name"),
    "hydra._internal.utils.get_args_parser": (),
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper.split_arguments": ("overrides", "max_batch_size"),
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper.sweep": ("self", "arguments"),
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher.launch": ("self", "job_overrides", "initial_job_idx"),
}
"""What it is called -> its parameters, from the first on."""


@pytest.mark.parametrize("name", USED)
def test_it_is_where_it_was_and_takes_what_it_took(name: str) -> None:

    parts = name.split(".")
    n_module = next(n for n in range(len(parts), 0, -1) if _importable(".".join(parts[:n])))
    found: object = importlib.import_module(".".join(parts[:n_module]))
    for part in parts[n_module:]:
        found = getattr(found, part)
    assert callable(found)
    assert tuple(inspect.signature(found).parameters)[: len(USED[name])] == USED[name]


def _importable(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def test_no_more_is_used_than_is_tested() -> None:
    tested = {".".join(name.split(".")[: -1 if name.split(".")[-2][0].isupper() else None]) for name in USED}
    for folder in ("ppbench", "hydra_plugins", "schemes"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hydra._internal"):
                    assert {f"{node.module}.{alias.name}" for alias in node.names} <= tested, path


def test_versions_beyond_those_seen_are_not_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (hydra,) = (need for need in project["optional-dependencies"]["bench"] if need.startswith("hydra-core"))
    assert hydra.endswith("<1.4")
