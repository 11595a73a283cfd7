"""A process that listens."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from antiphon.errors import AntiphonError, ConfigError
from antiphon.serve.edge import Edge
from antiphon.serve.logs import log_as_json
from antiphon.serve.orders import Orders
from antiphon.serve.service import Service
from antiphon.serve.settings import Settings

__all__ = ["bind", "run_worker", "serve"]

BACKLOG = 2048
Stop = Callable[[], None]


def bind(settings: Settings, *, shared: bool = False) -> socket.socket:
    """A socket at the service's address; it listens as soon as `serve` has it.

    Args:
        settings: of the service.
        shared: whether others may be bound to the same address.

    Raises:
        ConfigError: the address isn't this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # said to be TCP, so that asyncio turns off Nagle's delay on what it accepts
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"can't listen: {error.strerror}",
            received=f"{settings.host}:{settings.port}",
            hint="another --port may be free",
        ) from None
    listening.setblocking(False)
    return listening


def run_worker(path: Path, settings: str, folder: Path) -> None:
    """One of several processes on a port; exits with the code of the error that stops it.

    Args:
        path: of the run.
        settings: as JSON.
        folder: that all workers share, for orders.
    """
    log_as_json()
    told = Settings.model_validate_json(settings)
    try:
        serve(path, told, bind(told, shared=True), Orders(folder))
    except AntiphonError as error:
        logging.getLogger("antiphon.serve").error("refused", extra={"why": str(error)})
        sys.exit(error.exit_code)


def serve(
    path: Path,
    settings: Settings,
    listening: socket.socket,
    orders: Orders | None = None,
    started: Callable[[Stop, Service], None] | None = None,
) -> None:
    """Answer until told to stop (SIGTERM or ctrl-C); then finish what was taken.

    Args:
        path: of the run.
        settings: of the service.
        listening: made by `bind`.
        orders: what all workers of the service follow, if there are several.
        started: is given what stops the service, and the service, once it listens.

    Raises:
        AntiphonError: the run is refused.
    """
    listening.listen(BACKLOG)
    service = Service(path, settings, orders)
    server = _Server(
        uvicorn.Config(
            _application(service),
            http="httptools",  # in C
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=settings.limits.connections,
            timeout_graceful_shutdown=30,
        )
    )

    async def run() -> None:
        if started is not None:
            started(server.stop, service)
        loading = asyncio.create_task(service.start())
        loading.add_done_callback(lambda _: server.stop_if_failed(loading))
        await server.serve(sockets=[listening])
        await loading
        await service.stop()

    with asyncio.Runner(loop_factory=_fastest_loop) as runner:
        runner.run(run())


def _fastest_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _application(service: Service) -> ASGIApp:
    """The service behind its edge, open to the pages of other sites where the config names any."""
    origins = service.settings.cors_origins
    if not origins:
        return Edge(service)
    return CORSMiddleware(
        Edge(service),
        allow_origins=origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("Authorization", "Content-Type", "X-Request-ID"),
        expose_headers=("X-Request-ID", "Retry-After"),
    )


class _Server(uvicorn.Server):
    """Stops for a signal, and doesn't raise it again: there is more to do afterwards."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals aren't ours
            return
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Finish what was taken, and end; from any thread."""
        self.should_exit = True

    def stop_if_failed(self, loading: asyncio.Task[None]) -> None:
        """There is nothing to wait for without a run."""
        if loading.cancelled() or loading.exception() is not None:
            self.should_exit = True
