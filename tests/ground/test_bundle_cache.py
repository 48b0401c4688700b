"""Trees on disk are whole or absent, and what is costly is made once and charged in full."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppbench import bundle, cache
from tests.helpers.trees import assert_same, trees

# Trees


@given(trees())
def test_a_tree_is_put_together_as_it_was(tree: Any) -> None:
    skeleton, arrays = bundle.flatten(tree)
    assert_same(bundle.unflatten(skeleton, arrays), tree)


@given(tree=trees())
def test_a_tree_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "tree.npz"
    bundle.save(path, tree)
    assert_same(bundle.load(path), tree)


def test_numpy_scalars_and_tuples_become_plain() -> None:
    tree = {"a": (np.float32(0.5), np.int8(-3), np.bool_(True), np.str_("x")), "b": ()}
    came = bundle.unflatten(*bundle.flatten(tree))
    assert_same(came, {"a": [0.5, -3, True, "x"], "b": []})


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({"a": [1, {2: 3}]}, r"tree\.a\[1\]"),
        ([{"b": {1, 2}}], r"tree\[0\]\.b"),
        ({"a": b"bytes"}, r"tree\.a"),
        ({"a": np.array([None])}, r"tree\.a"),
        ({"a": np.zeros(1, [("x", object)])}, r"tree\.a"),
        ({"a": np.complex64(1j)}, r"tree\.a"),
        ({"a": np.datetime64("2020-01-01")}, r"tree\.a"),
        ({"a": {"\0array": 0}}, r"tree\.a"),
        (object(), "tree"),
    ],
)
def test_what_is_no_tree_is_refused_with_its_place(tree: Any, place: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=f"^{place}: "):
        bundle.save(tmp_path / "tree.npz", tree)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("node", "n_arrays"),
    [
        ({"\0array": 0}, 0),
        ({"\0array": 1}, 2),
        ({"\0array": -1}, 1),
        ({"\0array": False}, 1),
        ({"\0array": 0.0}, 1),
        ({"\0array": None}, 1),
        ({"\0array": {"\0array": 0}}, 1),
        ({"\0array": 0, "more": 1}, 1),
        ([{"\0array": 0}, {"\0array": 0}], 1),
        ([{"\0array": 1}, {"\0array": 0}], 2),
        ([], 1),
    ],
)
def test_a_skeleton_names_each_array_once_in_order(node: Any, n_arrays: int) -> None:
    with pytest.raises(ValueError, match="skeleton"):
        bundle.unflatten(json.dumps(node), [np.zeros(1)] * n_arrays)


@pytest.mark.parametrize("skeleton", ["", "{", "[" * 100_000, "[" * 900 + "]" * 900, "nul", "1" * 5000])
def test_a_hostile_skeleton_is_a_value_error(skeleton: str) -> None:
    try:
        bundle.unflatten(skeleton, [])
    except ValueError:
        return
    assert skeleton.startswith("[" * 900 + "]")


# Files


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "tree.npz"
    bundle.save(path, {"a": 1})

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    for name in ("fsync", "replace", "chmod"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="no space"):
                bundle.save(path, {"a": 2})
    assert [file.name for file in path.parent.iterdir()] == ["tree.npz"]
    assert bundle.load(path) == {"a": 1}


def test_an_interrupt_after_the_rename_is_still_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def interrupted(*names: Any) -> None:
        replace(*names)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bundle.save(tmp_path / "tree.npz", 1)
    assert bundle.load(tmp_path / "tree.npz") == 1


def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "tree.npz"
    bundle.save(path, {"a": 1})
    code = (
        "import os, signal, sys; from pathlib import Path; from ppbench import bundle;"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); bundle.save(Path(sys.argv[1]), {'a': 2})"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -9
    assert bundle.load(path) == {"a": 1}
    assert [file.name for file in tmp_path.glob("*.npz")] == ["tree.npz"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tree.npz"
    bundle.save(path, [0, np.zeros(10_000)])
    stop = threading.Event()

    def write() -> None:
        for i in range(40):
            bundle.save(path, [i, np.full(10_000, i)])
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        i, array = bundle.load(path)
        assert (array == i).all()
    writer.join()


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "flipped", "npy", "other members", "no skeleton"])
def test_a_damaged_file_is_a_value_error(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "tree.npz"
    bundle.save(path, {"a": np.arange(1000), "b": 2})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "npy":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    elif damage == "other members":
        np.savez(path, skeleton=np.frombuffer(b'{"\\u0000array": 0}', np.uint8), other=np.zeros(1))
    elif damage == "no skeleton":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("hello.txt", "hello")
    else:
        path.write_bytes({"empty": b"", "text": b"text", "flipped": bytes(content)}.get(damage, bytes(content[:-100])))
    with pytest.raises(ValueError, match=r"tree\.npz is damaged"):
        bundle.load(path)


def test_pickled_members_are_never_executed(tmp_path: Path) -> None:
    path = tmp_path / "tree.npz"
    np.savez(path, skeleton=np.array([print], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        bundle.load(path)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        bundle.load(tmp_path / "tree.npz")


# Cache


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPBENCH_CACHE", str(tmp_path / "cache"))


def compute(cpu_s: float) -> None:
    until_s = time.process_time() + cpu_s
    while time.process_time() < until_s:
        sum(range(1000))


def test_an_entry_is_made_once_and_keeps_its_cost() -> None:
    built = []

    def build() -> Any:
        built.append(1)
        compute(0.05)
        return {"weights": np.arange(3)}

    entries = [cache.cached("model", {"seed": 1}, build) for _ in range(3)]
    assert len(built) == 1
    for entry in entries:
        assert_same(entry.content, {"weights": np.arange(3)})
        assert entry.cost == entries[0].cost
        assert entry.cost.cpu_s >= 0.05
    found = cache.lookup("model", {"seed": 1})
    assert found is not None
    assert found.cost == entries[0].cost


def test_another_key_or_kind_is_another_entry() -> None:
    keys: list[dict[str, Any]] = [{"a": 1}, {"a": "1"}, {"a": 1, "b": None}, {"a": [1]}, {"a": 1.5}]
    for i, key in enumerate(keys):
        assert cache.cached("model", key, lambda i=i: i).content == i  # type: ignore[misc]
    assert cache.lookup("scheme", {"a": 1}) is None
    assert cache.digest({"a": 1, "b": 2}) == cache.digest({"b": 2, "a": 1})


def test_of_two_processes_one_builds(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom ppbench import cache\n"
        "def build():\n"
        "    open(sys.argv[1], 'a').write('built\\n'); time.sleep(0.5); return 7\n"
        "sys.stdin.readline()\n"
        "print(cache.cached('model', {'a': 1}, build).content)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in both] == ["7\n", "7\n"]
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_build_that_fails_leaves_nothing_and_is_tried_again() -> None:
    def fail() -> None:
        raise RuntimeError("no convergence")

    with pytest.raises(RuntimeError):
        cache.cached("model", {}, fail)
    assert cache.lookup("model", {}) is None
    assert cache.cached("model", {}, lambda: 1).content == 1


@pytest.mark.parametrize("damage", ["bytes", "no cost", "other cost", "a list"])
def test_a_damaged_entry_is_made_again(damage: str, caplog: pytest.LogCaptureFixture) -> None:
    cache.cached("model", {}, lambda: 1)
    path = cache.path_of("model", {})
    wrong = {"no cost": {"content": 1}, "other cost": {"content": 1, "cost": {"x": 1}}, "a list": [1]}
    if damage in wrong:
        bundle.save(path, wrong[damage])
    else:
        path.write_bytes(path.read_bytes()[:-30])
    with caplog.at_level(logging.WARNING):
        assert cache.lookup("model", {}) is None
        assert cache.cached("model", {}, lambda: 2).content == 2
    assert "it is made again" in caplog.text
    assert cache.cached("model", {}, lambda: 3).content == 2


@given(st.sampled_from(["found", "made"]), st.sampled_from(["found", "made"]))
def test_an_entrys_cost_holds_that_of_all_it_asked_for(middle: str, inner: str) -> None:
    """A dataset-like entry within a model-like entry within a scheme-like one: found or made, the sum is the same."""
    key = {"run": time.perf_counter_ns()}

    def build_inner() -> int:
        compute(0.01)
        return 1

    def build_middle() -> int:
        return int(cache.cached("inner", key, build_inner).content) + 1

    def build_outer() -> int:
        return int(cache.cached("middle", key, build_middle).content) + 1

    if inner == "found":
        cache.cached("inner", key, build_inner)
    if middle == "found":
        cache.cached("middle", key, build_middle)
    outer = cache.cached("outer", key, build_outer)
    assert outer.content == 3
    costs = [cache.lookup(kind, key) for kind in ("inner", "middle", "outer")]
    cpu_s = [entry.cost.cpu_s for entry in costs if entry]
    wall_s = [entry.cost.wall_s for entry in costs if entry]
    assert 0.01 <= cpu_s[0] <= cpu_s[1] <= cpu_s[2]
    assert 0.01 <= wall_s[0] <= wall_s[1] <= wall_s[2]
    assert outer.cost == (costs[2] and costs[2].cost)


def test_what_is_found_is_charged_once_and_not_the_finding() -> None:
    """A stored cost far above what looking it up takes: the outer entry costs that, and little more."""
    bundle.save(cache.path_of("inner", {}), {"content": 1, "cost": {"cpu_s": 1000.0, "wall_s": 2000.0}})

    def build_middle() -> int:
        cache.lookup("inner", {})
        return int(cache.cached("inner", {}, lambda: 0).content)

    outer = cache.cached("outer", {}, lambda: cache.cached("middle", {}, build_middle).content)
    assert 1000 <= outer.cost.cpu_s < 1500
    assert 2000 <= outer.cost.wall_s < 2500


def test_the_cost_holds_that_of_child_processes() -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass"

    def build() -> int:
        return subprocess.run([sys.executable, "-c", code]).returncode

    assert cache.cached("model", {}, build).cost.cpu_s >= 0.3
