"""The repeat term of many items at once, in numpy: `repeat_term`'s formula for answering.

A play's part of the term is u(x) . c, where the context x of the request chooses u, and c encodes
the context that the play happened in. c is linear in tables of values. So u is multiplied by the
tables once a request, and each play only looks its number up: nothing is encoded play by play, no
shape is compiled, and one request costs as many operations as a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from antiphon.encoders import Encoder, Encoders, Weights
from antiphon.library import Plays
from antiphon.schema import FittedCategorical, FittedFeature

__all__ = ["GAIN", "LEAST", "SOFTPLUS_OF_HALF", "TERMS", "RepeatScores"]

# Adam moves a weight by about its learning rate a step; these have far to go
GAIN = 10.0
# softplus of this is 0.5: an hour-old play counts 0.7 of one just now, a year-old one 0.01
SOFTPLUS_OF_HALF = math.log(math.expm1(0.5))
LEAST = -30.0
TERMS = 7
"""Parameters that the context chooses, the shares last; those that weigh past contexts follow."""


def _weighed(
    encoder: Encoder,
    weights: Float32[np.ndarray, "queries inputs"],
    values: Shaped[np.ndarray, "plays ..."],
    query: Int64[np.ndarray, " plays"],
) -> Float32[np.ndarray, " plays"]:
    """Encoded values times something, of which `weights` is the product with the table."""
    if isinstance(encoder.feature, FittedCategorical):
        return weights[query, values]
    return np.einsum("pi,pi->p", encoder.inputs(values), weights[query])


class RepeatScores:
    """The term as it was learned.

    Args:
        features: of the context.
        weights: as trained.

    Raises:
        KeyError: the weights lack one.
    """

    def __init__(self, features: Sequence[FittedFeature], weights: Weights) -> None:
        self._encoders = Encoders(features, weights)
        self._kernel, self._bias = weights["again/kernel"], weights["again/bias"]

    def asked(
        self, context: Mapping[str, Shaped[np.ndarray, "queries ..."]], queries: int
    ) -> Float32[np.ndarray, "queries parameters"]:
        """The parameters that contexts choose; see `repeat_term`.

        Args:
            context: of each query, encoded.
            queries: how many.
        """
        encoded = self._encoders.encoded(context, queries)
        return np.asarray(np.float32(GAIN) * (encoded @ self._kernel + self._bias))

    def of(
        self,
        question: Float32[np.ndarray, "queries parameters"],
        query: Int64[np.ndarray, " pairs"],
        plays: Plays,
    ) -> Float32[np.ndarray, " pairs"]:
        """The term of items that users have had.

        Args:
            question: as `asked` has it.
            query: of each pair of a query and an item.
            plays: of each pair, at least one.
        """
        bias, weight, fading, last, often = question[:, : TERMS - 2].T
        fades = np.logaddexp(fading + np.float32(SOFTPLUS_OF_HALF), np.float32(0))
        # play by play, as most items have one or two
        pair, place = np.nonzero(plays.known)
        asked = query[pair]
        log_age = np.log1p(plays.age_h[pair, place])
        mass = question[asked, TERMS] - fades[asked] * log_age
        at = TERMS + 1
        for encoder in self._encoders.each:
            width = encoder.table.shape[1]
            weights = question[:, at : at + width] @ encoder.table.T
            values = plays.context[encoder.feature.name][pair, place]
            mass += _weighed(encoder, weights, values, asked)
            at += width
        known = plays.known.sum(axis=1)
        first = np.cumsum(known) - known
        # the formula of training has something very small in the place of plays that aren't there
        absent = plays.known.shape[1] - known
        nothing = np.where(absent > 0, np.float32(LEAST), np.float32(-np.inf))
        most = np.maximum(np.maximum.reduceat(mass, first), nothing)
        summed = np.add.reduceat(np.exp(mass - most[pair]), first)
        summed += absent * np.exp(nothing - most)
        log_mass = most + np.log(summed).astype(np.float32)
        log_count = np.log(plays.count.astype(np.float32))
        term: Float32[np.ndarray, " pairs"] = (
            bias[query]
            + (1 + weight[query]) * log_mass
            + last[query] * log_age[first]
            + often[query] * log_count
        )
        return term

    def shares(
        self, question: Float32[np.ndarray, "queries parameters"]
    ) -> tuple[Float32[np.ndarray, " queries"], Float32[np.ndarray, " queries"]]:
        """How much of the dot product counts: of its embeddings, and of its trends.

        Args:
            question: as `asked` has it.
        """
        share = 1 + question[:, TERMS - 2 : TERMS]
        return share[:, 0], share[:, 1]
