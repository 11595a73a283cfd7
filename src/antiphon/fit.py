"""A declared feature and the values of the training events make a fitted feature."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float64

from antiphon.encode import find_spelling, spell
from antiphon.errors import LogError
from antiphon.schema import CategoricalFeature, FittedCategorical, FittedNumeric

__all__ = ["MOST_CONTEXT_VALUES", "fit_categorical", "fit_numeric"]

MOST_CONTEXT_VALUES = 65_536


def fit_categorical(
    feature: CategoricalFeature, counted: Iterable[tuple[object, int]]
) -> FittedCategorical:
    """Give codes to the values of a context feature: as declared, else the commonest first.

    Args:
        feature: as declared.
        counted: values of the training events with their counts, null left out.

    Raises:
        LogError: none of the declared values occurs, or there are too many values.
    """
    counts: dict[str, int] = {}
    for value, count in counted:
        counts[spell(value)] = counts.get(spell(value), 0) + count
    if feature.values is not None:
        values = tuple(feature.values)
        known = {value: code for code, value in enumerate(values, 1)}
        if counts and not any(find_spelling(value, known) for value in counts):
            raise LogError(
                f"none of the declared values of {feature.name!r} is in the log",
                received=f"in the log: {_some(counts)}",
                allowed=f"declared: {_some(values)}",
                hint="name the log's values, or leave `values` out to take them all",
            )
        labels = tuple(feature.values.values())
        return FittedCategorical(
            name=feature.name, cardinality=len(values), values=values, labels=labels
        )
    values = tuple(sorted(counts, key=lambda value: (-counts[value], value)))
    if len(values) > MOST_CONTEXT_VALUES:
        raise LogError(
            f"the context feature {feature.name!r} has too many values",
            received=f"{len(values):,} values",
            allowed=f"up to {MOST_CONTEXT_VALUES:,}",
            hint="group them with `sql`, or declare those that matter in `values`",
        )
    return FittedCategorical(name=feature.name, cardinality=len(values), values=values)


def fit_numeric(
    name: str, blocks: Callable[[], Iterable[Float64[np.ndarray, " rows"]]]
) -> FittedNumeric:
    """Mean and deviation of all numbers that are there (NaN is missing).

    Args:
        name: of the feature.
        blocks: gives the same blocks of numbers each time it is called. Sums go block by block,
            so equal blocks give equal bits.

    Returns:
        The fitted feature; its deviation is 1 where all numbers are equal or there are none.
    """
    count = sum(int(np.isfinite(block).sum()) for block in blocks())
    if count == 0:
        return FittedNumeric(name=name, mean=0.0, deviation=1.0)
    mean = sum(float(np.nansum(block)) for block in blocks()) / count
    square = sum(float(np.nansum((block - mean) ** 2)) for block in blocks()) / count
    return FittedNumeric(name=name, mean=mean, deviation=math.sqrt(square) or 1.0)


def _some(values: Iterable[str]) -> str:
    listed = list(values)
    return ", ".join(listed[:10]) + (", ..." if len(listed) > 10 else "")
