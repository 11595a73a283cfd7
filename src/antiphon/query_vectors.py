"""The query tower at work, in numpy: `towers.QueryTower`'s formula for answering.

As in `repeat_scores`, what the context asks is multiplied by the tables of features and ages once a
query, so that a past event only looks its numbers up: the context of none is encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Shaped

from antiphon.encoders import Encoders, Weights, unit
from antiphon.history import AGE_BUCKETS, History
from antiphon.schema import FittedCategorical, FittedFeature

__all__ = ["QueryVectors"]

Context = Mapping[str, Shaped[np.ndarray, "queries ..."]]


class QueryVectors:
    """Embeds queries as the tower learned to.

    Args:
        features: of the context.
        weights: as trained.

    Raises:
        KeyError: the weights lack one.
    """

    def __init__(self, features: Sequence[FittedFeature], weights: Weights) -> None:
        self._encoders = Encoders(features, weights)
        self._dense = {
            name: (weights[f"{name}/kernel"], weights[f"{name}/bias"])
            for name in ("mix", "hidden", "modulate", "output", "trend")
        }
        self.width = int(self._dense["output"][1].shape[0])
        self._heads = len(self._dense["mix"][1]) - 1
        if self._heads:
            for name in ("ask", "nothing"):
                self._dense[name] = weights[f"{name}/kernel"], weights[f"{name}/bias"]
            self._turn = weights["query_tower/turn"].reshape(-1, self.width)
        self._scale = np.exp(weights["query_tower/log_scale"])
        self._values = {
            feature.name: np.arange(1, feature.cardinality + 1)
            for feature in features
            if isinstance(feature, FittedCategorical) and f"trend_{feature.name}/bias" in weights
        }
        for name in (f"trend_{feature}" for feature in self._values):
            self._dense[name] = weights[f"{name}/kernel"], weights[f"{name}/bias"]

    def of(
        self,
        user: Float32[np.ndarray, "queries width"],
        is_known: Bool[np.ndarray, " queries"],
        past: Float32[np.ndarray, "queries length width"],
        history: History,
        context: Context,
    ) -> Float32[np.ndarray, "queries width_and_trend"]:
        """Query embeddings.

        Args:
            user: user embeddings.
            is_known: whether anything is known of who asks; else trends alone count.
            past: vectors of the items of past events.
            history: the events.
            context: to ask under.
        """
        queries = len(user)
        asked = self._encoders.encoded(context, queries)
        parts = user[:, None]
        if self._heads:
            brought = self._attention(asked, past, history) @ past
            parts = np.concatenate([brought, parts], axis=1)
        summed = (self._by("mix", asked)[:, None] @ parts)[:, 0]
        if self._heads:
            summed += brought.reshape(queries, -1) @ self._turn
        flat = parts.reshape(queries, -1)
        hidden = _gelu(self._by("hidden", np.concatenate([flat, asked], axis=1)))
        hidden *= 1 + self._by("modulate", asked)
        vector = unit(summed + self._by("output", hidden)) * self._scale
        vector[~is_known] = 0
        trends = [self._by("trend", asked)]
        for name, codes in self._values.items():
            is_asked = context[name][:, None] == codes
            trends.append(is_asked * self._by(f"trend_{name}", asked))
        return np.concatenate([vector, *trends], axis=1)

    def attention(
        self, past: Float32[np.ndarray, "queries length width"], history: History, context: Context
    ) -> Float32[np.ndarray, "queries length"]:
        """The weights of past events, averaged over heads; what they lack to 1 is "nothing"'s."""
        if not self._heads:
            return np.zeros(past.shape[:2], np.float32)
        asked = self._encoders.encoded(context, len(past))
        return np.asarray(self._attention(asked, past, history).mean(axis=1))

    def _attention(
        self,
        asked: Float32[np.ndarray, "queries context_width"],
        past: Float32[np.ndarray, "queries length width"],
        history: History,
    ) -> Float32[np.ndarray, "queries heads length"]:
        queries, length, width = past.shape
        question = self._by("ask", asked).reshape(queries, self._heads, -1)
        logits = np.empty((queries, self._heads, length + 1), np.float32)
        by_event = logits[..., :length]
        np.matmul(question[..., :width], past.swapaxes(1, 2), out=by_event)
        row, at = np.arange(queries)[:, None], width + 1
        by_event += question[..., width, None]
        for encoder in self._encoders.each:
            values = history.context[encoder.feature.name]
            weights = question[..., at : at + encoder.table.shape[1]] @ encoder.table.T
            if isinstance(encoder.feature, FittedCategorical):
                by_event += weights.swapaxes(1, 2)[row, values].swapaxes(1, 2)
            else:
                by_event += weights @ encoder.inputs(values).swapaxes(1, 2)
            at += encoder.table.shape[1]
        ages = question[..., at : at + AGE_BUCKETS].swapaxes(1, 2)
        by_event += ages[row, history.age_bucket].swapaxes(1, 2)
        by_event += np.where(history.age_bucket < 0, -np.inf, np.float32(0))[:, None]
        logits[..., length] = self._by("nothing", asked)
        logits -= logits.max(axis=2, keepdims=True)
        weighed = np.exp(logits, out=logits)
        return np.asarray(by_event / weighed.sum(axis=2, keepdims=True))

    def _by(
        self, layer: str, inputs: Float32[np.ndarray, "queries inputs"]
    ) -> Float32[np.ndarray, "queries units"]:
        kernel, bias = self._dense[layer]
        return np.asarray(inputs @ kernel + bias)


def _gelu(values: Float32[np.ndarray, "rows units"]) -> Float32[np.ndarray, "rows units"]:
    """By its usual approximation with a hyperbolic tangent, as `jax.nn.gelu`."""
    inner = np.float32(np.sqrt(2 / np.pi)) * (
        values + np.float32(0.044715) * (values * values * values)
    )
    return np.asarray(np.float32(0.5) * values * (1 + np.tanh(inner)))
