"""What may be listed right now, by id, number, title and value: the corpus and what came since.

A shelf doesn't change. When items are added or withdrawn another one takes its place, and answers
that are being made go on with the one they began with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int32

from antiphon.corpus import Corpus
from antiphon.encode import spell
from antiphon.errors import RequestError, did_you_mean
from antiphon.indexes import Filter, Picked, Where
from antiphon.live import AddedItem
from antiphon.prepared import Prepared
from antiphon.request import Request, Values
from antiphon.schema import FittedCategorical
from antiphon.texts import Texts
from antiphon.vocabulary import Vocabulary

__all__ = ["Shelf", "listed"]

SHOWN = 20
"""So many values are named to who asks for one that isn't there."""


@dataclass(frozen=True)
class Shelf:
    """See above. Added items have the numbers that follow the corpus's, in their order.

    Attributes:
        corpus: to search.
        vocabulary: of the corpus's ids.
        titles: of the corpus, by item number from 1 on, if the log has any.
        where: finds the corpus's items by value.
        codes: of the corpus, by categorical item feature and item number.
        added: what came since.
        numbers_of_added: by id, as text.
        codes_of_added: as `codes`; values that the log doesn't have are coded on from its own.
        new_codes: of these values, by feature and value.
        withdrawn: what mustn't be listed; None for nothing.
        version: of the store that it was made from.
    """

    corpus: Corpus
    vocabulary: Vocabulary
    titles: Texts | None
    where: Where
    codes: Mapping[str, np.ndarray]
    added: tuple[AddedItem, ...] = ()
    numbers_of_added: Mapping[str, int] = field(default_factory=dict)
    codes_of_added: Mapping[str, np.ndarray] = field(default_factory=dict)
    new_codes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    withdrawn: Filter | None = None
    version: int = -1

    @classmethod
    def of(cls, corpus: Corpus, prepared: Prepared, where: Where, items: Vocabulary) -> Shelf:
        """The corpus alone."""
        codes = {
            f.name: prepared.item_feature(f.name)
            for f in prepared.schema.item
            if isinstance(f, FittedCategorical)
        }
        titles = prepared.titles()
        return cls(corpus, items, None if titles is None else Texts(titles), where, codes)

    def with_added(
        self,
        corpus: Corpus,
        added: Sequence[AddedItem],
        codes: Mapping[str, np.ndarray],
        new_codes: Mapping[str, Mapping[str, int]],
    ) -> Shelf:
        """The same corpus with these items beside it, and with no others."""
        first = len(self.vocabulary) + 1
        return replace(
            self,
            corpus=corpus,
            added=tuple(added),
            numbers_of_added={spell(item.id): first + n for n, item in enumerate(added)},
            codes_of_added=codes,
            new_codes=new_codes,
        )

    def without(self, withdrawn: Sequence[int | str], version: int) -> Shelf:
        """The same, these ids withdrawn; those of no item do no harm."""
        numbers = self.numbers(withdrawn)
        denied = Filter.denying(numbers) if numbers.any() else None
        return replace(self, withdrawn=denied, version=version)

    def numbers(self, ids: Sequence[int | str]) -> Int32[np.ndarray, " ids"]:
        """The number of each id; 0 where there is none such."""
        numbers = self.vocabulary.numbers(ids)
        if self.added:
            for place in np.flatnonzero(numbers == 0).tolist():
                numbers[place] = self.numbers_of_added.get(spell(ids[place]), 0)
        return numbers

    def ids(self, numbers: Int32[np.ndarray, " items"]) -> list[int | str]:
        """The id of each number from 1 on."""
        known = len(self.vocabulary)
        new = numbers > known
        if not new.any():
            return self.vocabulary.ids(numbers)
        found = self.vocabulary.ids(np.where(new, 1, numbers)) if known else [0] * len(numbers)
        for place in np.flatnonzero(new).tolist():
            found[place] = self.added[int(numbers[place]) - known - 1].id
        return found

    def titles_of(self, numbers: Int32[np.ndarray, " items"]) -> list[str | None]:
        """The title of each number from 1 on; None where there is none."""
        known = len(self.vocabulary)
        found: list[str | None] = [None] * len(numbers)
        if self.titles is not None and known:
            found = self.titles.take(np.where(numbers > known, 1, numbers) - 1)
        if not self.added:
            return found
        for place in np.flatnonzero(numbers > known).tolist():
            found[place] = self.added[int(numbers[place]) - known - 1].title
        return found

    def codes_of(
        self, name: str, numbers: Int32[np.ndarray, " items"]
    ) -> Int32[np.ndarray, "items values"]:
        """Codes of a categorical feature's values; 0 is no value."""
        base = self.codes[name]
        if not self.added:
            return np.asarray(base[numbers]).reshape(len(numbers), -1)
        known = numbers < len(base)
        mine = np.asarray(base[np.where(known, numbers, 0)]).reshape(len(numbers), -1)
        theirs = self.codes_of_added[name][np.where(known, 0, numbers - len(base))]
        width = max(mine.shape[1], theirs.shape[1])
        padded = [np.pad(part, [(0, 0), (0, width - part.shape[1])]) for part in (mine, theirs)]
        return np.where(known[:, None], *padded).astype(np.int32)

    def pick(self, request: Request) -> Picked:
        """What a request may be answered with.

        Raises:
            RequestError: a feature that isn't there or isn't categorical, or a value that no item
                has.
        """
        among, unknown = self.withdrawn, []
        for name, values in request.where.items():
            one = Filter.allowing(self._having(name, listed(values)))
            among = one if among is None else among & one
        for ids, make in ((request.allow, Filter.allowing), (request.deny or None, Filter.denying)):
            if ids is not None:
                numbers = self.numbers(list(ids))
                unknown += [id_ for id_, number in zip(ids, numbers, strict=True) if not number]
                one = make(numbers)
                among = one if among is None else among & one
        return Picked(among, tuple(unknown))

    def _having(self, name: str, values: Sequence[int | str]) -> Int32[np.ndarray, " items"]:
        """Numbers of the items that have one of these values."""
        codes = self.where.codes(name, values)
        new = self.new_codes.get(name, {})
        extra = np.array([new.get(spell(value), 0) for value in values], np.int32)
        for value, known in zip(values, (codes > 0) | (extra > 0), strict=True):
            if not known:
                raise self._no_such(name, value)
        numbers = self.where.items(name, codes)
        if not self.added:
            return numbers
        wanted = np.concatenate([codes[codes > 0], extra[extra > 0]])
        having = np.isin(self.codes_of_added[name], wanted).any(axis=1)
        added = np.flatnonzero(having) + len(self.vocabulary) + 1
        return np.concatenate([numbers, added.astype(np.int32)])

    def _no_such(self, name: str, value: int | str) -> RequestError:
        shown = [str(one) for one in self.where.values(name, SHOWN + 1)]
        more = " and others" if len(shown) > SHOWN else ""
        return RequestError(
            f"no item has this value of {name}",
            received=repr(value),
            allowed=", ".join(shown[:SHOWN]) + more,
            hint=did_you_mean(spell(value), shown),
        )


def listed(values: Values) -> list[int | str]:
    """One value, or several, as a list."""
    return [values] if isinstance(values, int | str) else list(values)
