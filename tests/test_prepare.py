from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon import event_arrays
from antiphon.config import Config
from antiphon.errors import ArtifactError, ConfigError, LogError
from antiphon.prepare import prepare, prepare_inputs
from antiphon.prepared import Prepared
from small_log import (
    CONTEXT,
    CONTEXT_TYPES,
    DAY_S,
    Row,
    config,
    contents,
    random_rows,
    reference,
    write_log,
    write_parquet,
)


def _row(user: Any, item: Any, at: int, kind: str = "play", **more: Any) -> Row:
    return {"user": user, "item": item, "at": at, "kind": kind, **more}


def _assert_as(events: Any, folder: Path, expected: dict[str, Any]) -> None:
    assert np.load(folder / "user_offsets.npy").tolist() == expected["user_offsets"]
    for name in ("item_number", "timestamp_s", "is_target"):
        assert getattr(events, name).tolist() == expected[name], name
    for name in ("place", "hour", "speed"):
        wanted = np.array(expected[name], events.context[name].dtype)
        np.testing.assert_allclose(events.context[name], wanted, rtol=1e-5, atol=1e-5)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(20, 300), text=st.booleans())
def test_arrays_are_those_of_plain_python(
    tmp_path: Path, seed: int, count: int, text: bool
) -> None:
    rows = random_rows(np.random.default_rng(seed), count, text=text)
    expected = reference(rows)
    types = CONTEXT_TYPES | ({"user": pa.string(), "item": pa.string()} if text else {})
    log = write_log(tmp_path / "log.parquet", rows, **types)
    chosen = config(log, features={"context": CONTEXT})
    if not expected["train"]["item_number"] or not expected["held_out"]["item_number"]:
        with pytest.raises(LogError):
            prepare(chosen, tmp_path / "prepared")
        return
    prepared = prepare(chosen, tmp_path / "prepared")
    path = prepared.stage.path
    _assert_as(prepared.events, path / "events", expected["train"])
    _assert_as(prepared.held_out, path / "held_out", expected["held_out"])
    for name in (
        *("user_count", "item_count", "train_end_s", "validation_start_s"),
        *("held_out_start_s", "held_out_end_s"),
    ):
        assert getattr(prepared.schema, name) == expected[name], name
    for which, known in (("users", expected["user_count"]), ("items", expected["item_count"])):
        ids = prepared.user_ids() if which == "users" else prepared.item_ids()
        assert ids.to_pylist() == expected[which][:known]
        later = pq.read_table(path / "held_out" / f"{which}.parquet")
        assert later.column("id").to_pylist() == expected[which][known:]
        assert later.column("number").to_pylist() == [*range(known + 1, len(expected[which]) + 1)]
        assert not any(later.column("count").to_pylist())
    assert prepared.item_counts().tolist() == [0, *expected["plays"][: expected["item_count"]]]


