"""Anybody's lists, read from Parquet, to be judged like those of a model.

One row an item of a list: `query_id` as `antiphon split` wrote it, `item_id` as the log has it, and
either `rank` (whole numbers, the least is the best) or `score` (the greatest is the best).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Float64, Int32, Int64, Shaped

from antiphon.errors import EvaluationError
from antiphon.figures import DEPTH
from antiphon.judge import GivenLists
from antiphon.prepared import Prepared
from antiphon.queries import Targets
from antiphon.sections import EvaluateSection
from antiphon.splits import METADATA_KEY, query_ids, split_id
from antiphon.vocabulary import Vocabulary
from antiphon.windows import Window

__all__ = ["Predictions", "read_predictions"]

_SPLIT_AGAIN = "answer the queries of `antiphon split RUN --out DIR` of this run"


@dataclass(frozen=True)
class Predictions:
    """Lists for the queries of a window, and what was found on reading them.

    Attributes:
        lists: to be given to `evaluate_rankers` like a ranker.
        short: how many lists have fewer than the 100 items that are judged.
        surplus: how many rows stood below the 100th place and weren't looked at.
        heard: how many rows named what their user had had and were left out, as they are for every
            ranker where the evaluation leaves that out.
    """

    lists: GivenLists
    short: int
    surplus: int
    heard: int

    def to_json(self) -> dict[str, int]:
        """The counts, as evaluation.json has them."""
        count = len(self.lists.lists)
        counts = {"short": self.short, "surplus": self.surplus, "heard": self.heard}
        return {"lists": count, **counts}


def read_predictions(
    path: Path, prepared: Prepared, section: EvaluateSection, window: Window
) -> Predictions:
    """Read and check lists.

    Args:
        path: a Parquet file.
        prepared: the log.
        section: as the split was written with.
        window: whose queries are answered, usually the test window.

    Raises:
        EvaluationError: the file can't be read, lacks a column, answers the queries of another run
            or not all of them, names an item that isn't in the corpus, or its ranks or scores
            don't make an order.
    """
    table = _read(path)
    stamped = (table.schema.metadata or {}).get(METADATA_KEY)
    split = split_id(prepared, section)
    if stamped is not None and stamped.decode() != split:
        _refuse("the predictions belong to a run of another log or split", stamped.decode(), split)
    asked = query_ids(prepared, section, window)
    query = _queries(table.column("query_id"), asked, window)
    item = _items(table.column("item_id"), prepared)
    better = _order(table, query)
    _refuse_twice(query, item, table)
    order = np.lexsort((item, -better, query))
    query, item, better = query[order], item[order], better[order]
    heard = _heard(window, query, item) if section.exclude_heard else np.zeros(len(query), bool)
    query, item, better = query[~heard], item[~heard], better[~heard]
    starts = np.searchsorted(query, np.arange(len(asked)))
    place = np.arange(len(query)) - starts[query]
    kept = place < DEPTH
    lists = np.zeros((len(asked), DEPTH), np.int32)
    scores = np.full((len(asked), DEPTH), -np.inf, np.float32)
    lists[query[kept], place[kept]] = item[kept]
    scores[query[kept], place[kept]] = better[kept]
    short = int((lists[:, -1] == 0).sum())
    return Predictions(GivenLists(lists, scores), short, int((~kept).sum()), int(heard.sum()))


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise EvaluationError(
            f"the predictions can't be read: {error}", received=path, allowed="a Parquet file"
        ) from None
    columns = set(table.column_names)
    lacking = sorted({"query_id", "item_id"} - columns)
    if not columns & {"rank", "score"}:
        lacking.append("rank or score")
    if lacking:
        raise EvaluationError(
            f"the predictions lack {', '.join(lacking)}",
            received=", ".join(table.column_names),
            allowed="query_id, item_id and rank or score",
        )
    for name in ("query_id", "item_id"):
        if table.column(name).null_count:
            raise EvaluationError(
                f"the predictions have nulls in {name}", received=_first_null(table.column(name))
            )
    return table


def _queries(given: pa.ChunkedArray, asked: pa.Array, window: Window) -> Int64[np.ndarray, " rows"]:
    """The row of each query, all of which must be there."""
    found = pc.index_in(given.cast(pa.string()), value_set=asked)
    unknown = pc.filter(given, pc.is_null(found))
    if len(unknown):
        text = str(unknown[0])
        if "-" in text and not text.startswith(asked[0].as_py().partition("-")[0] + "-"):
            _refuse("the predictions belong to a run of another log or split", text, asked[0])
        _refuse(
            f"{len(unknown)} rows answer queries that the {window.name} window doesn't have",
            text,
            f"{asked[0]} to {asked[-1]}",
        )
    query = np.asarray(found.to_numpy(), np.int64)
    answered: Bool[np.ndarray, " queries"] = np.bincount(query, minlength=len(asked)) > 0
    if not answered.all():
        first = asked[int(np.argmin(answered))]
        _refuse(
            f"{(~answered).sum()} of {len(asked)} queries have no list", f"none for {first}", None
        )
    return query


def _items(given: pa.ChunkedArray, prepared: Prepared) -> Int32[np.ndarray, " rows"]:
    distinct = given.combine_chunks().dictionary_encode()
    ids = distinct.dictionary
    numeric = pa.types.is_integer(ids.type) or pa.types.is_floating(ids.type)
    listed = ids.to_numpy() if numeric else ids.to_pylist()
    numbers = Vocabulary(prepared.item_ids()).numbers(listed)
    if len(numbers) and not numbers.all():
        missing = np.flatnonzero(numbers == 0)
        raise EvaluationError(
            f"the predictions name {len(missing)} items that aren't in the corpus",
            received=", ".join(str(ids[int(row)]) for row in missing[:5]),
            allowed=f"ids of the {len(prepared.item_ids())} items of training and catalogue",
        )
    codes = distinct.indices.to_numpy(zero_copy_only=False)
    return numbers[codes] if len(codes) else np.zeros(0, np.int32)


def _heard(
    window: Window, query: Int64[np.ndarray, " rows"], item: Int32[np.ndarray, " rows"]
) -> Bool[np.ndarray, " rows"]:
    """Which rows, sorted by query, name an item that their user had before."""
    offsets = np.searchsorted(query, np.arange(len(window.queries) + 1)).astype(np.int64)
    return replace(window, targets=Targets(offsets, item)).targets_heard()


def _order(table: pa.Table, query: Int64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    """The greater the better: scores, or ranks with the other sign."""
    name = "rank" if "rank" in table.column_names else "score"
    column = table.column(name)
    if column.null_count:
        raise EvaluationError(f"the predictions have nulls in {name}", received=_first_null(column))
    if name == "score":
        try:
            scores = column.cast(pa.float64()).to_numpy()
        except pa.ArrowException as error:
            raise EvaluationError(f"the predictions' scores aren't numbers: {error}") from None
        if np.isnan(scores).any():
            row = int(np.isnan(scores).argmax())
            raise EvaluationError(
                f"{np.isnan(scores).sum()} scores are NaN",
                received=f"row {row}, query {table.column('query_id')[row]}",
                allowed="numbers, the greatest is the best",
            )
        return np.asarray(scores)
    if not pa.types.is_integer(column.type):
        raise EvaluationError(
            "the predictions' ranks aren't whole numbers", received=column.type, allowed="integers"
        )
    ranks = np.asarray(column.to_numpy(), np.int64)
    _refuse_twice(query, ranks, table, "rank")
    return np.asarray(-ranks, np.float64)


def _refuse_twice(
    query: Int64[np.ndarray, " rows"],
    values: Shaped[np.ndarray, " rows"],
    table: pa.Table,
    name: str = "item_id",
) -> None:
    order = np.lexsort((values, query))
    twice = (np.diff(query[order]) == 0) & (np.diff(values[order]) == 0)
    if twice.any():
        row = int(order[1:][twice][0])
        raise EvaluationError(
            f"{twice.sum()} rows have the {name} of another row of their query",
            received=f"{name} {table.column(name)[row]} of query {table.column('query_id')[row]}",
            allowed=f"each {name} once a query",
        )


def _refuse(what: str, received: Any, allowed: Any) -> None:
    raise EvaluationError(what, received=received, allowed=allowed, hint=_SPLIT_AGAIN)


def _first_null(column: pa.ChunkedArray) -> str:
    row = int(np.argmax(column.is_null().to_numpy()))
    return f"{column.null_count} nulls, the first in row {row}"
