"""Which table rows a batch touches, each once; and what the candidate tower needs of its items."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, Int64, Shaped

from antiphon.catalogue import Catalogue
from antiphon.schema import FittedCategorical

__all__ = ["ItemInputs", "RowFinder"]


class RowFinder:
    """Finds the distinct rows of a table that a batch touches, in O(batch) time.

    Args:
        rows: rows of the table.
        capacity: how many distinct rows a batch may touch.
        devices: the capacity is rounded up so that this many devices can share it evenly.
    """

    def __init__(self, rows: int, capacity: int, devices: int = 1) -> None:
        self.rows = rows
        self._unit = 8 * devices
        self._most = 0
        self._place = np.zeros(rows, np.int32)
        self._is_found = np.zeros(rows, bool)
        self._found = np.zeros(0, np.int32)
        self.capacity = self._even(min(capacity, rows))

    def find(
        self, ids: Int32[np.ndarray, " ids"]
    ) -> tuple[Int32[np.ndarray, " capacity"], Int32[np.ndarray, " ids"]]:
        """The distinct ids, padded with `rows`, and where in them each id stands.

        Where there are more than the capacity, those that come first in `ids` are found and the
        others stand at -1.
        """
        # Of equal ids the one written last, which is the first, alone finds its own place again.
        order = np.arange(len(ids), dtype=np.int32)
        self._place[ids[::-1]] = order[::-1]
        distinct = ids[self._place[ids] == order]
        self._most = max(self._most, len(distinct))
        self._place[distinct] = order[: len(distinct)]
        self._found = distinct[: self.capacity]
        padded = np.full(self.capacity, self.rows, np.int32)
        padded[: len(self._found)] = self._found
        places = self._place[ids]
        return padded, np.where(places < self.capacity, places, -1).astype(np.int32)

    def shrink(self) -> None:
        """Lower the capacity to what was needed so far, and a quarter more."""
        self.capacity = min(self.capacity, self._even(self._most * 5 // 4 + 1))

    def _even(self, capacity: int) -> int:
        return -(-capacity // self._unit) * self._unit

    def among(
        self, ids: Int32[np.ndarray, " ids"]
    ) -> tuple[Int64[np.ndarray, " found"], Int32[np.ndarray, " found"]]:
        """Which of many ids are among those last found, and where there they stand."""
        self._is_found[self._found] = True
        found = np.flatnonzero(self._is_found[ids])
        self._is_found[self._found] = False
        return found, self._place[ids[found]]


class ItemInputs:
    """Gathers the features of a list of items in the form that `CandidateTower` reads.

    Args:
        catalogue: the corpus.
        capacity: how many items a list has at most.
        devices: see `RowFinder`.
    """

    def __init__(self, catalogue: Catalogue, capacity: int, devices: int = 1) -> None:
        self.catalogue = catalogue
        self._values = {
            f.name: RowFinder(
                f.cardinality + 1, min(f.cardinality + 1, capacity * f.max_values), devices
            )
            for f in catalogue.fitted
            if isinstance(f, FittedCategorical)
        }

    def of(
        self, rows: Int32[np.ndarray, " items"]
    ) -> tuple[dict[str, Shaped[np.ndarray, "items ..."]], dict[str, Int32[np.ndarray, " values"]]]:
        """Features by name, and the rows to read of the table of each categorical feature.

        Args:
            rows: item numbers; those past the table's end are padding and read as number 0.

        Returns:
            Categorical features are places in the rows to read, [items, max_values], -1 for
            none; all others are as in schema.py.
        """
        known = np.where(rows < self.catalogue.rows, rows, 0)
        items: dict[str, np.ndarray] = {}
        value_rows: dict[str, np.ndarray] = {}
        for name, values in self.catalogue.features.items():
            taken = np.asarray(values[known])
            if name in self._values:
                codes = taken.reshape(len(known), -1).astype(np.int32)
                value_rows[f"item.{name}"], places = self._values[name].find(codes.ravel())
                used = codes > 0
                used[:, 0] |= ~used.any(axis=1)  # no value at all: the unknown one
                items[name] = np.where(used, places.reshape(codes.shape), -1)
            else:
                items[name] = taken
        return items, value_rows

    def shrink(self) -> None:
        """See `RowFinder.shrink`."""
        for finder in self._values.values():
            finder.shrink()
