"""The page in a real browser, over a real service: every control does what it says."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import Browser, Route, expect

import chain
from page_tools import USER, opened

CALM, LIVELY = {"mood": "0"}, {"mood": "1"}


def test_both_lists_are_those_of_the_service(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        page = seen.page
        assert page.locator(".voice h2").all_inner_texts() == ["calm", "lively"]
        answers = [seen.answer(user=USER, context=context) for context in (CALM, LIVELY)]
        for side, answer in enumerate(answers):
            assert seen.tracks(side) == [str(item["id"]) for item in answer["items"]]
            for row, item in zip(seen.rows(side).all(), answer["items"], strict=True):
                told = row.inner_text()
                assert item["title"] in told
                assert f"{item['score']:.2f}".replace("-", "\N{MINUS SIGN}") in told
                assert ("heard before" if item["had_before"] else "discovery") in told
            assert re.search(r"[\d.]+ ms", page.locator(f"#voice-{side} .foot-note").inner_text())
        left, right = seen.both()
        shared = set(left) & set(right)
        assert f"{len(shared)} of 10 tracks" in seen.summary()
        assert page.locator("#links path").count() == len(shared)
        for row in seen.rows(0).all():
            track = row.get_attribute("data-track")
            words = row.locator(".marks .unseen").first.text_content() or ""
            place = f"number {right.index(track) + 1} in the right list" if track in right else None
            assert words.startswith(place or "only in the left list")
        assert seen.complaints == []
        assert all(url.startswith(served) for url in seen.urls)


def test_a_track_is_lit_wherever_it_stands(browser: Browser, served: str) -> None:
    with opened(browser, served, view=f"#user={USER}&k=50") as seen:
        row = seen.page.locator("#voice-0 .shared").first
        row.hover()
        track = row.get_attribute("data-track")
        lit = seen.page.locator(".lit")
        assert lit.evaluate_all("all => all.map(one => one.dataset.track)") == [track] * 3
        seen.page.mouse.move(0, 0)
        seen.page.locator("#voice-1 .acts button").nth(1).focus()
        tracks = lit.evaluate_all("all => all.map(one => one.dataset.track)")
        assert set(tracks) == {seen.tracks(1)[0]}


def test_a_listener_is_found_while_typing(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        page = seen.page
        field, options = page.get_by_label("Listener", exact=True), page.locator("#user-options li")
        field.fill("119")
        expect(options.first).to_be_visible()
        found = options.all_inner_texts()
        assert found
        assert all("119" in text for text in found)
        page.keyboard.press("ArrowDown")
        chosen = page.locator("#user-options [aria-selected=true]").inner_text()
        with seen.renewed():
            page.keyboard.press("Enter")
        assert field.input_value() == chosen
        assert seen.tracks(0) == seen.ids(user=chosen, context=CALM)
        field.fill("somebody else")
        page.keyboard.press("Tab")
        assert field.input_value() == chosen  # left without a choice: it says what holds
        field.fill("nobody I know")
        with seen.renewed():
            page.keyboard.press("Enter")
        assert "Training hasn't seen nobody I know" in seen.summary()
        assert seen.tracks(1) == seen.ids(context=LIVELY)


def test_mode_length_and_variety(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        page = seen.page
        with seen.renewed():
            page.get_by_text("discoveries", exact=True).click()
        assert page.locator(".tracks .repeat").count() == 0
        with seen.renewed():
            page.get_by_text("repeats", exact=True).click()
        assert page.locator(".tracks .discovery").count() == 0
        with seen.renewed():
            page.get_by_text("all", exact=True).click()
        with seen.renewed():
            page.get_by_label("How many").fill("7")
            page.keyboard.press("Enter")
        assert [len(ids) for ids in seen.both()] == [7, 7]
        with seen.renewed():
            page.get_by_label("At most, per year").fill("1")
            page.keyboard.press("Enter")
        wanted = [seen.ids(user=USER, context=c, k=7, at_most={"year": 1}) for c in (CALM, LIVELY)]
        assert seen.both() == wanted
        assert [len(ids) for ids in wanted] == [3, 3]  # there are 3 years
        asked = len(seen.asked)
        page.get_by_label("How many").fill("1000")
        page.keyboard.press("Enter")
        assert len(seen.asked) == asked  # more than the page shows


def test_contexts_are_chosen_from_the_schema(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        left, right = (seen.page.locator(f"#context-{side}-mood") for side in (0, 1))
        assert right.locator("option").all_inner_texts() == ["unknown", "calm", "lively"]
        with seen.renewed():
            right.select_option("calm")
        assert seen.tracks(0) == seen.tracks(1)
        assert "10 of 10 tracks are in both" in seen.summary()
        with seen.renewed():
            left.select_option("unknown")
        assert seen.asked[-2]["context"] == {}
        assert seen.tracks(0) == seen.ids(user=USER)
        assert seen.page.locator("#title-0").inner_text() == "context unknown"
        seen.page.reload()
        expect(seen.page.locator("#title-1")).to_have_text("calm")  # the address knows


def test_every_kind_of_feature_has_a_field(browser: Browser, served: str) -> None:
    more = [
        {"name": "hour", "kind": "cyclic", "period": 24},
        {"name": "age", "kind": "numeric", "mean": 30.25, "deviation": 4},
        {"name": "weather", "kind": "vector", "size": 3},
    ]

    def schema(route: Route) -> None:
        shown = route.fetch().json()
        route.fulfill(json={**shown, "context": [*more, *shown["context"]]})

    asked: list[Any] = []

    def without(route: Route) -> None:
        body = route.request.post_data_json
        asked.append(body["context"])
        route.continue_(post_data=json.dumps({**body, "context": {}}))

    routes = {"v1/schema": schema, "v1/recommend": without}
    with opened(browser, served, view="#", routes=routes) as seen:
        page = seen.page
        assert sorted(asked, key=str) == [{"hour": 0}, {"hour": 12}]
        expect(page.get_by_label("hour", exact=True)).to_have_count(2)
        assert page.get_by_text("weather: unknown here.").count() == 2
        with seen.renewed():
            page.locator("#context-1-age").fill("-1.5")
            page.keyboard.press("Tab")
        assert {"hour": 12, "age": -1.5} in asked
        with seen.renewed():
            page.locator("#context-1-hour").fill("")
            page.keyboard.press("Tab")
        assert asked[-1] in ({"age": -1.5}, {"hour": 0})
        page.locator("#context-0-hour").fill("25")  # not on the circle
        page.keyboard.press("Tab")
        assert len(asked) == 6


def test_why_tells_what_the_model_says(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        row = seen.rows(1).nth(2)
        button = row.get_by_role("button", name=re.compile("^Why "))
        button.click()
        assert button.get_attribute("aria-expanded") == "true"
        table = row.locator(".why table")
        expect(table).to_be_visible()
        item = seen.answer(user=USER, context=LIVELY, why=True)["items"][2]
        told = table.inner_text().replace("\N{MINUS SIGN}", "-")
        figures = [item["why"]["context"], *(past["effect"] for past in item["why"]["past"])]
        assert [f"{figure:+.2f}" in told or f"{figure:.2f}" in told for figure in figures]
        assert item["why"]["past"]
        assert all(past["title"] in told for past in item["why"]["past"])
        assert ("heard before" in told) == item["had_before"]
        button.click()
        expect(row.locator(".why")).to_be_hidden()


def test_a_play_is_kept_and_moves_the_lists(browser: Browser, served: str) -> None:
    user = USER + 50
    with opened(browser, served, view=f"#user={user}&mode=discover") as seen:
        page = seen.page
        before, track = seen.both(), seen.tracks(1)[0]
        with page.expect_request("**/v1/events") as event, seen.renewed():
            seen.rows(1).first.get_by_role("button", name=re.compile("^Heard ")).click()
        (told,) = event.value.post_data_json["events"]
        assert (told["user"], str(told["item"]), told["context"]) == (str(user), track, LIVELY)
        assert "the service keeps it" in seen.summary()
        assert re.search(r"lively: \d+ new, \d+ moved", seen.summary())
        assert track not in seen.tracks(1)  # it is a discovery no more
        assert seen.both() != before
        assert page.locator(".moved.up, .moved.new").count() > 0
        assert page.locator("#played li").inner_text().startswith(f"Song [{track}]")
        assert page.locator("#played button").count() == 0
        expect(page.locator("#voice-0 .foot-note")).to_contain_text("knows 1 play since training")
        now = seen.both()
        page.reload()
        expect(page.locator("#voice-1 .tracks li")).to_have_count(10)
        assert seen.both() == now


def test_a_play_that_is_tried_can_be_taken_back(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        page = seen.page
        page.get_by_text("tried here only", exact=True).click()
        before, track = seen.both(), seen.tracks(0)[4]
        with seen.renewed():
            seen.rows(0).nth(4).get_by_role("button", name=re.compile("^Heard ")).click()
        assert seen.asked[-1]["history"] == [int(track)]
        assert seen.tracks(0) == seen.ids(user=USER, context=CALM, history=[track])
        assert seen.both() != before
        assert "tried on this page only" in seen.summary()
        with seen.renewed():
            page.get_by_role("button", name=f"Take back Song [{track}]").click()
        assert seen.both() == before
        assert not any(url.endswith("/v1/events") for url in seen.urls)


def test_a_new_listener_picks_tracks(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        page = seen.page
        with seen.renewed():
            page.get_by_role("button", name="New listener").click()
        assert "user" not in seen.asked[-1]
        before = seen.both()
        assert before == [seen.ids(context=CALM), seen.ids(context=LIVELY)]
        page.get_by_label("Play a track").fill("song [52")
        options = page.locator("#track-options li")
        expect(options.filter(has_text="Song [52")).to_have_count(10)
        with seen.renewed():
            options.filter(has_text="Song [525]").click()
        assert seen.both() == [seen.ids(context=c, history=[525]) for c in (CALM, LIVELY)]
        assert seen.both() != before
        assert page.get_by_role("button", name="Take back Song [525]").is_visible()
        assert not any(url.endswith("/v1/events") for url in seen.urls)
        page.reload()
        expect(page.get_by_role("button", name="New listener", pressed=True)).to_be_visible()


def test_the_map_shows_both_lists(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        page = seen.page
        left, right = seen.both()
        text = page.locator("#map-text").inner_text()
        assert f"All {chain.ITEMS} tracks" in text
        assert "middles of the lists" in text
        page.get_by_text("The map as a table").click()
        rows = page.locator("#map-table tbody tr")
        expect(rows).to_have_count(len({*left, *right}))
        counts = page.evaluate(
            """() => {
                const canvas = document.getElementById("map");
                const pen = canvas.getContext("2d");
                const seen = pen.getImageData(0, 0, canvas.width, canvas.height).data;
                const count = {};
                for (let n = 0; n < seen.length; n += 4) {
                    const key = seen.slice(n, n + 3).join(" ");
                    count[key] = (count[key] ?? 0) + 1;
                }
                return count;
            }"""
        )
        assert counts.get("29 82 127", 0) > 100  # the left list's colour
        assert counts.get("163 41 15", 0) > 100  # the right one's
        # pointing at a mark lights the track in the lists
        (place,) = page.request.post(f"{served}v1/map/places", data={"ids": [left[0]]}).json()[
            "places"
        ]
        box = page.locator("#map").bounding_box()
        assert box is not None
        margin, side = 13, box["width"] - 2 * 13  # and its border
        x, y = place["x"] / 65535, 1 - place["y"] / 65535
        page.mouse.move(box["x"] + margin + x * side, box["y"] + margin + y * side)
        expect(page.locator(".tracks .lit").first).to_have_attribute("data-track", re.compile("."))
