"""The numbers of the synthetic log: every probability, rate and length that is fixed.

A context is `is_organic`: number 0 is algorithmic (leaning back), 1 is organic (searching). A
`Pair` reads (algorithmic, organic).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

__all__ = ["CONTEXTS", "DAY_S", "END_S", "LAST_DAY_S", "Laws", "Pair"]

CONTEXTS = 2
DAY_S = 86_400
END_S = 26_000_000
"""End of the timeline, exclusive, in seconds."""
LAST_DAY_S = END_S - DAY_S
"""Where Yambda's test period begins: 25,913,600 (arXiv 2505.22238)."""

Pair = tuple[float, float]


@dataclass(frozen=True)
class Laws:
    """The fixed part of the process; saved with a log and read back by its oracle.

    A listen is a *repeat* of something the user played to at least half (Listen+), or else a
    *discovery*: from what is trending, weighted by the user's taste, or from the artists of the
    user's taste. All of it depends on the context. The shares were chosen so that the user's own
    history is the strongest simple signal, as in music, while taste and trend, which must be
    learned across users, carry about as much again.
    """

    # A listen in a context repeats the past of the same or of the other context this often, …
    repeat_same: Pair = (0.36, 0.45)
    repeat_other: Pair = (0.06, 0.10)
    # … so many Listen+ events back: a geometric law mixed with one falling as 1 / (lag + offset).
    # A lag past the start of the user's stream makes the listen a discovery.
    lag_short_weight: Pair = (0.35, 0.15)
    lag_short_mean: Pair = (30.0, 40.0)
    lag_offset: Pair = (10.0, 20.0)
    lag_max: int = 2_000
    # Of the discoveries, the share of what is trending: tracks that become hits at some moment
    # and cool down from then on.
    trending: Pair = (0.38, 0.48)
    hits_a_day: float = 6.0
    hit_half_life_days: Pair = (3.0, 5.0)
    hit_spread: float = 1.0
    hit_of_new_release: float = 0.7
    # Of the discoveries by artist, the share of the newest album while it is new.
    fresh: Pair = (0.15, 0.30)
    fresh_for_s: int = 21 * DAY_S
    # Taste: an artist's log-odds have about this standard deviation over artists; this part of
    # its variance is common to both contexts.
    latent: int = 16
    genres: int = 24
    taste_strength: float = 2.5
    taste_common: float = 0.4
    # Log standard deviation of the popularity of an artist's tracks.
    track_spread: float = 1.8
    # Shares of Yambda-50M (arXiv 2505.22238).
    organic_share: float = 0.517
    listen_plus: Pair = (0.681, 0.587)
    listens_of_rows: float = 0.9725
    without_audio: float = 0.03

    def lag_cdf(self, context: int) -> Float64[np.ndarray, " lag_edges"]:
        """P(lag <= l) for l = 0 … lag_max, in Listen+ events; the last entry is 1."""
        lag = np.arange(1, self.lag_max + 1)
        short = np.power(1 - 1 / self.lag_short_mean[context], lag - 1)
        long = 1 / (lag + self.lag_offset[context])
        weight = self.lag_short_weight[context]
        mass = weight * short / short.sum() + (1 - weight) * long / long.sum()
        cdf: Float64[np.ndarray, " lag_edges"] = np.concatenate([[0.0], np.cumsum(mass)])
        cdf /= cdf[-1]
        return cdf

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Laws:
        """Read what `save` wrote."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, Any] = {k: tuple(v) if type(v) is list else v for k, v in raw.items()}
        return cls(**values)
