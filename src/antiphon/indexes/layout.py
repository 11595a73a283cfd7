"""Candidates as graphs and scans keep them: stretched, padded, with a bound on what rounding costs.

*Stretched*: an inner product stays what it is if a coordinate of all candidates is multiplied by a
number and that of all queries divided by it. The factors are the queries' root mean squares in each
coordinate, so that two candidates are near each other if queries score them alike. Without it one
coordinate in other units, such as log popularity, decides who neighbours whom, and a graph over
those neighbours finds less than half of what it should. Powers of two, they round nothing.

*Padded*: to a multiple of 16, for which the processor's vector instructions have a fast path.

*The bound*: |query · (candidate - its bfloat16)| is at most |query| times the greatest length of
that difference over all candidates, in stretched coordinates. Processors that multiply bfloat16 by
bfloat16 are given the query's too, and it differs from the query by a length times the candidate's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from antiphon.errors import EvaluationError

__all__ = ["ROWS_AT_ONCE", "Layout", "layout_of"]

LANES = 16
LEAST_FACTOR = 2.0**-8
ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Layout:
    """How vectors are laid out, and how exact they are.

    Attributes:
        factors: of each coordinate; candidates are multiplied by it, queries divided.
        longest: the greatest length of a stretched candidate.
        equal_lengths: whether a further coordinate brings all candidates to the length of the
            longest. Queries have 0 there. The nearest are then those of the greatest inner product
            (Bachrach et al., RecSys 2014), so that a graph of neighbours fits the search.
        residual: the greatest length of a stretched candidate less its bfloat16; None
            where nobody measured it.
    """

    factors: Float32[np.ndarray, " width"]
    longest: float
    equal_lengths: bool
    residual: float | None = None

    @property
    def width(self) -> int:
        """Of embeddings."""
        return len(self.factors)

    @property
    def padded(self) -> int:
        """Coordinates in storage: the embedding's, perhaps one more, zeros."""
        return -(-(self.width + self.equal_lengths) // LANES) * LANES

    def of_candidates(
        self, rows: Float32[np.ndarray, "items width"]
    ) -> Float32[np.ndarray, "items padded"]:
        """Candidates laid out."""
        laid = np.zeros((len(rows), self.padded), np.float32)
        laid[:, : self.width] = rows * self.factors
        if self.equal_lengths:
            missing = self.longest**2 - _squares(laid)
            laid[:, self.width] = np.sqrt(np.maximum(missing, 0))
        return laid

    def of_queries(
        self, queries: Float32[np.ndarray, "queries width"]
    ) -> Float32[np.ndarray, "queries padded"]:
        """Queries laid out."""
        laid = np.zeros((len(queries), self.padded), np.float32)
        laid[:, : self.width] = queries / self.factors
        return laid

    def error(self, laid: Float32[np.ndarray, "queries padded"]) -> Float64[np.ndarray, " queries"]:
        """How far a score from storage can be from the true one, for each query laid out."""
        residual = np.inf if self.residual is None else self.residual
        unit = float(np.finfo(np.float32).eps)
        # summing d products in float32 errs by at most d rounding errors; some for slack
        rounding = (self.padded + 8) * unit * (self.longest + residual)
        rounded_away = np.sqrt(_squares(laid - _bfloat16(laid)))
        return np.asarray(
            np.sqrt(_squares(laid)) * (residual + rounding)
            + rounded_away * (self.longest + residual)
        )


def layout_of(
    candidates: Float32[np.ndarray, "items width"],
    sample: Float32[np.ndarray, "queries width"] | None,
    *,
    equal_lengths: bool,
) -> Layout:
    """The layout for some candidates and queries like those in the sample (None: plain).

    Raises:
        EvaluationError: an embedding isn't finite.
    """
    width = candidates.shape[1]
    factors = np.ones(width, np.float32)
    if sample is not None and len(sample):
        typical = np.sqrt(np.square(sample, dtype=np.float64).mean(axis=0))
        relative = typical / max(typical.max(initial=0.0), np.finfo(np.float64).tiny)
        factors = np.exp2(np.round(np.log2(np.maximum(relative, LEAST_FACTOR)))).astype(np.float32)
    squares = [_squares(rows * factors).max(initial=0.0) for rows in _parts(candidates)]
    longest = float(np.sqrt(np.max(squares, initial=0.0)))
    if not np.isfinite(longest):
        raise EvaluationError(
            "a candidate embedding isn't finite",
            hint="the model has diverged: train again with a lower learning rate",
        )
    return Layout(factors, longest, equal_lengths)


def _parts(
    candidates: Float32[np.ndarray, "items width"],
) -> Iterator[Float32[np.ndarray, "rows width"]]:
    for start in range(0, len(candidates), ROWS_AT_ONCE):
        yield np.asarray(candidates[start : start + ROWS_AT_ONCE])


def _bfloat16(rows: Float32[np.ndarray, "rows width"]) -> Float32[np.ndarray, "rows width"]:
    """The nearest that bfloat16 has, even ones where two are equally near."""
    bits = rows.view(np.uint32)
    even = (bits >> 16) & 1
    return ((bits + np.uint32(0x7FFF) + even) & np.uint32(0xFFFF0000)).view(np.float32)


def _squares(rows: Float32[np.ndarray, "rows width"]) -> Float64[np.ndarray, " rows"]:
    return np.asarray(np.einsum("rw,rw->r", rows, rows, dtype=np.float64))
