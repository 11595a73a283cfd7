"""What stands between the network and the service: ids, keys, limits, headers, counts and logs."""

from __future__ import annotations

import logging
import time

from starlette.types import Message, Receive, Scope, Send

from antiphon.serve.guard import BODIES, Guard, Headers
from antiphon.serve.logs import request_id
from antiphon.serve.refusals import bug, too_busy
from antiphon.serve.service import Service

__all__ = ["Edge"]

log = logging.getLogger("antiphon.serve")

ASK_THE_MODEL = ("/v1/recommend", "/v1/recommend/batch")
COUNTED = "antiphon.counted"
"""In the scope of what is refused when too much is asked: a log line would be two fifths of all
that is done for it, so such requests have one together."""

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
        self._guard = Guard(service.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, and see it off."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        id_ = request_id(headers.get(b"x-request-id"))
        scope["state"] = {"request_id": id_}
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message["headers"]
                names = {name for name, _ in given}
                own = [header for header in HEADERS if header[0] not in names]
                own.append((b"x-request-id", id_.encode("ascii")))
                message = {**message, "headers": [*given, *own]}
            await send(message)

        try:
            await self._pass(scope, headers, receive, sending)
        except Exception:
            log.exception("failed", extra={"request_id": id_, "path": scope["path"]})
            if not status:  # else an answer has begun, or was given
                await bug(id_)(scope, receive, sending)
        finally:
            self._see_off(scope, status, time.perf_counter() - started)

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        answer = self._guard.refusal(scope, headers)
        if answer is None and scope["path"] in ASK_THE_MODEL and self._service.is_full():
            answer = too_busy()  # before anything is spent on it
            self._service.refused += 1
            scope[COUNTED] = True
        if answer is None and scope["method"] in BODIES:
            body = await self._guard.body(receive)
            if body is None:
                return
            if isinstance(body, bytes):
                receive = _replay(body, receive)
            else:
                answer = body
        await (answer or self._service)(scope, receive, send)

    def _see_off(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._service.metrics.requested(route, status, seconds)
        if COUNTED in scope or not self._service.settings.log_requests:
            return
        told = {
            "method": scope["method"],
            "route": route,
            "status": status,  # 0: the caller had gone
            "ms": round(seconds * 1000, 2),
            **scope["state"],
        }
        log.info("request", extra=told)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, and then whatever comes."""
    waiting = [body]

    async def receiving() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receiving
