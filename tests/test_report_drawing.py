"""Scales, tracks and curves: where things stand."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.report.curves import Curve, curves, spread
from antiphon.report.reading import Difference, Figure
from antiphon.report.scales import Scale
from antiphon.report.svg import element, percent
from antiphon.report.tracks import Mark, axis, track

VALUES = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False).filter(lambda v: v == 0 or abs(v) > 1e-6),
    min_size=1,
    max_size=8,
)


def test_a_linear_axis_by_hand() -> None:
    scale = Scale.over([0.1, 0.48, None])
    # from zero to the greatest value and 4% of the whole beyond: 0.48 * 1.04 = 0.4992
    assert (scale.low, scale.high) == (0.0, pytest.approx(0.4992))
    assert scale.ticks == pytest.approx((0.0, 0.1, 0.2, 0.3, 0.4))
    assert [scale.name(tick) for tick in scale.ticks] == ["0.0", "0.1", "0.2", "0.3", "0.4"]
    assert scale.at(0.2496) == pytest.approx(0.5)


def test_a_logarithmic_axis_by_hand() -> None:
    scale = Scale.over([1, 2, 5, 10, 20, 50, 100], log=True, most_ticks=8)
    assert scale.ticks == pytest.approx((1, 2, 5, 10, 20, 50, 100))
    assert scale.at(10) == pytest.approx(0.5)  # halfway from 1 to 100
    assert [scale.name(tick) for tick in scale.ticks] == ["1", "2", "5", "10", "20", "50", "100"]


def test_an_axis_of_nothing_is_still_an_axis() -> None:
    assert (Scale.over([None]).low, Scale.over([None]).high) == (0.0, 1.04)
    assert Scale.over([], log=True).at(3) > 0
    assert Scale.over([0.0, 0.0]).at(0.0) == 0


@given(VALUES, st.booleans())
def test_every_value_is_on_its_axis_and_ticks_are_few(values: list[float], zero: bool) -> None:
    scale = Scale.over(values, zero=zero)
    assert scale.low <= min(values) <= max(values) <= scale.high
    assert all(0 <= scale.at(value) <= 1 for value in values)
    assert 1 <= len(scale.ticks) <= 5
    assert sorted(scale.ticks) == list(scale.ticks)
    span = scale.high - scale.low
    assert all(scale.low - 1e-6 * span <= tick <= scale.high + 1e-6 * span for tick in scale.ticks)
    assert len({scale.name(tick) for tick in scale.ticks}) == len(scale.ticks)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=15))
def test_names_keep_their_order_and_their_distance(wanted: list[float]) -> None:
    places = spread(wanted, 16, 0, 280)
    order = sorted(range(len(wanted)), key=lambda n: (wanted[n], n))
    ordered = [places[n] for n in order]
    assert all(b - a >= 16 - 1e-6 for a, b in itertools.pairwise(ordered))
    assert min(places) >= -1e-6
    assert max(places) <= 280 + 1e-6


def test_names_that_have_room_stay_where_they_are() -> None:
    assert spread([10, 100, 50], 16, 0, 280) == pytest.approx([10, 100, 50])
    # two in one place share the push: 50 +- 8
    assert spread([50, 50], 16, 0, 280) == pytest.approx([42, 58])


def test_text_and_attributes_are_escaped() -> None:
    made = element("text", "<b>&", title='"><script>', class_="a")
    assert made == '<text title="&#34;&gt;&lt;script&gt;" class="a">&lt;b&gt;&amp;</text>'
    assert percent(1 / 3) == "33.33%"


def test_a_track_holds_its_marks_and_whiskers() -> None:
    scale = Scale(0.0, 1.0, (0.0, 0.5, 1.0))
    drawn = track(scale, [Mark.of(Figure(0.5, 0.25, 0.75), "ours"), Mark.of(Figure(), "best")])
    root = ElementTree.fromstring(drawn)
    whiskers = [line for line in root.iter("line") if "whisker" in line.get("class", "")]
    assert [(line.get("x1"), line.get("x2")) for line in whiskers] == [("25.00%", "75.00%")]
    marks = [mark for mark in root.iter("svg") if "mark" in mark.get("class", "")]
    assert [(mark.get("x"), mark.get("class")) for mark in marks] == [("50.00%", "mark ours")]
    assert root.get("aria-hidden") == "true"


def test_a_mark_without_an_interval_has_no_whisker() -> None:
    drawn = track(Scale(0.0, 1.0, (0.0,)), [Mark.of(Difference(difference=0.2))], zero=True)
    assert "whisker" not in drawn
    assert 'class="zero"' in drawn


def test_an_axis_names_its_ticks() -> None:
    texts = [text.text for text in ElementTree.fromstring(axis(Scale.over([0.4]))).iter("text")]
    assert texts == ["0.0", "0.1", "0.2", "0.3", "0.4"]


def test_a_chart_of_lines_can_be_read_without_seeing_it() -> None:
    lines = [
        Curve("<i>", [1, 10], [0.1, 0.2], "other"),
        Curve("ours", [1, 10], [0.2, 0.4], "ours", [0.1, 0.3], [0.3, 0.5]),
    ]
    x, y = Scale.over([1, 10], log=True), Scale.over([0.5])
    root = ElementTree.fromstring(curves("c", "Title", "What it shows", lines, x, y))
    assert root.get("role") == "img"
    names = root.get("aria-labelledby", "").split()
    found = {one.get("id"): one.text for one in root.iter() if one.get("id")}
    assert [found[name] for name in names] == ["Title", "What it shows"]
    assert sum(1 for _ in root.iter("polyline")) == 2
    assert sum(1 for _ in root.iter("polygon")) == 1
    points = [one.get("points", "") for one in root.iter("polyline")]
    assert all(re.fullmatch(r"[\d., ]+", text) for text in points)
    assert {text.text for text in root.iter("text")} >= {"<i>", "ours"}
