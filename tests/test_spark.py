"""Spark as the engine of the prepare stage: real executors, and the bytes that DuckDB makes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antiphon import cli
from antiphon.config import Config
from antiphon.engines import open_engine, spark_sql
from antiphon.engines.spark_sql import Spark
from antiphon.errors import AntiphonError, BackendError, ConfigError, LogError
from antiphon.events import open_log
from antiphon.prepare import prepare
from small_log import CONTEXT, CONTEXT_TYPES, DAY_S, config, contents, random_rows, write_log
from small_log import write_parquet as write_table

CLUSTER = "local-cluster[2,1,2048]"  # two workers, processes of their own: cores, MiB
QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SPARK = {"engine": "spark", "master": CLUSTER}


# Java is started by a fork, which JAX warns of where other tests have started it; but what is
# forked becomes another program at once
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session on two workers, which the engine finds running."""
    import pyspark
    from pyspark.sql import SparkSession

    # workers write their logs below Spark's home: not into the installed package
    home = tmp_path_factory.mktemp("spark")
    for part in ("bin", "jars", "python"):
        (home / part).symlink_to(Path(pyspark.__file__).parent / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_HOME", str(home))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        builder = SparkSession.builder.master(CLUSTER).appName("tests")
        for key, value in {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.shuffle.partitions": "3",
            "spark.default.parallelism": "2",
            # for small jobs that are each run once
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.driver.extraJavaOptions": QUICK_START,
            "spark.executor.extraJavaOptions": QUICK_START,
        }.items():
            builder = builder.config(key, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


def _both(folder: Path, events: Path | str, **sections: Any) -> tuple[dict[str, bytes], Path]:
    """What Spark wrote, compared with what DuckDB wrote."""
    ours = prepare(config(events, **sections), folder / "duckdb/prepared").stage.path
    theirs = prepare(
        config(events, prepare=SPARK, **sections), folder / "spark/prepared"
    ).stage.path
    expected, found = contents(ours), contents(theirs)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    return found, theirs


def test_arrays_are_those_of_duckdb(tmp_path: Path, cluster: Any) -> None:
    """Unsigned ids, ties in time, nulls of context, features of all kinds, two files, a sample."""
    rng = np.random.default_rng(3)
    rows = random_rows(rng, 4000)
    for row in rows:
        row["user"] = int(rng.integers(40)) * 3
        row["mood"] = None if rng.random() < 0.2 else [float(x) for x in rng.normal(size=2)]
        row["loud"] = None if rng.random() < 0.2 else bool(rng.random() < 0.5)
    types = CONTEXT_TYPES | {"mood": pa.list_(pa.float32()), "loud": pa.bool_()}
    for part in range(2):
        write_log(tmp_path / f"log/{part}.parquet", rows[part::2], **types)
    items = [
        {
            "item": n * 3 + 300,
            "tag": None if n == 2 else f"t{n % 3}. t{n % 2}.it's",
            "artist": [] if n == 3 else [n % 4, 7, n % 4 + 1],
            "key": None if n == 1 else n % 5,
            "length": None if n == 4 else n / 7,
            "audio": None if n == 5 else [float(x) for x in rng.normal(size=4)],
            "title": None if n == 6 else f"Title {n}",
        }
        for n in range(14)
    ]
    table = str(
        write_table(
            tmp_path / "items.parquet",
            items,
            {
                "item": pa.int64(),
                "tag": pa.string(),
                "artist": pa.list_(pa.int64()),
                "key": pa.uint8(),
                "length": pa.float32(),
                "audio": pa.list_(pa.float64()),
                "title": pa.string(),
            },
        )
    )
    several = {"kind": "categorical", "table": table, "max_values": 2}
    features = {
        "context": (
            *CONTEXT,
            {"name": "mood", "kind": "vector", "size": 2},
            {"name": "loud", "kind": "categorical"},
        ),
        "item": (
            {"name": "tag", "separator": ".", **several},
            {"name": "artist", **several},
            {"name": "key", "kind": "categorical", "table": table, "values": {"3": "", "1": "D"}},
            {"name": "code", "column": "key", "kind": "categorical", "table": table},
            {"name": "length", "kind": "numeric", "table": table},
            {"name": "turn", "column": "key", "kind": "cyclic", "period": 3, "table": table},
            {"name": "audio", "kind": "vector", "table": table, "size": 4},
        ),
    }
    section = {"titles": table, "derived": {"twice": '"place" * 2'}, "sample_users": 0.7}
    section["where"] = "twice IS NULL OR twice < 4"
    found, folder = _both(tmp_path, tmp_path / "log/*.parquet", features=features, log=section)
    arrays = [name for name in found if name.endswith(".npy")]
    # of training and of the test window: four columns and five contexts; six of other orders
    assert len(arrays) == 2 * (4 + 5) + 6 + 7
    ids = pq.read_table(folder / "users.parquet").column("id")
    assert ids.type == pa.uint32(), "the log's type is kept"
    assert len(ids) > 10


def test_text_ids_of_a_csv_with_timestamps(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_rows(np.random.default_rng(8), 600, text=True)
    lines = ["user;item;kind;place;speed;when"]
    for row in rows:
        hours = row["at"] // 3600
        cells = [f'"Ünal ""{row["user"]}"""', row["item"], row["kind"], row["place"], row["speed"]]
        cells.append(f"2024-03-{hours // 24 + 1:02d} {hours % 24:02d}:00:00.75")
        lines.append(";".join("" if cell is None else str(cell) for cell in cells))
    (tmp_path / "log.csv").write_text("\n".join(lines))
    section = {"time": "when", "time_unit": "timestamp"}
    features = {"context": (CONTEXT[0], CONTEXT[2])}
    chosen = config(tmp_path / "log.csv", log=section, features=features)
    expected = contents(prepare(chosen, tmp_path / "duckdb/prepared").stage.path)

    (tmp_path / "log.toml").write_text(chosen.to_toml())
    options = ["--engine", "spark", "--master", CLUSTER, "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr(
        sys, "argv", ["antiphon", "prepare", str(tmp_path / "log.toml"), *options, "--json"]
    )
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    folder = tmp_path / "runs/test/prepared"
    assert contents(folder) == expected
    assert 'Ünal "u' in pq.read_table(folder / "users.parquet")["id"][0].as_py()
    # 2024-03-01 is day 19,783; the fraction is floored
    times = np.load(folder / "events/timestamp_s.npy")
    assert times.min() // DAY_S == 19_783
    assert not (times % 3600).any()


def _refused(folder: Path, chosen: Config) -> AntiphonError:
    folder.mkdir(exist_ok=True)
    with pytest.raises(AntiphonError) as caught, Spark(folder, None) as engine:
        open_log(engine, chosen)
    return caught.value


def test_what_config_and_log_have_wrong(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # workers were looked for by the tests above
    monkeypatch.setattr(spark_sql, "require_workers", lambda *_: None)
    rows = random_rows(np.random.default_rng(0), 40)
    rows[37]["user"] = None  # row 18 of the second file, thus 20 + 18 = 38 of the log
    for part in range(2):
        write_log(tmp_path / f"a part [{part}].parquet", rows[part * 20 : part * 20 + 20])
    log = str(tmp_path / "a part *.parquet")

    error = _refused(tmp_path / "w", config(log))
    assert isinstance(error, LogError)
    assert error.what == "the column 'user' is null in 1 rows"
    assert error.received == "rows 38 (the first is 1)"

    error = _refused(tmp_path / "w", config(log, log={"where": "usr > 3"}))
    assert isinstance(error, ConfigError)
    assert "log.where isn't Spark's SQL" in error.what
    assert error.hint == "did you mean 'user'?"
    error = _refused(tmp_path / "w", config(log, log={"where": "user >"}))
    assert "Syntax error" in error.what
    assert "==" not in str(error), "one line, without Spark's drawing"
    error = _refused(tmp_path / "w", config(log, log={"where": "list_sum([user]) > 1"}))
    assert "log.where isn't Spark's SQL" in error.what
    error = _refused(tmp_path / "w", config(log, log={"where": "CAST(kind AS INT) = 1"}))
    assert isinstance(error, LogError)
    assert error.what == "a value of the log can't be converted"
    assert "The value '" in str(error.received)

    whole = (tmp_path / "a part [0].parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:8] + b"\xff" * 200 + whole[208:])
    assert isinstance(_refused(tmp_path / "w", config(tmp_path / "b.parquet")), LogError)


def test_workers_that_write_elsewhere(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # to this process, machines that share no folder look like that: nothing arrived
    monkeypatch.setattr("pyspark.sql.DataFrameWriter.parquet", lambda *_: None)
    with pytest.raises(BackendError, match="0 of 2 files arrived"):
        Spark(tmp_path, CLUSTER)
    with pytest.raises(ConfigError, match="another master"):
        Spark(tmp_path, "local[2]")


def test_spark_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = config("log.parquet", prepare={"master": CLUSTER}).prepare
    with pytest.raises(ConfigError, match=r"prepare\.master is for Spark"):
        open_engine(section, tmp_path, 2**30)
    section = config("log.parquet", prepare=SPARK).prepare
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyspark", None)
        with pytest.raises(ConfigError, match="needs the extra 'spark'"):
            open_engine(section, tmp_path, 2**30)


def test_clusters_that_cannot_be_reached(tmp_path: Path) -> None:
    """In a process of its own, that has no session yet."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    script = f"""
import os
from pathlib import Path
from antiphon.engines.spark_sql import Spark
from antiphon.errors import AntiphonError

def refused(master):
    try:
        Spark(Path({str(tmp_path)!r}), master)
    except AntiphonError as error:
        print(error)

path, os.environ["PATH"] = os.environ["PATH"], "/nowhere"
refused("local[2]")
os.environ["PATH"] = path
refused("spark://127.0.0.1:{port},nowhere")
refused("sparc://127.0.0.1:7077")
refused("local[many]")
"""
    environment = {key: word for key, word in os.environ.items() if key != "JAVA_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Spark needs Java" in done.stdout
    assert "default-jre-headless" in done.stdout
    assert f"no Spark master answers: 127.0.0.1:{port}: " in done.stdout
    assert "'nowhere' is no HOST:PORT" in done.stdout
    assert "prepare.master is nothing that Spark knows" in done.stdout
    assert "Spark can't start" in done.stdout
