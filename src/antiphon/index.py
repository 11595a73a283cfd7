"""STAGE  trained model -> index.

index/
  index.json                   the engine, and how much it finds, by context
  scan.faiss | graph.faiss     candidates as faiss keeps them; neither where another engine has them
  layout.json                  how they are laid out, how wide a graph is searched, which database
  values/NAME.items.npy        int32: item numbers by value of a categorical item feature
  values/NAME.offsets.npy      int64: those of code c are rows offsets[c] to offsets[c + 1]

The embeddings themselves stay in model/candidates.npy, which every answer is scored from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from antiphon.artifacts import fingerprint, write_json, write_stage
from antiphon.config import Config
from antiphon.errors import ArtifactError, RecallError
from antiphon.exclusions import Exclusions
from antiphon.indexes.databases import check_url
from antiphon.indexes.folder import has_faiss, open_engine
from antiphon.indexes.graph import Graph
from antiphon.indexes.layout_file import write_reach
from antiphon.indexes.numpy_scan import NumpyScan
from antiphon.indexes.postings import write_postings
from antiphon.indexes.protocol import Index
from antiphon.indexes.reaching import choose_reach
from antiphon.indexes.recall import (
    Questions,
    Recall,
    choose_queries,
    latency_ms,
    recall_of,
    refuse_below,
)
from antiphon.retrieval import TrainedModel
from antiphon.sections import IndexSection
from antiphon.windows import newest_window

__all__ = ["IndexReport", "Progress", "build_index", "index_inputs"]

# how far, of how much, a few words
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class IndexReport:
    """What was built and how much it finds.

    Attributes:
        engine: `numpy`, `faiss-scan`, `faiss-graph`, `pgvector` or `milvus`.
        items: candidates.
        width: of their embeddings.
        target: that every figure reaches.
        recall: by part of the queries, with and without their users' libraries.
        latency_ms: of one answer at the first k, by whether the library is left out.
        reach: how wide a graph is searched; None of other engines.
        note: why it isn't what was asked for, if so.
        build_seconds: without the measuring.
    """

    engine: str
    items: int
    width: int
    target: float
    recall: tuple[Recall, ...]
    latency_ms: Mapping[str, Mapping[str, float]]
    reach: Mapping[str, Any] | None
    note: str | None
    build_seconds: float

    def to_json(self) -> dict[str, Any]:
        """The content of index.json."""
        return {
            **vars(self),
            "recall": [figure.to_json() for figure in self.recall],
            "latency_ms": {name: dict(times) for name, times in self.latency_ms.items()},
        }


def index_inputs(config: Config) -> object:
    """What determines the result, besides the prepared log and the model."""
    asked = config.evaluate.model_dump(include={"protocol", "query_by", "max_users"}, mode="json")
    return {"index": config.index.model_dump(mode="json"), "asked": asked, "faiss": has_faiss()}


def build_index(
    config: Config, model: TrainedModel, out: Path, progress: Progress | None = None
) -> IndexReport:
    """Build the index of a trained model, see how much it finds, and write the stage's folder.

    Raises:
        RecallError: it finds less than `index.target` asks for; nothing is written.
        ArtifactError: an approximate index without faiss, or a disk that is full.
        BackendError: a database can't be reached, or refuses.
        ConfigError: `index.to` is wrong, or its client isn't installed.
        EvaluationError: the newest window has no queries to measure with.
    """
    tell = progress or (lambda *_: None)
    section = config.index
    inputs = {"prepared": model.prepared.stage, "model": model.stage}
    tell(0, 0, "exact answers to the newest queries")
    questions = _questions(config, model)
    with write_stage(out, made_from=index_inputs(config), inputs=inputs) as folder:
        report = _build(section, model, questions, folder, tell)
        write_postings(model.prepared, folder / "values")
        write_json(folder / "index.json", report.to_json())
    return report


def _questions(config: Config, model: TrainedModel) -> Questions:
    window = newest_window(model.prepared, config.evaluate)
    rows, parts = choose_queries(window, config.index.queries)
    queries = window.queries.take(rows)
    return Questions.ask(
        NumpyScan(model.candidates),
        model.embed(queries),
        Exclusions.heard(model.prepared.events, queries),
        parts,
        max(config.index.k),
    )


def _build(
    section: IndexSection,
    model: TrainedModel,
    questions: Questions,
    folder: Path,
    tell: Progress,
) -> IndexReport:
    if section.to is not None:
        return _database(section, model, questions, folder, tell)
    candidates = model.candidates
    if section.kind == "approximate" or (
        section.kind == "auto" and has_faiss() and len(candidates) - 1 > section.exact_up_to
    ):
        if not has_faiss():
            raise ArtifactError(
                "an approximate index needs faiss",
                hint='pip install "antiphon[faiss]", or set index.kind to exact',
            )
        from antiphon.indexes.faiss_files import write_graph

        write = partial(write_graph, folder, candidates, questions.embeddings)
        try:
            return _graph("faiss-graph", write, section, candidates, questions, folder, tell)
        except RecallError as error:
            if section.kind == "approximate":
                raise
            for file in folder.iterdir():
                file.unlink()
            note = f"exact, as a graph found too little: {error.received}"
            return _scan(section, candidates, questions, folder, tell, note)
    return _scan(section, candidates, questions, folder, tell, None)


def _scan(
    section: IndexSection,
    candidates: Float32[np.ndarray, "items width"],
    questions: Questions,
    folder: Path,
    tell: Progress,
    note: str | None,
) -> IndexReport:
    started = time.perf_counter()
    if has_faiss():
        from antiphon.indexes.faiss_files import write_scan

        write_scan(folder, candidates, questions.embeddings, _adding(tell))
    built = time.perf_counter() - started
    engine = "faiss-scan" if has_faiss() else "numpy"
    index = open_engine(engine, folder, candidates)
    return _report(engine, index, section, questions, tell, note, built, None)


def _graph(
    engine: str,
    write: Callable[..., None],
    section: IndexSection,
    candidates: Float32[np.ndarray, "items width"],
    questions: Questions,
    folder: Path,
    tell: Progress,
) -> IndexReport:
    started = time.perf_counter()
    write(connections=section.connections, build_width=section.build_width, progress=_adding(tell))
    built = time.perf_counter() - started
    graph = open_engine(engine, folder, candidates)
    if not isinstance(graph, Graph):
        raise TypeError(engine)
    words = partial(tell, 0, 0)
    graph = choose_reach(graph, questions, section.k, section.target, words)
    write_reach(folder, graph.reach)
    reach = vars(graph.reach)
    return _report(engine, graph, section, questions, tell, None, built, reach)


def _database(
    section: IndexSection,
    model: TrainedModel,
    questions: Questions,
    folder: Path,
    tell: Progress,
) -> IndexReport:
    from antiphon.indexes.database_files import drop_database, write_database

    url = str(section.to)
    engine, candidates = check_url(url), model.candidates
    ids = model.prepared.item_ids().cast(pa.string()).to_pylist()
    made_of = fingerprint([model.stage.hash, section.model_dump(mode="json")])
    write = partial(write_database, folder, url, made_of, candidates, ids, questions.embeddings)
    try:
        return _graph(engine, write, section, candidates, questions, folder, tell)
    except RecallError:
        drop_database(folder, candidates)
        raise


def _report(
    engine: str,
    index: Index,
    section: IndexSection,
    questions: Questions,
    tell: Progress,
    note: str | None,
    build_seconds: float,
    reach: Mapping[str, Any] | None,
) -> IndexReport:
    figures: list[Recall] = []
    latency = {}
    for without, name in ((False, "all"), (True, "without_library")):
        tell(0, 0, f"recall beside exact search ({name.replace('_', ' ')})")
        figures += recall_of(index, questions, section.k, without_library=without)
        latency[name] = latency_ms(index, questions, section.k[0], without_library=without)
    refuse_below(figures, section.target)
    return IndexReport(
        engine=engine,
        items=index.item_count,
        width=index.width,
        target=section.target,
        recall=tuple(figures),
        latency_ms=latency,
        reach=reach,
        note=note,
        build_seconds=round(build_seconds, 3),
    )


def _adding(tell: Progress) -> Callable[[int, int], None]:
    return lambda done, total: tell(done, total, "adding candidates")
