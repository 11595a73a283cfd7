"""The score of what a user has had before: a share of the dot product, and a learned, signed term.

For a query under context x and an item that was played n times, most lately at ages a_1 < a_2 ...
(in hours) in contexts c_1, c_2, ..., the term is

    b(x) + w(x) log sum_j exp(<u(x), c_j>) (1 + a_j)^-p(x) + v(x) log(1 + a_1) + m(x) log n

that is, plays fade by a power law, count by the context they happened in, and the log of what is
left of them is worth something, or costs something where nobody comes back. Of the dot product a
share counts, one of its embeddings and one of its trends: what brings people back to an item isn't
what made them find it. All parameters are linear in the encoded context of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jaxtyping import Array, Float32

from antiphon.feature_layers import ContextEncoder
from antiphon.repeat_scores import GAIN, LEAST, SOFTPLUS_OF_HALF, TERMS

__all__ = ["RepeatTerm"]


class RepeatTerm(keras.layers.Layer):
    """See above. The context encoder is the query tower's."""

    def __init__(self, context: ContextEncoder) -> None:
        super().__init__(name="repeat_term")
        self.context = context
        small = keras.initializers.RandomNormal(stddev=0.002)
        self.ask = keras.layers.Dense(TERMS + context.width, kernel_initializer=small, name="again")
        self.ask.build((None, context.width))
        self.built = True

    def call(
        self, asked: Float32[Array, "q t c"], plays: Mapping[str, Any]
    ) -> Float32[Array, "q t l"]:
        """The term of each of l items of each query, under each of its t contexts.

        Args:
            asked: the encoded contexts of the requests.
            plays: the fields of `library.Plays`, each [q, l, ...]. Where there is no play at all
                the result means nothing.
        """
        question = GAIN * self.ask(asked)
        bias, weight, fading, last, often = (question[..., i, None] for i in range(TERMS - 2))
        fades = jax.nn.softplus(fading + SOFTPLUS_OF_HALF)
        log_age = jnp.log1p(plays["age_h"])
        # so many plays would cost more to learn an encoding from than they teach it
        mass = self.context.scores(question[..., TERMS:], plays["context"], dimensions=2)
        mass = mass - fades[..., None] * log_age[:, None]
        mass = jnp.where(plays["known"][:, None], mass, LEAST)
        log_mass = jax.nn.logsumexp(mass, axis=-1)
        log_count = jnp.log(jnp.maximum(plays["count"], 1).astype(jnp.float32))
        return (
            bias
            + (1.0 + weight) * log_mass
            + last * log_age[:, None, :, 0]
            + often * log_count[:, None]
        )

    def shares(
        self, asked: Float32[Array, "q t c"], width: int, trends: int
    ) -> Float32[Array, "q t width_and_trends"]:
        """How much each dimension of the dot product counts for what was had before.

        Args:
            asked: as in `call`.
            width: dimensions of embeddings, which come first.
            trends: and of trends.
        """
        share = 1.0 + GAIN * self.ask(asked)[..., TERMS - 2 : TERMS]
        return jnp.repeat(
            share, np.array([width, trends]), axis=-1, total_repeat_length=width + trends
        )
