"""Every example of README and docs, as it stands, in an empty folder, with nothing else given."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ppbench import cli
from ppbench.app import config
from tests.helpers.paths import ROOT

TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

pytestmark = pytest.mark.slow


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: `sh` and `python` are run, `console` takes longer or more than one machine."""

    language: str
    content: str

    @property
    def commands(self) -> list[str]:
        lines = self.content.replace("\\\n", " ").splitlines()
        return [line.partition(" #")[0].strip() for line in lines if line.strip()]


def blocks(*languages: str, texts: list[Path] = TEXTS) -> list[Block]:
    found = [
        Block(language, content)
        for text in texts
        for language, content in re.findall(r"^```(\w*)\n(.*?)^```$", text.read_text(), re.MULTILINE | re.DOTALL)
    ]
    return [block for block in found if block.language in languages]


def inline_commands() -> list[str]:
    commands = [
        " ".join(command.split())
        for text in TEXTS
        for command in re.findall(
            r"`(ppbench run [^`]*)`", re.sub(r"^```.*?^```$", "", text.read_text(), flags=re.M | re.S)
        )
    ]
    # NAME, FOLDER and the like stand for something, and so do dots.
    return [command for command in commands if not re.search(r"\b[A-Z]{3,}\b|\.\.\.", command)]


def write_files(folder: Path, begins: str) -> None:
    """The files that the pages have one write, each named by the text before its block, and by no other YAML."""
    for text in TEXTS:
        content = text.read_text()
        named = re.findall(r"`([\w./]+\.yaml)`:\n\n```yaml\n(.*?)^```$", content, re.MULTILINE | re.DOTALL)
        assert len(named) == len(re.findall(r"^```yaml$", content, re.MULTILINE)), text
        for name, block in named:
            if name.startswith(begins):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that all pages make together, as pip installs it, without asking any index."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    code = [block.content for block in blocks("python") if "class " in block.content]
    write_files(source, "your_package/")
    (source / "your_package" / "__init__.py").write_text("\n\n".join(code))
    (source / "pyproject.toml").write_text("\n".join(block.content for block in blocks("toml")))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    subprocess.run(command, check=True, timeout=120)
    return target


@pytest.fixture
def empty_folder(tmp_path: Path) -> Path:
    """Nothing is in it but the experiment that the pages have one write."""
    write_files(tmp_path, "conf/")
    return tmp_path


def as_it_stands(command: list[str], folder: Path, package: Path) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(package),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1500)
    assert ended.returncode == 0, " ".join(command) + "\n" + ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("block", blocks("sh"), ids=lambda block: block.commands[0])
def test_commands(block: Block, empty_folder: Path, package: Path) -> None:
    for command in block.commands:
        as_it_stands(shlex.split(command), empty_folder, package)


@pytest.mark.parametrize("block", [block for block in blocks("python") if "class " not in block.content])
def test_programs(block: Block, empty_folder: Path, package: Path) -> None:
    as_it_stands([sys.executable, "-c", block.content], empty_folder, package)


@pytest.mark.parametrize(
    "command", [*inline_commands(), *(line for block in blocks("console") for line in block.commands)]
)
def test_what_takes_longer_is_configured_well(command: str) -> None:
    """Commands that train for minutes or wait for a device: nothing of them is run here."""
    program, *arguments = shlex.split(command)
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    assert program == "ppbench"
    if arguments[0] == "run" and "--help" not in arguments:
        config.register()
        given = [argument for argument in arguments[1:] if argument != "-m"]
        assert [config.to_job(one) for one in config.compose_all(given).jobs]
    else:
        with pytest.raises(SystemExit) as end:
            cli.main([arguments[0], "--help"])
        assert end.value.code == 0