def test_a_small_log_by_hand(tmp_path: Path) -> None:
    # The last event is at 100,000 s, so with a day of test and an hour of gap the held-out window
    # is [100001 - 86400, 100001) = [13601, 100001) and training ends before 13601 - 3600 = 10001.
    rows = [
        _row(7, 50, 10_000),
        _row(7, 60, 5),
        _row(7, 60, 5),
        _row(7, 50, 5, "skip"),
        _row(9, 50, 10_000, "like"),
        _row(9, 60, 10_001),  # in the gap
        _row(8, 70, 13_600),  # in the gap, too
        _row(9, 90, 13_601),  # a cold item
        _row(9, 50, 13_602, "like"),  # positive, but no target
        _row(3, 50, 100_000),  # a new user
        _row(5, 50, 99_999, "skip"),
    ]
    log = write_log(tmp_path / "log.parquet", rows)
    prepared = prepare(config(log, split={"gap_s": 3600}), tmp_path / "prepared")
    # training: item 50 twice, item 60 twice; equal counts go by id
    assert prepared.item_ids().to_pylist() == [50, 60]
    assert prepared.item_ids().type == pa.uint32(), "the log's type is kept"
    assert prepared.item_counts().tolist() == [0, 2, 2]
    assert prepared.user_ids().to_pylist() == [7, 9]
    assert prepared.user_counts().tolist() == [0, 3, 1]
    assert prepared.events.item_number.tolist() == [2, 2, 1, 1]
    assert prepared.events.timestamp_s.tolist() == [5, 5, 10_000, 10_000]
    assert prepared.events.is_target.tolist() == [True, True, True, False]
    assert prepared.events.starts.tolist() == [0, 0, 3]
    assert prepared.events.ends.tolist() == [0, 3, 4]
    # held out: user 9 is number 2, the new user 3 is number 3; item 90 is number 3
    assert prepared.held_out.starts.tolist() == [0, 0, 0, 1]
    assert prepared.held_out.ends.tolist() == [0, 0, 1, 2]
    assert prepared.held_out.item_number.tolist() == [3, 1]
    assert prepared.statistics() == {
        "positives": 4,
        "targets": 3,
        "users": 2,
        "items": 2,
        "items_never_played": 0,
        "context": {},
        "item_features": {},
        "held_out": {
            "rows_read": 11,
            "first_s": 5,
            "last_s": 100_000,
            "targets": 2,
            "users": 2,
            "new_users": 1,
            "cold_items": 1,
        },
    }


def _features(folder: Path, rng: np.random.Generator) -> dict[str, Any]:
    items = [
        {"item": n * 3 + 300, "tag": f"t{n % 3},t{n % 2}", "length": float(n)} for n in range(9)
    ]
    for item in items:
        item["audio"] = [float(x) for x in rng.normal(size=4)]
    types = {
        "item": pa.int64(),
        "tag": pa.string(),
        "length": pa.float64(),
        "audio": pa.list_(pa.float64()),
    }
    table = str(write_parquet(folder / "items.parquet", items, types))
    return {
        "context": CONTEXT,
        "item": (
            {
                "name": "tag",
                "kind": "categorical",
                "table": table,
                "separator": ",",
                "max_values": 2,
            },
            {"name": "length", "kind": "numeric", "table": table},
            {"name": "audio", "kind": "vector", "table": table, "size": 4},
        ),
    }


def test_every_byte_is_one_of_config_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    rows = random_rows(rng, 3000)
    features = _features(tmp_path, rng)
    log = write_log(tmp_path / "log.parquet", rows, **CONTEXT_TYPES)
    first = contents(prepare(config(log, features=features), tmp_path / "a/prepared").stage.path)

    # one thread, little memory, and a sort of one user at a time
    monkeypatch.setattr(event_arrays, "_BYTES_PER_ROW", 10**9)
    few = {"threads": 1, "memory_limit": "600MB"}
    second = config(log, features=features, prepare=few)
    assert contents(prepare(second, tmp_path / "b/prepared").stage.path) == first

    # the same rows in another order and in several files
    order = rng.permutation(len(rows))
    for part in range(3):
        chosen = [rows[row] for row in order[part::3]]
        write_log(tmp_path / f"parts/{part}.parquet", chosen, **CONTEXT_TYPES)
    third = config(tmp_path / "parts/*.parquet", features=features, prepare={"threads": 4})
    assert contents(prepare(third, tmp_path / "c/prepared").stage.path) == first


