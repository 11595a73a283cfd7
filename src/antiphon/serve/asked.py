"""What a request may say, as models made from the run's schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, assert_never

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, create_model

from antiphon.errors import did_you_mean
from antiphon.request import Mode
from antiphon.schema import (
    FittedCategorical,
    FittedCyclic,
    FittedFeature,
    FittedNumeric,
    FittedVector,
    Schema,
)
from antiphon.serve.settings import Limits

__all__ = [
    "AskedModel",
    "Asks",
    "Id",
    "Moment",
    "NotAllowedError",
    "Text",
    "asks",
    "said",
    "stated_type",
]

# beyond this a float32 is no longer a number
LARGEST = 1e30

Whole = Annotated[int, Field(ge=-(2**63), lt=2**64)]
Text = Annotated[str, Field(max_length=512)]
Id = Whole | Annotated[str, Field(min_length=1, max_length=512)]
Moment = Annotated[int, Field(ge=-(2**53), le=2**53)]


class AskedModel(BaseModel):
    """Part of a request: what it doesn't know is refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NotAllowedError(ValueError):
    """A value that the run's schema doesn't have."""

    def __init__(self, what: str, allowed: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.what, self.allowed, self.hint = what, allowed, hint


@dataclass(frozen=True)
class Asks:
    """The models of one run."""

    recommend: type[AskedModel]
    batch: type[AskedModel]
    context: type[AskedModel]


def asks(schema: Schema, limits: Limits) -> Asks:
    """Make the models.

    Args:
        schema: names the features and the values of the context.
        limits: how long lists may be.
    """
    fields: dict[str, Any] = {
        feature.name: (stated_type(feature) | None, Field(None, description=_describe(feature)))
        for feature in schema.context
    }
    context = create_model(
        "Context", __base__=AskedModel, __doc__="The moment; what is left out is unknown.", **fields
    )
    recommend = create_model(
        "Recommend",
        __base__=AskedModel,
        __doc__="Who asks, when, and for what.",
        user=(Id | None, Field(None, description="the log's id; unknown ones are fine")),
        context=(context, Field(default_factory=context)),
        history=(
            list[Id],
            Field(
                default_factory=list,
                max_length=limits.history,
                description="ids of items the user had, most recent last, on top of what is known",
            ),
        ),
        k=(int, Field(10, ge=1, le=limits.k, description="how many items")),
        mode=(Mode | None, Field(None, description="by default as the run was evaluated")),
        exclude_heard=(
            bool | None,
            Field(None, description="true is another name for discover, false for all"),
        ),
        why=(bool, Field(False, description="whether to tell why each item is listed")),
        time_s=(
            Moment | None,
            Field(None, description="the moment, on the log's clock; by default the present"),
        ),
        **_conditions(schema, limits),
    )
    batch = create_model(
        "Batch",
        __base__=AskedModel,
        __doc__="Several requests, answered in one go.",
        requests=(list[recommend], Field(min_length=1, max_length=limits.batch)),
    )
    return Asks(recommend, batch, context)


def _conditions(schema: Schema, limits: Limits) -> dict[str, Any]:
    """Fields that say which items may be listed."""
    names = [f.name for f in schema.item if isinstance(f, FittedCategorical)]
    ids = Annotated[list[Id], Field(max_length=limits.values)]
    value = Id | Annotated[list[Id], Field(min_length=1, max_length=limits.values)]
    most = Annotated[int, Field(ge=1, le=limits.k)]
    values: dict[str, Any] = dict.fromkeys(names, (value | None, None))
    counts: dict[str, Any] = dict.fromkeys(names, (most | None, None))
    where = create_model("Where", __base__=AskedModel, __doc__="Values to have.", **values)
    at_most = create_model("AtMost", __base__=AskedModel, __doc__="Items of a value.", **counts)
    return {
        "where": (
            where,
            Field(default_factory=where, description="values of which an item must have one"),
        ),
        "allow": (ids | None, Field(None, description="the only items that may be listed")),
        "deny": (ids, Field(default_factory=list, description="items that may not")),
        "at_most": (
            at_most,
            Field(default_factory=at_most, description="how many items of one value a list holds"),
        ),
    }


def said(part: BaseModel) -> dict[str, Any]:
    """What isn't left out."""
    return {name: value for name, value in vars(part).items() if value is not None}


def stated_type(feature: FittedFeature) -> Any:
    """The type of a value that is stated of a feature."""
    match feature:
        case FittedCategorical():
            spellings = _spellings(feature.values or ())
            shown = {"enum": list(spellings.values())}
            check = _checker(feature.name, spellings, feature.values or ())
            return Annotated[str, PlainValidator(check), WithJsonSchema(shown)]
        case FittedCyclic() | FittedNumeric():
            return _Number
        case FittedVector():
            return Annotated[list[_Number], Field(min_length=feature.size, max_length=feature.size)]
        case _:
            assert_never(feature)


_Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


def _describe(feature: FittedFeature) -> str:
    match feature:
        case FittedCategorical():
            labels = feature.labels or ()
            named = ", ".join(
                f"{v}: {label}" for v, label in zip(feature.values or (), labels, strict=False)
            )
            return named or "one of the values of the log"
        case FittedCyclic():
            return f"a number on a circle of {feature.period:g}"
        case FittedNumeric():
            return f"a number; the log's mean is {feature.mean:g}"
        case FittedVector():
            return f"{feature.size} numbers"
        case _:
            assert_never(feature)


def _spellings(values: tuple[str, ...]) -> Mapping[tuple[type, Any], Any]:
    """Every way to write a value in JSON -> how the OpenAPI document shows it."""
    found: dict[tuple[type, Any], Any] = {}
    for value in values:
        found[str, value] = value
        if value in ("true", "false"):
            found[bool, value == "true"] = value == "true"
        elif value.lstrip("-").isdecimal() and str(int(value)) == value:
            found[int, int(value)] = int(value)
            if value in ("0", "1"):
                found.setdefault((bool, value == "1"), value == "1")
    return found


def _checker(
    name: str, spellings: Mapping[tuple[type, Any], Any], values: tuple[str, ...]
) -> Callable[[Any], str]:
    texts = {key: key[1] if key[0] is str else _text(key[1], values) for key in spellings}
    allowed = ", ".join(values[:20]) + (f", and {len(values) - 20} more" if values[20:] else "")

    def check(value: Any) -> str:
        kind = type(value)
        if kind is float and value.is_integer():
            kind, value = int, int(value)
        if kind in (str, int, bool) and (kind, value) in texts:
            return texts[kind, value]
        near = did_you_mean(value, values) if kind is str else None
        raise NotAllowedError(f"{name} has no such value", allowed, near)

    return check


def _text(value: int | bool, values: tuple[str, ...]) -> str:
    if value is True or value is False:
        word = "true" if value else "false"
        return word if word in values else str(int(value))
    return str(value)
