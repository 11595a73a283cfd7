"""Take the pictures of the service's page that README.md and docs/page.md show.

    .venv/bin/python scripts/page_pictures.py runs/demo

serves the run on a free port, with a store of its own, and writes docs/images/. It needs Chromium,
by ANTIPHON_CHROMIUM or on the path. Listener 1001 is the one of the demo's own tables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]
PROGRAM = "from antiphon.cli import main; main()"
READY_S = 120
LISTENER = 1001


def take(run: Path) -> None:
    """Take them all."""
    IMAGES.mkdir(exist_ok=True)
    program = os.environ.get("ANTIPHON_CHROMIUM") or shutil.which("chromium")
    with served(run) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": 1320, "height": 900},
                color_scheme=scheme,
                reduced_motion="reduce",
            )
            show(page, f"{address}#user={LISTENER}&mode=all&k=8")
            why = page.locator("#voice-1 .shared").first.get_by_role("button", name="Why")
            why.click()
            expect(page.locator("#voice-1 .why table")).to_be_visible()
            page.screenshot(path=IMAGES / f"page-{scheme}.png", full_page=True)
        phone = browser.new_page(
            viewport={"width": 360, "height": 1180},
            color_scheme="dark",
            reduced_motion="reduce",
            device_scale_factor=2,
        )
        show(phone, f"{address}#new=1&mode=all&k=5")
        phone.locator("#voice-0 .tracks li").nth(2).get_by_role("button", name="Heard").click()
        expect(phone.locator("#summary strong")).to_be_visible()
        phone.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        phone.mouse.move(0, 0)
        phone.screenshot(path=IMAGES / "page-phone.png")
        browser.close()


def show(page: Page, address: str) -> None:
    """Open the page and wait for lists and map; once more, so that nothing is measured cold."""
    page.goto(address)
    expect(page.locator("#map-table tbody tr").first).to_be_attached(timeout=30_000)
    page.reload()
    expect(page.locator("#map-table tbody tr").first).to_be_attached(timeout=30_000)


@contextmanager
def served(run: Path) -> Iterator[str]:
    """Where the run is served."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        store = ["--store", str(Path(folder) / "live.db")]
        command = [sys.executable, "-c", PROGRAM, "serve", str(run), "--port", "0", *store]
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield address_of(log)
        finally:
            process.terminate()
            process.wait(30)


def address_of(log: Path) -> str:
    """Where a service listens, by what it prints, once it is ready."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        words = log.read_text(encoding="utf-8").split()
        address = next((word for word in words if word.startswith("http://")), None)
        try:
            if address is not None:
                urllib.request.urlopen(f"{address}ready", timeout=10).close()
                return address
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"the service isn't ready: {log.read_text(encoding='utf-8')}")


if __name__ == "__main__":
    take(Path(sys.argv[1]))
