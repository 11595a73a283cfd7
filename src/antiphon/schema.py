"""What a query and a candidate are made of: feature kinds, as pure data.

There are four kinds. Each is declared in the config (`CategoricalFeature`, ...) and becomes, once a
log has been read, a *fitted* feature that knows its values or its statistics. Every kind is matched
exhaustively in three places: how a column is encoded (`encode.py`), how it enters a tower
(`towers.py`) and how a request states it (`encode.py`).

Encoded forms, with the value that means "missing" (each kind has a trained slot for it):

    kind          one value                     missing
    categorical   whole code, 1..cardinality    0    (as short a type as holds it, see `dtype`)
    cyclic        float32 in [0, period)        NaN
    numeric       float32, standardised         NaN
    vector        float32[size]                 NaN in the first element
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "DAY_S",
    "CategoricalFeature",
    "CyclicFeature",
    "Feature",
    "FittedCategorical",
    "FittedCyclic",
    "FittedFeature",
    "FittedNumeric",
    "FittedVector",
    "NumericFeature",
    "Schema",
    "VectorFeature",
    "missing_value",
]

DAY_S = 86_400
FEATURE_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Declared(_Data):
    name: str = Field(pattern=FEATURE_NAME, description="the feature's name, as requests use it")
    sql: str | None = Field(
        None,
        description="SQL expression over the columns of the log (context) or of `table` (item); "
        "by default the column called `column`, or else `name`",
    )
    table: str | None = Field(
        None, description="item features: Parquet or CSV file that holds the feature"
    )
    column: str | None = Field(None, description="the column, if it isn't called like the feature")
    item_column: str | None = Field(
        None, description="item features: the table's item id column; by default that of the log"
    )

    @property
    def expression(self) -> str:
        """The SQL that yields the raw value."""
        if self.sql is not None:
            return self.sql
        return '"' + (self.column or self.name).replace('"', '""') + '"'


class CategoricalFeature(_Declared):
    """One of a set of values (several at once where an item has several artists or genres)."""

    kind: Literal["categorical"]
    values: dict[str, str] | None = Field(
        None, description="the allowed values and what to call them; by default those in the log"
    )
    separator: str | None = Field(
        None, description="splits one text into several values, as in 'Action|Comedy'"
    )
    max_values: int = Field(
        1, ge=1, le=64, description="item features: how many values an item may have at once"
    )


class CyclicFeature(_Declared):
    """A number on a circle, such as the hour of the day."""

    kind: Literal["cyclic"]
    period: float = Field(gt=0, description="where the circle closes: 24 for hours")


class NumericFeature(_Declared):
    """A number, standardised by the mean and deviation of the training events."""

    kind: Literal["numeric"]


class VectorFeature(_Declared):
    """A vector computed elsewhere, such as an audio embedding."""

    kind: Literal["vector"]
    size: int = Field(ge=1, le=65_536, description="number of elements")


Feature = Annotated[
    CategoricalFeature | CyclicFeature | NumericFeature | VectorFeature,
    Field(discriminator="kind"),
]


class FittedCategorical(_Data):
    """Code c (1-based) stands for `values[c - 1]`; 0 is unknown.

    `values` is None for item features, whose values live in a vocabulary file of the run.
    """

    kind: Literal["categorical"] = "categorical"
    name: str
    cardinality: int
    values: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    max_values: int = 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the codes of a context feature: there is one for every event of the log."""
        shortest = np.min_scalar_type(self.cardinality)
        return shortest if shortest.itemsize < 4 else np.dtype(np.int32)


class FittedCyclic(_Data):
    """A value v enters as harmonics of v / period."""

    kind: Literal["cyclic"] = "cyclic"
    name: str
    period: float


class FittedNumeric(_Data):
    """A value v is encoded as (v - mean) / deviation."""

    kind: Literal["numeric"] = "numeric"
    name: str
    mean: float
    deviation: float


class FittedVector(_Data):
    """A vector of `size` elements, as it came."""

    kind: Literal["vector"] = "vector"
    name: str
    size: int


FittedFeature = Annotated[
    FittedCategorical | FittedCyclic | FittedNumeric | FittedVector,
    Field(discriminator="kind"),
]


def missing_value(feature: FittedFeature) -> int | float:
    """How "missing" is written in the feature's arrays (in all elements of a vector)."""
    return 0 if isinstance(feature, FittedCategorical) else math.nan


class Schema(_Data):
    """Everything a model, an evaluation or a service must know of the log.

    Item numbers run from 1 to `item_count`, user numbers from 1 to `user_count`; number 0 is
    the unknown one (and the padding of histories), so tables have one row more.
    """

    context: tuple[FittedFeature, ...] = ()
    item: tuple[FittedFeature, ...] = ()
    item_count: int
    user_count: int
    train_end_s: int = Field(description="training events are strictly before this time")
    held_out_start_s: int = Field(description="held-out events are at or after this time")
    held_out_end_s: int = Field(description="and strictly before this one")
    validation_start_s: int = Field(
        description="the validation window is [this, train_end_s); tuning trains before it"
    )
    gap_s: int = Field(description="seconds left out between training and a window that judges")

    @property
    def judged(self) -> bool:
        """Whether there is a test window; without one all of the log is trained on."""
        return self.held_out_end_s > self.held_out_start_s

    @property
    def horizon_s(self) -> int:
        """How far ahead a query is about, in training too: the length of the test window.

        Where all of a log is trained on, that of the validation window, or else a day.
        """
        test_s = self.held_out_end_s - self.held_out_start_s
        validation_s = self.train_end_s - self.validation_start_s
        return next((long_s for long_s in (test_s, validation_s) if long_s > 0), DAY_S)

    def context_names(self) -> tuple[str, ...]:
        """Names of the context features, in the order of the config."""
        return tuple(feature.name for feature in self.context)
