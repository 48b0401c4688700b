"""`ppbench check` as a user meets it: what a name means, options, and what is shown of a failure."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from ppbench.app.check import print_check
from ppbench.errors import PpbenchError
from tests.helpers.command import run_command
from tests.helpers.paths import PLUGINS, ROOT

UNSOUND = PLUGINS / "unsound"


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(UNSOUND)]), "COLUMNS": "300"}
    return run_command("check", *arguments, environment=environment, timeout_s=280)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["obfnt"], "no scheme, data set or model named 'obfnt'; did you mean 'obfnet'?"),
        (["mnst"], "did you mean 'mnist'?"),
        (["lennet"], "did you mean 'lenet'?"),
        (["scheme=mlp"], "no scheme named 'mlp'"),
        (["modl=mlp"], "no kind of plugin named 'modl'; did you mean 'model'?"),
        (["obfnet", "scheme.pool=3"], "no option in scheme named 'pool'; did you mean 'pool_size'?"),
        (["obfnet1", "scheme.pool_size=0"], "scheme.pool_size=0 must be at least 1"),
        (["mlp", "model.epochs=0"], "epochs=0 must be at least 1"),
        (["mlp", "task.batch_size=3"], "'task.batch_size=3' is no choice or option of scheme, dataset, model"),
        (["obfnet", "model=mlp,lenet"], "2 jobs are asked for: one thing is checked at a time"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(arguments: list[str], told: str) -> None:
    with pytest.raises(PpbenchError) as refused:
        print_check(arguments)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_cannot_run_here_is_refused_with_the_reason() -> None:
    ended = check("dataset=broken_data")
    assert ended.returncode == 2
    assert ended.stderr.startswith("ppbench: dataset 'broken_data' cannot be imported (")
    assert len(ended.stderr.splitlines()) == 1


def test_a_failure_shows_the_plugins_own_last_line_and_what_was_printed() -> None:
    ended = check("broken_load", "model=mlp")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert re.search(r"unsound/unsound/schemes\.py:\d+ in _raise: raise ZeroDivisionError", ended.stdout)
    assert "it printed:" in ended.stdout
    assert "Traceback (most recent call last):" in ended.stdout


@pytest.mark.slow
def test_a_model_with_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_check(["model=mlp", "model.epochs=1", "model.hidden=[8]", "dataset=digits"])
    assert "model mlp(hidden=[8],epochs=1): 16 passed, 0 failed" in capsys.readouterr().out


@pytest.mark.slow
def test_a_file_of_options_with_another_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_check(["local_small"])
    assert re.search(r"scheme local\(model=small\): \d+ passed, 0 failed", capsys.readouterr().out)