def test_nothing_after_the_cutoff_changes_what_training_sees(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = random_rows(rng, 2000)
    features = _features(tmp_path, rng)
    cutoff = {"test_start_s": 2 * DAY_S}
    # the last event stays: the log's end is what the held-out window ends at
    rows.append(_row(0, 300, 4 * DAY_S, place=1, hour=3.0, speed=2.0))
    changed = []
    for row in rows:
        if row["at"] < 2 * DAY_S - 1800:
            changed.append(row)
        elif rng.random() < 0.5 or row is rows[-1]:
            later = dict(row) | {"user": int(rng.integers(90)), "item": int(rng.integers(400))}
            later |= {"place": 17, "speed": 1e9, "hour": None, "kind": "play"}
            changed += [later] * int(rng.integers(1, 4))
    paths = []
    for name, log in (("a", rows), ("b", changed)):
        path = write_log(tmp_path / f"{name}.parquet", log, **CONTEXT_TYPES)
        chosen = config(path, features=features, split=cutoff)
        paths.append(prepare(chosen, tmp_path / name / "prepared").stage.path)
    before, after = (contents(path) for path in paths)
    held_out = {name for name in before if name.startswith("held_out/")}
    assert {n: b for n, b in before.items() if n not in held_out} == {
        n: b for n, b in after.items() if n not in held_out
    }
    assert any(before[name] != after[name] for name in held_out), "the future did change"


def test_item_features_by_hand(tmp_path: Path) -> None:
    rows = [_row(1, 10, 0), _row(1, 10, 1), _row(1, 20, 2), _row(1, 30, 3), _row(1, 10, 2 * DAY_S)]
    log = write_log(tmp_path / "log.parquet", rows)
    artists = [(10, 5), (10, 6), (10, 6), (20, 6), (30, 7), (30, 6), (30, 5), (99, 7), (99, None)]
    write_parquet(
        tmp_path / "artist.parquet",
        [{"track": track, "artist": artist} for track, artist in artists],
        {"track": pa.int64(), "artist": pa.int64()},
    )
    write_parquet(
        tmp_path / "audio.parquet",
        [{"item": 30, "v": [0.5, -1.0]}, {"item": 77, "v": [1.0, 2.0]}, {"item": 20, "v": None}],
        {"item": pa.uint32(), "v": pa.list_(pa.float32())},
    )
    (tmp_path / "more.csv").write_text(
        "item,mood,bpm,key,name\n10,calm,100,13,First\n20,wild,,0,\n30,odd,140,24,Third\n"
    )
    artist = {"kind": "categorical", "table": str(tmp_path / "artist.parquet")}
    artist |= {"column": "artist", "item_column": "track"}
    more = {"table": str(tmp_path / "more.csv")}
    chosen = config(
        log,
        log={"titles": str(tmp_path / "more.csv"), "title": "upper(name)"},
        features={
            "item": (
                {"name": "artists", "max_values": 2} | artist,
                {"name": "artist"} | artist,
                {"name": "audio", "kind": "vector", "size": 2, "column": "v"}
                | {"table": str(tmp_path / "audio.parquet")},
                {"name": "mood", "kind": "categorical", "values": {"wild": "W", "calm": ""}} | more,
                {"name": "bpm", "kind": "numeric"} | more,
                {"name": "key", "kind": "cyclic", "period": 24} | more,
            )
        },
    )
    prepared = prepare(chosen, tmp_path / "prepared")
    # numbers: 10 (two plays) is 1, 20 is 2, 30 is 3; 77 and 99 only feature tables know: 4 and 5
    assert prepared.item_ids().to_pylist() == [10, 20, 30, 77, 99]
    assert prepared.item_counts().tolist() == [0, 2, 1, 1, 0, 0]
    # artist 6 has three items, 5 has 10 and 30, 7 has 30 and 99: equals by value
    values = pq.read_table(prepared.stage.path / "values/artists.parquet")
    assert values.to_pydict() == {"value": [6, 5, 7], "code": [1, 2, 3]}
    assert prepared.item_feature("artists").tolist() == [
        [0, 0],
        [1, 2],
        [1, 0],
        [1, 2],
        [0, 0],
        [3, 0],
    ]
    assert prepared.item_feature("artist").tolist() == [0, 1, 1, 1, 0, 3]
    audio = prepared.item_feature("audio")
    assert audio.dtype == np.float16
    assert audio[[3, 4]].tolist() == [[0.5, -1.0], [1.0, 2.0]]
    assert np.isnan(audio[[0, 1, 2, 5], 0]).all()
    assert prepared.item_feature("mood").tolist() == [0, 2, 1, 0, 0, 0], "as declared"
    # mean (100 + 140) / 2 = 120, deviation 20
    np.testing.assert_array_equal(
        prepared.item_feature("bpm"), np.array([np.nan, -1, np.nan, 1, np.nan, np.nan], np.float32)
    )
    np.testing.assert_array_equal(
        prepared.item_feature("key"), np.array([np.nan, 13, 0, 0, np.nan, np.nan], np.float32)
    )
    titles = prepared.titles()
    assert titles is not None
    assert titles.to_pylist() == ["FIRST", None, "THIRD", None, None]
    shares = prepared.statistics()["item_features"]
    assert {name: share["missing_share"] for name, share in shares.items()} == pytest.approx(
        {"artists": 0.2, "artist": 0.2, "audio": 0.6, "mood": 0.6, "bpm": 0.6, "key": 0.4}
    )


def test_without_a_catalogue_only_played_items_are_known(tmp_path: Path) -> None:
    rows = [_row(1, 10, 0), _row(1, 77, 2 * DAY_S)]
    log = write_log(tmp_path / "log.parquet", rows)
    (tmp_path / "items.csv").write_text("item,tag\n10,a\n77,b\n99,c\n")
    tag = {"name": "tag", "kind": "categorical", "table": str(tmp_path / "items.csv")}
    counts = []
    for catalogue in (True, False):
        chosen = config(log, log={"catalogue": catalogue}, features={"item": (tag,)})
        prepared = prepare(chosen, tmp_path / f"{catalogue}/prepared")
        counts.append((prepared.schema.item_count, prepared.statistics()["held_out"]["cold_items"]))
    assert counts == [(3, 0), (1, 1)]


def test_a_sample_keeps_whole_users_by_their_hash(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [_row(int(u), int(rng.integers(9)), int(t)) for u in range(300) for t in (0, 2 * DAY_S)]
    log = write_log(tmp_path / "log.parquet", rows)
    prepared = prepare(config(log, log={"sample_users": 0.25}), tmp_path / "prepared")
    # kept: the first 32 bits of the id's MD5 are below a quarter of 2^32
    kept = [
        user
        for user in range(300)
        if int(hashlib.md5(str(user).encode()).hexdigest()[:8], 16) < 2**32 / 4
    ]
    assert 50 < len(kept) < 100
    assert prepared.user_ids().to_pylist() == kept
    assert prepared.statistics()["held_out"]["targets"] == len(kept), "users stay whole"


def test_strings_and_csv_give_what_numbers_and_parquet_give(tmp_path: Path) -> None:
    rows = [r | {"user": f"{r['user']:03d}x"} for r in random_rows(np.random.default_rng(8), 200)]
    types = CONTEXT_TYPES | {"user": pa.string()}
    log = write_log(tmp_path / "log.parquet", rows, **types)
    lines = ["user,item,at,kind,place,hour,speed"]
    lines += [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    features = {"context": CONTEXT}
    a = prepare(config(log, features=features), tmp_path / "a/prepared")
    b = prepare(config(tmp_path / "log.csv", features=features), tmp_path / "b/prepared")
    assert a.user_ids().to_pylist() == b.user_ids().to_pylist()
    assert a.user_ids().to_pylist()[0] == "000x"
    same = ("events", "held_out/item_number.npy", "held_out/context", "schema.json")
    left, right = contents(a.stage.path), contents(b.stage.path)
    assert {n: x for n, x in left.items() if n.startswith(same)} == {
        n: x for n, x in right.items() if n.startswith(same)
    }


def test_without_a_test_window_everything_trains(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", [_row(1, 2, t) for t in (0, 10, 20)])
    prepared = prepare(config(log, split={"test_days": 0}), tmp_path / "prepared")
    assert prepared.events.count == 3
    assert prepared.held_out.count == 0
    assert prepared.schema.train_end_s == prepared.schema.held_out_end_s == 21


def test_a_log_of_one_user_works(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", [_row(4, 2, 0), _row(4, 3, 2 * DAY_S)])
    prepared = prepare(config(log), tmp_path / "prepared")
    assert (prepared.schema.user_count, prepared.events.count, prepared.held_out.count) == (1, 1, 1)


def test_context_vectors(tmp_path: Path) -> None:
    rows = [
        _row(1, 2, 0, place=[1.0, 2.0]),
        _row(1, 3, 5, place=None),
        _row(1, 3, 2 * DAY_S, place=[70_000.0, 0.0]),
    ]
    log = write_log(tmp_path / "log.parquet", rows, place=pa.list_(pa.float64()))
    place = {"name": "place", "kind": "vector", "size": 2}
    prepared = prepare(config(log, features={"context": (place,)}), tmp_path / "prepared")
    assert prepared.events.context["place"].dtype == np.float32
    np.testing.assert_array_equal(prepared.events.context["place"], [[1, 2], [np.nan, 0]])
    np.testing.assert_array_equal(prepared.held_out.context["place"], [[70_000, 0]])


def test_inputs_change_with_files_and_sections_only(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", [_row(1, 2, 0), _row(1, 2, 2 * DAY_S)])
    first = prepare_inputs(config(log))
    assert prepare_inputs(config(log, prepare={"threads": 1})) == first
    assert prepare_inputs(config(log, split={"gap_s": 5})) != first
    write_log(log, [_row(1, 2, 0), _row(1, 3, 2 * DAY_S)])
    assert prepare_inputs(config(log)) != first


def _refused(chosen: Config, out: Path) -> LogError:
    with pytest.raises(LogError) as caught:
        prepare(chosen, out / "prepared")
    assert not list(out.glob("*prepared*")), "nothing is left behind"
    return caught.value


def test_a_log_without_positives(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", [_row(1, 2, t, "skip") for t in (0, 2 * DAY_S)])
    error = _refused(config(log), tmp_path)
    assert error.what == "the log has no positive rows"
    assert "2 rows" in str(error.received)


def test_a_log_without_targets(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", [_row(1, 2, t, "like") for t in (0, 2 * DAY_S)])
    assert _refused(config(log), tmp_path).what == "the log has no targets"


@pytest.mark.parametrize(
    ("times", "lacking"), [((0, 50), "no training events"), ((0, 2 * DAY_S), "no held-out targets")]
)
def test_a_log_too_short_for_its_split(
    tmp_path: Path, times: tuple[int, int], lacking: str
) -> None:
    rows = [_row(1, 2, time) for time in times]
    if lacking == "no held-out targets":
        rows[1]["kind"] = "like"
        rows.append(_row(1, 2, 0))
    error = _refused(config(write_log(tmp_path / "log.parquet", rows)), tmp_path)
    assert lacking in error.what
    assert f"events from 0 s (1970-01-01 00:00:00 UTC) to {times[1]} s" in str(error.received)
    assert "test_days" in str(error.hint)


@pytest.mark.parametrize(
    ("vector", "received"),
    [
        ([1.0], "1 elements"),
        ([1.0, float("nan")], "NaN"),
        ([1.0, None], "NaN"),
        ([1.0, 1e6], "beyond float16"),
        ([1.0, 2.0], "several vectors"),
    ],
)
def test_a_vector_that_cannot_be_used(tmp_path: Path, vector: list[Any], received: str) -> None:
    log = write_log(tmp_path / "log.parquet", [_row(1, 10, 0), _row(1, 20, 2 * DAY_S)])
    vectors = [{"item": 10, "v": [1.0, 2.0]}, {"item": 20, "v": vector}]
    if received == "several vectors":
        vectors.append(vectors[1])
    types = {"item": pa.uint32(), "v": pa.list_(pa.float64())}
    table = write_parquet(tmp_path / "v.parquet", vectors, types)
    feature = {"name": "v", "kind": "vector", "size": 2, "table": str(table)}
    error = _refused(config(log, features={"item": (feature,)}), tmp_path)
    assert "item 20" in error.what
    assert received in str(error.received)


def test_a_table_that_lacks_half_of_the_items(tmp_path: Path) -> None:
    rows = [_row(1, item, item) for item in (10, 20, 30, 40)] + [_row(1, 10, 2 * DAY_S)]
    log = write_log(tmp_path / "log.parquet", rows)
    (tmp_path / "t.csv").write_text("item,tag,bpm\n10,a,90\n30,b,110\n")
    table = {"table": str(tmp_path / "t.csv")}
    tag = {"name": "tag", "kind": "categorical", **table}
    bpm = {"name": "bpm", "kind": "numeric", **table}
    prepared = prepare(config(log, features={"item": (tag, bpm)}), tmp_path / "prepared")
    assert prepared.item_ids().to_pylist() == [10, 20, 30, 40]
    # items 20 and 40 have the unknown slot of each kind, as number 0 has; 90 and 110 are one
    # deviation below and above their mean
    assert prepared.item_feature("tag").tolist() == [0, 1, 0, 2, 0]
    np.testing.assert_array_equal(prepared.item_feature("bpm"), [np.nan, -1, np.nan, 1, np.nan])
    shares = prepared.statistics()["item_features"]
    assert shares == {"tag": {"missing_share": 0.5}, "bpm": {"missing_share": 0.5}}


def test_a_table_that_knows_none_of_the_items(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.parquet", [_row(1, 10, 0), _row(1, 10, 2 * DAY_S)])
    (tmp_path / "t.csv").write_text("item,tag\n11,a\n")
    tag = {"name": "tag", "kind": "categorical", "table": str(tmp_path / "t.csv")}
    chosen = config(log, log={"catalogue": False}, features={"item": (tag,)})
    assert "knows none of the log's items" in _refused(chosen, tmp_path).what


def test_a_full_disk_while_arrays_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write_log(tmp_path / "log.parquet", [_row(1, 10, 0), _row(1, 10, 2 * DAY_S)])
    run = tmp_path / "run"
    kept = contents(prepare(config(log), run / "prepared").stage.path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "item_number.npy")

    monkeypatch.setattr("antiphon.npy.NpyWriter.write", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        prepare(config(log), run / "prepared")
    assert [path.name for path in run.iterdir()] == ["prepared"], "nothing half-written is left"
    assert contents(Prepared.open(run / "prepared").stage.path) == kept, "the old one still stands"


def test_a_disk_that_is_full_for_the_engine(tmp_path: Path) -> None:
    """Files may not grow beyond 100 kB: the engine's own file does."""
    rows = random_rows(np.random.default_rng(0), 20_000)
    log = write_log(tmp_path / "log.parquet", rows, **CONTEXT_TYPES)
    (tmp_path / "c.toml").write_text(config(log, features={"context": CONTEXT}).to_toml())
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from antiphon.config import Config\n"
        "from antiphon.prepare import prepare; from antiphon.errors import ArtifactError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: prepare(Config.load(Path(sys.argv[1])), Path(sys.argv[2]))\n"
        "except ArtifactError as error: sys.exit(str(error))"
    )

    run = tmp_path / "run"
    command = [sys.executable, "-c", script, str(tmp_path / "c.toml"), str(run / "prepared")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "can't be written" in done.stderr, done.stderr
    assert not list(run.iterdir())


def test_a_memory_limit_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows(np.random.default_rng(0), 50_000)
    log = write_log(tmp_path / "log.parquet", rows, **CONTEXT_TYPES)
    monkeypatch.setattr("antiphon.engines.duckdb_sql._LEAST_BYTES", 2_000_000)
    with pytest.raises(ConfigError, match=r"prepare\.memory_limit is too small") as caught:
        prepare(config(log, prepare={"memory_limit": "1MB"}), tmp_path / "run/prepared")
    assert "prepare.memory_limit=" in str(caught.value.hint)
    assert not list((tmp_path / "run").iterdir())
