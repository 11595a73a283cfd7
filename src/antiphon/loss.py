"""Sampled softmax: an unbiased estimate of the softmax over the whole corpus.

For a query with scores s and positive p, the loss is

    log( exp(s_p) + sum over negatives j of exp(s_j) / E[count of j] ) - s_p

where the negatives are the other queries' positives and the sampled ones, and E[count of j] is how
often that mixture is expected to hold j: the logQ correction of Yi et al. 2019, "Sampling-bias-
corrected neural modeling for large corpus item recommendations". The positive is there by
certainty and not by sampling, so it is not corrected; its gradient is then that of arXiv
2507.09331. Negatives equal to the positive (accidental hits) and the other positives of the same
query are left out: their logits are minus infinity.

What a user has had before is scored otherwise (see `repeat_term`), so it is no shared negative of
theirs either: such items join the query's own negatives, whose logits are given.

Logits are made tile by tile, some hundreds of queries at a time, so that they stay in cache and are
never all in memory. What comes back to a sum is one number, so the gradient can be made in the
same pass, from the same product, and scaled by that number later.

The three products of a tile may round their factors to bfloat16, which some processors multiply
twice as fast; they are summed in float32 all the same, and nothing else is rounded (mixed
precision, Micikevicius et al. 2018, arXiv 1710.03740).
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float, Int32, UInt8

__all__ = ["TILE", "Shared", "sampled_softmax"]

TILE = 512
REGISTER = 16
"""Numbers in the widest vector register that there is."""
UNROLLED = 2
"""Up to so many tiles do without a loop, whose copies would cost a tenth of the time. Of more, each
is half as large, which takes .96 of it."""
EVERY = 8
"""Chance hardly differs from query to query: every eighth of a tile tells it, for a twentieth of
the time less."""


class Shared(NamedTuple):
    """Which candidate is whose, and how often each was to be expected.

    Attributes:
        log_count: natural logarithm of each candidate's expected count.
        positive: the item of each query's positive.
        item: the item of each candidate.
        group: the queries of one group (one user at one moment) are no negatives for each other.
        left_out: bits, little-endian: which candidates are no negatives of a group; groups are
            numbered from 0. Without columns none is left out.
        own_log_count: as `log_count`, of the negatives that only one query has; inf for none.
    """

    log_count: Float[Array, " candidates"]
    positive: Int32[Array, " queries"]
    item: Int32[Array, " candidates"]
    group: Int32[Array, " queries"]
    left_out: UInt8[Array, "groups candidates_by_8"]
    own_log_count: Float[Array, "queries own"]


@partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def sampled_softmax(
    query: Float[Array, "queries width"],
    candidate: Float[Array, "candidates width"],
    bonus: Float[Array, " queries"],
    own: Float[Array, "queries own"],
    shared: Shared,
    tile: int = TILE,
    half: bool = False,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The sum of the losses of all queries, in nats, and about the same if all scores were equal.

    Args:
        query: query embeddings, the temperature already in them.
        candidate: candidate embeddings; the first ones are the queries' positives, in order.
        bonus: what the score of each query's positive is above the product of embeddings.
        own: scores of the negatives that only one query has.
        shared: see `Shared`.
        tile: how many queries' logits exist at once, at most.
        half: whether factors of products are rounded to bfloat16.

    Returns:
        The sum, whose gradients flow to `query`, `candidate`, `bonus` and `own`; and what the sum
        would be with all scores 0, as every eighth query has it, which has none.
    """
    return _forward(query, candidate, bonus, own, shared, tile, half)[0]


