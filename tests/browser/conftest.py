"""A real browser for the tests of this folder: Debian's Chromium, run by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from page_service import service
from searched_run import trained_model

ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, by ANTIPHON_CHROMIUM or on the path; skipped where there is none, but not in CI.

    Of one module: Playwright keeps an event loop, beside which no other test could run its own.
    """
    program = os.environ.get("ANTIPHON_CHROMIUM") or shutil.which("chromium")
    if program is None:
        message = "there is no chromium; ANTIPHON_CHROMIUM names the program"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the small run is served, with the page."""
    run = trained_model(tmp_path_factory).stage.path.parent
    with service(run, tmp_path_factory.mktemp("service")) as address:
        yield address
