from __future__ import annotations

import gzip
import re
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from antiphon.engines.duckdb_sql import DuckDB
from antiphon.errors import AntiphonError, ConfigError, LogError
from antiphon.events import open_log
from antiphon.log_sections import SplitSection
from antiphon.split import Split, boundaries
from small_log import DAY_S, Row, config, random_rows, write_log, write_parquet


def _rows(*times: int, **more: Any) -> list[Row]:
    return [{"user": 1, "item": 2, "at": time_s, "kind": "play"} | more for time_s in times]


def _open(folder: Path, chosen: Any, sql: str = "SELECT * FROM log ORDER BY timestamp_s") -> Any:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    for old in work.iterdir():
        old.unlink()
    with DuckDB(work, 2**30, 1) as engine:
        log = open_log(engine, chosen)
        return log, engine.rows(sql)


def _refused(folder: Path, chosen: Any) -> AntiphonError:
    with pytest.raises(AntiphonError) as caught:
        _open(folder, chosen)
    return caught.value


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        # the last event is at 999,999 s, so the log ends before 1,000,000;
        # 1,000,000 - 86,400 = 913,600; less 1,800 = 911,800; less 86,400 = 825,400
        ({}, Split(911_800, 825_400, 913_600, 1_000_000, 1800)),
        # 1,000,000 - 43,200 = 956,800, no gap; validation 172,800 before
        (
            {"test_days": 0.5, "gap_s": 0, "validation_days": 2},
            Split(956_800, 784_000, 956_800, 1_000_000, 0),
        ),
        # 50,000 seconds of test, thus 50,000 of validation: 948,200 - 50,000
        ({"test_start_s": 950_000}, Split(948_200, 898_200, 950_000, 1_000_000, 1800)),
        # everything trains: no gap either, and nothing to validate on
        ({"test_days": 0}, Split(1_000_000, 1_000_000, 1_000_000, 1_000_000, 1800)),
        (
            {"test_days": 0, "validation_days": 1},
            Split(1_000_000, 913_600, 1_000_000, 1_000_000, 1800),
        ),
    ],
)
def test_boundaries(section: dict[str, Any], expected: Split) -> None:
    assert boundaries(SplitSection(**section), 999_999) == expected


def test_the_split_of_the_yambda_paper() -> None:
    section = SplitSection(test_start_s=25_913_600, validation_days=1)
    split = boundaries(section, 25_999_995)
    assert split.train_end_s == 25_911_800
    assert split.validation_start_s == 25_825_400
    assert split.validation_start_s - split.gap_s == 25_823_600, "where tuning trains to"


def test_conditions_and_derived_columns(tmp_path: Path) -> None:
    rows = [
        {"user": 1, "item": 5, "at": 0, "kind": "play", "pct": 80},
        {"user": 1, "item": 6, "at": 1, "kind": "like", "pct": None},
        {"user": 1, "item": 7, "at": 2, "kind": "play", "pct": None},
        {"user": 2, "item": 7, "at": 3, "kind": "play", "pct": 90},
    ]
    log = write_log(tmp_path / "log.parquet", rows, pct=pa.int16())
    chosen = config(
        log,
        log={
            "derived": {"half": "pct / 2", "long": "half >= 40"},
            "where": "user = 1 -- a comment",
            "positive": "kind = 'like' OR long",
        },
        features={"context": ({"name": "at", "kind": "numeric", "sql": "half + 1"},)},
    )
    opened, found = _open(tmp_path, chosen)
    # a null condition doesn't hold; a target must be positive, too
    assert found == [(1, 5, 0, True, True, 41.0), (1, 6, 1, True, False, None),
                     (1, 7, 2, False, False, None)]  # fmt: skip
    assert (opened.rows, opened.first_s, opened.last_s) == (3, 0, 2)


