"""The repeat term of many items at once, in numpy: `repeat_term`'s formula for answering.

A play's part of the term is u(x) . c, where the context x of the request chooses u, and c encodes
the context that the play happened in. c is linear in tables of values. So u is multiplied by the
tables once a request, and each play only looks its number up: nothing is encoded play by play, no
shape is compiled, and one request costs as many operations as a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from antiphon.library import Plays
from antiphon.repeat_term import GAIN, LEAST, SOFTPLUS_OF_HALF, RepeatTerm
from antiphon.schema import FittedCategorical, FittedCyclic, FittedFeature, FittedVector
from antiphon.towers import HARMONICS

__all__ = ["RepeatScores"]


@dataclass(frozen=True)
class _Encoder:
    feature: FittedFeature
    table: Float32[np.ndarray, "inputs width"]

    def inputs(self, values: Shaped[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*out"]:
        """What is multiplied by the table, of a feature that isn't categorical."""
        missing = np.isnan(values[..., 0] if isinstance(self.feature, FittedVector) else values)
        if isinstance(self.feature, FittedCyclic):
            angle = values * np.float32(2 * math.pi / self.feature.period)
            sines, cosines = [np.sin(angle)], [np.cos(angle)]
            for _ in range(1, HARMONICS):  # of the sum of two angles
                sine, cosine = sines[-1], cosines[-1]
                sines.append(sine * cosines[0] + cosine * sines[0])
                cosines.append(cosine * cosines[0] - sine * sines[0])
            known = np.stack([*sines, *cosines], axis=-1)
        else:
            known = values if isinstance(self.feature, FittedVector) else values[..., None]
        known = np.where(missing[..., None], np.float32(0), known).astype(np.float32)
        return np.concatenate([known, missing[..., None].astype(np.float32)], axis=-1)

    def encoded(self, values: Shaped[np.ndarray, "queries ..."]) -> Float32[np.ndarray, "q width"]:
        """As `towers.FeatureEncoder` encodes."""
        if isinstance(self.feature, FittedCategorical):
            return self.table[values]
        return self.inputs(values) @ self.table

    def weighed(
        self,
        weights: Float32[np.ndarray, "queries inputs"],
        values: Shaped[np.ndarray, "plays ..."],
        query: Int64[np.ndarray, " plays"],
    ) -> Float32[np.ndarray, " plays"]:
        """Encoded values times something, of which `weights` is the product with the table."""
        if isinstance(self.feature, FittedCategorical):
            return weights[query, values]
        return np.einsum("pi,pi->p", self.inputs(values), weights[query])


class RepeatScores:
    """The term as `term` has learned it."""

    def __init__(self, term: RepeatTerm) -> None:
        self._encoders = [
            _Encoder(encoder.feature, np.asarray(encoder.table.value))
            for encoder in term.context.encoders
        ]
        self._kernel = np.asarray(term.ask.kernel.value)
        self._bias = np.asarray(term.ask.bias.value)

    def of(
        self,
        context: Mapping[str, Shaped[np.ndarray, "queries ..."]],
        query: Int64[np.ndarray, " pairs"],
        plays: Plays,
    ) -> Float32[np.ndarray, " pairs"]:
        """The term of items that users have had.

        Args:
            context: of each query, encoded.
            query: of each pair of a query and an item.
            plays: of each pair, at least one.
        """
        queries = len(next(iter(context.values()))) if context else int(query.max(initial=0)) + 1
        parts = [np.ones((queries, 1), np.float32)]
        parts += [encoder.encoded(context[encoder.feature.name]) for encoder in self._encoders]
        question = np.float32(GAIN) * (np.concatenate(parts, axis=1) @ self._kernel + self._bias)
        bias, weight, fading, last, often = question[query, :5].T
        fades = np.logaddexp(fading + np.float32(SOFTPLUS_OF_HALF), np.float32(0))
        # play by play, as most items have one or two
        pair, place = np.nonzero(plays.known)
        asked = query[pair]
        log_age = np.log1p(plays.age_h[pair, place])
        mass = question[asked, 5] - fades[pair] * log_age
        at = 6
        for encoder in self._encoders:
            width = encoder.table.shape[1]
            weights = question[:, at : at + width] @ encoder.table.T
            values = plays.context[encoder.feature.name][pair, place]
            mass += encoder.weighed(weights, values, asked)
            at += width
        known = plays.known.sum(axis=1)
        first = np.cumsum(known) - known
        # the formula of training has something very small in the place of plays that aren't there
        most = np.maximum(np.maximum.reduceat(mass, first), np.float32(LEAST))
        summed = np.add.reduceat(np.exp(mass - most[pair]), first)
        summed += (plays.known.shape[1] - known) * np.exp(np.float32(LEAST) - most)
        log_mass = most + np.log(summed).astype(np.float32)
        log_count = np.log(plays.count.astype(np.float32))
        term: Float32[np.ndarray, " pairs"] = (
            bias + (1 + weight) * log_mass + last * log_age[first] + often * log_count
        )
        return term
