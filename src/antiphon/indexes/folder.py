"""The index folder of a run, opened as whichever engine it holds."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from antiphon.errors import ArtifactError
from antiphon.indexes.numpy_scan import NumpyScan
from antiphon.indexes.protocol import Index

__all__ = ["has_faiss", "open_engine", "open_index"]


def has_faiss() -> bool:
    """Whether the extra `faiss` is installed."""
    return importlib.util.find_spec("faiss") is not None


def open_index(folder: Path, candidates: Float32[np.ndarray, "items width"]) -> Index:
    """The index of a complete stage folder, memory-mapped: ready at once, whatever its size.

    Args:
        folder: of the index stage.
        candidates: the embeddings it was made of, memory-mapped or not.

    Raises:
        ArtifactError: it is of other candidates, can't be read, or needs faiss.
        BackendError: it is in a database that can't be reached, or doesn't have it any more.
    """
    document: Mapping[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return open_engine(document["engine"], folder, candidates)


def open_engine(engine: str, folder: Path, candidates: Float32[np.ndarray, "items width"]) -> Index:
    """The engine of a name that index.json may have; see `open_index`."""
    if engine == "numpy" or (engine == "faiss-scan" and not has_faiss()):
        return NumpyScan(candidates)
    if engine in ("pgvector", "milvus"):
        from antiphon.indexes.database_files import open_database

        return open_database(folder, candidates)
    if engine not in ("faiss-scan", "faiss-graph"):
        raise ArtifactError(
            f"{folder} holds an index of an unknown engine",
            received=engine,
            allowed="numpy, faiss-scan, faiss-graph, pgvector, milvus",
        )
    if not has_faiss():
        raise ArtifactError(
            f"{folder} holds a graph, which needs faiss",
            hint='pip install "antiphon[faiss]", or index.kind = exact and `antiphon index RUN`',
        )
    from antiphon.indexes import faiss_files

    opening = faiss_files.open_scan if engine == "faiss-scan" else faiss_files.open_graph
    return opening(folder, candidates)
