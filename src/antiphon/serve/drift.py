"""Score drift: do lists still begin with scores like those that training's users get?

The reference is the best score of each of some users of the log, asked in the context of their last
event as evaluation asks. Its deciles cut scores into ten bins of like size. Of the last answers
that were asked for alike (a known user, the mode of evaluation, nothing picked) each falls into a
bin, and drift is the population stability index of their shares q against the reference's p,

    sum over bins of (q - p) ln(q / p)

0 where nothing has changed; above 0.25 is commonly taken for a shift that matters. Scores shift
when users, contexts or histories do, when events stop coming in, and when a run is swapped for one
that scores otherwise.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque

import numpy as np
from jaxtyping import Float32

from antiphon.queries import Queries
from antiphon.retrieval import TrainedModel

__all__ = ["Drift", "reference_scores"]

BINS = 10
LAST = 10_000
LEAST = 100
USERS, AT_ONCE = 256, 16


def reference_scores(model: TrainedModel, most_s: float = 1.0) -> Float32[np.ndarray, " users"]:
    """The best score of each of some users; of fewer where that takes too long.

    Args:
        model: of the run.
        most_s: seconds after which no more are asked.
    """
    events = model.prepared.events
    users = np.flatnonzero(events.ends > events.starts)
    users = users[np.linspace(0, len(users) - 1, min(USERS, len(users))).astype(np.int64)]
    end, found = time.monotonic() + most_s, [np.zeros(0, np.float32)]
    for start in range(0, len(users), AT_ONCE):
        some = users[start : start + AT_ONCE]
        last = events.ends[some] - 1
        queries = Queries(
            user_number=some.astype(np.int32),
            user_key=some.astype(np.int64),
            time_s=np.full(len(some), model.prepared.schema.held_out_start_s, np.int64),
            context={name: np.asarray(values[last]) for name, values in events.context.items()},
        )
        _, scores = model.rank(queries, 1, exclude_heard=model.config.evaluate.exclude_heard)
        found.append(scores[:, 0])
        if time.monotonic() > end:
            break
    scores = np.concatenate(found)
    return scores[np.isfinite(scores)]


class Drift:
    """Sorts scores into the reference's bins.

    Args:
        reference: scores; with fewer than one a bin there is nothing to compare with.
    """

    def __init__(self, reference: Float32[np.ndarray, " users"]) -> None:
        inner = np.linspace(0, 1, BINS + 1)[1:-1]
        self.edges = np.quantile(reference, inner).tolist() if len(reference) >= BINS else []
        expected = np.bincount(np.searchsorted(self.edges, reference, side="right"), minlength=BINS)
        self._expected = self._shares(expected)
        self._bins: deque[int] = deque(maxlen=LAST)
        self._counts = [0] * BINS

    def add(self, score: float) -> int:
        """Count the best score of an answer; the bin it fell into, from 0 on."""
        bin_ = bisect_right(self.edges, score)
        if len(self._bins) == LAST:
            self._counts[self._bins[0]] -= 1
        self._bins.append(bin_)
        self._counts[bin_] += 1
        return bin_

    def index(self) -> float:
        """The population stability index; NaN where too little was seen to tell."""
        if len(self._bins) < LEAST or not self.edges:
            return float("nan")
        shares = self._shares(np.array(self._counts))
        return float(np.sum((shares - self._expected) * np.log(shares / self._expected)))

    @staticmethod
    def _shares(counts: np.ndarray) -> np.ndarray:
        """Shares, a half added to each count so that none is zero."""
        return (counts + 0.5) / (counts.sum() + 0.5 * BINS)
