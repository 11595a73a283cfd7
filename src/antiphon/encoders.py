"""Features as the towers see them, in numpy: `towers`' formulas for answering.

Answering multiplies small matrices, a few requests at a time. numpy does that in less time than a
compiled function takes to be called, needs no compilation, and starts in no time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped

from antiphon.schema import FittedCategorical, FittedCyclic, FittedFeature, FittedVector

__all__ = ["HARMONICS", "KNOWN", "Encoder", "Encoders", "Weights", "unit"]

HARMONICS = 3
# Candidates are short until they have learned something: a random direction of unit length would
# give what was played twice as loud a voice as what was played a thousand times.
KNOWN = 0.1

Weights = Mapping[str, Float32[np.ndarray, "..."]]
"""What training saved in dense.npz, by path."""


@dataclass(frozen=True)
class Encoder:
    """One feature as a vector; see `towers.FeatureEncoder`."""

    feature: FittedFeature
    table: Float32[np.ndarray, "inputs width"]

    @classmethod
    def of(cls, feature: FittedFeature, weights: Weights) -> Encoder:
        """As trained.

        Raises:
            KeyError: the weights lack it.
        """
        return cls(feature, weights[f"feature_{feature.name}/table"])

    def inputs(self, values: Shaped[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*out"]:
        """What is multiplied by the table, of a feature that isn't categorical."""
        missing = np.isnan(values[..., 0] if isinstance(self.feature, FittedVector) else values)
        out = np.empty((*missing.shape, len(self.table)), np.float32)
        known = out[..., :-1]
        if isinstance(self.feature, FittedCyclic):
            turns = np.arange(1, HARMONICS + 1, dtype=np.float32)
            angles = values[..., None] * (turns * np.float32(2 * math.pi / self.feature.period))
            np.sin(angles, out=known[..., :HARMONICS])
            np.cos(angles, out=known[..., HARMONICS:])
        else:
            known[...] = values if isinstance(self.feature, FittedVector) else values[..., None]
        if missing.any():
            known[missing] = 0
        out[..., -1] = missing
        return out

    def encoded(self, values: Shaped[np.ndarray, "rows ..."]) -> Float32[np.ndarray, "rows width"]:
        """Vectors of raw values, whose form schema.py defines."""
        if isinstance(self.feature, FittedCategorical):
            return self.table[values]
        return self.inputs(values) @ self.table


class Encoders:
    """All context features side by side, and a constant; see `towers.ContextEncoder`.

    Args:
        features: of the context.
        weights: as trained.

    Raises:
        KeyError: the weights lack one.
    """

    def __init__(self, features: Sequence[FittedFeature], weights: Weights) -> None:
        self.each = [Encoder.of(feature, weights) for feature in features]

    def encoded(
        self, context: Mapping[str, Shaped[np.ndarray, "rows ..."]], rows: int
    ) -> Float32[np.ndarray, "rows context_width"]:
        """Contexts as vectors."""
        parts = [np.ones((rows, 1), np.float32)]
        parts += [encoder.encoded(context[encoder.feature.name]) for encoder in self.each]
        return np.concatenate(parts, axis=1)


def unit(
    vector: Float32[np.ndarray, "rows width"], known: float = 1e-12
) -> Float32[np.ndarray, "rows width"]:
    """At most of unit length, and shorter where the vector's square isn't well above `known`."""
    squares = np.einsum("rw,rw->r", vector, vector)[:, None]
    return np.asarray(vector / np.sqrt(squares + np.float32(known)))
