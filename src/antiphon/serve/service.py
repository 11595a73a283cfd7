"""The service: the run that answers now, and how another takes its place.

Each run has an application of its own, made from its own schema. A request is handed to the
application that is current when it arrives and stays with it, so no answer mixes two runs.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.errors import AntiphonError, ArtifactError
from antiphon.live import LiveStore, open_live
from antiphon.serve.app import make_app
from antiphon.serve.desks import Desks
from antiphon.serve.given import json_response
from antiphon.serve.loaded import LoadedRun, identity
from antiphon.serve.metrics import Metrics
from antiphon.serve.orders import Order, Orders
from antiphon.serve.page_files import page_files
from antiphon.serve.refusals import refuse
from antiphon.serve.settings import Settings

__all__ = ["Current", "Service"]

log = logging.getLogger("antiphon.serve")

LOOK_EVERY_S = 1.0
FOLLOW_EVERY_S = 0.1
LOOK_AROUND_EVERY_S = 0.25


@dataclass
class Current:
    """A run at work.

    Attributes:
        path: where it came from.
        asked: how many requests it has in hand.
    """

    path: Path
    loaded: LoadedRun
    desks: Desks
    app: ASGIApp
    asked: int = 0


class Service:
    """An ASGI application that can change its run."""

    def __init__(self, path: Path, settings: Settings, orders: Orders | None = None) -> None:
        self.path = path
        self.runs = (settings.runs or path.resolve().parent).resolve()
        self.settings = settings
        self.metrics = Metrics()
        self.pages = page_files()
        self.current: Current | None = None
        self.previous: Current | None = None
        self.stopping = False
        self.refused = 0
        self._live: LiveStore | None = None
        self._orders = orders
        self._outcomes: dict[int, asyncio.Future[Current]] = {}
        self._seen = ""
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the run that is current now."""
        current = self.current
        if current is None:
            here = scope["path"] == "/health"
            answer = json_response({"status": "ok"}) if here else refuse(503, "no run is ready yet")
            await answer(scope, receive, send)
            return
        current.asked += 1
        try:
            await current.app(scope, receive, send)
        finally:
            current.asked -= 1

    def is_full(self) -> bool:
        """Whether one more request to the model would be refused."""
        return self.current is not None and self.current.desks.model.is_full

    async def start(self) -> None:
        """Load the first run, and go on looking at its path.

        Raises:
            AntiphonError: it is refused, or its live events can't be reached.
        """
        store = self.settings.store or self.path.resolve().with_name(f"{self.path.name}.live")
        self._live = await asyncio.to_thread(open_live, store)
        await self._deploy(self.path)
        self._go_on(self._look_around())
        if self.settings.watch:
            self._go_on(self._watch())
        if self._orders is not None:
            self._go_on(self._follow(self._orders))

    async def stop(self) -> None:
        """Answer what was taken, and stop."""
        self.stopping = True
        self._tell_refused()
        for task in list(self._tasks):
            task.cancel()
        for one in (self.current, self.previous):
            if one is not None:
                await asyncio.to_thread(one.desks.close)
        if self._live is not None:
            self._live.close()

    async def order(self, order: Order) -> Current:
        """Deploy a run, or go back to the one before, in all worker processes.

        Raises:
            AntiphonError: it is refused; the old one goes on answering.
        """
        if self._orders is None:
            return await self._obey(order)
        place = self._orders.give(order)
        outcome = self._outcomes[place] = asyncio.get_running_loop().create_future()
        current = await outcome
        while self._orders.least_followed() <= place:
            await asyncio.sleep(FOLLOW_EVERY_S)
        return current

    async def _follow(self, orders: Orders) -> None:
        place = 0
        while True:
            for order in orders.since(place):
                outcome = self._outcomes.pop(place, None)
                try:
                    current = await self._obey(order)
                    if outcome is not None:
                        outcome.set_result(current)
                except AntiphonError as error:
                    if outcome is not None:
                        outcome.set_exception(error)
                    else:
                        log.warning("refused", extra={"order": order, "why": str(error)})
                place += 1
                orders.followed(place)
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def _obey(self, order: Order) -> Current:
        return await (self._deploy(Path(order.path)) if order.do == "deploy" else self._rollback())

    async def _deploy(self, path: Path) -> Current:
        """Load a run beside the old one, warm it up, and let it take over between two requests."""
        async with self._changing:
            seen = await asyncio.to_thread(identity, path)
            new = await asyncio.to_thread(self._open, path)
            self.path, self._seen = path, seen
            return self._take_over(new)

    async def _rollback(self) -> Current:
        async with self._changing:
            if self.previous is None:
                raise ArtifactError("there is no run before this one to go back to")
            self.path = self.previous.path
            self._seen = identity(self.path)  # what is there now was just rolled back
            return self._take_over(self.previous)

    def run_called(self, name: str) -> Path:
        """The run of that name in the folder of runs; what isn't listed there doesn't exist.

        Raises:
            ArtifactError: there is none.
        """
        known = {
            entry.name: entry
            for entry in self.runs.iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        }
        if name not in known:
            raise ArtifactError(
                "there is no such run",
                received=name,
                allowed=", ".join(sorted(known)),
            )
        return known[name]

    def _take_over(self, new: Current) -> Current:
        retired = self.previous if self.previous is not new else None
        self.previous, self.current = self.current, new
        _keep()
        log.info("serving", extra={"run": new.loaded.run, "path": str(new.path)})
        if retired is not None:
            self._go_on(self._retire(retired))
        return new

    async def _retire(self, old: Current) -> None:
        while old.asked:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(old.desks.close)
        del old
        _keep()

    async def _watch(self) -> None:
        """Serve what the path holds once it has changed and stopped changing."""
        before = self._seen
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            path = self.path
            now = await asyncio.to_thread(identity, path)
            settled = now == before and path == self.path and not self._changing.locked()
            before = now
            if settled and now != self._seen:
                self._seen = now  # whatever comes of it, once is enough
                try:
                    await self._deploy(path)
                except (AntiphonError, OSError) as error:
                    log.warning("refused", extra={"path": str(path), "why": str(error)})

    async def _look_around(self) -> None:
        """See what other processes have added and withdrawn, and how scores have moved."""
        while True:
            await asyncio.sleep(LOOK_AROUND_EVERY_S)
            self._tell_refused()
            if self.current is not None:
                self.metrics.drifted(self.current.loaded.drift.index())
                try:
                    await asyncio.to_thread(self.current.loaded.recommender.refresh)
                except AntiphonError as error:
                    log.warning("can't see the store", extra={"why": str(error)})

    def _tell_refused(self) -> None:
        """Log how many requests were refused for being too many, since it was last told."""
        count, self.refused = self.refused, 0
        if count:
            log.warning("refused", extra={"requests": count, "why": "too much is asked at once"})

    def _open(self, path: Path) -> Current:
        clock = (lambda: int(time.time())) if self.settings.clock == "unix" else None
        loaded = LoadedRun.load(path, self._live, clock)
        limits = self.settings.limits
        loaded.warm_up(limits.together)
        desks = Desks(loaded, limits)
        return Current(path, loaded, desks, make_app(self, loaded, desks))

    def _go_on(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _keep() -> None:
    """Free what is left of a run that has gone; and look for garbage no more in what stays.

    What a run consists of would be looked through time and again, which takes 80 ms.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
