"""What is asked of a `Recommender`, and what a wrong request is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from antiphon.errors import RequestError

__all__ = ["MAX_K", "MODES", "Mode", "Request", "Values", "check_k", "mode_of"]

MAX_K = 10_000

Mode = Literal["all", "discover", "repeat"]
MODES: tuple[Mode, ...] = ("all", "discover", "repeat")

Values = Sequence[int | str] | int | str


@dataclass(frozen=True)
class Request:
    """A wish for a list. All ids are the log's own; whole numbers may be given as text.

    Attributes:
        user_id: an unknown one, or None, is answered from the rest.
        context: values by feature name; what is left out or None is unknown.
        history: ids of further items the user had, most recent last, as if had in this context
            just now.
        k: how many items, at most `MAX_K`.
        mode: all items, or "discover", only those the user hasn't had before, or "repeat", only
            those they have; None as the run was evaluated.
        exclude_heard: true is another name for "discover", false for "all".
        where: by name of a categorical item feature, the values of which an item must have one.
        allow: ids of the only items that may be listed; None for all.
        deny: ids of items that may not.
        at_most: by name of a categorical item feature, how many items of one value a list may hold.
        why: whether to tell why each item is listed.
        time_s: the moment that is asked about, on the log's clock; by default the present, see
            `Recommender`. What happened at this moment or later isn't known yet.
    """

    user_id: int | str | None = None
    context: Mapping[str, object] = field(default_factory=dict)
    history: Sequence[int | str] = ()
    k: int = 10
    mode: str | None = None
    exclude_heard: bool | None = None
    where: Mapping[str, Values] = field(default_factory=dict)
    allow: Sequence[int | str] | None = None
    deny: Sequence[int | str] = ()
    at_most: Mapping[str, int] = field(default_factory=dict)
    why: bool = False
    time_s: int | None = None


def check_k(k: int) -> int:
    """How many items are asked for.

    Raises:
        RequestError: it isn't from 1 to `MAX_K`.
    """
    if not 1 <= k <= MAX_K:
        raise RequestError(
            "k is out of range", received=k, allowed=f"a whole number from 1 to {MAX_K}"
        )
    return k


def mode_of(mode: str | None, exclude_heard: bool | None, *, default_exclude: bool) -> Mode:
    """The mode that a request means.

    Raises:
        RequestError: there is none such, or the two contradict each other.
    """
    if mode is None:
        leave_out = default_exclude if exclude_heard is None else exclude_heard
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
