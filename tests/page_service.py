"""A service over the small run, as a process, for the tests of the page."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from antiphon.serve.keys import digest

__all__ = ["ALL", "READER", "service"]

PROGRAM = "from antiphon.cli import main; main()"
READER, ALL = "a key that reads", "a key that may do everything"
CONFIG = f"""
[[keys]]
name = "reader"
sha256 = "{digest(READER)}"
scopes = ["read"]

[[keys]]
name = "all"
sha256 = "{digest(ALL)}"
scopes = ["read", "events"]

[limits]
together = 2
deadline_ms = 10000
"""


@contextmanager
def service(run: Path, folder: Path) -> Iterator[str]:
    """Serve a run; yields where. It asks for one of the two keys."""
    config, log = folder / "service.toml", folder / "service.log"
    config.write_text(CONFIG, encoding="utf-8")
    told = ["--config", str(config), "--store", str(folder / "live.db"), "--port", "0"]
    command = [sys.executable, "-c", PROGRAM, "serve", str(run), *told]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where a process listens, once it is ready."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        words = log.read_text(encoding="utf-8").split()
        address = next((word for word in words if word.startswith("http://")), None)
        if address is not None and _ready(address):
            return address
        time.sleep(0.1)
    raise RuntimeError(f"the service isn't ready: {log.read_text(encoding='utf-8')}")


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}ready", timeout=10) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
