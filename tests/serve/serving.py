"""Services that answer over loopback, and a client that asks them."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from antiphon.serve.server import bind, serve
from antiphon.serve.service import Service
from antiphon.serve.settings import Settings


@dataclass
class Client:
    """Asks a service."""

    port: int
    service: Service
    key: str | None = None

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body (data where it is JSON) and headers."""
        given = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            given["Content-Type"] = "application/json"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, given | (headers or {}), method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return _read(answer)
        except urllib.error.HTTPError as error:
            with error:
                return _read(error)

    def post(self, path: str, body: Any) -> Any:
        """The data of an answer with status 200."""
        status, data, _ = self.ask("POST", path, body)
        assert status == 200, data
        return data

    def get(self, path: str) -> Any:
        """The same of a GET."""
        status, data, _ = self.ask("GET", path)
        assert status == 200, data
        return data

    def refused(self, status: int, *asked: Any, **more: Any) -> dict[str, Any]:
        """The error of an answer with that status."""
        found, data, headers = self.ask(*asked, **more)
        assert found == status, data
        assert headers["content-type"] == "application/json"
        assert data.keys() == {"error"}
        assert data["error"].keys() == {"what", "received", "allowed", "hint"}
        return data["error"]


def _read(answer: Any) -> tuple[int, Any, dict[str, str]]:
    data = answer.read()
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if headers.get("content-type") == "application/json":
        data = json.loads(data)
    return answer.status, data, headers


@contextmanager
def serving(path: Path, **settings: Any) -> Iterator[Client]:
    """A service in a thread of its own, ready; stopped at the end."""
    store = str(path.parent / f"{path.name}.{threading.get_ident()}.live")
    # few together: each size of batch is compiled before the service is ready
    limits = {"together": 2} | settings.pop("limits", {})
    told = Settings.model_validate(
        {"port": 0, "store": store, "log_requests": False, "limits": limits} | settings
    )
    bound = bind(told)
    parts: list[Any] = []
    listening = threading.Event()

    def started(*given: Any) -> None:
        parts.extend(given)
        listening.set()

    thread = threading.Thread(target=serve, args=(path, told, bound, None, started))
    thread.start()
    try:
        assert listening.wait(30)
        client = Client(bound.getsockname()[1], parts[1])
        wait_until(lambda: client.service.current is not None or not thread.is_alive())
        yield client
    finally:
        parts[0]()
        thread.join(60)
        assert not thread.is_alive()


def wait_until(reached: Callable[[], Any], seconds: float = 60) -> None:
    """Look again and again."""
    waiting = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if reached():
            return
        waiting.wait(0.02)
    pytest.fail(f"not reached within {seconds} s")
