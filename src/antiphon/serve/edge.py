"""What stands between the network and the service: ids, keys, limits, headers, counts and logs."""

from __future__ import annotations

import logging
import time

from starlette.types import Message, Receive, Scope, Send

from antiphon.serve.logs import request_id
from antiphon.serve.refusals import refuse
from antiphon.serve.service import Service

__all__ = ["Edge"]

log = logging.getLogger("antiphon.serve")

HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Edge:
    """An ASGI application around the service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, and see it off."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        id_ = request_id(headers.get(b"x-request-id"))
        status = 500
        begun = False

        async def sending(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                own = list(message["headers"])
                names = {name for name, _ in own}
                own += [header for header in HEADERS if header[0] not in names]
                own.append((b"x-request-id", id_.encode("ascii")))
                message = {**message, "headers": own}
            await send(message)

        try:
            await self._service(scope, receive, sending)
        except Exception:
            log.exception("failed", extra={"request_id": id_, "path": scope["path"]})
            if begun:
                raise
            await refuse(500, "a bug of the service", hint=f"its log tells more: {id_}")(
                scope, receive, sending
            )
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            self._service.metrics.requested(route, status, seconds)
            if self._service.settings.log_requests:
                told = {
                    "request_id": id_,
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                }
                log.info("request", extra=told)
