"""A batch of requests -> answers: checked, embedded, searched for and named side by side.

The present. A log's clock needn't be ours, so by default a request is about the moment after the
user's latest live event, and never before the held-out window, at whose start training ended and
evaluation asks. A clock moves that on: the present is then its time, or the moment after the user's
latest live event where that is later. What users did ages with it; trends stay as they were when
training ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64, Shaped

from antiphon.answers import Answer, Item, Why
from antiphon.encode import spell
from antiphon.errors import RequestError
from antiphon.history import gather_history
from antiphon.listing import Wanted, lists_of
from antiphon.live import LiveStore
from antiphon.moments import Clock, presents_s
from antiphon.own_library import OwnScores, own_items
from antiphon.pasts import Pasts, Plays, pasts_of
from antiphon.prepared import rows_between
from antiphon.queries import Queries
from antiphon.reasons import Reasoned, reasons_of
from antiphon.request import Request, check_k, mode_of
from antiphon.retrieval import TrainedModel
from antiphon.shelf import Shelf, listed
from antiphon.stated import StatedContexts
from antiphon.threads import single_threaded_blas
from antiphon.vocabulary import Vocabulary

__all__ = ["Answering"]

NO_USER = ""


@dataclass(frozen=True)
class Checked:
    """A request that can be answered."""

    request: Request
    wanted: Wanted
    context: Mapping[str, Shaped[np.ndarray, "1 ..."]]
    history: Int32[np.ndarray, " given"]
    unknown_history: tuple[int | str, ...]
    unknown_items: tuple[int | str, ...]


class Answering:
    """Answers requests from a model, whatever is on the shelf.

    Args:
        model: trained.
        users: looks up users.
        contexts: encodes contexts.
        live: what happened since.
        clock: seconds on the log's clock.
    """

    def __init__(
        self,
        model: TrainedModel,
        users: Vocabulary,
        contexts: StatedContexts,
        live: LiveStore | None,
        clock: Clock | None,
    ) -> None:
        self._model = model
        self._users = users
        self._contexts = contexts
        self._live = live
        self._clock = clock
        none, unknown = np.zeros(0, np.int64), contexts.unknown
        self._no_plays = Plays(
            none, none.astype(np.int32), none, {name: some[:0] for name, some in unknown.items()}
        )

    def answer(self, requests: Sequence[Request], shelf: Shelf) -> list[Answer | RequestError]:
        """Of each request its answer, or what is wrong with it."""
        checked: list[Checked | RequestError] = []
        for request in requests:
            try:
                checked.append(self._check(request, shelf))
            except RequestError as error:
                checked.append(error)
        good = [one for one in checked if isinstance(one, Checked)]
        answers = iter(self._answer(good, shelf) if good else ())
        return [one if isinstance(one, RequestError) else next(answers) for one in checked]

    def warm_up(self, max_batch: int, shelf: Shelf) -> None:
        """Answer one request and a batch, each in its own way of searching."""
        for size in {1, max_batch}:
            self.answer([Request(why=True)] * size, shelf)

    def _check(self, request: Request, shelf: Shelf) -> Checked:
        default = self._model.config.evaluate.exclude_heard
        mode = mode_of(request.mode, request.exclude_heard, default_exclude=default)
        k = check_k(request.k)
        for name, most in request.at_most.items():
            shelf.where.check(name)
            if most < 1:
                raise RequestError(
                    f"a list needs at least one item of each {name}", received=most, allowed=">= 1"
                )
        picked = shelf.pick(request)
        given = list(request.history)
        numbers = shelf.numbers(given) if given else np.zeros(0, np.int32)
        return Checked(
            request,
            Wanted(
                k=k,
                mode=mode,
                among=picked.among,
                at_most=tuple(sorted(request.at_most.items())),
                picks=_picks(request),
            ),
            self._contexts.encode(request.context),
            numbers[numbers > 0],
            tuple(id_ for id_, number in zip(given, numbers, strict=True) if not number),
            picked.unknown,
        )

    @single_threaded_blas()
    def _answer(self, checked: Sequence[Checked], shelf: Shelf) -> list[Answer]:
        model = self._model
        pasts, live_events = self._pasts(checked, shelf)
        queries, owners = pasts.queries, pasts.owners
        history = gather_history(
            pasts.events,
            owners.user_number.astype(np.int64),
            queries.time_s,
            queries.time_s,
            model.config.model.history_length,
        )
        embedded = model.embed(queries, history, shelf.corpus)
        had = own_items(pasts.events, owners)
        scoring = model.scoring(queries, embedded, had, shelf.corpus)
        wanted, repeats = [one.wanted for one in checked], model.repeats is not None
        lists = lists_of(shelf, embedded, had, scoring, wanted, repeats=repeats)
        own = scoring()
        whys: dict[int, list[Why]] = {}
        asked = [row for row, one in enumerate(checked) if one.request.why]
        if asked:
            reasoned = Reasoned(queries, history, embedded, had, own)
            unknown = self._contexts.unknown
            whys = reasons_of(model, shelf, reasoned, lists, asked, unknown)
        ids, titles, before = _named(shelf, own, [numbers for numbers, _ in lists])
        answers, start = [], 0
        for row, (one, (numbers, scores)) in enumerate(zip(checked, lists, strict=True)):
            part = slice(start, start + len(numbers))
            start = part.stop
            why: Sequence[Why | None] = whys.get(row) or [None] * len(numbers)
            items = zip(
                ids[part], scores.tolist(), titles[part], before[part].tolist(), why, strict=True
            )
            answers.append(
                Answer(
                    items=tuple(Item(*item) for item in items),
                    known_user=bool(queries.user_number[row] > 0),
                    unknown_history=one.unknown_history,
                    unknown_items=one.unknown_items,
                    mode=one.wanted.mode,
                    time_s=int(queries.time_s[row]),
                    live_events=int(live_events[row]),
                )
            )
        return answers

    def _pasts(
        self, checked: Sequence[Checked], shelf: Shelf
    ) -> tuple[Pasts, Int64[np.ndarray, " requests"]]:
        """What is known of each request's user, and how much of it is live."""
        ids = [one.request.user_id for one in checked]
        numbers = self._users.numbers([NO_USER if id_ is None else id_ for id_ in ids])
        numbers[[id_ is None for id_ in ids]] = 0
        live = self._live_plays(ids, shelf)
        time_s = self._times([one.request.time_s for one in checked], live)
        queries = Queries(
            user_number=numbers,
            user_key=numbers.astype(np.int64),
            time_s=time_s,
            context={
                name: np.concatenate([one.context[name] for one in checked])
                for name in self._contexts.unknown
            },
        )
        given, lengths = self._no_plays, [len(one.history) for one in checked]
        if any(lengths):
            query = np.repeat(np.arange(len(checked)), lengths)
            given = Plays(
                query,
                np.concatenate([one.history for one in checked]).astype(np.int32),
                time_s[query] - 1,
                {name: values[query] for name, values in queries.context.items()},
            )
        seen = (live.item_number > 0) & (live.timestamp_s < time_s[live.query])
        counts = np.bincount(live.query[seen], minlength=len(checked))
        pasts = pasts_of(self._model.prepared.events, queries, [live, given])
        return pasts, counts.astype(np.int64)

    def _times(self, asked: Sequence[int | None], live: Plays) -> Int64[np.ndarray, " requests"]:
        """The moment of each request; see above."""
        schema = self._model.prepared.schema
        times = presents_s(schema, self._clock, len(asked), live.query, live.timestamp_s)
        for row, time_s in enumerate(asked):
            if time_s is not None:
                times[row] = time_s
        return times

    def _live_plays(self, ids: Sequence[int | str | None], shelf: Shelf) -> Plays:
        """What each request's user did since training."""
        texts = [None if id_ is None else self._users.spelling(id_) for id_ in ids]
        place = {text: row for row, text in enumerate(dict.fromkeys(t for t in texts if t))}
        if self._live is None or not place:
            return self._no_plays
        events = self._live.of(list(place), self._model.prepared.schema.train_end_s)
        if not len(events.owner):
            return self._no_plays
        bounds = np.searchsorted(events.owner, np.arange(len(place) + 1))
        users = [(row, place[text]) for row, text in enumerate(texts) if text]
        of_user = np.array([user for _, user in users])
        starts, ends = bounds[of_user], bounds[of_user + 1]
        rows = rows_between(starts, ends)
        contexts = [self._contexts.encode_text(events.context[row]) for row in rows.tolist()]
        return Plays(
            np.repeat(np.array([row for row, _ in users]), ends - starts),
            shelf.numbers(events.item_id)[rows],
            events.timestamp_s[rows],
            {
                name: np.concatenate([missing[:0], *(one[name] for one in contexts)])
                for name, missing in self._contexts.unknown.items()
            },
        )


def _picks(request: Request) -> tuple[object, ...]:
    """Equal for requests that pick the same items."""
    if not request.where and request.allow is None and not request.deny:
        return ()
    where = sorted(
        (name, tuple(sorted(map(spell, listed(values))))) for name, values in request.where.items()
    )
    allow = None if request.allow is None else tuple(sorted(map(spell, request.allow)))
    return tuple(where), allow, tuple(sorted(map(spell, request.deny)))


def _named(
    shelf: Shelf, own: OwnScores, lists: Sequence[Int32[np.ndarray, " _"]]
) -> tuple[list[int | str], list[str | None], Bool[np.ndarray, " items"]]:
    """Of all items of all lists: ids, titles, and whether their users have had them before."""
    flat = np.concatenate(lists).astype(np.int32)
    query = np.repeat(np.arange(len(lists)), [len(numbers) for numbers in lists])
    return shelf.ids(flat), shelf.titles_of(flat), own.find(query, flat) >= 0
