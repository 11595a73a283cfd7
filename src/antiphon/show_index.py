"""What a person reads of an index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["index_part"]

ENGINES = {
    "numpy": "exact, by numpy",
    "faiss-scan": "exact, by faiss",
    "faiss-graph": "approximate, a graph by faiss",
    "pgvector": "approximate, a graph in PostgreSQL",
    "milvus": "approximate, a graph in Milvus",
}


def index_part(folder: Path, index: Mapping[str, Any]) -> RenderableType:
    """The engine, how much it finds by context, and how long an answer takes."""
    engine = ENGINES.get(index["engine"], index["engine"])
    words = f"{index['items']:,} candidates of width {index['width']}, {engine}"
    parts: list[RenderableType] = [Text(words, style="bold"), _recall(index)]
    if index["note"]:
        parts.append(Text(index["note"], style="yellow"))
    times = index["latency_ms"]
    parts += [
        Text(f"an answer takes {_times(times['all'])}"),
        Text(f"with the user's library left out {_times(times['without_library'])}"),
        Text(f"the index: {folder}", style="bold"),
    ]
    return Group(*parts)


def _recall(index: Mapping[str, Any]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"found of what exact search finds; the target is {index['target']}",
        title_justify="left",
    )
    table.add_column("queries")
    table.add_column("", justify="right")
    figures = {(f["part"], f["without_library"], f["k"]): f for f in index["recall"]}
    columns = sorted({(without, k) for _, without, k in figures})
    for without, k in columns:
        library = "library\nleft out" if without else "as asked\n"
        table.add_column(f"{library}\nrecall@{k}", justify="right")
    for part in dict.fromkeys(part for part, _, _ in figures):
        row = [figures[part, *column] for column in columns]
        cells = [_share(figure["index_recall_at_k"]) for figure in row]
        table.add_row(part, f"{row[0]['queries']:,}", *cells)
    return table


def _share(value: float | None) -> Text:
    return Text("none", "dim") if value is None else Text(f"{value:.4f}")


def _times(times: Mapping[str, float]) -> str:
    return f"{times['p50']} ms, p99 {times['p99']} ms"
