"""Indexes in PostgreSQL and Milvus: real servers, started here, on a socket or on loopback."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from antiphon import index
from antiphon.errors import ArtifactError, BackendError, ConfigError, RecallError
from antiphon.indexes import Index, NumpyScan, open_index, reaching
from antiphon.indexes.database_files import open_database, write_database
from antiphon.indexes.databases import check_url, connect
from antiphon.indexes.graph import Graph, Reach
from conformance import Build, Conformance
from corpora import embeddings, exclusions, queries_like, right
from searched_run import config_of, trained_model


@pytest.fixture(scope="module")
def milvus(tmp_path_factory) -> Iterator[str]:
    """The URL of a Milvus Lite server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("milvus")
    program = Path(sys.executable).parent / "milvus-lite"
    command = [program, "server", "--data-dir", folder, "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"milvus://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


_sent: dict[str, Path] = {}


class InADatabase(Conformance):
    exact = False
    same_again = False  # their graphs are random

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def build(self, tmp_path: Path, url: str) -> Build:
        built = 0

        def build(candidates: np.ndarray) -> Index:
            """Sends each corpus once for all tests, but for those that build two."""
            nonlocal built
            built += 1
            made_of = hashlib.sha256(candidates.tobytes() + bytes([built])).hexdigest()
            kept = _sent.get(url + made_of)
            if kept:
                shutil.copy(kept / "layout.json", tmp_path)
            else:
                ids = [f"track {n}" for n in range(1, len(candidates))]
                sample = queries_like(99, 50, candidates.shape[1])
                write_database(tmp_path, url, made_of, candidates, ids, sample)
                _sent[url + made_of] = tmp_path
            graph = open_database(tmp_path, candidates)
            return graph.reaching(Reach(200, 3.0, 4000))

        return build

    def test_it_is_the_database_that_answers(self, build: Build, monkeypatch) -> None:
        found = build(embeddings(1, 2000))
        assert isinstance(found, Graph)
        monkeypatch.setattr(NumpyScan, "top_k", None)
        found.top_k(queries_like(0, 2), 10, exclude=exclusions([list(range(1, 100)), []]))

    def test_opened_again(self, build: Build, tmp_path: Path) -> None:
        candidates, queries = embeddings(1, 500), queries_like(0, 5)
        build(candidates)
        again = open_database(tmp_path, candidates)
        np.testing.assert_array_equal(again.top_k(queries, 5)[0], right(queries, candidates, 5)[0])
        with pytest.raises(ArtifactError, match="other candidates"):
            open_database(tmp_path, candidates[:-1])

    def test_a_table_that_is_gone_or_of_something_else(
        self, build: Build, tmp_path: Path, url: str
    ) -> None:
        candidates = embeddings(2, 50)  # no other test's
        build(candidates)
        layout = json.loads((tmp_path / "layout.json").read_text())
        (tmp_path / "layout.json").write_text(json.dumps(layout | {"items": 48}))
        with pytest.raises(BackendError, match="something else"):
            open_database(tmp_path, candidates[:-1])
        (tmp_path / "layout.json").write_text(json.dumps(layout))
        connect(url, layout["table"], 9).drop()
        with pytest.raises(BackendError, match="isn't there"):
            open_database(tmp_path, candidates)


class TestPgVector(InADatabase):
    @pytest.fixture
    def url(self, postgres: str) -> str:
        return postgres

    def test_the_table_has_the_log_s_ids_and_a_graph(self, build, tmp_path, url) -> None:
        build(embeddings(1, 30))
        table = json.loads((tmp_path / "layout.json").read_text())["table"]
        with psycopg.connect(url) as connection:
            rows = connection.execute(f"SELECT item_number, item_id FROM {table}").fetchall()
            indexes = connection.execute("SELECT indexdef FROM pg_indexes").fetchall()
        assert sorted(rows) == [(n, f"track {n}") for n in range(1, 30)]
        assert any("hnsw (embedding vector_l2_ops)" in text for (text,) in indexes)

    def test_a_table_of_another_model(self, build: Build, tmp_path: Path) -> None:
        candidates = embeddings(1, 50)
        build(candidates)
        layout = json.loads((tmp_path / "layout.json").read_text())
        (tmp_path / "layout.json").write_text(json.dumps(layout | {"made_of": "other"}))
        with pytest.raises(BackendError, match="something else"):
            open_database(tmp_path, candidates)

    def test_a_failed_load_leaves_the_old_table(self, build: Build, tmp_path, url) -> None:
        candidates = embeddings(1, 60)
        build(candidates)
        table = json.loads((tmp_path / "layout.json").read_text())["table"]

        def breaks() -> Iterator:
            yield ["a"], np.ones((1, 9), np.float32)
            yield ["b"], np.full((1, 9), np.nan, np.float32)

        with pytest.raises(BackendError, match="refuses"):
            connect(url, table, 9).load(
                breaks(), "x", connections=16, build_width=40, progress=lambda _: None
            )
        assert open_database(tmp_path, candidates).item_count == 59

    def test_a_connection_that_broke_is_made_anew(self, build: Build, url: str) -> None:
        candidates, queries = embeddings(1, 200), queries_like(0, 2)
        found = build(candidates)
        found.top_k(queries, 5)
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        with pytest.raises(BackendError):
            found.top_k(queries, 5)
        np.testing.assert_array_equal(found.top_k(queries, 5)[0], right(queries, candidates, 5)[0])


class TestMilvus(InADatabase):
    @pytest.fixture
    def url(self, milvus: str) -> str:
        return milvus


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "milvus://127.0.0.1:1"])
def test_a_database_that_is_not_there(url: str, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="refuses"):
        write_database(tmp_path, url, "x", embeddings(1, 5), ["a", "b", "c", "d"])


def test_urls() -> None:
    assert check_url("postgresql://me@host/db") == "pgvector"
    assert check_url("milvus://host:19530") == "milvus"
    with pytest.raises(ConfigError, match="no such database"):
        check_url("redis://host")
    with pytest.raises(ConfigError, match="password") as caught:
        check_url("postgresql://me:secret@host/db")
    assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TrainedModel:
    return trained_model(tmp_path_factory)


def test_the_stage_in_a_database(model, postgres, tmp_path, monkeypatch) -> None:
    out = tmp_path / "index"
    config = config_of(model, f"index.to={postgres}", "index.queries=30", "index.k=[5]")
    told = index.build_index(config, model, out)
    assert told.engine == "pgvector"
    assert all(f.index_recall_at_k is None or f.index_recall_at_k >= 0.99 for f in told.recall)
    query = np.asarray(model.candidates[3:4])
    found = open_index(out, model.candidates).top_k(query, 5)
    np.testing.assert_array_equal(found[0], NumpyScan(model.candidates).top_k(query, 5)[0])

    # one that is refused leaves no table behind
    monkeypatch.setattr(reaching, "SPARES", ())
    shutil.rmtree(out)
    other = config_of(model, f"index.to={postgres}", "index.queries=20")
    with psycopg.connect(postgres) as connection:
        listed = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'antiphon%'"
        before = connection.execute(listed).fetchone()
        with pytest.raises(RecallError):
            index.build_index(other, model, out)
        assert connection.execute(listed).fetchone() == before
    assert not out.exists()


def test_the_config_refuses_what_makes_no_sense(model) -> None:
    with pytest.raises(ConfigError, match="searches approximately"):
        config_of(model, "index.to=milvus://host", "index.kind=exact")
