from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engines.duckdb_sql import DuckDB
from antiphon.numbering import number_items, number_users, write_parquet
from antiphon.vocabulary import Vocabulary


def test_whole_numbers() -> None:
    vocabulary = Vocabulary(pa.array([50, 7, 9_000_000_000], pa.int64()))
    assert len(vocabulary) == 3
    assert vocabulary.numbers([7, 8, 50, 9_000_000_000, -1]).tolist() == [2, 0, 1, 3, 0]
    assert vocabulary.numbers(np.array([50, 7], np.uint32)).tolist() == [1, 2]
    assert vocabulary.numbers(["7", " 50 ", "x", "7.5"]).tolist() == [2, 1, 0, 0]
    assert vocabulary.numbers([7, 2**70]).tolist() == [2, 0]
    assert vocabulary.numbers([]).tolist() == []
    assert vocabulary.numbers([7]).dtype == np.int32
    assert vocabulary.ids([3, 1, 1]) == [9_000_000_000, 50, 50]


def test_hashes_that_need_all_64_bits() -> None:
    vocabulary = Vocabulary(pa.array([2**64 - 1, 5], pa.uint64()))
    assert vocabulary.numbers([2**64 - 1, -1, 5, 2**64]).tolist() == [1, 0, 2, 0]
    assert vocabulary.numbers(np.array([-1, 5])).tolist() == [0, 2]
    assert vocabulary.ids([1]) == [2**64 - 1]


def test_narrow_types_do_not_wrap_around() -> None:
    vocabulary = Vocabulary(pa.array([1, 255], pa.uint8()))
    assert vocabulary.numbers([256 + 1, 255, -1]).tolist() == [0, 2, 0]


def test_text() -> None:
    long = "z" * 500
    vocabulary = Vocabulary(pa.array(["song:b", "käse", long, "7", ""]))
    asked = ["käse", "kase", long, long + "z", 7, "", "song:b"]
    assert vocabulary.numbers(asked).tolist() == [2, 0, 3, 0, 4, 5, 1]
    assert vocabulary.ids([2, 4]) == ["käse", "7"]


@pytest.mark.parametrize("number", [0, 4, -1])
def test_numbers_that_do_not_exist(number: int) -> None:
    with pytest.raises(IndexError, match="from 1 to 3"):
        Vocabulary(pa.array([5, 6, 7])).ids([number])


def test_an_empty_vocabulary_knows_nothing() -> None:
    assert Vocabulary(pa.array([], pa.int32())).numbers([1, 2]).tolist() == [0, 0]


@given(st.lists(st.integers(-(2**40), 2**40), unique=True, min_size=1))
def test_numbers_and_ids_are_inverse(ids: list[int]) -> None:
    for array in (pa.array(ids), pa.array([str(id_) for id_ in ids])):
        vocabulary = Vocabulary(array)
        numbers = vocabulary.numbers(array.to_pylist())
        assert numbers.tolist() == list(range(1, len(ids) + 1))
        assert vocabulary.ids(numbers) == array.to_pylist()


def test_counting_and_numbering(tmp_path: Path) -> None:
    events = [(3, 30, 0), (3, 20, 1), (1, 20, 2), (1, 10, 3), (9, 40, 50), (1, 10, 50)]
    with DuckDB(tmp_path, 2**30) as engine:
        user, item, time_s = zip(*events, strict=True)
        engine.load(
            "positives",
            pa.table({"user_id": user, "item_id": item, "timestamp_s": pa.array(time_s)}),
        )
        engine.load("listed", pa.table({"item_id": [25, 20, 25]}))
        # before 50: users 1 and 3 have two each; user 9 is new
        assert number_users(engine, 50) == (2, 3)
        assert engine.rows("SELECT id, number, count FROM users ORDER BY number") == [
            (1, 1, 2),
            (3, 2, 2),
            (9, 3, 0),
        ]
        # item 20 twice, 10 and 30 once by id; 25 is only listed; 40 is cold
        assert number_items(engine, 50, ["listed"]) == (4, 5)
        assert engine.rows("SELECT id, number, count FROM items ORDER BY number") == [
            (20, 1, 2),
            (10, 2, 1),
            (30, 3, 1),
            (25, 4, 0),
            (40, 5, 0),
        ]


def test_row_groups_do_not_depend_on_batches(tmp_path: Path) -> None:
    table = pa.table({"id": np.arange(300_000)})
    files = []
    for size in (1000, 65_536, 300_000):
        path = tmp_path / f"{size}.parquet"
        write_parquet(path, iter(table.to_batches(size)), table.schema)
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]
    assert pq.read_table(path).equals(table)
    write_parquet(tmp_path / "none.parquet", iter(()), table.schema)
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    opened = Vocabulary.open(path)
    assert opened.numbers([0, 299_999]).tolist() == [1, 300_000]
