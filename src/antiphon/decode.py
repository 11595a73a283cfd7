"""Encoded context back to the values of the log, for people and for files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

from antiphon.schema import (
    FittedCategorical,
    FittedCyclic,
    FittedFeature,
    FittedNumeric,
    FittedVector,
)

__all__ = ["decode"]


def decode(feature: FittedFeature, values: Shaped[np.ndarray, "rows ..."]) -> pa.Array:
    """A column of the log's values: text, numbers or lists of numbers; null where missing."""
    match feature:
        case FittedCategorical():
            codes = np.asarray(values, np.int64)
            names = feature.values or tuple(str(code + 1) for code in range(feature.cardinality))
            rows = pa.array(codes - 1, mask=codes == 0)
            return pa.array(names, pa.string()).take(rows)
        case FittedCyclic():
            return pa.array(np.asarray(values, np.float64), from_pandas=True)
        case FittedNumeric():
            raw = np.asarray(values, np.float64) * feature.deviation + feature.mean
            return pa.array(raw, from_pandas=True)
        case FittedVector():
            rows = [None if np.isnan(row[0]) else row.tolist() for row in np.asarray(values)]
            return pa.array(rows, pa.list_(pa.float32()))
