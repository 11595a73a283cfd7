"""Recommender: a run folder -> answers in the log's own ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from antiphon.answering import Answering
from antiphon.answers import Answer, Item
from antiphon.appending import Appended, Appending
from antiphon.errors import RequestError
from antiphon.live import AddedItem, LiveEvent, LiveStore, open_live
from antiphon.moments import Clock
from antiphon.request import Request, Values, check_k
from antiphon.retrieval import TrainedModel
from antiphon.schema import FittedCategorical
from antiphon.shelf import Shelf
from antiphon.similar import Similar
from antiphon.stated import StatedContexts
from antiphon.stock import Stock
from antiphon.vocabulary import Vocabulary

__all__ = ["Recommender"]


class Recommender:
    """Answers requests from one run; may be used from several threads.

    >>> recommender = Recommender.load("runs/demo")                           # doctest: +SKIP
    >>> recommender.recommend(user_id=1001, context={"is_organic": 1}, k=10)  # doctest: +SKIP

    Args:
        model: trained.
        live: keeps plays and items that came since; without it there are none.
        clock: seconds on the log's clock, by which the present moves on; see `answering`.
    """

    def __init__(
        self,
        model: TrainedModel,
        live: LiveStore | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.model = model
        self.schema = model.prepared.schema
        self.live = live
        folder = model.prepared.stage.path
        self.users = Vocabulary.open(folder / "users.parquet")
        self.items = Vocabulary.open(folder / "items.parquet")
        self._contexts = StatedContexts(self.schema)
        self._stock = Stock(model, self.items, live)
        self._appending = Appending(self.schema, self.users, self._contexts, live, clock)
        self._answering = Answering(model, self.users, self._contexts, live, clock)

    @classmethod
    def load(
        cls,
        run: str | Path,
        live: LiveStore | str | Path | None = None,
        clock: Clock | None = None,
    ) -> Recommender:
        """Open a run folder and check all of it; answers are searched in its index, if it has one.

        Args:
            run: the folder.
            live: a store, or where to open one; see `live.open_live`.
            clock: see the class.

        Raises:
            ArtifactError: a part is missing, damaged, of another version or of another run.
            BackendError: the index, or the store, is in a database that can't be reached.
        """
        model, folder = TrainedModel.load_run(Path(run)), Path(run) / "index"
        model = model.with_index(folder) if folder.is_dir() else model
        store = open_live(live) if isinstance(live, str | Path) else live
        return cls(model, store, clock)

    @property
    def shelf(self) -> Shelf:
        """What may be listed right now."""
        return self._stock.shelf

    def recommend(
        self,
        user_id: int | str | None = None,
        context: Mapping[str, object] | None = None,
        k: int = 10,
        **more: Any,
    ) -> Answer:
        """The best items for a user at this moment.

        Args:
            user_id: the log's id; an unknown one, or None, is answered from the rest.
            context: values by feature name; what is left out is unknown.
            k: how many items, at most `MAX_K`.
            **more: all else that a `Request` may hold.

        Raises:
            RequestError: something is out of range, or of a feature or value that isn't there.
        """
        (answer,) = self.answer([Request(user_id, context or {}, k=k, **more)])
        if isinstance(answer, RequestError):
            raise answer
        return answer

    def answer(self, requests: Sequence[Request]) -> list[Answer | RequestError]:
        """Answer requests side by side, which costs much less than one after the other.

        Returns:
            For each request its answer, or what is wrong with it; the others don't suffer.

        Raises:
            BackendError: the index or the store is in a database that can't be reached.
        """
        return self._answering.answer(requests, self.shelf)

    def warm_up(self, max_batch: int = 1) -> None:
        """Make what batches of up to so many requests need, so that none waits for it."""
        self._answering.warm_up(max_batch, self.shelf)

    def similar(
        self,
        item_id: int | str,
        k: int = 10,
        *,
        where: Mapping[str, Values] | None = None,
        allow: Sequence[int | str] | None = None,
        deny: Sequence[int | str] = (),
    ) -> list[Item]:
        """The items most like one: nearest by the cosine of embeddings, popularity left out.

        Args:
            item_id: of the corpus, or added since; it isn't listed itself.
            k: how many items, at most `MAX_K`.
            where: as of a `Request`.
            allow: as of a `Request`.
            deny: as of a `Request`.

        Raises:
            RequestError: there is no such item, or see `recommend`.
        """
        shelf = self.shelf
        (number,) = shelf.numbers([item_id]).tolist()
        if not number:
            raise RequestError("there is no such item", received=item_id)
        picked = shelf.pick(Request(where=where or {}, allow=allow, deny=deny))
        search = Similar(shelf.corpus, self.model.vectors.width)
        numbers, cosines = search.nearest(number, check_k(k), picked.among)
        named = zip(shelf.ids(numbers), cosines.tolist(), shelf.titles_of(numbers), strict=True)
        return [Item(*item) for item in named]

    def append(self, events: Sequence[LiveEvent]) -> Appended:
        """Add plays to their users' histories; the very next answer knows them.

        Only what the log would call positive should be told. All events are kept or, on an error,
        none; when this returns they are on disk.

        Raises:
            RequestError: a context has an unknown feature or value, or a time is far in the future;
                names the event.
            ConfigError: there is no store.
            BackendError: the store can't be reached.
        """
        return self._appending.append(events, self.shelf)

    def add_items(self, items: Sequence[AddedItem]) -> None:
        """Embed items from their features and list them from now on; they survive a restart.

        An item that the log was trained on stays as it is; one that was added before is replaced.
        One that was withdrawn stays so.

        Raises:
            RequestError: a feature that isn't there, or a value that doesn't fit; names the item.
            ConfigError: there is no store.
            BackendError: the store can't be reached.
        """
        self._stock.add(items)

    def withdraw_items(self, ids: Sequence[int | str]) -> None:
        """List items no more, from now on and after a restart, whoever they came from.

        What users had of them stays in their histories.

        Raises:
            ConfigError: there is no store.
            BackendError: the store can't be reached.
        """
        self._stock.withdraw(ids)

    def restore_items(self, ids: Sequence[int | str]) -> None:
        """Undo `withdraw_items`."""
        self._stock.restore(ids)

    def refresh(self) -> bool:
        """See what other processes have added and withdrawn; whether there was something.

        Raises:
            BackendError: the store can't be reached.
        """
        return self._stock.refresh()

    @property
    def unusable_items(self) -> tuple[str, ...]:
        """Ids of added items whose features this run's model can't read; they aren't listed."""
        return self._stock.unusable

    def sample_users(self, limit: int) -> list[int | str]:
        """Ids of the users with most events, at most `limit`."""
        return self.users.ids(self._by_events[:limit])

    @cached_property
    def _by_events(self) -> Int64[np.ndarray, " users"]:
        counts = self.model.prepared.user_counts()
        best = np.argsort(-counts, kind="stable")
        return best[counts[best] > 0]

    def context_values(self) -> dict[str, tuple[str, ...] | None]:
        """The allowed values of each context feature; None where any number is."""
        return {
            f.name: f.values if isinstance(f, FittedCategorical) else None
            for f in self.schema.context
        }