@pytest.mark.parametrize(
    ("unit", "kind", "value", "seconds"),
    [
        ("s", pa.uint32(), 1_650_612_278, 1_650_612_278),
        ("s", pa.float64(), 1_650_612_278.9, 1_650_612_278),
        ("s", pa.float64(), -0.5, -1),
        ("ms", pa.int64(), 1_650_612_278_999, 1_650_612_278),
        ("us", pa.int64(), 1_650_612_278_999_999, 1_650_612_278),
        ("timestamp", pa.timestamp("us"), 1_650_612_278_999_999, 1_650_612_278),
        ("timestamp", pa.timestamp("ms", tz="UTC"), 1_650_612_278_999, 1_650_612_278),
        ("timestamp", pa.date32(), 19_000, 19_000 * 86_400),
    ],
)
def test_time_units(
    tmp_path: Path, unit: str, kind: pa.DataType, value: float, seconds: int
) -> None:
    log = write_log(tmp_path / "log.parquet", _rows(value), at=kind)  # type: ignore[arg-type]
    chosen = config(log, log={"time_unit": unit})
    assert _open(tmp_path, chosen, "SELECT timestamp_s FROM log")[1] == [(seconds,)]


def test_globs_several_files_and_compressed_csv(tmp_path: Path, monkeypatch: Any) -> None:
    for n in range(3):
        write_log(tmp_path / f"part-{n}.parquet", _rows(n))
    monkeypatch.setenv("LOGS", str(tmp_path))
    assert _open(tmp_path, config("${LOGS}/part-?.parquet"))[0].rows == 3
    both = [str(tmp_path / "part-0.parquet"), str(tmp_path / "part-[12].parquet")]
    assert _open(tmp_path, config("", log={"events": both}))[0].rows == 3
    with gzip.open(tmp_path / "log.csv.gz", "wt") as file:
        file.write("user,item,at,kind\nanna,x,5,play\n7,y,6,play\n")
    found = _open(tmp_path, config(tmp_path / "log.csv.gz"))[1]
    assert [row[:2] for row in found] == [("anna", "x"), ("7", "y")]


def test_text_far_down_a_csv_makes_the_column_text(tmp_path: Path) -> None:
    lines = [f"{n},1,{n},play" for n in range(30_000)] + ["anna,1,30000,play"]
    (tmp_path / "log.csv").write_text("user,item,at,kind\n" + "\n".join(lines))
    assert _open(tmp_path, config(tmp_path / "log.csv"))[1][-1][0] == "anna"


@pytest.mark.parametrize(
    ("change", "key", "hint"),
    [
        ({"user": "usr"}, "log.user", "'user'"),
        ({"item": "items"}, "log.item", "'item'"),
        ({"time": "ta"}, "log.time", None),
        ({"positive": "knd = 'play'"}, "log.positive", "'kind'"),
        ({"target": "kind == "}, "log.target", None),
        ({"where": "no_such_function(user)"}, "log.where", None),
        ({"positive": "count(*) > 1"}, "log.positive", None),
        ({"positive": "lead(user) OVER () > 1"}, "log.positive", None),
        ({"positive": "user), (item"}, "log.positive", None),
        ({"positive": "at > 5"}, "log.positive", 'written "at"'),
        ({"derived": {"a": "usr + 1"}}, "log.derived.a", "'user'"),
        ({"derived": {"user": "1"}}, "log.derived.user", "another name"),
    ],
)
def test_columns_and_sql_that_are_not_there(
    tmp_path: Path, change: dict[str, Any], key: str, hint: str | None
) -> None:
    log = write_log(tmp_path / "log.parquet", _rows(0))
    error = _refused(tmp_path, config(log, log=change))
    assert isinstance(error, ConfigError)
    assert error.what.startswith(key)
    assert error.received is not None
    assert hint is None or hint in str(error.hint)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"kind": "cyclic", "period": 24, "sql": "kind"}, "has the type VARCHAR"),
        ({"kind": "vector", "size": 2, "sql": "user"}, "lists"),
        ({"kind": "categorical", "sql": "[user]"}, "UINTEGER[]"),
        ({"kind": "categorical", "column": "knd"}, "'kind'"),
        ({"kind": "categorical"}, "names a column that isn't there"),
        ({"kind": "categorical", "column": "kind", "separator": ","}, "one value at a time"),
    ],
)
def test_a_feature_of_the_wrong_type(tmp_path: Path, feature: dict[str, Any], message: str) -> None:
    log = write_log(tmp_path / "log.parquet", _rows(0))
    chosen = config(log, features={"context": ({"name": "place"} | feature,)})
    error = _refused(tmp_path, chosen)
    assert isinstance(error, ConfigError)
    assert "features.context.place" in error.what
    assert message in str(error)


