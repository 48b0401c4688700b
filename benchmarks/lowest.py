"""Proves the lower bounds of pyproject.toml: `make lowest`, in an environment where each is exactly what is installed.

There one scheme of each kind of engine is measured, and a few tests are run. Tools that only read the code are left
out: `make lint` is clean with the versions that their bounds name, and newer ones, and not with older stubs of numpy.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

CHECKOUT = Path(__file__).resolve().parent.parent
READERS = {"mypy", "pandas-stubs", "ruff", "types-pyyaml"}
WITHOUT_DEPENDENCIES = "crypten==0.4.1"
SCHEMES = ("plaintext", "obfnet", "barni", "barni_paillier", "mpc", "dp_sgd", "projection_training")
SMALL = (
    "dataset=digits",
    "model=mlp",
    "model.hidden=[8]",
    "task.n_samples=20",
    "task.batch_size=10",
    "measure.repetitions=1",
)
TESTS = ("tests/test_message.py", "tests/test_bundle_cache.py", "tests/test_data.py")


def pins() -> list[str]:
    """Every bound as `name==version`, of all extras."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    return sorted({pin for need in needs if (pin := _pin(Requirement(need), project["name"]))})


def _pin(need: Requirement, own_name: str) -> str | None:
    if need.name == own_name or need.name in READERS or (need.marker and not need.marker.evaluate()):
        return None
    (lowest,) = (bound.version for bound in need.specifier if bound.operator == ">=")
    return f"{need.name}=={lowest}"


def main() -> int:
    """Install, measure, test; the status is 0 if all of it works."""
    with tempfile.TemporaryDirectory(prefix="ppbench-lowest-") as name:
        folder = Path(name)
        python = _installed(folder)
        failures = [*_measured(python, folder), *_tested(python)]
    for failure in failures:
        print(f"FAILED {failure}")
    print("all lower bounds hold" if not failures else f"{len(failures)} failures", "with", *pins())
    return 1 if failures else 0


def _installed(folder: Path) -> str:
    """The interpreter of a fresh environment with the lowest versions and the checkout as a package."""
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--prefer-binary", *pins()], check=True)
    subprocess.run([*pip, "--no-deps", WITHOUT_DEPENDENCIES], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", str(CHECKOUT)], check=True)
    return python


def _measured(python: str, folder: Path) -> Iterator[str]:
    schemes = f"scheme={','.join(SCHEMES)}"
    command = [python, "-m", "ppbench", "run", "-m", schemes, *SMALL, "results_dir=results"]
    environment: dict[str, Any] = {**os.environ, "PPBENCH_CACHE": str(folder / "cache")}
    subprocess.run(command, cwd=folder, env=environment)
    with open(folder / "results" / "summary.csv") as table:
        rows = list(csv.DictReader(table))
    yield from (f"{row['scheme']}: {row['status']}: {row['reason']}" for row in rows if row["status"] != "ok")
    if len(rows) != len(SCHEMES):
        yield f"{len(rows)} rows for {len(SCHEMES)} jobs"
    if not list((folder / "results").glob("figures/*.png")):
        yield "the report drew no picture"


def _tested(python: str) -> Iterator[str]:
    ended = subprocess.run([python, "-m", "pytest", "-p", "no:cacheprovider", *TESTS], cwd=CHECKOUT)
    if ended.returncode:
        yield f"pytest {' '.join(TESTS)}"


if __name__ == "__main__":
    sys.exit(main())
