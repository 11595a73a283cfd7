"""faiss indexes as files: built from candidate embeddings, opened memory-mapped. No pickle.

FOLDER/
  scan.faiss | graph.faiss   the vectors, and for a graph their neighbours
  layout.json                how its vectors are laid out, and for a graph how wide to search
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from jaxtyping import Float32

from antiphon.errors import ArtifactError
from antiphon.indexes.faiss_graph import FaissNeighbours
from antiphon.indexes.faiss_scan import FaissScan
from antiphon.indexes.graph import Graph, Reach
from antiphon.indexes.layout import ROWS_AT_ONCE, Layout, layout_of
from antiphon.indexes.layout_file import REDO, read_layout, write_layout
from antiphon.sections import BUILD_WIDTH, CONNECTIONS
from antiphon.threads import processors

__all__ = ["open_graph", "open_scan", "write_graph", "write_scan"]

Progress = Callable[[int, int], None]

SCAN_COSTS = 256
"""A search that is wider than one in so many items costs more than a scan of all of them."""


def write_scan(
    folder: Path,
    candidates: Float32[np.ndarray, "items width"],
    sample: Float32[np.ndarray, "queries width"] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write what an exact scan needs.

    Args:
        folder: exists.
        candidates: embeddings by item number.
        sample: queries such as will be asked.
        progress: is told how many items are done, of how many.

    Raises:
        EvaluationError: an embedding isn't finite.
    """
    layout = layout_of(candidates, sample, equal_lengths=False)
    store = faiss.IndexScalarQuantizer(
        layout.padded, faiss.ScalarQuantizer.QT_bf16, faiss.METRIC_INNER_PRODUCT
    )
    layout = _fill(store, candidates, layout, progress or (lambda *_: None))
    _write(folder, "scan.faiss", store, layout, None)


def write_graph(
    folder: Path,
    candidates: Float32[np.ndarray, "items width"],
    sample: Float32[np.ndarray, "queries width"] | None = None,
    *,
    connections: int = CONNECTIONS,
    build_width: int = BUILD_WIDTH,
    progress: Progress | None = None,
) -> None:
    """Write a graph and what a scan of the same vectors needs.

    Args:
        folder: exists.
        candidates: embeddings by item number.
        sample: queries such as will be asked.
        connections: neighbours of a candidate, twice as many at the bottom.
        build_width: how wide to search for neighbours.
        progress: is told how many items are done, of how many.

    Raises:
        EvaluationError: an embedding isn't finite.
    """
    layout = layout_of(candidates, sample, equal_lengths=True)
    graph = faiss.IndexHNSWSQ(
        layout.padded, faiss.ScalarQuantizer.QT_bf16, connections, faiss.METRIC_L2
    )
    graph.hnsw.efConstruction = build_width
    faiss.omp_set_num_threads(processors())
    layout = _fill(graph, candidates, layout, progress or (lambda *_: None))
    # neighbours are near in all coordinates; queries ask for inner products, and have 0 in the one
    # that makes lengths equal. It counts from the next time the file is read.
    graph.metric_type = faiss.METRIC_INNER_PRODUCT
    faiss.downcast_index(graph.storage).metric_type = faiss.METRIC_INNER_PRODUCT
    reach = Reach(spare=64, growth=1.0, widest=graph.ntotal // SCAN_COSTS)
    _write(folder, "graph.faiss", graph, layout, reach)


def open_scan(folder: Path, candidates: Float32[np.ndarray, "items width"]) -> FaissScan:
    """Memory-map a written scan, in a folder whose hashes were checked.

    Raises:
        ArtifactError: it isn't of these candidates, or can't be read.
    """
    store, layout, _ = _open(folder, "scan.faiss", candidates)
    return FaissScan(candidates, store, layout)


def open_graph(folder: Path, candidates: Float32[np.ndarray, "items width"]) -> Graph:
    """Memory-map a written graph, in a folder whose hashes were checked.

    Raises:
        ArtifactError: it isn't of these candidates, or can't be read.
    """
    graph, layout, reach = _open(folder, "graph.faiss", candidates)
    if reach is None:
        raise ArtifactError(f"{folder} holds no graph", hint=REDO)
    scan = FaissScan(candidates, faiss.downcast_index(graph.storage), layout)
    return Graph(candidates, scan, FaissNeighbours(graph), layout, reach)


def _fill(
    store: Any,
    candidates: Float32[np.ndarray, "items width"],
    layout: Layout,
    progress: Callable[[int, int], None],
) -> Layout:
    """Add candidates 1 and up to an empty faiss index; the layout with its residual measured.

    Args:
        store: any index of bfloat16 vectors.
        candidates: by item number.
        layout: of the vectors.
        progress: is told how many are added, of how many.
    """
    codec = faiss.IndexScalarQuantizer(layout.padded, faiss.ScalarQuantizer.QT_bf16)
    residual = 0.0
    for start in range(1, len(candidates), ROWS_AT_ONCE):
        laid = layout.of_candidates(np.asarray(candidates[start : start + ROWS_AT_ONCE]))
        kept = codec.sa_decode(codec.sa_encode(laid))
        difference = (laid - kept)[:, : layout.width]
        residual = max(residual, float(np.linalg.norm(difference.astype(np.float64), axis=1).max()))
        store.add(laid)
        progress(start - 1 + len(laid), len(candidates) - 1)
    return replace(layout, residual=residual)


def _write(folder: Path, name: str, index: Any, layout: Layout, reach: Reach | None) -> None:
    faiss.write_index(index, str(folder / name))
    where = {"file": name, "bytes": (folder / name).stat().st_size}
    write_layout(folder, layout, reach, index.ntotal, where)


def _open(
    folder: Path, name: str, candidates: Float32[np.ndarray, "items width"]
) -> tuple[Any, Layout, Reach | None]:
    layout, reach, document = read_layout(folder, candidates)
    path = folder / name
    try:
        size = path.stat().st_size
        # faiss reads beyond the end of a file that was cut short
        if (document["file"], document["bytes"]) != (name, size):
            raise ArtifactError(
                f"{path} is truncated or swapped",
                received=f"{size} bytes",
                allowed="{bytes} bytes of {file}".format(**document),
                hint=REDO,
            )
        opened = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except (FileNotFoundError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{path} can't be read: {reason}", hint=REDO) from None
    return opened, layout, reach
