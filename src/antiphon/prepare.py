"""STAGE prepare: an interaction log becomes arrays by user and time.

    files -> log -> positives -> users, items -> events/, held_out/ -> item_features/

The form of the result is told in `prepared.py`. Everything but `held_out/` is a function of the
training events, the feature tables and where time is cut (which may hang on the log's last second),
and every byte one of the config and the files: threads and memory change how long it takes, not
what comes out.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from antiphon.artifacts import write_json, write_stage, write_text
from antiphon.config import Config
from antiphon.engines import Engine, open_engine
from antiphon.errors import LogError
from antiphon.event_arrays import WrittenEvents, write_events, write_training_events
from antiphon.events import Log, context_column, open_log
from antiphon.files import find_files, hash_files
from antiphon.item_features import open_item_tables, open_titles, write_item_feature
from antiphon.numbering import number_items, number_users, write_parquet
from antiphon.prepared import Prepared
from antiphon.schema import Schema
from antiphon.split import Split, boundaries, utc

__all__ = ["prepare", "prepare_inputs"]

_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


def prepare_inputs(config: Config) -> dict[str, Any]:
    """What determines the result: the sections of the config and the hashes of all files.

    Raises:
        ConfigError: a file isn't there.
        LogError: a file is empty, truncated or of another kind.
    """
    named = {"log.events": config.log.events}
    for feature in config.features.item:
        named[f"features.item.{feature.name}"] = (str(feature.table),)
    if config.log.titles is not None:
        named["log.titles"] = (config.log.titles,)
    return {
        "log": config.log.model_dump(mode="json"),
        "features": config.features.model_dump(mode="json"),
        "split": config.split.model_dump(mode="json"),
        "files": {key: hash_files(find_files(paths, key).paths) for key, paths in named.items()},
    }


def prepare(
    config: Config, out: Path, *, progress: Callable[[str], None] | None = None
) -> Prepared:
    """Run the stage.

    Args:
        config: the sections `log`, `features`, `split` and `prepare` are read.
        out: the folder to write, `runs/NAME/prepared`; an older one is replaced.
        progress: is told, in a few words, what is being done.

    Raises:
        ConfigError: the config doesn't fit the files.
        LogError: the log or a feature table is wrong, or too short for its split.
        ArtifactError: the disk is full.
    """
    tell = progress or (lambda _: None)
    tell("reading the files' hashes")
    made_from = prepare_inputs(config)
    with write_stage(out, made_from=made_from) as folder:
        work = folder / "work"
        work.mkdir()
        memory = _bytes(config.prepare.memory_limit)
        with open_engine(config.prepare, work, memory) as engine:
            _write(engine, config, folder, tell)
        shutil.rmtree(work)
        tell("writing to disk")
    return Prepared.open(out)


def _write(engine: Engine, config: Config, folder: Path, tell: Callable[[str], None]) -> None:
    tell("checking the log")
    log = open_log(engine, config)
    split = boundaries(config.split, log.last_s)
    tables = open_item_tables(engine, config, log.item_type)
    titles = open_titles(engine, config, log.item_type)

    tell("finding positive events")
    contexts = "".join(f", {context_column(n)}" for n in range(len(config.features.context)))
    engine.store(
        "positives",
        f"SELECT user_id, item_id, timestamp_s, is_target{contexts} "
        f"FROM log WHERE is_positive AND (timestamp_s < {split.train_end_s} "
        f"OR (is_target AND timestamp_s >= {split.held_out_start_s}))",
    )
    _refuse_empty(engine, log, split)

    tell("numbering users and items")
    user_count, all_users = number_users(engine, split.train_end_s)
    catalogue = [table.relation for table in tables] if config.log.catalogue else []
    item_count, _ = number_items(engine, split.train_end_s, catalogue)
    _write_vocabularies(engine, folder, user_count, item_count, titles)

    tell("sorting training events")
    declared = config.features.context
    events = write_training_events(
        engine, folder / "events", declared, split.train_end_s, user_count
    )
    tell("sorting held-out events")
    held_out = write_events(
        engine,
        folder / "held_out",
        events.context,
        split.held_out_start_s,
        split.held_out_end_s,
        all_users,
    )

    item_features, shares = [], {}
    for table in tables:
        tell(f"encoding the item feature {table.feature.name}")
        fitted, share = write_item_feature(engine, table, item_count, folder)
        item_features.append(fitted)
        shares[table.feature.name] = {"missing_share": share}

    schema = Schema(
        context=events.context,
        item=tuple(item_features),
        item_count=item_count,
        user_count=user_count,
        train_end_s=split.train_end_s,
        held_out_start_s=split.held_out_start_s,
        held_out_end_s=split.held_out_end_s,
        validation_start_s=split.validation_start_s,
        gap_s=split.gap_s,
    )
    write_text(folder / "schema.json", schema.model_dump_json(indent=2) + "\n")
    _write_statistics(engine, folder, log, events, held_out, shares)


def _refuse_empty(engine: Engine, log: Log, split: Split) -> None:
    ((training, held_out),) = engine.rows(
        f"SELECT count(CASE WHEN timestamp_s < {split.train_end_s} THEN 1 END), "
        f"count(CASE WHEN timestamp_s >= {split.held_out_start_s} THEN 1 END) FROM positives"
    )
    judged = split.held_out_start_s < split.held_out_end_s
    if training and (held_out or not judged):
        return
    ((positives, targets),) = engine.rows(
        "SELECT count(CASE WHEN is_positive THEN 1 END), count(CASE WHEN is_target THEN 1 END) "
        "FROM log"
    )
    if positives == 0:
        raise LogError(
            "the log has no positive rows",
            received=f"{log.rows:,} rows, none of which log.positive holds for (or in the sample)",
            hint="check log.positive against a few rows of the log",
        )
    if targets == 0 and judged:
        raise LogError(
            "the log has no targets",
            received=f"{positives:,} positive rows, none of which log.target holds for",
            hint="check log.target against a few rows of the log",
        )
    raise LogError(
        "the log is too short for its split: "
        + ("no training events" if not training else "no held-out targets"),
        received=f"events from {log.first_s} s ({utc(log.first_s)}) to {log.last_s} s "
        f"({utc(log.last_s)}); training before {split.train_end_s} s ({utc(split.train_end_s)}), "
        f"held out from {split.held_out_start_s} s ({utc(split.held_out_start_s)})",
        hint="change split.test_days or split.test_start_s; split.test_days = 0 trains on all",
    )


def _write_vocabularies(
    engine: Engine, folder: Path, user_count: int, item_count: int, titles: str | None
) -> None:
    title, joined = "", ""
    if titles is not None:
        title = ", named.title AS title"
        joined = (
            "LEFT JOIN (SELECT item_id, min(CAST(value AS STRING)) AS title "
            f"FROM {titles} AS listed GROUP BY item_id) AS named ON named.item_id = items.id"
        )
    for table, known, extra, join in (
        ("users", user_count, "", ""),
        ("items", item_count, title, joined),
    ):
        for where, condition in (
            (folder, f"number <= {known}"),
            (folder / "held_out", f"number > {known}"),
        ):
            sql = (
                f"SELECT {table}.id, {table}.number, {table}.count{extra} FROM {table} {join} "
                f"WHERE {condition} ORDER BY {table}.number"
            )
            write_parquet(where / f"{table}.parquet", engine.batches(sql), engine.schema(sql))


def _write_statistics(
    engine: Engine,
    folder: Path,
    log: Log,
    events: WrittenEvents,
    held_out: WrittenEvents,
    shares: dict[str, dict[str, float]],
) -> None:
    ((known, played, new_users, cold),) = engine.rows(
        "SELECT count(CASE WHEN known THEN 1 END), count(CASE WHEN count > 0 THEN 1 END), "
        "(SELECT count(*) FROM users WHERE count = 0), count(CASE WHEN NOT known THEN 1 END) "
        "FROM items"
    )
    write_json(
        folder / "statistics.json",
        {
            "positives": events.events,
            "targets": events.targets,
            "users": events.users,
            "items": played,
            "items_never_played": known - played,
            "context": {
                name: {"missing_share": missing / events.events}
                for name, missing in events.missing.items()
            },
            "item_features": shares,
        },
    )
    # of the whole log, thus also of what training must not know
    write_json(
        folder / "held_out" / "statistics.json",
        {
            "rows_read": log.rows,
            "first_s": log.first_s,
            "last_s": log.last_s,
            "targets": held_out.targets,
            "users": held_out.users,
            "new_users": new_users,
            "cold_items": cold,
        },
    )


def _bytes(limit: str) -> int:
    unit = limit.lstrip("0123456789. ")
    return int(float(limit.removesuffix(unit)) * _UNITS[unit])
