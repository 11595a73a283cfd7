"""Features as layers: single ones, and all of a context side by side.

`encoders.py` has the same formulas in numpy, for answering.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import keras
from jaxtyping import Array, Float32, Shaped

from antiphon.encoders import HARMONICS
from antiphon.schema import (
    FittedCategorical,
    FittedCyclic,
    FittedFeature,
    FittedNumeric,
    FittedVector,
)

__all__ = ["ContextEncoder", "FeatureEncoder"]

CONTEXT_WIDTH = 16


class FeatureEncoder(keras.layers.Layer):
    """One feature as a vector; missing values have a trained vector of their own.

    Categorical features enter through a small dense table (large ones, of items, are
    embedding tables outside this layer); the other kinds through a projection.
    """

    def __init__(self, feature: FittedFeature, width: int) -> None:
        super().__init__(name=f"feature_{feature.name}")
        self.feature = feature
        self.width = width
        match feature:
            case FittedCategorical(cardinality=cardinality):
                self.inputs = cardinality + 1
            case FittedCyclic():
                self.inputs = 2 * HARMONICS + 1
            case FittedNumeric():
                self.inputs = 2
            case FittedVector(size=size):
                self.inputs = size + 1
        deviation = 1.0 if isinstance(feature, FittedCategorical) else self.inputs**-0.5
        self.table = self.add_weight(
            name="table",
            shape=(self.inputs, width),
            initializer=keras.initializers.RandomNormal(stddev=deviation),
        )
        self.built = True

    def call(self, values: Shaped[Array, "*batch"]) -> Float32[Array, "*out"]:
        """Encode raw values, whose form schema.py defines, to vectors of `width`."""
        table = self.table.value
        match self.feature:
            case FittedCategorical():
                codes = values.astype(jnp.int32)
                return jnp.take(table, codes, axis=0, mode="fill", fill_value=0.0)
            case FittedCyclic(period=period):
                steps = 2 * math.pi / period * jnp.arange(1, HARMONICS + 1, dtype=jnp.float32)
                angles = values[..., None] * steps
                known = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
                return _project(known, jnp.isnan(values), table)
            case FittedNumeric():
                return _project(values[..., None], jnp.isnan(values), table)
            case FittedVector():
                return _project(values, jnp.isnan(values[..., 0]), table)

    def scores(
        self, question: Float32[Array, "q t w"], values: Shaped[Array, "q ..."]
    ) -> Float32[Array, "q t ..."]:
        """Products of questions with encoded values; no gradient to the encoding.

        A value of few possible ones is cheaper told by which it is than by its encoding.
        """
        if isinstance(self.feature, FittedCategorical) and self.inputs <= self.width:
            question = question @ jax.lax.stop_gradient(self.table.value).T
            encoded = jax.nn.one_hot(values.astype(jnp.int32), self.inputs, dtype=jnp.float32)
        else:
            encoded = jax.lax.stop_gradient(self(values))
        return jnp.einsum("qtw,q...w->qt...", question, encoded)


def _project(
    known: Float32[Array, "*batch inputs"],
    missing: Shaped[Array, "*batch"],
    table: Float32[Array, "rows width"],
) -> Float32[Array, "*batch width"]:
    """Known values through all rows of the table but the last, which is for missing ones."""
    known = jnp.where(missing[..., None], 0, known).astype(jnp.float32)  # may be half precision
    return known @ table[:-1] + missing[..., None].astype(jnp.float32) * table[-1]


class ContextEncoder(keras.layers.Layer):
    """All context features side by side, and a constant (there may be no feature at all)."""

    def __init__(self, features: Sequence[FittedFeature]) -> None:
        super().__init__(name="context")
        self.encoders = [FeatureEncoder(feature, CONTEXT_WIDTH) for feature in features]
        self.width = 1 + CONTEXT_WIDTH * len(self.encoders)
        self.built = True

    def call(
        self, context: Mapping[str, Shaped[Array, "..."]], shape: tuple[int, ...]
    ) -> Float32[Array, "*batch context_width"]:
        """Encode contexts of the given batch shape."""
        parts = [jnp.ones((*shape, 1), jnp.float32)]
        parts += [encoder(context[encoder.feature.name]) for encoder in self.encoders]
        return jnp.concatenate(parts, axis=-1)

    def scores(
        self,
        question: Float32[Array, "q t context_width"],
        context: Mapping[str, Shaped[Array, "q ..."]],
        dimensions: int,
    ) -> Float32[Array, "q t ..."]:
        """Products of questions with encoded contexts, feature by feature; see `FeatureEncoder`.

        Args:
            question: as wide as an encoded context.
            context: features, each with as many more dimensions than q as named.
            dimensions: how many.
        """
        constant, *parts = jnp.split(question, [*range(1, self.width, CONTEXT_WIDTH)], axis=-1)
        total = constant.reshape(*question.shape[:2], *(1,) * dimensions)
        for encoder, part in zip(self.encoders, parts, strict=True):
            total = total + encoder.scores(part, context[encoder.feature.name])
        return total
