"""Models made from a schema: what they take is what the encoder takes, and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from antiphon.encode import encode_request
from antiphon.schema import (
    FittedCategorical,
    FittedCyclic,
    FittedNumeric,
    FittedVector,
    Schema,
)
from antiphon.serve.asked import asks
from antiphon.serve.settings import Limits

SCHEMA = Schema(
    context=(
        FittedCategorical(
            name="tab", cardinality=3, values=("0", "1", "home"), labels=("", "", "")
        ),
        FittedCategorical(name="asked", cardinality=2, values=("false", "true")),
        FittedCyclic(name="hour", period=24),
        FittedNumeric(name="volume", mean=3, deviation=2),
        FittedVector(name="mood", size=2),
    ),
    item=(
        FittedCategorical(name="artist", cardinality=5),
        FittedNumeric(name="length", mean=0, deviation=1),
    ),
    item_count=9,
    user_count=9,
    train_end_s=90,
    held_out_start_s=100,
    held_out_end_s=200,
    validation_start_s=50,
    gap_s=10,
)
MODELS = asks(SCHEMA, Limits(k=50, history=3, batch=2, values=2))


def context(**values: Any) -> dict[str, Any]:
    return vars(MODELS.context.model_validate(values))


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("tab", "home", "home"),
        ("tab", 1, "1"),
        ("tab", 1.0, "1"),
        ("tab", True, "1"),
        ("asked", True, "true"),
        ("asked", "false", "false"),
        ("hour", 25, 25.0),
        ("volume", -3.5, -3.5),
        ("mood", [1, 2.5], [1.0, 2.5]),
        ("tab", None, None),
    ],
)
def test_values_in_any_spelling(name, value, read) -> None:
    assert context(**{name: value})[name] == read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tab", "2"),
        ("tab", 0.5),
        ("tab", "1.0"),
        ("tab", [1]),
        ("tab", {}),
        ("asked", 1),
        ("asked", "True"),
        ("hour", "13"),
        ("hour", float("nan")),
        ("hour", 1e31),
        ("hour", True),
        ("volume", 10**400),
        ("mood", [1]),
        ("mood", [1, 2, 3]),
        ("mood", [1, float("inf")]),
        ("mood", "ab"),
        ("nothing", 1),
    ],
)
def test_values_that_are_refused(name, value) -> None:
    with pytest.raises(ValidationError):
        MODELS.context.model_validate({name: value})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["0", "1", "home", "true", "false", 0, 1]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["tab", "asked", "hour", "volume", "mood"]), json_values))
def test_whatever_is_taken_can_be_encoded(values) -> None:
    try:
        read = context(**values)
    except ValidationError:
        return
    encode_request(SCHEMA, read)


def test_limits() -> None:
    for wrong in (
        {"k": 51},
        {"history": [1, 2, 3, 4]},
        {"allow": [1, 2, 3]},
        {"where": {"artist": []}},
        {"where": {"length": 3}},
        {"at_most": {"artist": 0}},
        {"user": 2**64},
        {"user": "x" * 513},
        {"user": 1.5},
        {"user": True},
    ):
        with pytest.raises(ValidationError):
            MODELS.recommend.model_validate(wrong)
    for wrong in ([], [{}, {}, {}]):
        with pytest.raises(ValidationError):
            MODELS.batch.model_validate({"requests": wrong})


def test_the_document_shows_what_is_taken() -> None:
    shown = MODELS.context.model_json_schema()["properties"]
    assert shown["tab"]["anyOf"][0] == {"enum": ["0", 0, False, "1", 1, True, "home"]}
    assert shown["asked"]["anyOf"][0] == {"enum": ["false", False, "true", True]}
    assert shown["mood"]["anyOf"][0]["minItems"] == 2
    assert not shown["hour"].get("enum")
    json.dumps(shown)
    properties = MODELS.recommend.model_json_schema()
    assert properties["additionalProperties"] is False
    assert properties["$defs"]["Where"]["properties"].keys() == {"artist"}
