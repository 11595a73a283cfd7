"""Where the query tower looks: how much of its attention each past event has."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32, Shaped

from antiphon.history import AGE_BUCKETS
from antiphon.towers import HEADS, QueryTower

__all__ = ["attention_weights"]


def attention_weights(
    tower: QueryTower,
    history: Float32[Array, "q l w"],
    history_age: Int32[Array, "q l"],
    history_context: Mapping[str, Shaped[Array, "q l ..."]],
    context: Mapping[str, Shaped[Array, "q 1 ..."]],
) -> Float32[Array, "q l"]:
    """The weights by which `QueryTower` sums its history, averaged over its heads.

    What they lack to 1 is the weight of "nothing". Arguments are the tower's, for one context.
    """
    queries, length, _ = history.shape
    asked = tower.context(context, shape=(queries, 1))
    happened_in = tower.context(history_context, shape=(queries, length))
    aged = jax.nn.one_hot(history_age, AGE_BUCKETS, dtype=jnp.float32)
    keys = jnp.concatenate([history, happened_in, aged], axis=-1)
    question = tower.ask(asked).reshape(queries, HEADS, keys.shape[-1])
    logits = jnp.einsum("qhk,qlk->qhl", question, keys)
    logits = jnp.where((history_age >= 0)[:, None], logits, -jnp.inf)
    nothing = tower.nothing(asked).reshape(queries, HEADS, 1)
    weights = jax.nn.softmax(jnp.concatenate([logits, nothing], axis=-1), axis=-1)
    return jnp.mean(weights[..., :-1], axis=1)