@pytest.mark.parametrize("name", ["user", "item"])
def test_ids_that_are_floats(tmp_path: Path, name: str) -> None:
    log = write_log(tmp_path / "log.parquet", _rows(0), **{name: pa.float64()})
    error = _refused(tmp_path, config(log))
    assert isinstance(error, LogError)
    assert f"the {name} column" in error.what
    assert "DOUBLE" in error.what
    # the hint's SQL works
    sql = re.search(r"'(CAST.+)'", str(error.hint))
    assert sql is not None
    chosen = config(log, log={"derived": {"whole": sql[1]}, name: "whole"})
    assert _open(tmp_path, chosen)[0].rows == 1


@pytest.mark.parametrize("name", ["user", "item"])
def test_ids_that_are_no_whole_numbers_are_counted_and_located(tmp_path: Path, name: str) -> None:
    values = [7.0, 1.5, None, float("nan"), 8.0, float("inf"), -0.5, 0.1, 9.0]
    rows = [row for value in values for row in _rows(0, **{name: value})]
    log = write_log(tmp_path / "log.parquet", rows, **{name: pa.float64()})
    error = _refused(tmp_path, config(log))
    assert f"the {name} column" in error.what
    # rows 2, 3, 4, 6, 7, 8 (the first is 1); five are named
    assert "no whole number in 6 rows, rows 2, 3, 4, 6, 7, ... (the" in str(error.received)
    # what the hint says works
    column, sql, where = re.findall(r"(\w+) = '(.+?)'.*= '(.+?)'", str(error.hint))[0]
    chosen = config(log, log={"derived": {column: sql}, name: column, "where": where})
    assert [row[name == "item"] for row in _open(tmp_path, chosen)[1]] == [7, 8, 9]


def test_ids_that_are_null_are_counted_and_located(tmp_path: Path) -> None:
    rows = [
        {"user": None if n % 3 == 2 else n, "item": n, "at": n, "kind": "play"} for n in range(3000)
    ]
    log = write_log(tmp_path / "log.parquet", rows)
    error = _refused(tmp_path, config(log))
    # rows 3, 6, 9, ... 3000 (the first is 1)
    assert error.what == "the column 'user' is null in 1,000 rows"
    assert str(error.received).startswith("rows 3, 6, 9, 12, 15, ...")
    # rows left out before keep the others' places
    error = _refused(tmp_path, config(log, log={"where": "item > 5 AND item < 12"}))
    assert "2 rows" in error.what
    assert str(error.received).startswith("rows 9, 12 ")
    assert _open(tmp_path, config(log, log={"where": "user IS NOT NULL"}))[0].rows == 2000


@pytest.mark.parametrize("name", ["item", "at"])
def test_other_nulls(tmp_path: Path, name: str) -> None:
    log = write_log(tmp_path / "log.parquet", [*_rows(0), *_rows(1, **{name: None})])
    error = _refused(tmp_path, config(log))
    assert error.what == f"the column '{name}' is null in 1 rows"
    assert "rows 2 " in str(error.received)


@pytest.mark.parametrize(
    ("factor", "hint"), [(1000, '"ms"'), (1_000_000, '"us"'), (1.1, "correct them")]
)
def test_times_in_the_future(tmp_path: Path, factor: float, hint: str) -> None:
    log = write_log(tmp_path / "log.parquet", _rows(int(time.time() * factor)), at=pa.int64())
    error = _refused(tmp_path, config(log))
    assert error.what == "there are times in the future"
    assert hint in str(error.hint)


