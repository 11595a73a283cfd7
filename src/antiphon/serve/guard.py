"""What is refused before the service sees it: wrong callers, wrong sites, too large a body."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi.responses import Response
from starlette.types import Message, Receive, Scope

from antiphon.serve.keys import Keys, scope_of
from antiphon.serve.refusals import refuse
from antiphon.serve.settings import Settings, is_loopback

__all__ = ["BODIES", "Guard", "Headers"]

BODIES = ("POST", "PUT", "PATCH")
Headers = Mapping[bytes, bytes]
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Guard:
    """The rules of one service."""

    def __init__(self, settings: Settings) -> None:
        self._keys = Keys(settings.keys)
        self._limits = settings.limits
        self._origins = {origin.encode("latin-1") for origin in settings.cors_origins}
        own = (*LOOPBACK, settings.host) if is_loopback(settings.host) else ()
        # a page elsewhere may point a name of its own at this machine, and so reach what listens
        # here only: the name it is then called by gives it away
        self._hosts = {name.strip("[]").encode() for name in (*own, *settings.hosts)}

    def refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Why a request doesn't pass, judged by its head; None where it does."""
        host = headers.get(b"host", b"")
        if self._hosts and _name(host) not in self._hosts:
            return refuse(
                403, "the service isn't called that", host, hint="hosts of its config may name it"
            )
        if self._from_elsewhere(scope, headers, host):
            return refuse(
                403,
                "the page of another site asks",
                headers.get(b"origin"),
                hint="cors_origins of the service's config may name it",
            )
        if refused := self._by_key(scope, headers):
            return refused
        if scope["method"] in BODIES:
            return self._by_body(headers)
        return None

    async def body(self, receive: Receive) -> bytes | Response | None:
        """The whole body; or why it is refused; or None where the caller has gone."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message: Message = await receive()
                    if message["type"] != "http.request":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._limits.body_bytes:
                        return self._too_large(size)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            return refuse(408, "the body didn't come in time", headers={"Connection": "close"})

    def _from_elsewhere(self, scope: Scope, headers: Headers, host: bytes) -> bool:
        origin = headers.get(b"origin")
        if origin is not None:
            return origin not in self._origins and origin.partition(b"://")[2] != host
        # a link from elsewhere to the page is fine, one to an answer isn't
        return headers.get(b"sec-fetch-site") == b"cross-site" and scope["path"].startswith("/v1/")

    def _by_key(self, scope: Scope, headers: Headers) -> Response | None:
        needed = scope_of(scope["method"], scope["path"])
        if needed is None or not self._keys.needed:
            return None
        owner = self._keys.owner(headers.get(b"authorization"))
        if owner is None:
            return refuse(
                401,
                "no key, or an unknown one",
                allowed="Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )
        scope["state"]["caller"] = owner.name
        if needed not in owner.scopes:
            return refuse(403, f"this key doesn't allow {needed}", allowed=", ".join(owner.scopes))
        return None

    def _by_body(self, headers: Headers) -> Response | None:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            return self._too_large(int(length))
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        # what a form of another site can send without asking is refused with it
        if media_type != b"application/json" and length != b"0":
            return refuse(
                415, "the body isn't JSON", media_type or None, "Content-Type: application/json"
            )
        return None

    def _too_large(self, size: int) -> Response:
        return refuse(
            413,
            "the body is too large",
            f"{size} bytes",
            f"{self._limits.body_bytes} bytes",
            headers={"Connection": "close"},
        )


def _name(host: bytes) -> bytes:
    """A Host header without its port."""
    if host.startswith(b"["):
        return host[1:].partition(b"]")[0]
    return host.partition(b":")[0].lower()
