"""Where items lie to each other, in two dimensions: principal components of embeddings.

Directions are mapped, not lengths: with embeddings that are compared by dot product a length is for
the most part popularity, and the map would show little else. Two components are what a linear map
can keep; items that are near each other may still be drawn apart, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, UInt16

__all__ = ["GRID", "MOST", "CorpusMap"]

MOST = 20_000
"""So many items are drawn, the most played ones: more would be one blot."""

GRID = 65_535
"""Coordinates are whole numbers from 0 to this."""

EDGE = 0.001
"""Share of items beyond each edge, which are drawn on it: a few far ones mustn't squeeze all."""


@dataclass(frozen=True)
class CorpusMap:
    """A linear map of embeddings, and the items that are drawn with it.

    Attributes:
        centre: mean direction.
        axes: the first two principal components, that of most variance first.
        low: corner of what is drawn, in units of the axes.
        high: the opposite corner.
        points: of the items that were given, in their order.
        explained: share of the variance that each axis holds.
    """

    centre: Float64[np.ndarray, " width"]
    axes: Float64[np.ndarray, "width 2"]
    low: Float64[np.ndarray, " 2"]
    high: Float64[np.ndarray, " 2"]
    points: UInt16[np.ndarray, "items 2"]
    explained: tuple[float, float]

    @classmethod
    def of(cls, embeddings: Float[np.ndarray, "items width"]) -> CorpusMap:
        """Map these; the same ones give the same map.

        Args:
            embeddings: any number, in two dimensions or more.
        """
        rows = _directions(embeddings)
        count, width = rows.shape
        centre = rows.mean(axis=0) if count else np.zeros(width)
        centred = rows - centre
        variances, vectors = np.linalg.eigh(centred.T @ centred / max(count, 1))
        axes = vectors[:, ::-1][:, :2]
        # an eigenvector may point either way; this one points to where its largest part is positive
        largest = np.abs(axes).argmax(axis=0)
        axes = axes * np.where(axes[largest, [0, 1]] < 0, -1.0, 1.0)
        drawn = centred @ axes
        low, high = np.quantile(drawn, [EDGE, 1 - EDGE], axis=0) if count else np.zeros((2, 2))
        total = max(float(variances.sum()), np.finfo(np.float64).tiny)
        first, second = (float(max(v, 0.0)) / total for v in variances[::-1][:2])
        return cls(centre, axes, low, high, _on_grid(drawn, low, high), (first, second))

    def places(self, embeddings: Float[np.ndarray, "items width"]) -> UInt16[np.ndarray, "items 2"]:
        """Where further items lie; those beyond an edge on it."""
        drawn = (_directions(embeddings) - self.centre) @ self.axes
        return _on_grid(drawn, self.low, self.high)


def _directions(rows: Float[np.ndarray, "items width"]) -> Float64[np.ndarray, "items width"]:
    """Rows of length one; one of which nothing is known stays zero."""
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.asarray(exact / np.maximum(lengths, np.finfo(np.float64).tiny))


def _on_grid(
    drawn: Float64[np.ndarray, "items 2"],
    low: Float64[np.ndarray, " 2"],
    high: Float64[np.ndarray, " 2"],
) -> UInt16[np.ndarray, "items 2"]:
    """Both axes on one scale, so that distances can be compared; the shorter one is centred."""
    span = max(float((high - low).max()), np.finfo(np.float64).tiny)
    middle = (low + high) / 2
    share = (drawn - middle) / span + 0.5
    return np.rint(np.clip(share, 0.0, 1.0) * GRID).astype(np.uint16)
