"""An index in a database: candidates sent there, and the little of it that stays in the folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from antiphon.errors import ArtifactError
from antiphon.indexes.databases import Database, check_url, connect, rows_of_candidates
from antiphon.indexes.graph import Graph, Reach
from antiphon.indexes.layout import layout_of
from antiphon.indexes.layout_file import REDO, read_layout, write_layout
from antiphon.indexes.numpy_scan import NumpyScan
from antiphon.sections import BUILD_WIDTH, CONNECTIONS

__all__ = ["drop_database", "open_database", "write_database"]

SCAN_COSTS = 256
"""A search that is wider than one in so many items costs more than a scan of all of them."""
LEAST_WIDEST = 1000


def write_database(
    folder: Path,
    url: str,
    made_of: str,
    candidates: Float32[np.ndarray, "items width"],
    ids: Sequence[str],
    sample: Float32[np.ndarray, "queries width"] | None = None,
    *,
    connections: int = CONNECTIONS,
    build_width: int = BUILD_WIDTH,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Send candidates to a database and write layout.json.

    Args:
        folder: exists.
        url: of the database.
        made_of: a hash of what the candidates were computed from; the table is named by it.
        candidates: embeddings by item number.
        ids: in the log, of items 1 and up.
        sample: queries such as will be asked.
        connections: neighbours of a candidate in the graph.
        build_width: how wide to search for neighbours.
        progress: is told how many items are sent, of how many.

    Raises:
        BackendError: the database can't be reached, or refuses.
        ConfigError: the URL is wrong, or the client isn't installed.
        EvaluationError: an embedding isn't finite.
    """
    tell = progress or (lambda *_: None)
    items = len(candidates) - 1
    layout = layout_of(candidates, sample, equal_lengths=True)
    table = f"antiphon_{made_of[:16]}"
    database = connect(url, table, layout.width + 1)
    database.load(
        rows_of_candidates(candidates, ids, layout),
        made_of,
        connections=connections,
        build_width=build_width,
        progress=lambda done: tell(done, items),
    )
    widest = min(max(items // SCAN_COSTS, LEAST_WIDEST), database.widest)
    reach = Reach(spare=64, growth=1.0, widest=widest)
    where = {"url": url, "table": table, "made_of": made_of}
    write_layout(folder, layout, reach, items, where)


def open_database(folder: Path, candidates: Float32[np.ndarray, "items width"]) -> Graph:
    """An index whose neighbours are found in a database.

    Raises:
        ArtifactError: it isn't of these candidates, or can't be read.
        BackendError: the database can't be reached, or doesn't have it any more.
    """
    layout, reach, document = read_layout(folder, candidates)
    if reach is None or "url" not in document:
        raise ArtifactError(f"{folder} holds no index in a database", hint=REDO)
    database = _connect(document, layout.width)
    database.check(document["items"], document["made_of"])
    return Graph(candidates, NumpyScan(candidates), database, layout, reach)


def drop_database(folder: Path, candidates: Float32[np.ndarray, "items width"]) -> None:
    """Remove what `write_database` sent."""
    layout, _, document = read_layout(folder, candidates)
    _connect(document, layout.width).drop()


def _connect(document: dict[str, str], width: int) -> Database:
    check_url(document["url"])
    return connect(document["url"], document["table"], width + 1)
