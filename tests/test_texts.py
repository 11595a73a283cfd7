"""A few rows of a column of text, against Arrow's own way of taking them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.texts import Texts

TEXTS = st.lists(st.none() | st.text(max_size=5), min_size=1, max_size=20)


@given(TEXTS, st.sampled_from([pa.string(), pa.large_string()]), st.integers(0, 19), st.data())
def test_rows_are_those_that_arrow_takes(
    texts: list[str | None], kind: pa.DataType, start: int, data: st.DataObject
) -> None:
    column = pa.array(texts, kind)[min(start, len(texts) - 1) :]
    rows = data.draw(st.lists(st.integers(0, len(column) - 1), max_size=10))
    found = Texts(column)
    assert (
        found.take(np.array(rows, np.int64)) == column.take(pa.array(rows, pa.int64())).to_pylist()
    )
    assert len(found) == len(column)


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_that_is_not_there(row: int) -> None:
    with pytest.raises(IndexError):
        Texts(pa.array(["one", None])).take(np.array([row]))


def test_a_column_without_rows() -> None:
    nothing = Texts(pa.array([], pa.string()))
    assert len(nothing) == 0
    assert nothing.take(np.zeros(0, np.int32)) == []
