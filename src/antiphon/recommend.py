"""Recommender: a run folder -> answers in the log's own ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from antiphon.encode import encode_request
from antiphon.errors import RequestError
from antiphon.library import Library
from antiphon.prepared import Events
from antiphon.queries import Queries
from antiphon.retrieval import MODES, Mode, TrainedModel
from antiphon.schema import FittedCategorical
from antiphon.vocabulary import Vocabulary

__all__ = ["MAX_K", "Answer", "Item", "Recommender"]

MAX_K = 10_000


@dataclass(frozen=True)
class Item:
    """One item of an answer."""

    id: int | str
    score: float
    title: str | None = None


@dataclass(frozen=True)
class Answer:
    """The items for one query, best first.

    Attributes:
        known_user: whether training has seen the user; else only the context and the history
            that the request gave were used.
        unknown_history: ids of the given history that the corpus lacks; they were ignored.
    """

    items: tuple[Item, ...]
    known_user: bool
    unknown_history: tuple[int | str, ...] = ()


class Recommender:
    """Answers requests from one run.

    >>> recommender = Recommender.load("runs/demo")                           # doctest: +SKIP
    >>> recommender.recommend(user_id=1001, context={"is_organic": 1}, k=10)  # doctest: +SKIP
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.schema = model.prepared.schema
        folder = model.prepared.stage.path
        self.users = Vocabulary.open(folder / "users.parquet")
        self.items = Vocabulary.open(folder / "items.parquet")

    @classmethod
    def load(cls, run: str | Path) -> Recommender:
        """Open a run folder and check all of it; answers are searched in its index, if it has one.

        Raises:
            ArtifactError: a part is missing, damaged, of another version or of another run.
            BackendError: the index is in a database that can't be reached.
        """
        model, folder = TrainedModel.load_run(Path(run)), Path(run) / "index"
        return cls(model.with_index(folder) if folder.is_dir() else model)

    def recommend(
        self,
        user_id: int | str | None = None,
        context: Mapping[str, object] | None = None,
        k: int = 10,
        *,
        history: Sequence[int | str] = (),
        mode: str | None = None,
        exclude_heard: bool | None = None,
    ) -> Answer:
        """The best items for a user at this moment.

        Args:
            user_id: the log's id; an unknown one, or None, is answered from the rest.
            context: values by feature name; what is left out is unknown.
            k: how many items, at most `MAX_K`.
            history: further items the user had, most recent last, on top of the log's.
            mode: all items, or "discover", only those the user hasn't had before, or "repeat",
                only those they have; by default as the run was evaluated.
            exclude_heard: true is another name for "discover", false for "all".

        Raises:
            RequestError: k or the mode is out of range, or the context has an unknown feature or
                value.
        """
        if not 1 <= k <= MAX_K:
            raise RequestError(
                "k is out of range", received=k, allowed=f"a whole number from 1 to {MAX_K}"
            )
        mode = self._mode(mode, exclude_heard)
        number = 0 if user_id is None else int(self.users.numbers([user_id])[0])
        query = Queries(
            user_number=np.array([number], np.int32),
            user_key=np.array([number], np.int64),
            time_s=np.array([self.schema.held_out_start_s], np.int64),
            context=encode_request(self.schema, context or {}),
        )
        given = self.items.numbers(list(history)) if history else np.zeros(0, np.int32)
        library = self._library(number, query, given[given > 0])
        found, scores = self.model.answer(query, k, mode, library, np.ones(1, np.int32))
        numbers = found[0][found[0] > 0]
        return Answer(
            items=tuple(
                Item(id_, float(score), title)
                for id_, score, title in zip(
                    self.items.ids(numbers),
                    scores[0][: len(numbers)],
                    self._titles_of(numbers),
                    strict=True,
                )
            ),
            known_user=number > 0,
            unknown_history=tuple(
                id_ for id_, known in zip(history, given > 0, strict=True) if not known
            ),
        )

    def sample_users(self, limit: int) -> list[int | str]:
        """Ids of the users with most events, at most `limit`."""
        counts = self.model.prepared.user_counts()
        best = np.argsort(-counts, kind="stable")[:limit]
        return self.users.ids(best[counts[best] > 0])

    def _mode(self, mode: str | None, exclude_heard: bool | None) -> Mode:
        if mode is None:
            default = self.model.config.evaluate.exclude_heard
            leave_out = default if exclude_heard is None else exclude_heard
            return "discover" if leave_out else "all"
        known = next((one for one in MODES if one == mode), None)
        if known is None:
            raise RequestError("there is no such mode", received=mode, allowed=", ".join(MODES))
        if exclude_heard and mode == "repeat":
            raise RequestError(
                "what the user has had can't be both left out and all there is",
                received="mode = repeat, exclude_heard = true",
                allowed="one of the two",
            )
        return "discover" if exclude_heard else known

    def _library(self, number: int, query: Queries, given: np.ndarray) -> Library:
        """What the log knows of the user, and the given items as if played in this context now."""
        log = self.model.prepared.events
        rows = slice(int(log.starts[number]), int(log.ends[number]))
        length = rows.stop - rows.start + len(given)
        just_now = np.full(len(given), query.time_s[0] - 1)
        return Library.of(
            Events(
                starts=np.array([0, 0]),
                ends=np.array([0, length]),
                item_number=np.concatenate([log.item_number[rows], given]).astype(np.int32),
                timestamp_s=np.concatenate([log.timestamp_s[rows], just_now]),
                is_target=np.ones(length, bool),
                context={
                    name: np.concatenate(
                        [values[rows], np.repeat(query.context[name], len(given), axis=0)]
                    )
                    for name, values in log.context.items()
                },
            )
        )

    @cached_property
    def _titles(self) -> pa.Array | None:
        return self.model.prepared.titles()

    def _titles_of(self, numbers: np.ndarray) -> list[str | None]:
        if self._titles is None:
            return [None] * len(numbers)
        titles: list[str | None] = self._titles.take(pa.array(numbers - 1)).to_pylist()
        return titles

    def context_values(self) -> dict[str, tuple[str, ...] | None]:
        """The allowed values of each context feature; None where any number is."""
        return {
            f.name: f.values if isinstance(f, FittedCategorical) else None
            for f in self.schema.context
        }
