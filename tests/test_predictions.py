"""The split that others get, and their lists coming back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from antiphon.errors import EvaluationError
from antiphon.evaluate import evaluate_rankers
from antiphon.predictions import Predictions, read_predictions
from antiphon.prepared import Prepared
from antiphon.sections import EvaluateSection
from antiphon.splits import query_ids, write_split
from antiphon.windows import held_out_window
from tiny import FixedLists, write_prepared

SECTION = EvaluateSection(resamples=20)
TRAIN = [(1, 1, 10, 1), (1, 2, 45, 2), (1, 1, 60, 1), (2, 1, 30, 1), (2, 3, 70, 2), (2, 4, 80, 0)]
TEST = [(1, 1, 100, 1), (1, 3, 110, 1), (1, 2, 120, 2), (2, 6, 130, 2), (3, 5, 140, 0)]


def prepare(folder: Path, last: int = 5) -> Prepared:
    test = [*TEST[:-1], (3, last, 140, 0)]
    return write_prepared(folder, TRAIN, test, item_count=5, user_count=2)


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    return prepare(tmp_path)


def test_the_split_has_the_logs_own_ids(prepared: Prepared, tmp_path: Path) -> None:
    out = write_split(prepared, SECTION, tmp_path / "split")
    train, validation, test, queries = (
        pq.read_table(out / f"{name}.parquet").to_pylist()
        for name in ("train", "validation", "test", "queries")
    )
    # known while tuning: before 50 - 10 = 40 s
    assert train == [
        {"user_id": 1001, "item_id": 501, "timestamp_s": 10, "tab": "home"},
        {"user_id": 1002, "item_id": 501, "timestamp_s": 30, "tab": "home"},
    ]
    # what lies in the gap, at 45 s, comes later but isn't asked for
    assert [(row["timestamp_s"], row["asked"], row["tab"]) for row in validation] == [
        (45, False, "search"),
        (60, True, "home"),
        (70, True, "search"),
        (80, True, None),
    ]
    assert [row["item_id"] for row in test] == [501, 503, 502, 506, 505], "506 is cold"
    assert test[-1]["user_id"] == 1003, "a new user"
    asked = [row for row in queries if row["window"] == "test"]
    assert [(row["user_id"], row["tab"], row["target_item_ids"]) for row in asked] == [
        (1001, "home", [501, 503]),
        (1001, "search", [502]),
        (1002, "search", [506]),
        (1003, None, [505]),
    ]
    assert len({row["query_id"] for row in queries}) == len(queries)
    about = json.loads((out / "split.json").read_text())
    assert about["train_before_s"] == 40
    assert about["rows"] == {"train": 2, "validation": 4, "test": 5, "queries": 7}


def test_progress_ends_with_every_row_written(prepared: Prepared, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    write_split(prepared, SECTION, tmp_path / "split", lambda *step: told.append(step))
    assert [step[:2] for step in told] == [(2, 18), (6, 18), (11, 18), (14, 18), (18, 18)]
    assert told[2][2] == "test.parquet, 5 rows"


def test_nothing_of_the_future_is_in_train(prepared: Prepared, tmp_path: Path) -> None:
    out = write_split(prepared, SECTION, tmp_path / "split")
    assert pc.max(pq.read_table(out / "train.parquet").column("timestamp_s")).as_py() < 40
    assert pc.max(pq.read_table(out / "validation.parquet").column("timestamp_s")).as_py() < 90


def test_a_split_replaces_only_a_split(prepared: Prepared, tmp_path: Path) -> None:
    out = write_split(prepared, SECTION, tmp_path / "split")
    write_split(prepared, SECTION, out)
    (tmp_path / "mine").mkdir()
    with pytest.raises(EvaluationError, match="holds no split"):
        write_split(prepared, SECTION, tmp_path / "mine")


def answers(prepared: Prepared, items: list[int], section: EvaluateSection = SECTION) -> pa.Table:
    """The same list for every query, as ranks."""
    ids = query_ids(prepared, section, held_out_window(prepared, section)).to_pylist()
    return pa.table(
        {
            "query_id": [q for q in ids for _ in items],
            "item_id": items * len(ids),
            "rank": list(range(1, len(items) + 1)) * len(ids),
        }
    )


def read(
    prepared: Prepared, table: pa.Table, folder: Path, section: EvaluateSection = SECTION
) -> Predictions:
    pq.write_table(table, folder / "predictions.parquet")
    window = held_out_window(prepared, section)
    return read_predictions(folder / "predictions.parquet", prepared, section, window)


def test_lists_are_judged_like_a_ranker(prepared: Prepared, tmp_path: Path) -> None:
    table = answers(prepared, [502, 501, 505])
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    found = read(prepared, shuffled, tmp_path)
    assert (found.short, found.surplus, found.heard) == (4, 0, 0)
    theirs = evaluate_rankers(prepared, {"predictions": found.lists}, SECTION)
    ours = evaluate_rankers(prepared, {"predictions": FixedLists([2, 1, 5])}, SECTION)
    assert theirs.models == ours.models


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("query_id", pa.large_string()),
        ("query_id", pa.dictionary(pa.int32(), pa.string())),
        ("item_id", pa.uint32()),
        ("item_id", pa.float64()),
        ("item_id", pa.string()),
        ("item_id", pa.dictionary(pa.int32(), pa.int64())),
        ("rank", pa.uint8()),
    ],
    ids=str,
)
def test_columns_of_the_types_that_other_tools_write(
    prepared: Prepared, tmp_path: Path, name: str, kind: pa.DataType
) -> None:
    table = answers(prepared, [502, 501, 505])
    expected = read(prepared, table, tmp_path).lists.lists
    column = table.column(name).combine_chunks()
    dictionary = pa.types.is_dictionary(kind)
    column = column.dictionary_encode() if dictionary else column.cast(kind)
    table = table.set_column(table.column_names.index(name), name, column)
    np.testing.assert_array_equal(read(prepared, table, tmp_path).lists.lists, expected)


def test_an_empty_file_answers_no_query(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="4 of 4 queries have no list"):
        read(prepared, answers(prepared, [501]).slice(0, 0), tmp_path)


def test_scores_order_lists_and_ties_go_by_item(prepared: Prepared, tmp_path: Path) -> None:
    table = answers(prepared, [503, 502, 501]).drop_columns("rank")
    table = table.append_column("score", pa.array([0.5, 0.5, 0.9] * 4, pa.float32()))
    lists = read(prepared, table, tmp_path).lists
    assert lists.lists[0, :4].tolist() == [1, 2, 3, 0]
    assert lists.scores[0, :3].tolist() == pytest.approx([0.9, 0.5, 0.5])


def test_what_lies_below_the_last_place_is_counted(tmp_path: Path) -> None:
    prepared = write_prepared(tmp_path, [(1, 1, 10, 1)], TEST[:1], item_count=150, user_count=1)
    found = read(prepared, answers(prepared, list(range(501, 641))), tmp_path)
    assert (found.short, found.surplus) == (0, 40)
    assert found.lists.lists[0].tolist() == list(range(1, 101))


def test_what_was_heard_is_left_out_where_no_list_may_hold_it(
    prepared: Prepared, tmp_path: Path
) -> None:
    section = EvaluateSection(resamples=20, exclude_heard=True)
    found = read(prepared, answers(prepared, [502, 501, 505], section), tmp_path, section)
    # user 1, asked twice, had items 1 and 2; user 2 had 1, 3 and 4; user 3 is new
    assert [row[row > 0].tolist() for row in found.lists.lists] == [[5], [5], [2, 5], [2, 1, 5]]
    assert found.to_json() == {"lists": 4, "short": 4, "surplus": 0, "heard": 5}


def with_column(name: str, values: object) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        column = pa.array([values, *table.column(name).to_pylist()[1:]])
        return table.set_column(table.column_names.index(name), name, column)

    return change


def scored(values: list[float | None]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        return table.drop_columns("rank").append_column("score", pa.array(values * 4))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_column("item_id", 501.5), "1 items that aren't in the corpus"),
        (with_column("item_id", float("nan")), "1 items that aren't in the corpus"),
        (with_column("item_id", 999), "1 items that aren't in the corpus"),
        (with_column("item_id", 506), "1 items that aren't in the corpus"),
        (with_column("item_id", 502), "1 rows have the item_id of another"),
        (with_column("rank", 2), "1 rows have the rank of another"),
        (with_column("rank", None), "nulls in rank"),
        (with_column("item_id", None), "nulls in item_id"),
        (with_column("query_id", "nonsense"), "1 rows answer queries"),
        (with_column("query_id", "01234567-t0"), "another log"),
        (lambda table: table.slice(2), "1 of 4 queries have no list"),
        (lambda table: table.drop_columns("rank"), "lack rank or score"),
        (lambda table: table.drop_columns("item_id"), "lack item_id"),
        (scored([0.5, float("nan")]), "4 scores are NaN"),
        (scored([0.5, None]), "nulls in score"),
        (
            lambda table: table.replace_schema_metadata({"antiphon_split": "01234567"}),
            "another log",
        ),
    ],
)
def test_bad_predictions_are_refused(
    prepared: Prepared, tmp_path: Path, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    table = change(answers(prepared, [501, 502]))
    with pytest.raises(EvaluationError, match=message):
        read(prepared, table, tmp_path)


def test_predictions_for_another_log_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    other = prepare(tmp_path / "other", last=4)
    with pytest.raises(EvaluationError, match="another log"):
        read(prepared, answers(other, [501]), tmp_path)


def test_predictions_for_other_queries_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    section = EvaluateSection(query_by=())
    with pytest.raises(EvaluationError, match="another log or split"):
        read(prepared, answers(prepared, [501], section), tmp_path)


def test_files_that_are_no_parquet_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_text("query_id,item_id,rank\n")
    window = held_out_window(prepared, SECTION)
    for name in ("p.parquet", "missing.parquet"):
        with pytest.raises(EvaluationError, match="can't be read"):
            read_predictions(tmp_path / name, prepared, SECTION, window)
