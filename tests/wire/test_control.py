"""What harness and party say to each other: trees of any size come whole, anything else is an error."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppbench.errors import ProtocolError
from ppbench.wire import control
from ppbench.wire.connection import Connection
from ppbench.wire.message import as_array, encode
from tests.helpers.ends import at_once, sockets
from tests.helpers.trees import assert_same, trees

DEEP = "[" * 100_000


def inboxes() -> tuple[Connection, control.Inbox]:
    ours, theirs = sockets("memory")
    return Connection(ours), control.Inbox(Connection(theirs))


@given(st.lists(st.tuples(st.sampled_from(["stage", "done"]), trees()), max_size=4))
def test_words_come_whole_and_in_order(said: list[tuple[str, Any]]) -> None:
    ours, inbox = inboxes()

    def say() -> None:
        for word, tree in said:
            control.send(ours, word, tree)

    def hear() -> None:
        for word, tree in said:
            heard, came = inbox.receive()
            assert heard == word
            assert_same(came, tree)

    at_once(say, hear)
    ours.close()
    inbox.connection.close()


@pytest.mark.parametrize("n_arrays", [0, 1, 253, 254, 255, 256, 1000])
def test_a_tree_may_have_any_number_of_arrays(n_arrays: int) -> None:
    ours, inbox = inboxes()
    tree = {"view": [np.full(3, i) for i in range(n_arrays)]}
    control.send(ours, "done", tree)
    control.send(ours, "next")
    words: list[tuple[str, Any]] = []
    while len(words) < 2:
        words += inbox.arrived()
    assert [word for word, _ in words] == ["done", "next"]
    assert_same(words[0][1], tree)
    assert inbox.arrived() == []


BEGINNINGS = [
    "",
    "7",
    "null",
    "{}",
    "[]",
    '["null"]',
    '["null", 0, 0]',
    '["null", -1]',
    '["null", 1e400]',
    '["null", "0"]',
    '["null", NaN]',
    "[null, 0]",
    '["", 0]',
    '["{", 0]',
    '["null", 1]',
    f'["{DEEP}", 0]',
    DEEP,
    f"[{DEEP}, 0]",
    "1" * 5000,
    '{"0": "null", "1": 0}',
]


@pytest.mark.parametrize("text", BEGINNINGS, ids=range(len(BEGINNINGS)))
def test_what_begins_no_tree(text: str) -> None:
    ours, inbox = inboxes()
    ours.send(encode("done", [as_array(text)]))
    ours.send(encode("done", []))
    with pytest.raises(ProtocolError, match="no word of the harness"):
        inbox.receive(), inbox.receive()


@pytest.mark.parametrize(
    "frames",
    [
        [("done", [])],
        [("done", [np.zeros(3)])],
        [("done", [np.array(1, np.uint8)])],
        [("done", [as_array('["[]", 0]').reshape(3, 3)])],
        [("done", [np.array([0xFF, 0xFE], np.uint8)])],
        [("done", [as_array('["null", 0]'), np.zeros(1)])],
        [("done", [as_array('["null", 1]'), np.zeros(1)])],
        [("done", [as_array('["null", 2]'), np.zeros(1)]), ("done", [])],
        [("done", [as_array('["null", 2]'), np.zeros(1)]), ("done", [np.zeros(1)] * 2)],
        [("done", [as_array('["null", 2]'), np.zeros(1)]), ("failed", [np.zeros(1)])],
    ],
)
def test_frames_that_are_no_word(frames: list[tuple[str, list[Any]]]) -> None:
    ours, inbox = inboxes()
    for name, arrays in frames:
        ours.send(encode(name, arrays))
    with pytest.raises(ProtocolError, match="no word of the harness"):
        inbox.receive()


_ARRAYS = [{"\0array": 0}, {"\0array": 1}, {"\0array": -1}, {"\0array": True}, {"\0array": [0]}, {"\0array": 0, "x": 1}]
_JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from(_ARRAYS)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "\0array"]), inner, max_size=2),
    max_leaves=5,
)


@given(st.one_of(_JSON.map(json.dumps), st.text(max_size=5)), st.integers(-1, 3), st.integers(0, 3))
def test_any_skeleton_is_a_tree_or_an_error(skeleton: str, n_claimed: int, n_arrays: int) -> None:
    ours, inbox = inboxes()
    ours.send(encode("done", [as_array(json.dumps([skeleton, n_claimed])), *[np.zeros(1)] * n_arrays]))
    ours.send(encode("next", []))
    try:
        inbox.receive()
    except ProtocolError:
        pass
    else:
        assert n_claimed == n_arrays
    ours.close()
    inbox.connection.close()
