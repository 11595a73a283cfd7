"""The page is for everyone: by keyboard, for screen readers, by night, on a phone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from page_tools import DESK, PHONE, Opened, opened


def show_everything(seen: Opened) -> None:
    """Open all that opens."""
    page = seen.page
    page.locator("#voice-0 .acts button").first.click()
    expect(page.locator("#voice-0 .why table")).to_be_visible()
    page.get_by_text("The map as a table").click()
    page.get_by_text("tried here only", exact=True).click()
    with seen.renewed():
        page.locator("#voice-1 .acts button").nth(1).click()
    expect(page.locator("#played li")).to_have_count(1)
    # what was opened before may have stayed so, and stand elsewhere
    page.locator("#voice-0 .acts button[aria-expanded=false]").first.click()
    expect(page.locator("#voice-0 .why table").first).to_be_visible()
    page.get_by_label("Play a track").fill("Song")
    expect(page.locator("#track-options li").first).to_be_visible()


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")]
)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    browser: Browser, served: str, viewport: dict[str, int], scheme: str
) -> None:
    options = {"viewport": viewport, "color_scheme": scheme, "reduced_motion": "reduce"}
    with opened(browser, served, bypass_csp=True, **options) as seen:
        show_everything(seen)
        found = Axe().run(seen.page)
        problems = [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}: {one['nodes'][0]['failureSummary']}"
            for one in found.response["violations"]
        ]
        assert problems == []
        assert seen.page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        outside = seen.page.evaluate(
            """() => [...document.querySelectorAll("body *")]
                .filter(e => !e.closest(".scroll, .unseen, .skip, svg"))
                .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
                .map(e => e.outerHTML.slice(0, 80))"""
        )
        assert outside == []


def test_trouble_is_for_everyone_too(browser: Browser, served: str) -> None:
    for scheme in ("light", "dark"):
        options = {"color_scheme": scheme, "bypass_csp": True}
        with opened(browser, served, key=None, wait=False, **options) as seen:
            expect(seen.page.get_by_label("Key", exact=True)).to_be_focused()
            found = Axe().run(seen.page).response["violations"]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_the_keyboard_is_enough(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        page, press = seen.page, seen.page.keyboard.press
        press("Tab")
        expect(page.get_by_role("link", name="To the lists")).to_be_focused()
        press("Enter")
        assert page.evaluate("document.activeElement.id") == "lists"
        # on to the first list's context, and to its first track
        press("Tab")
        expect(page.locator("#context-0-mood")).to_be_focused()
        with seen.renewed():
            press("ArrowDown")
        expect(page.locator("#title-0")).to_have_text("lively")
        assert seen.tracks(0) == seen.tracks(1)
        expect(page.locator("#context-0-mood")).to_be_focused()
        press("Tab")
        press("Enter")
        expect(page.locator("#voice-0 .why table")).to_be_visible()
        assert page.locator(".tracks .lit").count() == 2
        page.get_by_label("kept by the service").focus()
        press("ArrowRight")
        expect(page.get_by_label("tried here only")).to_be_checked()
        page.locator("#voice-0 .acts button").nth(5).focus()
        track = seen.tracks(0)[2]
        with seen.renewed():
            press("Space")
        # the focus stays with the track, wherever it went; if it left the list, with another
        focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
        others = [f"Heard Song [{one}]" for one in seen.tracks(0)]
        assert focused == f"Heard Song [{track}]" if track in seen.tracks(0) else focused in others
        page.get_by_label("Listener", exact=True).focus()
        press("ArrowDown")
        expect(page.locator("#user-options")).to_be_visible()
        press("Escape")
        expect(page.locator("#user-options")).to_be_hidden()
        press("Tab")
        with seen.renewed():
            press("Enter")
        expect(page.get_by_label("Play a track")).to_be_focused()


def test_focus_can_be_seen(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        for _ in range(30):
            seen.page.keyboard.press("Tab")
            outline = seen.page.evaluate(
                """() => {
                    const at = document.activeElement;
                    const shown = at.type === "radio" ? at.nextElementSibling : at;
                    const {outlineStyle, outlineWidth} = getComputedStyle(shown);
                    return [outlineStyle, parseFloat(outlineWidth)];
                }"""
            )
            assert outline == ["solid", 2]


def test_what_changed_is_said(browser: Browser, served: str) -> None:
    with opened(browser, served) as seen:
        status = seen.page.get_by_role("status")
        expect(status).to_contain_text("in both lists")
        seen.page.get_by_text("tried here only", exact=True).click()
        with seen.renewed():
            seen.rows(0).first.get_by_role("button", name="Heard").click()
        expect(status).to_contain_text("Heard Song")
        moved = seen.page.locator(".moved .unseen")
        assert moved.count() > 0
        assert all("since the play" in words for words in moved.all_text_contents())


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_rows_glide_unless_one_wishes_otherwise(browser: Browser, served: str, motion: str) -> None:
    with opened(browser, served, reduced_motion=motion) as seen:
        seen.page.evaluate(
            """() => {
                window.glides = 0;
                const animate = Element.prototype.animate;
                Element.prototype.animate = function (...how) {
                    window.glides += 1;
                    return animate.apply(this, how);
                };
            }"""
        )
        with seen.renewed():
            seen.page.locator("#context-0-mood").select_option("lively")
        assert (seen.page.evaluate("window.glides") > 0) == (motion != "reduce")


def test_day_and_night_differ(browser: Browser, served: str) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with opened(browser, served, color_scheme=scheme) as seen:
            ground = "getComputedStyle(document.body).backgroundColor"
            words = seen.page.evaluate(ground).removeprefix("rgb(").removesuffix(")")
            grounds.append([int(part) for part in words.split(", ")])
    assert min(grounds[0]) > 200
    assert max(grounds[1]) < 60
