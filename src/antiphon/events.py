"""A log as a relation: its columns, what is positive, what is a target.

The relation `log` has one row for each row of the files that `log.where` lets exist and whose user
is in the sample: `user_id`, `item_id` (as in the files), `timestamp_s`, `is_positive`, `is_target`
and `context_0`, `context_1`, ... (raw values, in the order of the config).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from antiphon.columns import check_feature, column_of, places
from antiphon.config import Config
from antiphon.engines import Engine, quote
from antiphon.errors import ConfigError, LogError
from antiphon.files import find_files
from antiphon.log_sections import LogSection
from antiphon.schema import DAY_S, VectorFeature
from antiphon.split import utc

__all__ = ["Log", "context_column", "open_log"]

_DIVISORS = {"s": 1, "ms": 1000, "us": 1_000_000}


@dataclass(frozen=True)
class Log:
    """The log as the engine's relation `log`.

    `rows`, `first_s` and `last_s` are of all rows that exist, whether or not in the sample;
    `item_type` is the SQL type of `item_id`.
    """

    rows: int
    first_s: int
    last_s: int
    item_type: str


def context_column(number: int) -> str:
    """The column of the relations that holds a context feature."""
    return f"context_{number}"


def open_log(engine: Engine, config: Config) -> Log:
    """Make the relation `log` and check the log's columns.

    Raises:
        ConfigError: a file, column or expression of the config doesn't fit the files.
        LogError: no rows, ids or times that are null, times in the future, vectors of another size,
            damaged files.
    """
    section = config.log
    files = find_files(section.events, "log.events")
    source = engine.scan(files.paths, files.kind)
    if not engine.rows(f"SELECT 1 FROM {source} AS files LIMIT 1"):
        raise _no_rows(section)
    source = _with_derived(engine, source, section)
    columns = engine.columns(source)
    user = column_of(columns, section.user, "log.user")
    item = column_of(columns, section.item, "log.item")
    column_of(columns, section.time, "log.time")
    seconds = _seconds(engine, columns, section)
    for key in ("where", "positive", "target"):
        if (expression := getattr(section, key)) is not None:
            engine.check(expression, source, f"log.{key}")
    existing = f"{source} AS existing WHERE {_condition(section.where)}"
    kinds = [
        _id_kind(engine, existing, name, columns[name], role)
        for name, role in ((section.user, "user"), (section.item, "item"))
    ]
    contexts = []
    for number, feature in enumerate(config.features.context):
        check_feature(engine, feature, source, f"features.context.{feature.name}")
        contexts.append(f"({feature.expression}\n) AS {context_column(number)}")
    ids = [
        f"{_id(column, kind)} AS {name}"
        for column, kind, name in zip((user, item), kinds, ("user_id", "item_id"), strict=True)
    ]
    target = _condition(section.positive)
    if section.target is not None:
        target += f" AND {_condition(section.target)}"
    selected = [
        *ids,
        f"{seconds} AS timestamp_s",
        f"{_condition(section.positive)} AS is_positive",
        f"({target}) AS is_target",
        *contexts,
    ]
    rows, first_s, last_s = _check_rows(engine, section, existing, seconds)
    for feature in config.features.context:
        if isinstance(feature, VectorFeature):
            _refuse_vectors(engine, existing, _condition(section.positive), feature)
    engine.view(
        "log",
        f"SELECT {', '.join(selected)} FROM {existing}" + _in_sample(user, section.sample_users),
    )
    return Log(rows, first_s, last_s, columns[section.item] if kinds[1] == "whole" else "STRING")


def _with_derived(engine: Engine, source: str, section: LogSection) -> str:
    for name, expression in section.derived.items():
        if name in engine.columns(source):
            raise ConfigError(
                f"log.derived.{name} is already a column of the log",
                received=name,
                hint="choose another name",
            )
        engine.check(expression, source, f"log.derived.{name}")
        source = f"(SELECT *, ({expression}\n) AS {quote(name)} FROM {source} AS files)"
    return source


def _condition(expression: str) -> str:
    return f"coalesce(CAST(({expression}\n) AS BOOLEAN), FALSE)"


def _in_sample(user: str, share: float) -> str:
    """A condition that keeps a share of the users, the same ones on any engine.

    The first 32 bits of the MD5 of the id as text, compared as hexadecimal digits.
    """
    if share >= 1:
        return ""
    limit = f"{math.ceil(share * 2**32):08x}"
    return f" AND substr(md5(CAST({user} AS STRING)), 1, 8) < '{limit}'"


def _id(column: str, kind: str) -> str:
    return column if kind == "whole" else f"CAST({column} AS STRING)"


def _id_kind(engine: Engine, existing: str, name: str, type_name: str, role: str) -> str:
    kind = engine.type_kind(type_name)
    if kind in ("whole", "text"):
        return kind
    column, sql = quote(name), f"CAST({quote(name)} AS BIGINT)"
    received, then = f"log.{role} = {name!r}", ""
    if kind == "float":
        whole = f"{column} % 1 = 0"  # neither null nor NaN
        wrong = f"NOT coalesce({whole}, FALSE)"
        count = int(engine.rows(f"SELECT count(*) FROM {existing} AND {wrong}")[0][0])
        if count:
            received += (
                f"; no whole number in {count:,} rows, {places(engine, existing, wrong, count)}"
            )
            sql = f"CASE WHEN {whole} THEN {sql} END"
            then = f"; log.where = '{role}_number IS NOT NULL' leaves those rows out"
    raise LogError(
        f"the {role} column {name!r} has the type {type_name}",
        received=received,
        allowed="whole numbers or text",
        hint=f"add a column in [log.derived], as in {role}_number = '{sql}', "
        f"and name that one{then}",
    )


def _seconds(engine: Engine, columns: dict[str, str], section: LogSection) -> str:
    """SQL for whole seconds."""
    kind, column = engine.type_kind(columns[section.time]), quote(section.time)
    if section.time_unit == "timestamp":
        if kind == "time":
            return f"CAST(floor({engine.seconds_of_timestamp(column)}) AS BIGINT)"
        allowed = "a timestamp or date, or another log.time_unit: s, ms, us"
    else:
        if kind == "whole" and section.time_unit == "s":
            return f"CAST({column} AS BIGINT)"
        if kind in ("whole", "float"):
            return f"CAST(floor({column} / {_DIVISORS[section.time_unit]}) AS BIGINT)"
        allowed = "a number"
        if kind == "time":
            allowed += ', or log.time_unit = "timestamp"'
    raise LogError(
        f"the time column {section.time!r} has the type {columns[section.time]}",
        received=f"log.time_unit = {section.time_unit!r}",
        allowed=allowed,
        hint=None
        if kind != "text"
        else "add a column in [log.derived], as in "
        f"at = 'CAST({column} AS TIMESTAMP)', and name that one",
    )


def _check_rows(
    engine: Engine, section: LogSection, existing: str, seconds: str
) -> tuple[int, int, int]:
    """How many rows exist and the times of the first and last one."""
    names = (section.user, section.item, section.time)
    present = ", ".join(f"count({quote(name)})" for name in names)
    rows, *counts, first_s, last_s = engine.rows(
        f"SELECT count(*), {present}, min({seconds}), max({seconds}) FROM {existing}"
    )[0]
    if rows == 0:
        raise _no_rows(section)
    for name, count in zip(names, counts, strict=True):
        if count < rows:
            _refuse_nulls(engine, existing, name, rows - count)
    _refuse_future(section, last_s)
    return rows, first_s, last_s


def _no_rows(section: LogSection) -> LogError:
    return LogError(
        "the log has no rows",
        received=f"{', '.join(section.events)} where {section.where}",
        hint="are the files and log.where right?",
    )


def _refuse_nulls(engine: Engine, existing: str, name: str, missing: int) -> None:
    raise LogError(
        f"the column {name!r} is null in {missing:,} rows",
        received=places(engine, existing, f"{quote(name)} IS NULL", missing),
        allowed="a user, an item and a time in every row",
        hint=f"leave them out with log.where = '{quote(name)} IS NOT NULL', if that is right",
    )


def _refuse_vectors(engine: Engine, existing: str, positive: str, feature: VectorFeature) -> None:
    wrong = f"{positive} AND {engine.is_no_vector(f'({feature.expression})', feature.size)}"
    count = int(engine.rows(f"SELECT count(*) FROM {existing} AND {wrong}")[0][0])
    if count:
        raise LogError(
            f"the vector of features.context.{feature.name} can't be used in {count:,} rows",
            received=places(engine, existing, wrong, count),
            allowed=f"{feature.size} finite numbers, or null where it is unknown",
            hint="correct `size`, or make such vectors null with `sql`",
        )


def _refuse_future(section: LogSection, last_s: int) -> None:
    now_s = time.time()
    if last_s <= now_s + DAY_S:
        return
    hint = "correct them, or leave them out with log.where"
    for unit, divisor in (("ms", 1000), ("us", 1_000_000)):
        looks_so = 5 * now_s < last_s and last_s / divisor <= now_s + DAY_S
        if section.time_unit == "s" and looks_so:
            hint = f'they look like {unit}: log.time_unit = "{unit}"'
            break
    raise LogError(
        "there are times in the future",
        received=f"{last_s} s, {utc(last_s)}",
        allowed=f"up to now, {utc(int(now_s))}",
        hint=hint,
    )
