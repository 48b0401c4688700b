"""What CI does at every push is what anybody can do in a checkout: its steps are targets of the Makefile."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import yaml

from tests.helpers.paths import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
ACTION = re.compile(r"actions/[a-z-]+@v\d+")


def jobs() -> dict[str, list[dict[str, Any]]]:
    """Job -> its steps."""
    workflow = yaml.safe_load(WORKFLOW.read_text())
    return {name: job["steps"] for name, job in workflow["jobs"].items()}


def made(job: str) -> list[str]:
    """The targets that a job makes, in their order."""
    commands = [step["run"] for step in jobs()[job] if "run" in step]
    return [target for command in commands for target in re.findall(r"^make (?:--\S+ )*(\S+)", command, re.MULTILINE)]


def recipe(target: str) -> str:
    """What make would do, were everything installed."""
    command = ["make", "--dry-run", "--no-print-directory", "--old-file=.venv/.installed", target]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout


def test_each_step_makes_one_target_or_is_a_well_known_action() -> None:
    assert made("test") == ["test"]
    assert made("smoke") == ["smoke", "compare"]
    for step in (step for steps in jobs().values() for step in steps):
        assert len(re.findall(r"\bmake\b", step["run"])) == 1 if "run" in step else ACTION.fullmatch(step["uses"])


def test_smoke_measures_everything_and_ends_with_the_comparison() -> None:
    *_, run, comparison = recipe("smoke").splitlines()
    assert run.endswith("ppbench run -m +experiment=smoke")
    assert comparison.endswith("ppbench compare results/smoke -")
    assert recipe("compare").strip() == comparison


def test_the_tests_are_what_it_says() -> None:
    assert recipe("test").splitlines()[-1].split()[:3] == [".venv/bin/python", "-m", "pytest"]


def test_what_it_keeps_is_what_smoke_writes() -> None:
    (kept,) = [step["with"]["path"] for step in jobs()["smoke"] if "upload-artifact" in step.get("uses", "")]
    assert kept.split() == ["comparison.md", "results/local/"]
    assert any("tee comparison.md" in step.get("run", "") for step in jobs()["smoke"])
