"""The service: the run that answers now, and how another takes its place.

Each run has an application of its own, made from its own schema. A request is handed to the
application that is current when it arrives and stays with it, so no answer mixes two runs.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from antiphon.recommend import Answer
from antiphon.serve.app import make_app
from antiphon.serve.batching import Batcher
from antiphon.serve.loaded import LoadedRun
from antiphon.serve.metrics import Metrics
from antiphon.serve.page_files import page_files
from antiphon.serve.refusals import refuse
from antiphon.serve.settings import Settings

__all__ = ["Current", "Service"]

log = logging.getLogger("antiphon.serve")


@dataclass
class Current:
    """A run at work."""

    loaded: LoadedRun
    batcher: Batcher[Any, Answer]
    app: FastAPI
    asked: int = 0


class Service:
    """An ASGI application that can change its run."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.settings = settings
        self.metrics = Metrics()
        self.pages = page_files()
        self.current: Current | None = None
        self.stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the run that is current now."""
        current = self.current
        if current is None:
            await self._while_loading(scope)(scope, receive, send)
            return
        current.asked += 1
        try:
            await current.app(scope, receive, send)
        finally:
            current.asked -= 1

    def is_full(self) -> bool:
        """Whether one more request to the model would be refused."""
        return self.current is not None and self.current.batcher.is_full

    async def start(self) -> None:
        """Load the first run.

        Raises:
            AntiphonError: it is refused.
        """
        self.current = await asyncio.to_thread(self._open, self.path)
        log.info("ready", extra={"run": self.current.loaded.run})

    async def stop(self) -> None:
        """Answer what was taken, and stop."""
        self.stopping = True
        if self.current is not None:
            await asyncio.to_thread(self.current.batcher.close)

    def _open(self, path: Path) -> Current:
        loaded = LoadedRun.load(path)
        loaded.warm_up()
        limits = self.settings.limits
        batcher = Batcher[Any, Answer](
            loaded.answer,
            together=limits.together,
            queue=limits.queue,
            deadline_s=limits.deadline_ms / 1000,
        )
        return Current(loaded, batcher, make_app(self, loaded, batcher))

    def _while_loading(self, scope: Scope) -> Any:
        if scope["path"] == "/health":
            from antiphon.serve.given import json_response

            return json_response({"status": "ok"})
        return refuse(503, "no run is ready yet", hint="try again in a second")
