"""The page, opened and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Route, expect

from page_service import ALL

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 780}
USER = 1001


@dataclass
class Opened:
    """A page and all that it complained of and asked for.

    Attributes:
        asked: bodies of its requests for lists.
        urls: of all its requests.
        complaints: errors of its scripts, its console and its policy.
    """

    page: Page
    base: str
    asked: list[Any] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def rows(self, side: int) -> Locator:
        """The rows of a list, 0 for left, 1 for right."""
        return self.page.locator(f"#voice-{side} .tracks > li")

    def tracks(self, side: int) -> list[str]:
        """Ids of a list."""
        ids = "rows => rows.map(row => row.dataset.track)"
        return list(self.rows(side).evaluate_all(ids))

    def both(self) -> list[list[str]]:
        """Ids of both lists."""
        return [self.tracks(0), self.tracks(1)]

    def summary(self) -> str:
        """What the status line says."""
        return self.page.locator("#summary").inner_text()

    def answer(self, **body: Any) -> Any:
        """What the service says without the page."""
        response = self.page.request.post(f"{self.base}v1/recommend", data=body)
        assert response.ok, response.text()
        return response.json()

    def ids(self, **body: Any) -> list[str]:
        """Ids of a list without the page."""
        return [str(item["id"]) for item in self.answer(**body)["items"]]

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Wait for both lists, as what is done inside makes the page ask for them."""
        before = len(self.asked)
        with self.page.expect_response(f"{self.base}v1/map/places"):
            yield
        settled(self.page)
        assert len(self.asked) >= before + 2


def settled(page: Page) -> None:
    """Wait until nothing is asked for or on its way."""
    expect(page.locator(".tracks[aria-busy=false]")).to_have_count(2)
    expect(page.locator("#map-table tbody tr").first).to_be_attached()


@contextmanager
def opened(
    browser: Browser,
    base: str,
    *,
    view: str = f"#user={USER}",
    key: str | None = ALL,
    wait: bool = True,
    routes: Mapping[str, Callable[[Route], None]] | None = None,
    **options: Any,
) -> Iterator[Opened]:
    """Open the page.

    Args:
        browser: to open it in.
        base: where it is.
        view: what it shall show.
        key: that goes with every request, as a proxy would add it; None: the page must ask.
        wait: for the lists.
        routes: what stands between the page and the service, by the end of its path.
        **options: of the browser's context.
    """
    headers = {"extra_http_headers": {"Authorization": f"Bearer {key}"}} if key else {}
    context = browser.new_context(**{"viewport": DESK, **headers, **options})
    context.set_default_timeout(15_000)
    page = context.new_page()
    seen = Opened(page, base)
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("dialog", lambda dialog: seen.complaints.append(f"dialog: {dialog.message}"))

    def note(request: Any) -> None:
        seen.urls.append(request.url)
        if request.url.endswith("/v1/recommend"):
            seen.asked.append(request.post_data_json)

    page.on("request", note)
    for path, handler in (routes or {}).items():
        page.route(f"**/{path}", handler)
    page.goto(f"{base}{view}")
    if wait:
        settled(page)
    yield seen
    context.close()
