"""How much each item is played lately, as of a moment: never from the future.

Counts decay with several half-lives, and one doesn't at all; plays under each value of a context
feature are counted apart, too. The counts' logarithms are dimensions of candidate embeddings, whose
weights the query tower chooses under the context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int, Int64, Shaped

from antiphon.prepared import Events
from antiphon.schema import FittedCategorical, Schema
from antiphon.sections import ModelSection

__all__ = ["Kinds", "Trend"]

# a count below this is as good as none
FLOOR = 0.1
ROWS_AT_ONCE = 1 << 20
# of the shortest half-lives: 2 to the power of this, times any count, is a float32
REACH = 60.0
MOST_VALUES = 32
"""Of a context feature whose values are counted apart: each is a dimension more."""

Context = Mapping[str, Shaped[np.ndarray, " plays"]]


@dataclass(frozen=True)
class Kinds:
    """The counts that are kept of an item, a column each.

    Attributes:
        half_lives_s: of counts of all plays; one more doesn't decay.
        values: context features, and how many values each has: plays under each value are counted
            apart.
        value_half_life_s: of those counts.
    """

    half_lives_s: tuple[float, ...] = ()
    values: Mapping[str, int] = field(default_factory=dict)
    value_half_life_s: float = np.inf

    @classmethod
    def of(cls, schema: Schema, model: ModelSection) -> Kinds:
        """Those that a model of a log has."""
        half_lives_s = tuple(schema.horizon_s * half_life for half_life in model.trend_half_lives)
        if not model.context_trend_half_life:
            return cls(half_lives_s)
        values = {
            feature.name: feature.cardinality
            for feature in schema.context
            if isinstance(feature, FittedCategorical) and feature.cardinality <= MOST_VALUES
        }
        return cls(half_lives_s, values, schema.horizon_s * model.context_trend_half_life)

    @property
    def overall(self) -> int:
        """Columns that count all plays; they come first."""
        return len(self.half_lives_s) + 1

    @property
    def width(self) -> int:
        """All columns."""
        return self.overall + sum(self.values.values())


class Trend:
    """Decayed counts of every item, brought forward from moment to moment.

    A count is kept as it would be at a moment further back, where a play weighs more the later it
    is: so time goes by without a touch to what isn't played, until numbers become too large and
    all counts move to a later moment at once.

    Args:
        items: item numbers are below this.
        kinds: see there.
    """

    def __init__(self, items: int, kinds: Kinds) -> None:
        self.kinds = kinds
        apart = [kinds.value_half_life_s] * (kinds.width - kinds.overall)
        self._half_lives_s = np.array([*kinds.half_lives_s, np.inf, *apart])
        self._counts = np.zeros((kinds.width, items), np.float32)
        self._kept_at_s: int | None = None

    def add(
        self,
        items: Int[np.ndarray, " plays"],
        times_s: Int64[np.ndarray, " plays"],
        context: Context,
    ) -> None:
        """Count plays, which are no earlier than any counted before.

        Args:
            items: what was played.
            times_s: when.
            context: codes of the features whose values are counted apart, 0 for unknown.
        """
        if len(items):
            self._keep_at(int(times_s.max()))
            self._count(items, times_s, context)

    def at(
        self, items: Int[np.ndarray, " items"], now_s: int
    ) -> Float32[np.ndarray, "items trend"]:
        """log(1 + decayed count / 0.1) of items at a moment, a column for each of `kinds`."""
        since_s = 0 if self._kept_at_s is None else now_s - self._kept_at_s
        share = np.exp2(-since_s / self._half_lives_s) / FLOOR
        counts = np.stack([of_all[items] for of_all in self._counts], axis=1)
        return np.log1p(counts * share.astype(np.float32))

    @classmethod
    def as_of(cls, events: Events, items: int, kinds: Kinds, now_s: int) -> Trend:
        """What the events in sight, all before a moment, have come to by then."""
        trend = cls(items, kinds)
        trend._kept_at_s = now_s
        for some in events.row_blocks(ROWS_AT_ONCE):
            context = {name: events.context[name][some] for name in kinds.values}
            trend._count(events.item_number[some], events.timestamp_s[some], context)
        return trend

    def _keep_at(self, latest_s: int) -> None:
        if self._kept_at_s is None:
            self._kept_at_s = latest_s
        since_s = latest_s - self._kept_at_s
        if since_s > REACH * self._half_lives_s.min():
            self._counts *= np.exp2(-since_s / self._half_lives_s)[:, None].astype(np.float32)
            self._kept_at_s = latest_s

    def _count(
        self,
        items: Int[np.ndarray, " plays"],
        times_s: Int64[np.ndarray, " plays"],
        context: Context,
    ) -> None:
        places = items.astype(np.intp)
        overall = slice(self.kinds.overall)
        for counts, half_life_s in zip(
            self._counts[overall], self._half_lives_s[overall], strict=True
        ):
            np.add.at(counts, places, self._weight(times_s, half_life_s))
        column = self.kinds.overall
        weight = self._weight(times_s, self.kinds.value_half_life_s)
        for name, values in self.kinds.values.items():
            codes = np.asarray(context[name])
            known = codes > 0
            of_value = self._counts[column : column + values].reshape(-1)
            first = (codes[known].astype(np.intp) - 1) * self._counts.shape[1]
            np.add.at(of_value, first + places[known], weight[known])
            column += values

    def _weight(
        self, times_s: Int64[np.ndarray, " plays"], half_life_s: float
    ) -> Float32[np.ndarray, " plays"]:
        if np.isinf(half_life_s):
            return np.ones(len(times_s), np.float32)
        return np.exp2((times_s - self._kept_at_s) / half_life_s).astype(np.float32)
