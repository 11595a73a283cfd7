"""The split of a run as Parquet with the log's own ids, so that any other model can be judged.

OUT/
  train.parquet        what may be learned from while tuning: events before the validation's gap
  validation.parquet   the rest of the training events; `asked` marks the targets of the window
  test.parquet         the targets of the test window: not for training
  queries.parquet      what is asked in both windows, and what should be found
  split.json           the windows, the columns and the split's id

All tables but the last have user_id, item_id, timestamp_s and the context; whoever has tuned on the
validation window trains on train and validation together before answering the test queries.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from antiphon.artifacts import fingerprint, write_json, write_stage
from antiphon.decode import decode
from antiphon.errors import EvaluationError
from antiphon.log_ids import LogIds
from antiphon.prepared import Events, Prepared
from antiphon.schema import Schema
from antiphon.sections import EvaluateSection
from antiphon.windows import Window, held_out_window, validation_window

__all__ = ["METADATA_KEY", "Progress", "query_ids", "split_id", "write_split"]

Progress = Callable[[int, int, str], None]
"""Called with rows written, of how many, and a few words."""

METADATA_KEY = b"antiphon_split"
ROWS_AT_ONCE = 1_000_000


def write_split(
    prepared: Prepared,
    section: EvaluateSection,
    out: Path,
    progress: Progress | None = None,
) -> Path:
    """Write the split of a prepared log.

    Args:
        prepared: the log.
        section: decides which queries are asked (protocol, query_by, max_users).
        out: a folder that doesn't exist yet, or holds an older split.
        progress: told how many rows of how many are written, and of what.

    Raises:
        EvaluationError: the folder holds something else, or a window has no targets.
        ArtifactError: it can't be written.
    """
    if out.exists() and not (out / "split.json").is_file():
        raise EvaluationError(
            "the folder is there already and holds no split",
            received=out,
            hint="choose a folder that doesn't exist",
        )
    windows = (validation_window(prepared, section), held_out_window(prepared, section))
    inputs = {"prepared": prepared.stage}
    with write_stage(out, made_from=split_id(prepared, section), inputs=inputs) as folder:
        _write(folder, prepared, section, *windows, progress or (lambda *_: None))
    return out


def split_id(prepared: Prepared, section: EvaluateSection) -> str:
    """Eight hex digits that stand for the log and what is asked of it."""
    asked = section.model_dump(include={"protocol", "query_by", "max_users"}, mode="json")
    return fingerprint([prepared.stage.hash, asked])[:8]


def query_ids(prepared: Prepared, section: EvaluateSection, window: Window) -> pa.Array:
    """The ids of a window's queries: the split's, the window's first letter and the number.

    So that answers to the queries of another split can't pass for answers to these.
    """
    prefix = f"{split_id(prepared, section)}-{window.name[0]}"
    return pa.array([f"{prefix}{row}" for row in range(len(window.queries))], pa.string())


def _write(
    folder: Path,
    prepared: Prepared,
    section: EvaluateSection,
    validation: Window,
    test: Window,
    progress: Progress,
) -> None:
    schema, events, known = prepared.schema, prepared.events, validation.known
    ids, split = LogIds(prepared), split_id(prepared, section)
    later = replace(events, starts=known.ends)
    tables = {
        "train": _event_batches(known, ids, schema),
        "validation": _event_batches(later, ids, schema, schema.validation_start_s),
        "test": _event_batches(prepared.held_out, ids, schema),
        "queries": (_queries(prepared, section, window, ids) for window in (validation, test)),
    }
    total = events.count + prepared.held_out.count + len(validation.queries) + len(test.queries)
    rows: dict[str, int] = {}
    for name, some in tables.items():
        before = sum(rows.values())
        rows[name] = 0
        for count in _write_table(folder / f"{name}.parquet", some, split):
            rows[name] = count
            progress(before + count, total, f"{name}.parquet, {count:,} rows")
    write_json(
        folder / "split.json",
        {
            "format_version": 1,
            "split": split,
            "protocol": section.protocol,
            "exclude_heard": section.exclude_heard,
            "train_before_s": schema.validation_start_s - schema.gap_s,
            "validation_s": [schema.validation_start_s, schema.train_end_s],
            "test_s": [schema.held_out_start_s, schema.held_out_end_s],
            "rows": rows,
            "answers": "Parquet with query_id, item_id and rank (1 is the best) or score",
        },
    )


def _event_batches(
    events: Events, ids: LogIds, schema: Schema, asked_from_s: int | None = None
) -> Iterator[pa.Table]:
    """Events by user and time, some at a time; `asked` marks targets from a time on."""
    rows, users = events.rows(), events.row_users()
    for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        columns = {
            "user_id": ids.users(users[start : start + ROWS_AT_ONCE]),
            "item_id": ids.items(events.item_number[some]),
            "timestamp_s": pa.array(events.timestamp_s[some]),
        }
        for feature in schema.context:
            columns[feature.name] = decode(feature, events.context[feature.name][some])
        if asked_from_s is not None:
            late = events.timestamp_s[some] >= asked_from_s
            columns["asked"] = pa.array(late & events.is_target[some])
        yield pa.table(columns)


def _queries(prepared: Prepared, section: EvaluateSection, window: Window, ids: LogIds) -> pa.Table:
    queries, targets = window.queries, window.targets
    columns = {
        "query_id": query_ids(prepared, section, window),
        "window": pa.array([window.name] * len(queries), pa.string()),
        "user_id": ids.users(queries.user_key),
        "asked_at_s": pa.array(queries.time_s),
    }
    for feature in window.schema.context:
        columns[feature.name] = decode(feature, queries.context[feature.name])
    columns["target_item_ids"] = pa.LargeListArray.from_arrays(
        targets.offsets, ids.items(targets.item_number)
    )
    return pa.table(columns)


def _write_table(path: Path, tables: Iterator[pa.Table], split: str) -> Iterator[int]:
    """Write tables of one form after another; yields how many rows that were so far."""
    rows = 0
    first = next(tables)
    form = first.schema.with_metadata({METADATA_KEY: split.encode()})
    with pq.ParquetWriter(path, form) as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table.cast(form))
            rows += table.num_rows
            yield rows
