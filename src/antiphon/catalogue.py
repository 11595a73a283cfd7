"""What the candidate tower reads of each item, by item number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from antiphon.prepared import Prepared
from antiphon.schema import FittedFeature

__all__ = ["Catalogue"]


@dataclass(frozen=True)
class Catalogue:
    """The corpus: features and play counts of item numbers 0 (unknown) to `item_count`.

    Attributes:
        counts: plays of each item that are in sight.
        features: encoded as in schema.py, memory-mapped.
    """

    fitted: tuple[FittedFeature, ...]
    counts: Int[np.ndarray, " items"]
    features: Mapping[str, Shaped[np.ndarray, "items ..."]]

    @classmethod
    def of(cls, prepared: Prepared, counts: Int[np.ndarray, " items"]) -> Catalogue:
        """The corpus of a prepared log, with the play counts that are in sight."""
        return cls(
            fitted=prepared.schema.item,
            counts=counts,
            features={f.name: prepared.item_feature(f.name) for f in prepared.schema.item},
        )

    @property
    def rows(self) -> int:
        """Rows of an item table: the corpus and number 0."""
        return len(self.counts)
