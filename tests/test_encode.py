from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.encode import encode, encode_request, spell
from antiphon.errors import LogError, RequestError
from antiphon.fit import MOST_CONTEXT_VALUES, fit_categorical, fit_numeric
from antiphon.schema import (
    CategoricalFeature,
    FittedCategorical,
    FittedCyclic,
    FittedNumeric,
    FittedVector,
    Schema,
)

ORGANIC = FittedCategorical(
    name="is_organic",
    cardinality=2,
    values=("0", "1"),
    labels=("leaning back", "searching"),
)
DEVICE = FittedCategorical(name="device", cardinality=3, values=("phone", "Smart TV", "true"))
HOUR = FittedCyclic(name="hour", period=24)
AGE = FittedNumeric(name="age", mean=40, deviation=10)
MOOD = FittedVector(name="mood", size=3)
SCHEMA = Schema(
    context=(ORGANIC, DEVICE, HOUR, AGE, MOOD),
    item_count=1,
    user_count=1,
    train_end_s=0,
    held_out_start_s=0,
    held_out_end_s=0,
    validation_start_s=0,
    gap_s=0,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (1.0, "1"), (1.5, "1.5"), (True, "true"), ("x", "x"), (-0.0, "0"), (1e300, None)],
)
def test_spelling(value: object, text: str | None) -> None:
    assert spell(value) == (text or str(int(1e300)))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 0, None, 7], pa.uint8()),
        pa.array([1.0, 0.0, float("nan"), 7.0]),
        pa.array(["1", "0", None, "nothing"]),
        pa.array(["1", "0", None, "x"]).dictionary_encode(),
        pa.array([True, False, None, None]),
        pa.array([Decimal("1.00"), Decimal("0.00"), None, Decimal("7.00")]),
    ],
)
def test_a_categorical_value_is_one_however_it_is_written(column: pa.Array) -> None:
    encoded = encode(ORGANIC, column)
    assert encoded.dtype == np.uint8
    assert encoded.tolist() == [2, 1, 0, 0]


def test_a_slice_of_a_column_is_encoded_as_itself() -> None:
    column = pa.array([0, 1, None, 1, 0], pa.int8())
    assert encode(ORGANIC, column.slice(1, 3)).tolist() == [2, 0, 2]
    vectors = pa.array([[1, 2, 3], None, [4, 5, 6]], pa.list_(pa.int32()))
    np.testing.assert_array_equal(encode(MOOD, vectors.slice(1)), [[np.nan, 0, 0], [4, 5, 6]])


def test_cyclic_values_lie_on_the_circle() -> None:
    column = pa.array([0, 23.5, 24, 49, -1, -1e-9, None, float("inf")])
    encoded = encode(HOUR, column)
    assert encoded.dtype == np.float32
    # -1e-9 is 23.999999999, which float32 knows only as 24, the start of the circle
    np.testing.assert_array_equal(encoded, np.float32([0, 23.5, 0, 1, 23, 0, np.nan, np.nan]))


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0.01, 1e6))
def test_cyclic_values_never_reach_the_period(value: float, period: float) -> None:
    encoded = encode(FittedCyclic(name="x", period=period), pa.array([value]))[0]
    assert 0 <= encoded < np.float32(period)


def test_numbers_are_standardised() -> None:
    column = pa.array([40, 50, None, 25], pa.int16())
    encoded = encode(AGE, column)
    assert encoded.dtype == np.float32
    # (50 - 40) / 10, (25 - 40) / 10
    np.testing.assert_array_equal(encoded, np.float32([0, 1, np.nan, -1.5]))


def test_mean_and_deviation_by_hand() -> None:
    blocks = [np.array([1.0, np.nan, 3.0]), np.array([5.0])]
    fitted = fit_numeric("x", lambda: blocks)
    # mean (1 + 3 + 5) / 3 = 3; squares (4 + 0 + 4) / 3
    assert fitted.mean == 3
    assert fitted.deviation == pytest.approx((8 / 3) ** 0.5)
    assert fit_numeric("x", lambda: [np.full(4, 7.0)]).deviation == 1, "all equal"
    nothing = fit_numeric("x", lambda: [np.array([np.nan])])
    assert (nothing.mean, nothing.deviation) == (0, 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2), st.integers(0, 3))
def test_standardised_numbers_have_mean_0_and_deviation_1(values: list[float], gaps: int) -> None:
    raw = np.array([*values, *[np.nan] * gaps])
    fitted = fit_numeric("x", lambda: [raw])
    encoded = encode(fitted, pa.array(raw)).astype(np.float64)
    assert np.isnan(encoded).sum() == gaps
    assert abs(np.nanmean(encoded)) < 0.01 or np.ptp(values) < 1e-3
    assert np.nanstd(encoded) == pytest.approx(1, abs=0.01) or np.ptp(values) < 1e-3