def test_a_time_zone_may_lie_a_day_ahead(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", _rows(int(time.time()) + DAY_S // 2))
    assert _open(tmp_path, config(log))[0].rows == 1


@pytest.mark.parametrize(
    ("kind", "unit", "allowed"),
    [
        (pa.timestamp("us"), "s", 'time_unit = "timestamp"'),
        (pa.int64(), "timestamp", "another log.time_unit"),
        (pa.string(), "s", "a number"),
    ],
)
def test_a_time_of_another_type(tmp_path: Path, kind: pa.DataType, unit: str, allowed: str) -> None:
    value: Any = "5" if kind == pa.string() else 5
    log = write_log(tmp_path / "log.parquet", _rows(value), at=kind)
    error = _refused(tmp_path, config(log, log={"time_unit": unit}))
    assert error.what.startswith("the time column 'at' has the type")
    assert allowed in str(error.allowed)


def test_files_that_are_not_there_or_damaged(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", random_rows_of_a_log())
    whole = log.read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "text.parquet").write_text("user,item,at,kind\n1,2,3,play\n")
    (tmp_path / "log.json").write_text("{}")
    (tmp_path / "log.csv").write_text("user,item,at,kind\n1,2,3,play\n")
    (tmp_path / "header.csv").write_text("user,item,at,kind\n")
    broken = bytearray(whole)
    broken[8 : len(whole) // 2] = b"\xff" * (len(whole) // 2 - 8)
    (tmp_path / "broken.parquet").write_bytes(bytes(broken))
    for name, what in (
        ("none-*.parquet", "no file matches"),
        ("cut.parquet", "truncated"),
        ("empty.parquet", "empty"),
        ("text.parquet", "not a Parquet file"),
        ("log.json", "neither Parquet nor CSV"),
        ("log.[pc]*", "mixes Parquet and CSV"),
        ("header.csv", "the log has no rows"),
    ):
        assert what in _refused(tmp_path, config(tmp_path / name)).what, name
    assert isinstance(_refused(tmp_path, config(tmp_path / "broken.parquet")), LogError)
    assert "download" in str(_refused(tmp_path, config("hf://a/b.parquet")).hint)
    missing = _refused(tmp_path, config("${NO_SUCH_VARIABLE}/x.parquet"))
    assert "NO_SUCH_VARIABLE" in missing.what


def random_rows_of_a_log() -> list[Row]:
    import numpy as np

    return random_rows(np.random.default_rng(0), 500)


def test_a_log_that_where_leaves_empty(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", _rows(0))
    error = _refused(tmp_path, config(log, log={"where": "user = 17"}))
    assert error.what == "the log has no rows"


def test_context_vectors_that_cannot_be_used_are_counted_and_located(tmp_path: Path) -> None:
    vectors = [[1, 2], [1], None, [1, float("nan")], [1, None], [0, float("-inf")], [1, 2, 3]]
    rows = [row for vector in vectors for row in _rows(0, v=vector)]
    rows += _rows(0, v=[], kind="skip")  # is no positive, so nobody reads it
    log = write_log(tmp_path / "log.parquet", rows, v=pa.list_(pa.float64()))
    feature = {"name": "v", "kind": "vector", "size": 2}
    error = _refused(tmp_path, config(log, features={"context": (feature,)}))
    assert isinstance(error, LogError)
    assert error.what == "the vector of features.context.v can't be used in 5 rows"
    assert error.received == "rows 2, 4, 5, 6, 7 (the first is 1)"
    feature["sql"] = "CASE WHEN len(v) = 2 AND isfinite(v[2]) THEN v END"
    log = write_log(tmp_path / "log.parquet", rows[:4], v=pa.list_(pa.float64()))
    found = _open(tmp_path, config(log, features={"context": (feature,)}))[1]
    assert [row[-1] for row in found] == [[1, 2], None, None, None]


def test_a_value_that_cannot_be_converted(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", _rows(0))
    chosen = config(log, log={"where": "CAST(kind AS INTEGER) = 1"})
    error = _refused(tmp_path, chosen)
    assert isinstance(error, LogError)
    assert "play" in str(error.received)


def test_tables_of_items_are_checked(tmp_path: Path) -> None:
    from antiphon.item_features import open_item_tables, open_titles

    log = write_log(tmp_path / "log.parquet", _rows(0))
    items = write_parquet(
        tmp_path / "items.parquet",
        [{"track": "a", "artist": 1}],
        {"track": pa.string(), "artist": pa.int32()},
    )
    feature = {"name": "artist", "kind": "categorical", "table": str(items)}
    chosen = config(log, features={"item": (feature,)}, log={"titles": str(items)})
    (tmp_path / "work").mkdir()
    with DuckDB(tmp_path / "work", 2**30) as engine:
        with pytest.raises(ConfigError, match=r"features\.item\.artist: the item column names"):
            open_item_tables(engine, chosen, "UINTEGER")
        with pytest.raises(ConfigError, match=r"log\.title isn't SQL"):
            open_titles(engine, chosen, "UINTEGER")
        feature["item_column"] = "track"
        chosen = config(log, features={"item": (feature,)})
        with pytest.raises(LogError, match="has the type VARCHAR"):
            open_item_tables(engine, chosen, "UINTEGER")
        assert len(open_item_tables(engine, chosen, "STRING")) == 1
