"""Trees of plain values and arrays, drawn and compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

_DTYPES = st.sampled_from(["?", "u1", "<i8", "<f4", "<f8", "<c16"])
_PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10))
_ARRAYS = hnp.arrays(_DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
_KEYS = st.text(max_size=5).filter(lambda key: key != "\0array")


def trees() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.one_of(_PLAIN, _ARRAYS),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=4)),
        max_leaves=8,
    )


def assert_same(came: Any, went: Any) -> None:
    if isinstance(went, np.ndarray):
        assert (came.dtype, came.shape, came.tobytes()) == (went.dtype, went.shape, went.tobytes())
    elif isinstance(went, dict):
        assert list(came) == list(went)
        for key in went:
            assert_same(came[key], went[key])
    elif isinstance(went, list):
        assert len(came) == len(went)
        for one, other in zip(came, went, strict=True):
            assert_same(one, other)
    elif isinstance(went, float) and math.isnan(went):
        assert math.isnan(came)
    else:
        assert type(came) is type(went)
        assert came == went
