"""What the page does when something is wrong, or hostile."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, Route, expect

from page_service import READER
from page_tools import opened, settled

BUSY = {"error": {"what": "too much is asked at once", "hint": "try again in a second"}}
HOSTILE = "<img src=x onerror=alert(1)>&<script>alert(2)</script>"


def press_heard(page: Page) -> None:
    page.locator("#voice-0 .tracks li").first.get_by_role("button", name="Heard").click()


def amended(change: Callable[[Any], Any]) -> Callable[[Route], None]:
    """Answers as they come, but changed."""

    def answer(route: Route) -> None:
        route.fulfill(json=change(route.fetch().json()))

    return answer


def test_a_service_that_cannot_be_reached(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        page, before = seen.page, seen.both()
        trouble = page.get_by_role("alert")
        expect(trouble).to_be_hidden()
        page.route("**/v1/recommend", lambda route: route.abort())
        page.get_by_text("discoveries", exact=True).click()
        expect(trouble).to_contain_text("The service can't be reached.")
        assert seen.both() == before  # what was there stays, and is said to be old
        assert seen.summary() == "These are the lists from before."
        page.unroute("**/v1/recommend")
        with seen.renewed():
            page.get_by_role("button", name="Try again").click()
        expect(trouble).to_be_hidden()
        assert page.locator(".tracks .repeat").count() == 0


def test_it_can_be_unreachable_from_the_start(browser: Browser, served: str) -> None:
    routes = {"v1/schema": lambda route: route.abort()}
    with opened(browser, served, wait=False, routes=routes) as seen:
        page = seen.page
        expect(page.get_by_role("alert")).to_contain_text("can't be reached")
        expect(page.get_by_label("Listener", exact=True)).to_be_hidden()
        page.unroute("**/v1/schema")
        page.get_by_role("button", name="Try again").click()
        settled(page)


def test_a_refusal_is_told_in_the_services_words(browser: Browser, served: str) -> None:
    def wrong(route: Route) -> None:
        body = {**route.request.post_data_json, "context": {"mood": "livly"}}
        route.continue_(post_data=json.dumps(body))

    with opened(browser, served) as seen:
        seen.page.route("**/v1/recommend", wrong)
        seen.page.get_by_text("discoveries", exact=True).click()
        trouble = seen.page.get_by_role("alert")
        expect(trouble).to_contain_text("mood has no such value")
        expect(trouble.locator("dd")).to_have_text(["livly", "0, 1"])


def test_a_busy_service_is_asked_again(browser: Browser, served: str) -> None:
    times = 0

    def busy(route: Route) -> None:
        nonlocal times
        times += 1
        if times > limit:
            route.continue_()
        else:
            route.fulfill(status=503, json=BUSY, headers={"Retry-After": "0.2"})

    with opened(browser, served) as seen:
        page, limit = seen.page, 2
        page.route("**/v1/recommend", busy)
        with seen.renewed():
            page.get_by_text("discoveries", exact=True).click()
        assert times == 4
        expect(page.get_by_role("alert")).to_be_hidden()
        times, limit = 0, 1000
        page.get_by_text("repeats", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("too much is asked at once")
        assert times in (7, 8)  # both lists four times, but that the first failure ends it
        limit = 0
        with seen.renewed():
            page.get_by_role("button", name="Try again").click()


def test_a_play_told_twice_is_one_play(browser: Browser, served: str) -> None:
    def lost(route: Route) -> None:
        route.fetch()  # the service has it, and the page doesn't hear so
        route.abort()

    with opened(browser, served, view="#user=1060") as seen:
        page = seen.page
        page.route("**/v1/events", lost, times=1)
        press_heard(page)
        expect(page.get_by_role("alert")).to_contain_text("can't be reached")
        with seen.renewed():
            page.get_by_role("button", name="Try again").click()
        expect(page.locator("#voice-0 .foot-note")).to_contain_text("knows 1 play since")
        expect(page.get_by_role("alert")).to_be_hidden()


def test_a_key_is_asked_for_and_kept_in_memory_alone(browser: Browser, served: str) -> None:
    with opened(browser, served, key=None, wait=False) as seen:
        page = seen.page
        field = page.get_by_label("Key", exact=True)
        expect(field).to_be_focused()
        page.keyboard.type("a wrong one")
        page.keyboard.press("Enter")
        expect(field).to_have_value("")
        expect(field).to_be_visible()
        page.keyboard.type(READER)
        page.keyboard.press("Enter")
        settled(page)
        expect(page.get_by_role("alert")).to_be_hidden()
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        assert page.evaluate(kept) == '[{},{},""]'
        assert "key" not in page.url
        # this key may not write
        before = seen.both()
        with seen.renewed():
            press_heard(page)
        assert "this key may not write" in seen.summary()
        assert seen.both() != before
        assert page.get_by_role("button", name="Take back").count() == 1
        page.reload()
        expect(field).to_be_visible()


def test_another_run_takes_over(browser: Browser, served: str) -> None:
    other = {"run": {"name": "another", "version": "another"}}
    with opened(browser, served) as seen:
        page = seen.page
        for path in ("recommend", "schema"):
            page.route(f"**/v1/{path}", amended(lambda answer: {**answer, **other}))
        page.get_by_text("discoveries", exact=True).click()
        expect(page.locator("#run")).to_have_text("run another")
        settled(page)


def test_an_evaluation_is_linked(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        page = seen.page
        link = page.get_by_role("link", name="How good this run is")
        expect(link).to_be_hidden()  # the small run wasn't evaluated
        page.route("**/v1/schema", amended(lambda schema: {**schema, "report": True}))
        page.reload()
        expect(link).to_be_visible()
        assert link.evaluate("link => link.href") == f"{served}report"


def test_an_evaluation_behind_a_key_is_fetched_with_it(browser: Browser, served: str) -> None:
    def report(route: Route) -> None:
        assert route.request.headers["authorization"] == f"Bearer {READER}"
        route.fulfill(body="<h1>How good</h1>", content_type="text/html")

    routes = {
        "v1/schema": amended(lambda shown: {**shown, "report": True}),
        "report": report,
    }
    with opened(browser, served, key=None, wait=False) as seen:
        page = seen.page
        field = page.get_by_label("Key", exact=True)
        field.fill(READER)
        for path, handler in routes.items():
            page.route(f"**/{path}", handler)
        field.press("Enter")  # wherever the focus went meanwhile
        with page.expect_download() as download:
            page.get_by_role("link", name="How good this run is").click()
        assert download.value.suggested_filename == "small-report.html"
        assert download.value.path().read_text() == "<h1>How good</h1>"
        expect(page.get_by_role("link", name="The API")).to_be_hidden()


def test_names_of_a_log_can_do_nothing(browser: Browser, served: str) -> None:
    def renamed(answer: Any) -> Any:
        items = [{**item, "title": f"{HOSTILE} {item['id']}"} for item in answer["items"]]
        return {**answer, "items": items}

    with opened(browser, served) as seen:
        page = seen.page
        page.route("**/v1/recommend", amended(renamed))
        with seen.renewed():
            page.get_by_text("discoveries", exact=True).click()
        seen.rows(0).first.get_by_role("button", name="Why").click()
        expect(seen.rows(0).first.locator(".why table")).to_be_visible()
        assert HOSTILE in seen.rows(0).first.inner_text()
        assert page.locator("main img, main script").count() == 0
        assert seen.complaints == []


def test_ids_that_a_double_cannot_hold(browser: Browser, served: str) -> None:
    large = "9223372036854775807"

    def renamed(route: Route) -> None:
        body = route.fetch().json()
        body["items"][0]["id"] = int(large)
        route.fulfill(json=body)

    with opened(browser, served) as seen:
        page = seen.page
        page.get_by_text("tried here only", exact=True).click()
        page.route("**/v1/recommend", renamed)
        with seen.renewed():
            page.get_by_text("discoveries", exact=True).click()
        assert seen.tracks(0)[0] == large
        with seen.renewed():
            press_heard(page)
        assert seen.asked[-1]["history"] == [large]
        expect(page.locator("#voice-0 .foot-note")).to_contain_text("1 play not in the corpus")


def test_a_list_may_be_empty(browser: Browser, served: str) -> None:
    with opened(browser, served, view="#new=1&mode=repeat", wait=False) as seen:
        expect(seen.page.get_by_text("Nothing to repeat")).to_have_count(2)
        assert seen.page.url.endswith("mode=repeat&k=10&a.mood=0&b.mood=1")