def _forward(
    query: Float[Array, "queries width"],
    candidate: Float[Array, "candidates width"],
    bonus: Float[Array, " queries"],
    own: Float[Array, "queries own"],
    shared: Shared,
    tile: int,
    half: bool,
) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    queries, width = query.shape
    dot = partial(jax.lax.dot, preferred_element_type=query.dtype)

    def factor(matrix: Array) -> Array:
        return matrix.astype(jnp.bfloat16) if half else matrix

    def turned(matrix: Array) -> Array:
        # XLA would hide the turning in a product of two thirds the speed, and never of bfloat16
        upright = Layout(major_to_minor=(0, 1))
        return with_layout_constraint(matrix.T, upright)  # type: ignore[no-untyped-call]

    # XLA's products are fast where the inner size is even to vector registers; a few columns more,
    # as trends are, are cheaper added one by one
    even_width = width - width % REGISTER
    rest = range(width - even_width)
    query, query_rest = jnp.split(query, [even_width], axis=1)
    candidate, candidate_rest = jnp.split(candidate, [even_width], axis=1)
    # the tile is the right side of every product: transposing it would cost more than the product
    factors = factor(candidate)
    transposed, transposed_rest = turned(factors), candidate_rest.T
    # a product with ones is a sum, and one product more costs less than a sum by itself
    rest_and_one = jnp.pad(candidate_rest, ((0, 0), (0, 1)), constant_values=1.0)
    bits = 8 * shared.left_out.shape[1]
    group = jnp.full(len(candidate), -1, shared.group.dtype).at[:queries].set(shared.group)
    evenly = jnp.exp(-shared.log_count)

    def one_tile(carry: tuple[Array, ...], rows: tuple[Array, ...]) -> tuple[Any, Any]:
        loss, chance, d_transposed, d_transposed_rest = carry
        q, q_rest, target, target_rest, bonus, own, own_log_count, positive, owner = rows
        own = own - own_log_count
        out = (shared.item == positive[:, None]) | (group == owner[:, None])
        if bits:
            left_out = shared.left_out[owner][:, :, None] >> jnp.arange(8, dtype=jnp.uint8)
            left_out = left_out.reshape(len(owner), bits)[:, : len(candidate)]
            out = out | (left_out & 1 == 1)
        few = sum((q_rest[:, i, None] * transposed_rest[i] for i in rest), -shared.log_count)
        logits = jnp.where(out, -jnp.inf, dot(factor(q), transposed) + few)
        score = jnp.sum(q * target, axis=1) + jnp.sum(q_rest * target_rest, axis=1) + bonus
        top = jnp.maximum(jnp.max(logits, axis=1), score)
        top = jnp.maximum(jnp.max(own, axis=1, initial=-jnp.inf), top)
        weight, own_weight = jnp.exp(logits - top[:, None]), jnp.exp(own - top[:, None])
        weights = _rounded(weight) if half else weight
        brought = weight @ rest_and_one
        total = brought[:, -1] + jnp.sum(own_weight, axis=1) + jnp.exp(score - top)
        share = 1 / total[:, None]
        surprise = jnp.exp(score - top) / total - 1
        surprised = surprise[:, None]
        d_query = dot(weights, factors) * share + surprised * target
        d_rest = brought[:, :-1] * share + surprised * target_rest
        d_transposed = d_transposed + dot(turned(factor(q * share)), weights)
        d_transposed_rest = d_transposed_rest + turned(q_rest * share) @ weight
        loss = loss + jnp.sum(top + jnp.log(total) - score)
        even = jnp.sum(jnp.where(out[::EVERY], 0.0, evenly), axis=1)
        even = jnp.log1p(even + jnp.sum(jnp.exp(-own_log_count[::EVERY]), axis=1))
        chance = chance + jnp.sum(even) * (len(out) / len(even))
        d_target, d_target_rest = surprised * q, surprised * q_rest
        gradients = d_query, d_rest, d_target, d_target_rest, surprise, own_weight * share
        return (loss, chance, d_transposed, d_transposed_rest), gradients

    tiles = _tile_count(queries, tile)
    if tiles > UNROLLED:
        tiles = _tile_count(queries, -(-tile // 2))
    zero = jnp.zeros((), query.dtype)
    rows = (
        *(query, query_rest, candidate[:queries], candidate_rest[:queries], bonus, own),
        *(shared.own_log_count, shared.positive, shared.group),
    )
    (loss, chance, *d_candidates), gradients = jax.lax.scan(
        one_tile,
        (zero, zero, jnp.zeros_like(candidate.T), jnp.zeros_like(transposed_rest)),
        tuple(_split(x, tiles) for x in rows),
        unroll=tiles if tiles <= UNROLLED else 1,
    )
    d_query, d_rest, *d_targets, d_bonus, d_own = (_join(x) for x in gradients)
    d_candidate = jnp.concatenate(d_candidates).T
    d_candidate = d_candidate.at[:queries].add(jnp.concatenate(d_targets, axis=1))
    return (loss, chance), (jnp.concatenate([d_query, d_rest], axis=1), d_candidate, d_bonus, d_own)


def _backward(
    tile: int,  # noqa: ARG001
    half: bool,  # noqa: ARG001
    gradients: tuple[Array, ...],
    scales: tuple[Float[Array, ""], Float[Array, ""]],
) -> tuple[Array | None, ...]:
    return *(scales[0] * gradient for gradient in gradients), None


sampled_softmax.defvjp(_forward, _backward)


def _rounded(weight: Float[Array, "..."]) -> Array:
    """The nearest bfloat16 of numbers that are neither negative, infinite nor NaN.

    A bfloat16 is the first half of a float32; XLA's own conversion minds the rest, and takes 1.4
    times as long.
    """
    bits = jax.lax.bitcast_convert_type(weight.astype(jnp.float32), jnp.uint32)
    first = ((bits + jnp.uint32(0x8000)) >> 16).astype(jnp.uint16)
    return jax.lax.bitcast_convert_type(first, jnp.bfloat16)


def _tile_count(queries: int, tile: int) -> int:
    """The smallest number of equal tiles that are no larger than `tile`."""
    return next(n for n in range(-(-queries // tile), queries + 1) if queries % n == 0)


def _split(rows: Float[Array, "..."] | Int32[Array, "..."], tiles: int) -> Array:
    """Every tile takes every `tiles`-th row: rows sharded over devices then stay where they are."""
    return jnp.swapaxes(rows.reshape(len(rows) // tiles, tiles, *rows.shape[1:]), 0, 1)


def _join(rows: Float[Array, "..."]) -> Array:
    swapped = jnp.swapaxes(rows, 0, 1)
    return swapped.reshape(len(swapped) * swapped.shape[1], *swapped.shape[2:])
