"""Values to arrays and back: the one encoder of training, evaluation and serving.

A fitted feature and values make an array in the form that `schema.py` tells, whether the values are
a column of fifty million rows or what one request states. Categorical values are compared as text,
so that 1, 1.0, "1" and (where the log says 0 and 1) true are one value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, assert_never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Float64, Integer, Shaped

from antiphon.errors import LogError, RequestError, did_you_mean
from antiphon.schema import (
    FittedCategorical,
    FittedCyclic,
    FittedFeature,
    FittedNumeric,
    FittedVector,
    Schema,
)

__all__ = [
    "encode",
    "encode_request",
    "find_spelling",
    "missing_vectors",
    "numbers",
    "spell",
    "vectors",
]


def spell(value: object) -> str:
    """A value as the text it is compared as: 1 and 1.0 are "1", True is "true"."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def find_spelling(value: object, known: Mapping[str, int]) -> int:
    """The code of a value, in whichever way it is written; 0 where it isn't known."""
    text = spell(value)
    for candidate in _spellings(text):
        if candidate in known:
            return known[candidate]
    return 0


def _spellings(text: str) -> Iterator[str]:
    yield text
    lower = text.lower()
    if lower in ("true", "false"):
        yield lower
        yield "1" if lower == "true" else "0"
        return
    try:
        number = float(text)
    except ValueError:
        return
    yield spell(number)
    if number in (0.0, 1.0):
        yield "true" if number else "false"


def encode(feature: FittedFeature, values: pa.Array) -> Shaped[np.ndarray, "rows ..."]:
    """Encode a column; null and what the feature doesn't know are missing.

    Raises:
        LogError: a vector has the wrong size or isn't finite.
    """
    match feature:
        case FittedCategorical():
            return _encode_categorical(feature, values)
        case FittedCyclic():
            turned = np.mod(numbers(values), feature.period).astype(np.float32)
            # what float32 rounds up to the period is the start of the circle
            return np.where(turned >= np.float32(feature.period), np.float32(0), turned)
        case FittedNumeric():
            scaled = (numbers(values) - feature.mean) / feature.deviation
            return scaled.astype(np.float32)
        case FittedVector():
            found, rows = vectors(feature, values)
            encoded = missing_vectors(feature.size, len(values))
            encoded[rows] = found
            return encoded
        case _:
            assert_never(feature)


def numbers(values: pa.Array) -> Float64[np.ndarray, " rows"]:
    """A numeric column as float64; null and what isn't finite is NaN."""
    column = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(column), column + 0.0, np.nan)  # + 0.0: one zero, not two


def missing_vectors(size: int, rows: int) -> Float32[np.ndarray, "rows size"]:
    """Vectors that mean "missing": NaN first, then zeros."""
    array = np.zeros((rows, size), np.float32)
    array[:, 0] = np.nan
    return array


def vectors(
    feature: FittedVector, values: pa.Array, ids: pa.Array | None = None
) -> tuple[Float32[np.ndarray, "found size"], Shaped[np.ndarray, " found"]]:
    """The vectors of a column of lists that aren't null, and the rows they are in.

    Args:
        feature: its size is what every vector must have.
        values: lists of numbers.
        ids: what to call the rows in an error.

    Raises:
        LogError: a vector has another size or an element that isn't finite; names the row.
    """
    rows = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    lists = values.drop_null()
    sizes = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    _refuse_vector(feature, sizes != feature.size, rows, sizes, ids)
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    found = flat.reshape(len(lists), feature.size)
    broken = ~np.isfinite(found).all(axis=1)
    _refuse_vector(feature, broken, rows, sizes, ids)
    return found, rows


def _refuse_vector(
    feature: FittedVector,
    wrong: Shaped[np.ndarray, " found"],
    rows: Shaped[np.ndarray, " found"],
    sizes: Shaped[np.ndarray, " found"],
    ids: pa.Array | None,
) -> None:
    if not wrong.any():
        return
    first = int(np.flatnonzero(wrong)[0])
    row = int(rows[first])
    size = int(sizes[first])
    received = f"{size} elements" if size != feature.size else "NaN, infinite or null elements"
    raise LogError(
        f"a vector of {feature.name!r} can't be used: "
        + (f"row {row}" if ids is None else f"item {ids[row]}"),
        received=received,
        allowed=f"{feature.size} finite numbers",
        hint="correct `size`, or leave such rows out with `sql` (null is unknown)",
    )


def _encode_categorical(
    feature: FittedCategorical, values: pa.Array
) -> Integer[np.ndarray, " rows"]:
    known = {value: code for code, value in enumerate(feature.values or (), 1)}
    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    codes = np.array([find_spelling(value, known) for value in coded.dictionary.to_pylist()] + [0])
    places = coded.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)
    encoded: Integer[np.ndarray, " rows"] = codes.astype(feature.dtype)[places]
    return encoded


def encode_request(
    schema: Schema, given: Mapping[str, object]
) -> dict[str, Shaped[np.ndarray, "1 ..."]]:
    """Encode the context that a request states, as arrays of one row.

    Values may be given as text or numbers; what is left out or None is missing.

    Raises:
        RequestError: an unknown feature or value; tells what is allowed.
    """
    names = schema.context_names()
    for name in given:
        if name not in names:
            raise RequestError(
                "there is no such context feature",
                received=name,
                allowed=", ".join(names) or "none: the model has no context",
                hint=did_you_mean(name, names),
            )
    return {
        feature.name: _encode_stated(feature, given.get(feature.name)) for feature in schema.context
    }


def _encode_stated(feature: FittedFeature, value: Any) -> Shaped[np.ndarray, "1 ..."]:
    match feature:
        case FittedCategorical():
            encoded = encode(feature, pa.array([None if value is None else spell(value)]))
            if value is not None and encoded[0] == 0:
                allowed = _allowed(feature)
                raise RequestError(
                    f"{feature.name} has no such value",
                    received=repr(value),
                    allowed=", ".join(allowed),
                    hint=did_you_mean(spell(value), feature.values or ()),
                )
            return encoded
        case FittedCyclic() | FittedNumeric():
            return encode(feature, pa.array([_number(feature.name, value)], pa.float64()))
        case FittedVector():
            if value is None:
                return missing_vectors(feature.size, 1)
            try:
                return encode(feature, pa.array([list(value)], pa.list_(pa.float64())))
            except (LogError, TypeError, pa.ArrowInvalid, pa.ArrowTypeError):
                raise RequestError(
                    f"{feature.name} must be a vector",
                    received=_shorten(repr(value)),
                    allowed=f"{feature.size} finite numbers",
                ) from None
        case _:
            assert_never(feature)


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise RequestError(f"{name} must be a number", received=repr(value))
    return number


def _allowed(feature: FittedCategorical) -> list[str]:
    values = feature.values or ()
    labels = feature.labels or ("",) * len(values)
    shown = [f"{v} ({label})" if label else v for v, label in zip(values, labels, strict=True)]
    return shown if len(shown) <= 20 else [*shown[:20], f"and {len(shown) - 20} more"]


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
