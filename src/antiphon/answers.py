"""Answers in the log's own ids, and why they are what they are."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Answer", "Item", "Past", "Why"]


@dataclass(frozen=True)
class Past:
    """An item of the user's recent past that weighed in an answer.

    Attributes:
        id: of the item.
        title: where the log has one.
        attention: the share of the query tower's attention that went to the user's plays of it,
            averaged over its heads; the rest went to other plays or to "nothing".
        effect: what the listed item's score owes to those plays, in score units: the dot product as
            it is, less what it would be if the query tower hadn't seen them.
    """

    id: int | str
    title: str | None
    attention: float
    effect: float


@dataclass(frozen=True)
class Why:
    """Why an item stands in a list; everything is measured by asking the model again.

    Attributes:
        past: the items of the past that had most attention, by their effect on this item's score.
        repeat: how much higher it is scored since the user has had it; 0 for a discovery.
        context: the score under the request's context, less the score with no context known.
    """

    past: tuple[Past, ...]
    repeat: float
    context: float


@dataclass(frozen=True)
class Item:
    """One item of an answer.

    Attributes:
        id: the log's own, or that of an item added since.
        score: what lists are sorted by; to be compared within one answer.
        title: where there is one.
        had_before: whether the user has had it before (a repeat), or not (a discovery).
        why: where the request asks.
    """

    id: int | str
    score: float
    title: str | None = None
    had_before: bool = False
    why: Why | None = None


@dataclass(frozen=True)
class Answer:
    """The items for one query, best first.

    Attributes:
        items: at most k.
        known_user: whether training has seen the user; else only the context, live events and the
            history that the request gave were used.
        unknown_history: ids of the given history that the corpus lacks; they were ignored.
        unknown_items: ids of `allow` and `deny` that the corpus lacks; they were ignored.
        mode: "all", "discover" or "repeat".
        time_s: the moment that was asked about.
        live_events: how many of the user's events were known besides the log's.
    """

    items: tuple[Item, ...]
    known_user: bool
    unknown_history: tuple[int | str, ...] = ()
    unknown_items: tuple[int | str, ...] = ()
    mode: str = "all"
    time_s: int = 0
    live_events: int = 0
