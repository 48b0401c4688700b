"""An installed wheel, run from an empty folder, behaves as the checkout does."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pandas as pd
import pytest

from ppbench.registry import REGISTRIES
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that has the wheel, and everything else from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("ppbench_iot-*.whl")
    venv.create(folder / "venv", with_pip=False)
    here = sysconfig.get_paths()["purelib"]
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)
    # After the wheel's own packages; path files in there, such as this checkout's, are not followed.
    (site / "the_rest.pth").write_text(here + "\n")
    return folder / "venv" / "bin"


def python(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(installed / "python"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120)


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(installed, folder, "-m", "ppbench.cli", *arguments)


def test_the_code_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    program = "import ppbench, schemes; print(ppbench.__file__, schemes.__file__)"
    ended = python(installed, tmp_path, "-c", program)
    assert str(ROOT) not in ended.stdout
    assert str(installed.parent) in ended.stdout


def test_it_lists_the_same(installed: Path, tmp_path: Path) -> None:
    here = subprocess.run([sys.executable, "-m", "ppbench.cli", "list"], capture_output=True, text=True)
    there = run(installed, tmp_path, "list")
    assert there.stdout == here.stdout
    assert "plaintext" in there.stdout


def test_it_measures_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    given = ["scheme=plaintext,local_small", "dataset=digits", "model=mlp", "task.n_samples=50"]
    ended = run(installed, tmp_path, "run", "-m", *given, "results_dir=here")
    assert ended.returncode == 0, ended.stderr
    assert list(pd.read_csv(tmp_path / "here" / "summary.csv").status) == ["ok", "ok"]


def test_it_refuses_as_the_checkout_does(installed: Path, tmp_path: Path) -> None:
    ended = run(installed, tmp_path, "run", "scheme=plaintxt")
    assert ended.returncode == 2
    assert "did you mean 'plaintext'" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_tells_anyone_to_install_a_strangers_package() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    texts = [ROOT / name for name in tracked if name.endswith((".md", ".py", ".toml", ".yaml", "Makefile"))]
    for path in texts:
        if path != Path(__file__).resolve():
            assert "pip install ppbench" not in path.read_text(), path


def test_what_a_plugin_says_to_install_is_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {need.partition(";")[0] for extra in project["optional-dependencies"].values() for need in extra}
    plugins = [registry.load(name) for registry in REGISTRIES for name in registry.names()]
    assert plugins
    for plugin in plugins:
        for need in plugin.requires.values():
            assert need in asked or need == "crypten==0.4.1", f"{plugin.name} says {need}"