def test_codes_go_to_the_commonest_values_first() -> None:
    feature = CategoricalFeature(name="device", kind="categorical")
    fitted = fit_categorical(feature, [("tv", 3), ("phone", 9), ("car", 3), (1, 1), (1.0, 1)])
    assert fitted.values == ("phone", "car", "tv", "1"), "equals by value; 1 and 1.0 are one"
    assert fitted.labels is None


def test_declared_values_keep_their_order_and_names() -> None:
    feature = CategoricalFeature(
        name="is_organic", kind="categorical", values={"1": "searching", "0": "leaning back"}
    )
    fitted = fit_categorical(feature, [(False, 5), (True, 3)])
    assert fitted.values == ("1", "0")
    assert fitted.labels == ("searching", "leaning back")
    with pytest.raises(LogError) as caught:
        fit_categorical(feature, [("yes", 5), ("no", 3)])
    assert "yes, no" in str(caught.value.received)


def test_too_many_values_of_a_context() -> None:
    feature = CategoricalFeature(name="session", kind="categorical")
    with pytest.raises(LogError, match="too many values"):
        fit_categorical(feature, [(n, 1) for n in range(MOST_CONTEXT_VALUES + 1)])


@pytest.mark.parametrize(
    ("given_value", "code"),
    [
        (1, 2), ("1", 2), (1.0, 2), ("1.0", 2), (True, 2), ("true", 2), ("TRUE", 2),
        (np.int64(1), 2), (0, 1), ("0", 1), (False, 1), ("False", 1), (None, 0),
    ],
)  # fmt: skip
def test_a_request_may_write_a_value_in_many_ways(given_value: object, code: int) -> None:
    encoded = encode_request(SCHEMA, {"is_organic": given_value})["is_organic"]
    assert encoded.shape == (1,)
    assert encoded.dtype == np.uint8
    assert encoded[0] == code


def test_a_log_of_booleans_may_be_asked_with_numbers() -> None:
    for value in (1, "1", True, "true", 1.0):
        assert encode_request(SCHEMA, {"device": value})["device"].tolist() == [3]


def test_what_a_request_leaves_out_is_missing() -> None:
    encoded = encode_request(SCHEMA, {"hour": "25", "device": "Smart TV"})
    assert list(encoded) == ["is_organic", "device", "hour", "age", "mood"]
    assert encoded["is_organic"].tolist() == [0]
    assert encoded["device"].tolist() == [2]
    assert encoded["hour"].tolist() == [1.0]
    assert np.isnan(encoded["age"]).all()
    assert encoded["age"].dtype == np.float32
    assert np.isnan(encoded["mood"][0, 0])
    assert encoded["mood"].shape == (1, 3)
    stated = encode_request(SCHEMA, {"age": 50, "mood": [1, 2, 3]})
    assert stated["age"].tolist() == [1.0]
    assert stated["mood"].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("asked", "allowed", "hint"),
    [
        ({"is_organik": 1}, "is_organic, device, hour, age, mood", "'is_organic'"),
        ({"is_organic": 2}, "0 (leaning back), 1 (searching)", None),
        ({"device": "phones"}, "phone, Smart TV, true", "'phone'"),
        ({"hour": "noon"}, None, None),
        ({"hour": float("nan")}, None, None),
        ({"age": [1]}, None, None),
        ({"mood": [1, 2]}, "3 finite numbers", None),
        ({"mood": 5}, "3 finite numbers", None),
        ({"mood": "abc"}, "3 finite numbers", None),
        ({"mood": [1, 2, float("inf")]}, "3 finite numbers", None),
    ],
)
def test_a_request_that_is_wrong(
    asked: dict[str, Any], allowed: str | None, hint: str | None
) -> None:
    with pytest.raises(RequestError) as caught:
        encode_request(SCHEMA, asked)
    assert caught.value.allowed == allowed
    assert caught.value.received is not None
    assert hint is None or hint in str(caught.value.hint)


def test_an_error_lists_only_the_first_of_many_values() -> None:
    many = FittedCategorical(name="x", cardinality=99, values=tuple(str(n) for n in range(99)))
    schema = SCHEMA.model_copy(update={"context": (many,)})
    with pytest.raises(RequestError, match="and 79 more"):
        encode_request(schema, {"x": "y"})


def test_a_vector_of_the_wrong_size_names_its_row() -> None:
    with pytest.raises(LogError, match="row 2") as caught:
        encode(MOOD, pa.array([None, [1.0, 2, 3], [1.0]]))
    assert caught.value.received == "1 elements"
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6.0)), 3)
    assert encode(MOOD, fixed).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("cardinality", "dtype"),
    [(1, np.uint8), (255, np.uint8), (256, np.uint16), (65_535, np.uint16), (65_536, np.int32)],
)
def test_codes_take_no_more_room_than_they_need(cardinality: int, dtype: type) -> None:
    values = tuple(str(number) for number in range(cardinality))
    feature = FittedCategorical(name="tab", cardinality=cardinality, values=values)
    encoded = encode(feature, pa.array([values[-1], None]))
    assert encoded.tolist() == [cardinality, 0]
    assert encoded.dtype == dtype
