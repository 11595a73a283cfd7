"""Sampled softmax: an unbiased estimate of the softmax over the whole corpus.

For a query with scores s and positive p, the loss is

    log( exp(s_p) + sum over negatives j of exp(s_j) / E[count of j] ) - s_p

where the negatives are the other queries' positives and the sampled ones, and E[count of j] is how
often that mixture is expected to hold j: the logQ correction of Yi et al. 2019, "Sampling-bias-
corrected neural modeling for large corpus item recommendations". The positive is there by
certainty and not by sampling, so it is not corrected; its gradient is then that of arXiv
2507.09331. Negatives equal to the positive (accidental hits) and the other positives of the same
query are left out: their logits are minus infinity.

Logits are made tile by tile, some hundreds of queries at a time, so that they stay in cache and are
never all in memory. What comes back to a sum is one number, so the gradient can be made in the
same pass, from the same product, and scaled by that number later.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

__all__ = ["TILE", "sampled_softmax"]

TILE = 512


@partial(jax.custom_vjp, nondiff_argnums=(6,))
def sampled_softmax(
    query: Float[Array, "queries width"],
    candidate: Float[Array, "candidates width"],
    log_count: Float[Array, " candidates"],
    positive: Int32[Array, " queries"],
    item: Int32[Array, " candidates"],
    group: Int32[Array, " queries"],
    tile: int = TILE,
) -> Float[Array, ""]:
    """The sum of the losses of all queries, in nats.

    Args:
        query: query embeddings, the temperature already in them.
        candidate: candidate embeddings; the first ones are the queries' positives, in order.
        log_count: natural logarithm of each candidate's expected count.
        positive: the item of each query's positive.
        item: the item of each candidate.
        group: the queries of one group (one user at one moment) are no negatives for each other.
        tile: how many queries' logits exist at once, at most.

    Returns:
        The sum; gradients flow to `query` and `candidate`.
    """
    return _forward(query, candidate, log_count, positive, item, group, tile)[0]


def _forward(
    query: Float[Array, "queries width"],
    candidate: Float[Array, "candidates width"],
    log_count: Float[Array, " candidates"],
    positive: Int32[Array, " queries"],
    item: Int32[Array, " candidates"],
    group: Int32[Array, " queries"],
    tile: int,
) -> tuple[Float[Array, ""], tuple[Array, Array]]:
    queries, width = query.shape
    # XLA's products are nearly twice as slow where the inner size is odd
    query, candidate = (jnp.pad(x, ((0, 0), (0, width % 2))) for x in (query, candidate))
    own = candidate[:queries]
    candidate_group = jnp.full(len(candidate), -1, group.dtype).at[:queries].set(group)
    # the tile is the right side of every product: transposing it would cost more than the product
    transposed = candidate.T

    def one_tile(carry: tuple[Array, Array], rows: tuple[Array, ...]) -> tuple[Any, Any]:
        loss, d_transposed = carry
        q, own, positive, group = rows
        logits = q @ transposed - log_count
        hit = (item == positive[:, None]) | (candidate_group == group[:, None])
        logits = jnp.where(hit, -jnp.inf, logits)
        score = jnp.sum(q * own, axis=1)
        top = jnp.maximum(jnp.max(logits, axis=1), score)
        weight = jnp.exp(logits - top[:, None])
        total = jnp.sum(weight, axis=1) + jnp.exp(score - top)
        share = 1 / total[:, None]
        surprise = (jnp.exp(score - top) / total - 1)[:, None]
        d_query = (weight @ candidate) * share + surprise * own
        d_transposed = d_transposed + (q * share).T @ weight
        loss = loss + jnp.sum(top + jnp.log(total) - score)
        return (loss, d_transposed), (d_query, surprise * q)

    tiles = _tile_count(queries, tile)
    start = (jnp.zeros((), query.dtype), jnp.zeros_like(transposed))
    (loss, d_transposed), (d_query, d_own) = jax.lax.scan(
        one_tile, start, tuple(_split(x, tiles) for x in (query, own, positive, group))
    )
    d_candidate = d_transposed.T.at[:queries].add(_join(d_own))
    return loss, (_join(d_query)[:, :width], d_candidate[:, :width])


def _backward(
    tile: int,  # noqa: ARG001
    gradients: tuple[Array, Array],
    scale: Float[Array, ""],
) -> tuple[Array | None, ...]:
    d_query, d_candidate = gradients
    return scale * d_query, scale * d_candidate, None, None, None, None


sampled_softmax.defvjp(_forward, _backward)


def _tile_count(queries: int, tile: int) -> int:
    """The smallest number of equal tiles that are no larger than `tile`."""
    return next(n for n in range(-(-queries // tile), queries + 1) if queries % n == 0)


def _split(rows: Float[Array, "..."] | Int32[Array, "..."], tiles: int) -> Array:
    """Every tile takes every `tiles`-th row: rows sharded over devices then stay where they are."""
    return jnp.swapaxes(rows.reshape(-1, tiles, *rows.shape[1:]), 0, 1)


def _join(rows: Float[Array, "..."]) -> Array:
    swapped = jnp.swapaxes(rows, 0, 1)
    return swapped.reshape(-1, *swapped.shape[2:])
