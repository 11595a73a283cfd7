"""Metrics query by query, as numerators and denominators.

A figure over any set of queries is the ratio of their sums, so that a mean (all denominators 1) and
a ratio of means are the same to whoever sums, slices or resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

__all__ = ["Metric", "PerQuery"]

Metric = tuple[str, Float64[np.ndarray, " queries"], Float64[np.ndarray, " queries"]]
"""Its name, and the numerator and denominator of each query."""


@dataclass(frozen=True)
class PerQuery:
    """Numerators and denominators, one row a query and one column a metric."""

    names: tuple[str, ...]
    numerator: Float64[np.ndarray, "queries metrics"]
    denominator: Float64[np.ndarray, "queries metrics"]

    @classmethod
    def of(cls, metrics: Sequence[Metric]) -> PerQuery:
        """Several metrics of the same queries."""
        names, numerators, denominators = zip(*metrics, strict=True)
        return cls(tuple(names), np.stack(numerators, axis=1), np.stack(denominators, axis=1))

    def value(self) -> Mapping[str, float]:
        """The metric over all queries; NaN where no query counts."""
        with np.errstate(invalid="ignore"):
            values = self.numerator.sum(0) / self.denominator.sum(0)
        return dict(zip(self.names, values.tolist(), strict=True))

    def beside(self, other: PerQuery) -> PerQuery:
        """Both sets of metrics of the same queries."""
        return PerQuery(
            self.names + other.names,
            np.concatenate([self.numerator, other.numerator], axis=1),
            np.concatenate([self.denominator, other.denominator], axis=1),
        )
