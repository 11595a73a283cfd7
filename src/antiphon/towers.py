"""The query tower and the candidate tower.

Both end in a vector whose dot product is the score:

    query      [ unit vector / temperature | weights of trends ]
    candidate  [ unit vector               | trends            ]

so that what is popular at the moment (see trend.py), weighted by the context, is a few more
dimensions of an ordinary dot product. Of the trends of one value of a context feature, the query
weighs those of the value it is asked under.

Shapes below: q queries (a user at a moment), t contexts of each (training asks several at once),
l past events, w the width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import keras
from jaxtyping import Array, Bool, Float32, Int32, Shaped

from antiphon.encoders import KNOWN
from antiphon.feature_layers import ContextEncoder, FeatureEncoder
from antiphon.history import AGE_BUCKETS
from antiphon.schema import FittedCategorical, FittedFeature, Schema
from antiphon.sections import ModelSection
from antiphon.trend import Kinds

__all__ = ["CandidateTower", "QueryTower"]

HEADS = 4


class CandidateTower(keras.layers.Layer):
    """Item embedding plus projected content: an item nobody played has an embedding too."""

    def __init__(self, features: Sequence[FittedFeature], width: int) -> None:
        super().__init__(name="candidate_tower")
        self.width = width
        self.tabled = [f.name for f in features if isinstance(f, FittedCategorical)]
        self.encoders = [
            FeatureEncoder(feature, width)
            for feature in features
            if not isinstance(feature, FittedCategorical)
        ]
        self.built = True

    def call(
        self,
        item_rows: Float32[Array, "items width"],
        value_rows: Mapping[str, Float32[Array, "values width"]],
        items: Mapping[str, Shaped[Array, "items ..."]],
    ) -> Float32[Array, "items width"]:
        """Vectors of items, no longer than one.

        Args:
            item_rows: the items' own embeddings.
            value_rows: embeddings of the values of each categorical feature, by name.
            items: features; categorical ones are places in `value_rows`, -1 for none.
        """
        vector = item_rows
        for name in self.tabled:
            places = items[name]
            used = (places >= 0).astype(jnp.float32)
            share = used / jnp.maximum(jnp.sum(used, axis=1, keepdims=True), 1.0)
            # value by value: all values of all items at once would be several times the tables
            for column in range(places.shape[1]):
                at = jnp.maximum(places[:, column], 0)
                taken = value_rows[name].at[at].get(mode="promise_in_bounds")
                vector = vector + share[:, column, None] * taken
        for encoder in self.encoders:
            vector = vector + encoder(items[encoder.feature.name])
        return _unit(vector, KNOWN)


class QueryTower(keras.layers.Layer):
    """User, context, and the history attended to under the context.

    The context asks; a past event answers with its item, the context it happened in and its age.
    One more, empty answer can be chosen: a learned amount of "nothing" in the past. What the heads
    bring is summed under weights that the context chooses (so an untrained tower already looks for
    items like those of the past) and corrected by a small network that the context modulates.
    """

    def __init__(
        self,
        features: Sequence[FittedFeature],
        width: int,
        trends: int,
        temperature: float,
        heads: int = HEADS,
        values: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(name="query_tower")
        self.width, self.heads = width, heads
        self.context = ContextEncoder(features)
        asked = self.context.width
        small = keras.initializers.RandomNormal(stddev=0.02)
        if heads:
            key_width = width + asked + AGE_BUCKETS
            self.ask = _dense("ask", asked, heads * key_width, kernel_initializer=small)
            self.nothing = _dense("nothing", asked, heads, kernel_initializer=small)
            self.turn = self.add_weight(name="turn", shape=(heads, width, width), initializer=small)
        self.mix = _dense(
            "mix", asked, heads + 1, kernel_initializer=small, bias_initializer="ones"
        )
        self.hidden = _dense("hidden", (heads + 1) * width + asked, 2 * width)
        self.modulate = _dense("modulate", asked, 2 * width, kernel_initializer=small)
        self.output_layer = _dense("output", 2 * width, width, kernel_initializer=small)
        even = keras.initializers.Constant(1 / trends)
        self.trend = _dense("trend", asked, trends, kernel_initializer=small, bias_initializer=even)
        self.values = dict(values or {})
        # at first worth as much, together, as all trends of all plays: from less they don't become
        # what is best for later events, since embeddings learn the same of past ones by heart
        even = keras.initializers.Constant(1 / max(1, len(self.values)))
        self.value_trends = [
            _dense(f"trend_{name}", asked, 1, kernel_initializer=small, bias_initializer=even)
            for name in self.values
        ]
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=(),
            initializer=keras.initializers.Constant(-math.log(temperature)),
        )
        self.built = True

    @classmethod
    def of(cls, schema: Schema, model: ModelSection) -> QueryTower:
        """The tower that a config describes."""
        kinds = Kinds.of(schema, model)
        return cls(
            schema.context,
            model.width,
            kinds.overall,
            model.temperature,
            HEADS if model.history_length else 0,
            kinds.values,
        )

    def call(
        self,
        user: Float32[Array, "q w"],
        is_known: Bool[Array, " q"],
        history: Float32[Array, "q l w"],
        history_age: Int32[Array, "q l"],
        history_context: Mapping[str, Shaped[Array, "q l ..."]],
        context: Mapping[str, Shaped[Array, "q t ..."]],
        contexts: int,
    ) -> Float32[Array, "q t w_and_trend"]:
        """Query embeddings.

        Args:
            user: user embeddings.
            is_known: whether anything is known of who asks; else trends alone count.
            history: unit vectors of the items of past events.
            history_age: age buckets; -1 where there is no event.
            history_context: the context of each past event.
            context: the contexts to ask under.
            contexts: how many (t).
        """
        queries, _, width = history.shape
        asked = self.context(context, shape=(queries, contexts))
        weights = self.attention(asked, history, history_age, history_context)
        brought = jnp.einsum("qthl,qlw->qthw", weights, history)
        parts = jnp.concatenate(
            [brought, jnp.broadcast_to(user[:, None, None, :], (queries, contexts, 1, width))],
            axis=2,
        )
        summed = jnp.einsum("qthw,qth->qtw", parts, self.mix(asked))
        if self.heads:
            summed = summed + jnp.einsum("qthw,hwv->qtv", brought, self.turn.value)
        flat = parts.reshape(queries, contexts, (self.heads + 1) * width)
        hidden = jax.nn.gelu(self.hidden(jnp.concatenate([flat, asked], axis=-1)))
        hidden = hidden * (1.0 + self.modulate(asked))
        vector = _unit(summed + self.output_layer(hidden)) * jnp.exp(self.log_scale.value)
        vector = jnp.where(is_known[:, None, None], vector, 0.0)
        embedded = [vector, self.trend(asked)]
        for (name, values), weight in zip(self.values.items(), self.value_trends, strict=True):
            # an unknown value, of code 0, is no column
            code = context[name].astype(jnp.int32) - 1
            embedded.append(jax.nn.one_hot(code, values, dtype=jnp.float32) * weight(asked))
        return jnp.concatenate(embedded, axis=-1)

    def attention(
        self,
        asked: Float32[Array, "q t c"],
        history: Float32[Array, "q l w"],
        age: Int32[Array, "q l"],
        happened: Mapping[str, Shaped[Array, "q l ..."]],
    ) -> Float32[Array, "q t heads l"]:
        """The weights of past events; what they lack to 1 is that of "nothing".

        Args:
            asked: the encoded contexts of the requests.
            history: as of `call`.
            age: as of `call`.
            happened: the context of each past event.
        """
        queries, length, width = history.shape
        if not self.heads:
            return jnp.zeros((queries, asked.shape[1], 0, length), jnp.float32)
        happened_in = self.context(happened, shape=(queries, length))
        aged = jax.nn.one_hot(age, AGE_BUCKETS, dtype=jnp.float32)
        keys = (history, happened_in, aged)
        question = self.ask(asked).reshape(queries, -1, self.heads, sum(k.shape[-1] for k in keys))
        parts = jnp.split(question, [width, width + happened_in.shape[-1]], axis=-1)
        logits = sum(
            jnp.einsum("qthk,qlk->qthl", part, key) for part, key in zip(parts, keys, strict=True)
        )
        logits = jnp.where((age >= 0)[:, None, None, :], logits, -jnp.inf)
        nothing = self.nothing(asked)[..., None]
        weights = jax.nn.softmax(jnp.concatenate([logits, nothing], axis=-1), axis=-1)
        return weights[..., :-1]


def _dense(name: str, inputs: int, units: int, **options: object) -> keras.layers.Dense:
    layer = keras.layers.Dense(units, name=name, **options)
    layer.build((None, inputs))
    return layer


def _unit(vector: Float32[Array, "... width"], known: float = 1e-12) -> Float32[Array, "... width"]:
    """At most of unit length, and shorter where the vector's square isn't well above `known`."""
    return vector * jax.lax.rsqrt(jnp.sum(vector * vector, axis=-1, keepdims=True) + known)
