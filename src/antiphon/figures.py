"""The figures of an evaluation: which metrics at which depths, and how JSON states a number."""

from __future__ import annotations

import math

__all__ = ["ACCURACY", "CURVE_KS", "DEPTH", "KS", "Cell", "cell", "number"]

KS = (10, 50, 100)
CURVE_KS = (1, 2, 5, 10, 20, 50, 100)
DEPTH = 100
ACCURACY = tuple(f"{name}_at_{k}" for name in ("recall", "ndcg", "mrr", "hit_rate") for k in KS)

Cell = dict[str, float | None]


def cell(value: float, low: float, high: float) -> Cell:
    """A figure with its interval; None where it doesn't exist."""
    return {"value": number(value), "low": number(low), "high": number(high)}


def number(value: float) -> float | None:
    """A float with six significant digits, or None where it isn't finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
