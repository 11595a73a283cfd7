"""Lists for a batch: what is found by dot product and what users have had, merged and spread.

Requests that may be answered with the same items, no more of a value than the same, are searched
for together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from antiphon.exclusions import Exclusions
from antiphon.indexes import Filter, Limit, TopK, spread
from antiphon.indexes.filters import rows_of
from antiphon.indexes.lists import empty_lists
from antiphon.own_library import OwnItems, OwnScores
from antiphon.request import Mode
from antiphon.shelf import Shelf

__all__ = ["Wanted", "lists_of"]


@dataclass(frozen=True)
class Wanted:
    """What one request wants listed.

    Attributes:
        k: how many.
        mode: see `Request`.
        among: what may be listed; None for all.
        at_most: items of a value, by feature.
        picks: equal for requests that have equal `among`.
    """

    k: int
    mode: Mode
    among: Filter | None
    at_most: tuple[tuple[str, int], ...]
    picks: Hashable

    @property
    def group(self) -> Hashable:
        """Equal for requests that are searched for together: of like lengths, too."""
        return self.picks, self.at_most, self.k.bit_length()


def lists_of(
    shelf: Shelf,
    embedded: Float32[np.ndarray, "queries width"],
    own: OwnItems,
    scoring: Callable[[], OwnScores],
    wanted: Sequence[Wanted],
    *,
    repeats: bool,
) -> list[tuple[Int32[np.ndarray, " k"], Float32[np.ndarray, " k"]]]:
    """Item numbers, best first, and scores, as many as there are up to k.

    Args:
        shelf: what may be listed.
        embedded: the queries.
        own: what their users have had.
        scoring: gives the same, scored; not asked for before the search is done.
        wanted: of each query.
        repeats: whether what users have had is scored otherwise than all else.
    """
    groups: dict[Hashable, list[int]] = {}
    for row, one in enumerate(wanted):
        groups.setdefault(one.group, []).append(row)
    found: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0), np.zeros(0))] * len(wanted)
    for members in groups.values():
        rows = np.array(members, np.int64)
        some = [wanted[row] for row in members]
        numbers, scores = _group(shelf, embedded, own, scoring, rows, some, repeats)
        for place, row in enumerate(members):
            count = min(int(np.count_nonzero(numbers[place])), wanted[row].k)
            found[row] = numbers[place, :count], scores[place, :count]
    return found


def _group(
    shelf: Shelf,
    embedded: Float32[np.ndarray, "queries width"],
    own: OwnItems,
    scoring: Callable[[], OwnScores],
    rows: Int64[np.ndarray, " some"],
    wanted: Sequence[Wanted],
    repeats: bool,
) -> tuple[Int32[np.ndarray, "some k"], Float32[np.ndarray, "some k"]]:
    searched = np.array([one.mode != "repeat" for one in wanted])
    apart = np.array([one.mode == "all" and repeats for one in wanted])
    left_out = apart | np.array([one.mode == "discover" for one in wanted])
    merged = apart | ~searched
    among = wanted[0].among
    exclude = _exclusions(own, rows, left_out) if left_out.any() else None
    keep = _passing(own, among) if among is not None and merged.any() else None

    def ask(some: Int64[np.ndarray, " asked"], depth: int) -> TopK:
        found = empty_lists(len(some), depth)
        places = np.flatnonzero(searched[some])
        if len(places):
            without = None if exclude is None else rows_of(exclude, some[places])
            lists = shelf.corpus.top_k(
                embedded[rows[some[places]]], depth, exclude=without, among=among
            )
            found[0][places], found[1][places] = lists
        places = np.flatnonzero(merged[some])
        if len(places):
            others = found[0][places], found[1][places]
            both = scoring().best(depth, others, rows[some[places]], keep)
            found[0][places], found[1][places] = both
        return found

    k = max(one.k for one in wanted)
    if not wanted[0].at_most:
        return ask(np.arange(len(rows)), k)
    limits = [Limit(partial(shelf.codes_of, name), most) for name, most in wanted[0].at_most]
    # a list under limits is the head of a longer one under the same limits
    return spread(ask, len(rows), k, limits, shelf.corpus.item_count)


def _exclusions(
    own: OwnItems, rows: Int64[np.ndarray, " some"], left_out: Bool[np.ndarray, " some"]
) -> Exclusions:
    """What each query's user has had; nothing for those who may be listed it."""
    lengths = np.where(left_out, own.offsets[rows + 1] - own.offsets[rows], 0)
    every = Exclusions(own.offsets, own.item_number)
    return Exclusions(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        rows_of(every, rows[left_out]).item_number,
    )


def _passing(own: OwnItems, among: Filter) -> Bool[np.ndarray, " pairs"]:
    """Which pairs a filter lets pass."""
    return np.isin(own.item_number, among.item_number) == among.allow
