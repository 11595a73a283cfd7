"""What a request may ask to be picked from, in the log's words -> item numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int32

from antiphon.errors import RequestError, did_you_mean
from antiphon.indexes.filters import Filter
from antiphon.indexes.postings import Postings
from antiphon.prepared import Prepared
from antiphon.schema import FittedCategorical
from antiphon.vocabulary import Vocabulary

__all__ = ["Picked", "Where"]

Values = Sequence[int | str] | int | str


@dataclass(frozen=True)
class Picked:
    """What may be listed.

    Attributes:
        among: for `Index.top_k`; None where everything may.
        unknown: values and ids of the request that the log doesn't have; they match nothing.
    """

    among: Filter | None
    unknown: tuple[int | str, ...] = ()


class Where:
    """Turns conditions on candidates into filters.

    Args:
        prepared: the log.
        folder: of the index stage, which holds items by value; without it they are sorted now.
        items: looks up items; by default made of the log's ids.
    """

    def __init__(
        self, prepared: Prepared, folder: Path | None, items: Vocabulary | None = None
    ) -> None:
        names = [f.name for f in prepared.schema.item if isinstance(f, FittedCategorical)]
        other = [f.name for f in prepared.schema.item if not isinstance(f, FittedCategorical)]
        self.features = tuple(names)
        self._other = tuple(other)
        self._postings = {
            f.name: Postings.of(prepared.item_feature(f.name), f.cardinality)
            if folder is None
            else Postings.open(folder / "values", f.name)
            for f in prepared.schema.item
            if isinstance(f, FittedCategorical)
        }
        self._codes = {name: _Codes(prepared.stage.path, name) for name in names}
        self._items = items or Vocabulary(prepared.item_ids())

    def pick(
        self,
        where: Mapping[str, Values] | None = None,
        *,
        allow: Sequence[int | str] | None = None,
        deny: Sequence[int | str] = (),
    ) -> Picked:
        """The items that meet all conditions.

        Args:
            where: by name of a categorical item feature, the values of which an item must have one.
            allow: ids of the only items that may be listed; None for all.
            deny: ids of items that may not.

        Raises:
            RequestError: a feature that isn't there, or isn't categorical.
        """
        unknown: list[int | str] = []
        filters = []
        for name, values in (where or {}).items():
            wanted = [values] if isinstance(values, int | str) else list(values)
            codes = self.codes(name, wanted)
            unknown += [value for value, code in zip(wanted, codes, strict=True) if not code]
            filters.append(Filter.allowing(self.items(name, codes)))
        for ids, make in ((allow, Filter.allowing), (deny or None, Filter.denying)):
            if ids is not None:
                numbers = self._items.numbers(list(ids))
                unknown += [id_ for id_, number in zip(ids, numbers, strict=True) if not number]
                filters.append(make(numbers))
        among = None
        for one in filters:
            among = one if among is None else among & one
        return Picked(among, tuple(unknown))

    def codes(self, name: str, values: Sequence[int | str]) -> Int32[np.ndarray, " values"]:
        """The code of each value of a feature; 0 where there is none such.

        Raises:
            RequestError: a feature that isn't there, or isn't categorical.
        """
        self.check(name)
        return self._codes[name].of(values)

    def items(self, name: str, codes: Int32[np.ndarray, " codes"]) -> Int32[np.ndarray, " found"]:
        """Numbers of the items that have any of these codes, ascending; code 0 finds none."""
        return self._postings[name].items(codes[codes > 0])

    def values(self, name: str, most: int) -> list[int | str]:
        """The first values of a feature, those of most items first."""
        self.check(name)
        return self._codes[name].values(most)

    def check(self, name: str) -> None:
        """Refuse what isn't a categorical item feature.

        Raises:
            RequestError: it isn't.
        """
        if name not in self._codes:
            kind = "isn't categorical" if name in self._other else "isn't there"
            raise RequestError(
                f"candidates can't be picked by a feature that {kind}",
                received=name,
                allowed=", ".join(self.features) or "none: the log has no categorical item feature",
                hint=did_you_mean(name, self.features),
            )


class _Codes:
    """Looks up the codes of a feature's values."""

    def __init__(self, prepared: Path, name: str) -> None:
        table = pq.read_table(prepared / "values" / f"{name}.parquet", columns=["value", "code"])
        values = table.column("value").combine_chunks()
        if not pa.types.is_integer(values.type):
            values = values.cast(pa.string())
        self._rows = Vocabulary(values)
        codes = table.column("code").to_numpy().astype(np.int32)
        self._code_of_row = np.concatenate([np.zeros(1, np.int32), codes])

    def values(self, most: int) -> list[int | str]:
        """The first of them."""
        return self._rows.ids(np.arange(1, min(most, len(self._rows)) + 1))

    def of(self, values: Sequence[int | str]) -> Int32[np.ndarray, " values"]:
        """The code of each value; 0 where there is none such."""
        return self._code_of_row[self._rows.numbers(values)]
