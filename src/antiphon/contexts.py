"""Other contexts to ask the same queries under: unknown, shuffled, flipped."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64, Shaped

from antiphon.encode import missing_vectors
from antiphon.queries import Queries
from antiphon.schema import (
    FittedCategorical,
    FittedCyclic,
    FittedFeature,
    FittedNumeric,
    FittedVector,
    Schema,
)

__all__ = ["Context", "flipped", "shuffled", "unknown"]

Context = Mapping[str, Shaped[np.ndarray, "queries ..."]]


def unknown(schema: Schema, count: int) -> Context:
    """The context of `count` queries that say nothing: every feature is missing."""
    return {feature.name: _missing(feature, count) for feature in schema.context}


def shuffled(queries: Queries, seed: int) -> Context:
    """Each query under the context of another user's query.

    Whole contexts change places, so that their frequencies and the relations between their features
    stay. Users are put in a random order, and within a user the queries; then all contexts move on
    by a random distance that is longer than any user's queries. So nobody gets a context of their
    own, as long as no user has more than half of all queries. By chance it may equal the true one.
    """
    generator = np.random.default_rng(seed)
    users, user_row, lengths = np.unique(queries.user_key, return_inverse=True, return_counts=True)
    by_user = generator.permutation(len(users))[user_row]
    order = np.lexsort((generator.permutation(len(queries)), by_user))
    longest, count = int(lengths.max(initial=0)), len(queries)
    low, high = (longest, count - longest) if 2 * longest <= count else (0, max(count - 1, 0))
    source = np.empty(count, np.int64)
    source[order] = np.roll(order, int(generator.integers(low, high + 1)))
    return {name: values[source] for name, values in queries.context.items()}


def flipped(schema: Schema, queries: Queries) -> Context:
    """Each query under the opposite of its context, feature by feature.

    A categorical value becomes the most frequent other value of the feature among the queries, a
    cyclic one moves on by half its period, a numeric one is mirrored at the mean, a vector changes
    its sign. What is missing stays missing, and where all queries have one value it stays too.
    """
    return {
        feature.name: _opposite(feature, np.asarray(queries.context[feature.name]))
        for feature in schema.context
    }


def _missing(feature: FittedFeature, count: int) -> Shaped[np.ndarray, "queries ..."]:
    match feature:
        case FittedCategorical(dtype=dtype):
            return np.zeros(count, dtype)
        case FittedCyclic() | FittedNumeric():
            return np.full(count, np.nan, np.float32)
        case FittedVector():
            return missing_vectors(feature.size, count)


def _opposite(
    feature: FittedFeature, values: Shaped[np.ndarray, "queries ..."]
) -> Shaped[np.ndarray, "queries ..."]:
    match feature:
        case FittedCategorical():
            return _most_frequent_other(values, feature.cardinality)
        case FittedCyclic():
            return np.asarray(
                (values + np.float32(feature.period / 2)) % np.float32(feature.period)
            )
        case FittedNumeric() | FittedVector():
            return np.asarray(-values)


def _most_frequent_other(
    codes: Shaped[np.ndarray, " queries"], cardinality: int
) -> Shaped[np.ndarray, " queries"]:
    frequency: Int64[np.ndarray, " codes"] = np.bincount(codes, minlength=cardinality + 1)[1:]
    if np.count_nonzero(frequency) < 2:
        return codes
    first, second = np.argsort(-frequency, kind="stable")[:2] + 1
    other = np.where(codes == first, second, first).astype(codes.dtype)
    return np.where(codes == 0, codes, other)
