"""The report in a real browser: offline, without errors, on desk and phone, by day and night."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from antiphon.report import write_report
from report_sample import sample

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HOSTILE = "<img src=x onerror=alert(1)>&<script>alert(2)</script>"
LONG = "Donau­dampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2
LABELS = {"tab=home": HOSTILE, "tab=search": LONG}
SECTIONS = (
    "verdict",
    "loss",
    "models",
    "recall",
    "slices",
    "context",
    "cold",
    "example",
    "traits",
    "figures",
    "protocol",
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    titles = {str(500 + n): f"{HOSTILE} {n}" for n in range(1, 200)}
    write_report(sample(), path, title=f"A made-up log {HOSTILE}", labels=LABELS, titles=titles)
    return path


@contextmanager
def opened(
    browser: Browser, report: Path, viewport: dict[str, int], scheme: str = "light", **options: bool
) -> Iterator[tuple[Page, list[str]]]:
    """The page, and all that it complained of or asked for."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme, **options)
    page, seen = context.new_page(), []
    page.on("console", lambda message: seen.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.on("dialog", lambda dialog: seen.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: seen.append(f"request: {request.url}"))
    page.goto(report.as_uri())
    yield page, seen
    context.close()


def test_it_asks_nothing_of_the_network_and_has_no_error(browser: Browser, report: Path) -> None:
    with opened(browser, report, DESK) as (page, seen):
        page.locator("summary").first.click()
        page.mouse.wheel(0, 20_000)
        page.wait_for_load_state("networkidle")
        asked = [line for line in seen if not line.startswith("request: data:")]
        assert asked == [f"request: {report.as_uri()}"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_every_part_is_there_and_nothing_scrolls_sideways(
    browser: Browser, report: Path, viewport: dict[str, int], scheme: str
) -> None:
    with opened(browser, report, viewport, scheme) as (page, _):
        assert [one.get_attribute("id") for one in page.locator("section").all()] == list(SECTIONS)
        for chart in ("loss-chart", "recall-chart"):
            box = page.locator(f"#{chart}").bounding_box()
            assert box is not None
            assert box["width"] > 150
            assert box["height"] > 200
        assert page.locator(".track .mark.ours").first.is_visible()
        page.evaluate("[...document.querySelectorAll('details')].map(e => e.open = true)")
        # nothing but what may scroll by itself stands out of the page
        outside = page.evaluate(
            """() => [...document.querySelectorAll("body *")]
                .filter(e => !e.closest(".scroll, .unseen, .skip, svg"))
                .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
                .map(e => e.outerHTML.slice(0, 80))"""
        )
        assert outside == []
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


def test_names_in_charts_stay_within_the_page(browser: Browser, report: Path) -> None:
    with opened(browser, report, PHONE) as (page, _):
        rights = page.evaluate(
            """() => [...document.querySelectorAll(".curves text")]
                .map(e => e.getBoundingClientRect().right)"""
        )
        assert len(rights) > 10
        assert max(rights) <= PHONE["width"]


def test_day_and_night_differ(browser: Browser, report: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with opened(browser, report, DESK, scheme) as (page, _):
            ground = "getComputedStyle(document.body).backgroundColor"
            grounds.append(page.evaluate(ground).removeprefix("rgb(").removesuffix(")").split(", "))
    light, dark = ([int(part) for part in ground] for ground in grounds)
    assert min(light) > 200
    assert max(dark) < 60


@pytest.mark.parametrize(("viewport", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_everybody_can_use_it(
    browser: Browser, report: Path, viewport: dict[str, int], scheme: str
) -> None:
    with opened(browser, report, viewport, scheme, bypass_csp=True) as (page, _):
        # the folded tables are all alike, and two of them take axe less time than all
        page.evaluate("[...document.querySelectorAll('.sheet')].slice(2).map(e => e.remove())")
        page.evaluate("[...document.querySelectorAll('details')].map(e => e.open = true)")
        found = Axe().run(page)
        serious = [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}: {one['nodes'][0]['failureSummary']}"
            for one in found.response["violations"]
        ]
        assert serious == []


def test_the_keyboard_reaches_sections_and_folded_figures(browser: Browser, report: Path) -> None:
    with opened(browser, report, DESK) as (page, _):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.url.endswith("#verdict")
        page.locator("summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details").first.get_attribute("open") is not None


def test_names_of_a_log_can_do_nothing(browser: Browser, report: Path) -> None:
    with opened(browser, report, DESK) as (page, seen):
        assert page.locator("img, script").count() == 0
        assert HOSTILE in page.locator("h1").inner_text()
        assert not [line for line in seen if line.startswith(("dialog", "console", "error"))]
    # and even a script that got in would not run
    with opened(browser, report, DESK) as (page, seen):
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "document.title = 'ran'";
                document.body.append(script);
            }"""
        )
        assert page.title() != "ran"
        assert any("Content Security Policy" in line for line in seen)
