"""Columns and expressions that the config names, checked against what a file has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from antiphon.engines import Engine, TypeKind, quote
from antiphon.errors import ConfigError, did_you_mean
from antiphon.schema import (
    CategoricalFeature,
    CyclicFeature,
    Feature,
    NumericFeature,
    VectorFeature,
)

__all__ = ["check_feature", "column_of", "places"]


def column_of(columns: Iterable[str], name: str, key: str) -> str:
    """A column that must exist, as SQL.

    Raises:
        ConfigError: there is none of that name; `key` says where the config names it.
    """
    names = tuple(columns)
    if name not in names:
        raise ConfigError(
            f"{key} names a column that isn't there",
            received=name,
            allowed=", ".join(names),
            hint=did_you_mean(name, names),
        )
    return quote(name)


def check_feature(engine: Engine, feature: Feature, relation: str, key: str) -> None:
    """Check that a feature's expression yields what its kind needs.

    Raises:
        ConfigError: it isn't SQL over the relation's columns, or yields another type.
    """
    if feature.sql is None:
        column_of(engine.columns(relation), feature.column or feature.name, key)
    type_name = engine.check(feature.expression, relation, key)
    allowed: tuple[TypeKind, ...]
    match feature:
        case CategoricalFeature():
            allowed = ("whole", "text", "float", "boolean", "time")
            if feature.table is not None:
                allowed += ("list",)
            elif feature.separator is not None or feature.max_values > 1:
                raise ConfigError(
                    f"{key}: a context feature has one value at a time",
                    received="separator or max_values",
                    hint="only item features may have several",
                )
        case CyclicFeature() | NumericFeature():
            allowed = ("whole", "float", "boolean")
        case VectorFeature():
            allowed = ("list",)
        case _:
            assert_never(feature)
    if engine.type_kind(type_name) not in allowed:
        raise ConfigError(
            f"{key} is {feature.kind}, but its values are of another type",
            received=f"{feature.expression} has the type {type_name}",
            allowed=", ".join(_WORDS[kind] for kind in allowed),
            hint="convert it with `sql`, or choose another kind",
        )


def places(engine: Engine, existing: str, wrong: str, count: int) -> str:
    """Words for the first of the `count` rows that are wrong, by their places in the files.

    Args:
        engine: finds them; see `Engine.places`.
        existing: `FILES AS existing WHERE CONDITION`.
        wrong: a condition on rows that exist.
        count: how many rows are wrong.
    """
    found = engine.places(existing, wrong)
    if not found:
        return "in files whose rows this engine can't number"
    more = ", ..." if count > len(found) else ""
    return "rows " + ", ".join(map(str, found)) + more + " (the first is 1)"


_WORDS: dict[TypeKind, str] = {
    "whole": "whole numbers",
    "text": "text",
    "float": "numbers",
    "boolean": "booleans",
    "list": "lists",
    "time": "dates and times",
    "other": "others",
}
