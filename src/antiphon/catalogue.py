"""What the candidate tower reads of each item, by item number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from antiphon.prepared import Prepared
from antiphon.schema import FittedFeature

__all__ = ["Catalogue"]


@dataclass(frozen=True)
class Catalogue:
    """The corpus: features and popularity of item numbers 0 (unknown) to `item_count`.

    Attributes:
        log_popularity: natural logarithm of the share of training plays (with half a play
            added to each item), less the mean over plays.
        features: encoded as in schema.py, memory-mapped.
    """

    fitted: tuple[FittedFeature, ...]
    counts: Int64[np.ndarray, " items"]
    log_popularity: Float32[np.ndarray, " items"]
    features: Mapping[str, Shaped[np.ndarray, "items ..."]]

    @classmethod
    def of(cls, prepared: Prepared, counts: Int64[np.ndarray, " items"]) -> Catalogue:
        """The corpus of a prepared log, with the play counts that are in sight."""
        smoothed = np.log(counts + 0.5)
        centre = float((smoothed * counts).sum() / max(counts.sum(), 1))
        return cls(
            fitted=prepared.schema.item,
            counts=counts,
            log_popularity=(smoothed - centre).astype(np.float32),
            features={f.name: prepared.item_feature(f.name) for f in prepared.schema.item},
        )

    @property
    def rows(self) -> int:
        """Rows of an item table: the corpus and number 0."""
        return len(self.counts)
