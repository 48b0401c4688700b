"""The digest of code follows every module that something is made of, and no other."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from ppbench import code
from ppbench.plugin import Plugin
from ppbench.scheme import Scheme
from schemes.barni import Barni, engine
from schemes.cryptonets import CryptoNets, packing
from schemes.local import Local
from schemes.mpc import Mpc, engines
from schemes.obfnet import ObfNet

SOURCES = {
    "maker/__init__.py": "",
    "maker/scheme.py": "import maker.plain\nENGINE = 'maker.named'\n\ndef late():\n    from maker import deep\n",
    "maker/plain.py": "from .beside import VALUE\n",
    "maker/beside.py": "VALUE = 'maker.targets.one:Class'\n",
    "maker/deep.py": "import maker.scheme\n",
    "maker/named.py": "",
    "maker/targets/__init__.py": "",
    "maker/targets/one.py": "",
}
UNUSED = {
    "maker/unused.py": "",
    "maker/targets/unused.py": "import maker.unused\n",
    "other/__init__.py": "",
    "other/library.py": "",
}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages that nobody has imported."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, source in {**SOURCES, **UNUSED}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    with (tmp_path / "maker/plain.py").open("a") as plain:
        plain.write("import other.library\n")
    return tmp_path


def edit(file: Path) -> None:
    with file.open("a") as appended:
        appended.write("# another\n")


@pytest.mark.parametrize("name", SOURCES)
def test_it_follows_all_that_a_module_imports_from_its_own_package(packages: Path, name: str) -> None:
    before = code.of("maker.scheme")
    assert code.of("maker.scheme") == before
    edit(packages / name)
    assert code.of("maker.scheme") != before
    assert not {"maker", "maker.scheme"} & sys.modules.keys(), "nothing is run to find it"


def test_it_follows_nothing_else(packages: Path) -> None:
    before = code.of("maker.scheme")
    for name in UNUSED:
        edit(packages / name)
    assert code.of("maker.scheme") == before


def test_a_line_that_moves_to_another_module_is_another_code(packages: Path) -> None:
    one, other = packages / "maker/named.py", packages / "maker/deep.py"
    one.write_text("a = 1\nb = 2\n")
    before = code.of("maker.named", "maker.deep")
    one.write_text("a = 1\n")
    other.write_text("b = 2\n")
    assert code.of("maker.named", "maker.deep") != before


def test_a_module_that_cannot_be_parsed_imports_nothing(packages: Path) -> None:
    before = code.of("maker.scheme")
    (packages / "maker/named.py").write_text("def broken(:\n")
    assert code.of("maker.scheme") != before


def test_a_class_is_made_of_those_that_it_derives_from(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = "import dataclasses\nfrom ppbench.plugin import Plugin\n\nclass Base(Plugin):\n    pass\n"
    (packages / "other/library.py").write_text(base)
    monkeypatch.delitem(sys.modules, "other", raising=False)
    from other.library import Base  # type: ignore[import-not-found]

    @dataclasses.dataclass(frozen=True)
    class Derived(Base):  # type: ignore[misc]
        """In this module, from another package."""

    before, own = code.of_class(Derived), code.of_class(Plugin)
    edit(packages / "other/library.py")
    assert code.of_class(Derived) != before
    assert code.of_class(Plugin) == own
    for name in [name for name in sys.modules if name.partition(".")[0] == "other"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("scheme", "engines"),
    [
        (Barni, engine.MODULES.values()),
        (CryptoNets, packing.MODULES.values()),
        (Mpc, engines.ENGINES.values()),
        (ObfNet, ["schemes.obfnet.training", "ppbench.models.mlp", "ppbench.models.training"]),
        (Local, ["ppbench.models.local_cnn", "ppbench.models.mlp"]),
    ],
)
def test_a_scheme_is_made_of_what_it_imports_late_or_by_name(scheme: type[Scheme], engines: Iterable[str]) -> None:
    assert {scheme.__module__, *engines} <= set(code.closure([scheme.__module__], ["schemes", *code.COMPUTING]))


@pytest.mark.parametrize("module", ["ppbench.no_such_module", "no_such_package.module", "sys"])
def test_a_module_without_a_source_is_an_error(module: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=module):
        code.of(module)


def test_a_scheme_in_a_script_has_a_source_too(tmp_path: Path) -> None:
    script = tmp_path / "scheme.py"
    script.write_text("from ppbench import code; print(code.of(__name__))")
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True)
    assert len(done.stdout.strip()) == 16
