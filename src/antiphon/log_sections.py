"""The sections of the config that describe a log and what prepare makes of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from antiphon.schema import Feature
from antiphon.sections import Section

__all__ = ["FeaturesSection", "LogSection", "PrepareSection", "SplitSection"]

MEMORY = r"^\d+(\.\d+)?\s*(MB|GB|MiB|GiB)$"


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Paths = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class LogSection(Section):
    """What the interaction log is and what its rows mean."""

    events: Paths = Field(
        min_length=1, description="Parquet or CSV files of events: paths or globs, one or several"
    )
    user: str = Field(description="column of the user's id (whole numbers or text)")
    item: str = Field(description="column of the item's id (whole numbers or text)")
    time: str = Field(description="column of the event's time")
    time_unit: Literal["s", "ms", "us", "timestamp"] = Field(
        "s", description="unit of `time` if it is a number; `timestamp` if it is a SQL timestamp"
    )
    where: str = Field("TRUE", description="SQL condition: which rows exist at all")
    derived: dict[str, str] = Field(
        default_factory=dict,
        description="columns to add, name = SQL expression; later expressions may use them",
    )
    positive: str = Field("TRUE", description="SQL condition: the events a model learns from")
    target: str | None = Field(
        None,
        description="SQL condition on positive events: what evaluation asks for, if not all",
    )
    sample_users: float = Field(
        1.0, gt=0, le=1, description="share of users to keep; whole users, chosen by a hash"
    )
    catalogue: bool = Field(
        True, description="items that only the item feature tables know are candidates too"
    )
    titles: str | None = Field(None, description="Parquet or CSV file with titles of items")
    title: str = Field("title", description="SQL expression of the title over `titles`")
    title_item_column: str | None = Field(
        None, description="item id column of `titles`; by default that of the log"
    )


class FeaturesSection(Section):
    """What a request may state and what is known of an item."""

    context: tuple[Feature, ...] = Field((), description="features of the moment of a request")
    item: tuple[Feature, ...] = Field((), description="features of an item")

    @model_validator(mode="after")
    def _consistent(self) -> FeaturesSection:
        for group in (self.context, self.item):
            names = [feature.name for feature in group]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"two features are called {name!r}")
        for feature in self.item:
            if feature.table is None:
                raise ValueError(f"item feature {feature.name!r} needs a table")
        for feature in self.context:
            if feature.table is not None:
                raise ValueError(f"context feature {feature.name!r} can't have a table")
        return self


class SplitSection(Section):
    """Where time is cut. Windows are [start, end); training never sees the gap before one."""

    test_start_s: int | None = Field(
        None, description="first second of the test window; overrides `test_days`"
    )
    test_days: float = Field(1.0, ge=0, description="length of the test window at the log's end")
    validation_days: float | None = Field(
        None, gt=0, description="length of the validation window; by default that of the test"
    )
    gap_s: int = Field(1800, ge=0, description="seconds left out before each window")


class PrepareSection(Section):
    """Where the prepare stage runs and with what; nothing of it changes what comes out."""

    engine: Literal["duckdb", "spark"] = Field(
        "duckdb", description="what runs the SQL: DuckDB in this process, or a Spark cluster"
    )
    master: str | None = Field(
        None, description="Spark's master, `spark://HOST:PORT`; by default as Spark is configured"
    )
    memory_limit: str = Field(
        "2GiB", pattern=MEMORY, description="memory the whole stage may use with DuckDB"
    )
    threads: int | None = Field(None, ge=1, description="threads of DuckDB; by default all cores")
