"""The shelf of a service, restocked as items are added and withdrawn, here or elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from antiphon.added_items import Embedded, ItemEmbedder
from antiphon.corpus import Corpus
from antiphon.errors import ConfigError, RequestError
from antiphon.indexes import Where
from antiphon.live import AddedItem, LiveStore, Shelved
from antiphon.retrieval import TrainedModel
from antiphon.schema import FittedCategorical
from antiphon.shelf import Shelf
from antiphon.vocabulary import Vocabulary

__all__ = ["Stock"]


class Stock:
    """Holds the shelf, and what it is made of.

    Args:
        model: trained.
        items: looks up the corpus's items.
        live: keeps what is added and withdrawn; None where nothing is.

    Attributes:
        shelf: what may be listed right now.
        unusable: ids of kept items whose features this model can't read; they aren't listed.
    """

    def __init__(self, model: TrainedModel, items: Vocabulary, live: LiveStore | None) -> None:
        index = None if model.index is None else model.stage.path.parent / "index"
        where = Where(model.prepared, index, items)
        self._model = model
        self._items = items
        self._live = live
        self._lock = threading.Lock()
        self._embedder = ItemEmbedder(model, where)
        self._embedded: dict[str, tuple[Mapping[str, object], Embedded]] = {}
        self._base = Shelf.of(model.corpus, model.prepared, where, items)
        self.shelf = self._base
        self.unusable: tuple[str, ...] = ()
        self.refresh()

    def refresh(self) -> bool:
        """Restock if something was added or withdrawn since; whether it was.

        Raises:
            BackendError: the store can't be reached.
        """
        if self._live is None or self._live.version() == self.shelf.version:
            return False
        with self._lock:
            self.shelf = self._restocked(self._live.shelved())
        return True

    def add(self, items: Sequence[AddedItem]) -> None:
        """Keep and list items; see `Recommender.add_items`."""
        spelled = [
            AddedItem(self._spelled(item.id), dict(item.features), item.title) for item in items
        ]
        self._embedder.check(spelled)
        self._store.add(spelled)
        self.refresh()

    def withdraw(self, ids: Sequence[int | str]) -> None:
        """List items no more; see `Recommender.withdraw_items`."""
        self._store.withdraw([self._spelled(id_) for id_ in ids])
        self.refresh()

    def restore(self, ids: Sequence[int | str]) -> None:
        """List items again; see `Recommender.restore_items`."""
        self._store.restore([self._spelled(id_) for id_ in ids])
        self.refresh()

    @property
    def _store(self) -> LiveStore:
        if self._live is None:
            raise ConfigError(
                "there is nowhere to keep what is added or withdrawn",
                hint="open the run with a store: Recommender.load(run, live=...)",
            )
        return self._live

    def _spelled(self, id_: int | str) -> str:
        return self._items.spelling(id_)

    def _restocked(self, shelved: Shelved) -> Shelf:
        numbers = self._items.numbers([item.id for item in shelved.items])
        # the log knows what it was trained on better than whoever announced it
        new = [item for item, known in zip(shelved.items, numbers, strict=True) if not known]
        added = self._embed(new)
        shelf = self._base
        if added:
            rows = [self._embedded[str(item.id)][1] for item in added]
            corpus = Corpus(
                self._base.corpus.candidates,
                self._base.corpus.index,
                np.stack([row.embedding for row in rows]),
            )
            codes, new_codes = self._codes(rows)
            named = [AddedItem(self._as_in_log(i.id), i.features, i.title) for i in added]
            shelf = shelf.with_added(corpus, named, codes, new_codes)
        return shelf.without(shelved.withdrawn, shelved.version)

    def _embed(self, items: Sequence[AddedItem]) -> list[AddedItem]:
        """Embed what isn't yet; the items that can be listed."""
        waiting, unusable = [], []
        for item in items:
            known = self._embedded.get(str(item.id))
            if known is None or known[0] != item.features:
                try:
                    self._embedder.check([item])
                    waiting.append(item)
                except RequestError:
                    unusable.append(str(item.id))
        for item, row in zip(waiting, self._embedder.embed(waiting), strict=True):
            self._embedded[str(item.id)] = item.features, row
        self.unusable = tuple(unusable)
        return [item for item in items if str(item.id) not in unusable]

    def _codes(
        self, rows: Sequence[Embedded]
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, int]]]:
        """Codes by feature, [items, values]; values that the log lacks follow its own."""
        codes: dict[str, np.ndarray] = {}
        new_codes: dict[str, dict[str, int]] = {}
        for feature in self._model.prepared.schema.item:
            if not isinstance(feature, FittedCategorical):
                continue
            name, first = feature.name, feature.cardinality + 1
            new = new_codes[name] = {}
            every = [
                [*row.codes[name], *(new.setdefault(v, first + len(new)) for v in row.values[name])]
                for row in rows
            ]
            codes[name] = np.zeros((len(rows), max(map(len, every)) or 1), np.int32)
            for place, own in enumerate(every):
                codes[name][place, : len(own)] = own
        return codes, new_codes

    def _as_in_log(self, id_: int | str) -> int | str:
        """An id of the log's type, where it can be one."""
        text = str(id_)
        numeric = len(self._items) > 0 and isinstance(self._items.ids([1])[0], int)
        return int(text) if numeric and text.lstrip("-").isdecimal() else text
