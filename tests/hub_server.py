"""A local server that speaks the part of the Hugging Face hub's protocol that a download needs.

Two origins on loopback, as with the real hub:

- the hub answers `/datasets/OWNER/NAME/resolve/REVISION/PATH` with a redirect that states
  `X-Repo-Commit`, `X-Linked-Etag` (the SHA-256), `X-Linked-Size`, and refuses with `X-Error-Code`;
- the content network sends the bytes, honouring `Range`.

Everything asked is kept in `log`, everything sent is counted, and faults are planted by attributes.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Literal

_RESOLVE = re.compile(r"/datasets/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(.+)")
_BLOCK_BYTES = 2**16


@dataclass(frozen=True)
class Asked:
    """One request, as the server saw it."""

    server: Literal["hub", "content"]
    method: str
    path: str
    range: str | None
    authorization: str | None
    accept_encoding: str | None


@dataclass
class HubServer:
    """The state of both servers; use as a context manager.

    Faults:
        break_at: send only the body's bytes before this position of the file, then end the
            connection, for the first `breaks` transfers that would pass it. `reset` ends it by a
            reset instead of an orderly close.
        hold_at: send the bytes before this position and then wait for `release`.
        corrupt: send the complement of each byte.
        shorten: send (and declare) this many bytes fewer than stated.
        ignore_range: always send whole files, as some proxies do.
        refuse: this status for every request to the hub; `refuse_content` to the content network.
        token: the hub wants this one.
        hide: don't state commit and hash, as a server does that is no hub.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    repository: str = "yandex/yambda"
    break_at: int | None = None
    breaks: int = 0
    reset: bool = False
    hold_at: int | None = None
    corrupt: bool = False
    shorten: int = 0
    ignore_range: bool = False
    refuse: int | None = None
    refuse_content: int | None = None
    token: str | None = None
    hide: bool = False

    def __post_init__(self) -> None:
        self.log: list[Asked] = []
        self.sent_bytes = 0
        self.holding = threading.Event()
        self.release = threading.Event()
        self.lock = threading.Lock()
        self._servers = [
            ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, name))
            for name in ("hub", "content")
        ]
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            for server in self._servers
        ]

    def __enter__(self) -> HubServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def content_endpoint(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    @property
    def commit(self) -> str:
        """Changes with any file, like the real one."""
        state = hashlib.sha1()
        for path in sorted(self.files):
            state.update(path.encode() + hashlib.sha1(self.files[path]).digest())
        return state.hexdigest()

    def asked(self, server: str, method: str) -> list[Asked]:
        return [asked for asked in self.log if (asked.server, asked.method) == (server, method)]


def _handler(hub: HubServer, name: Literal["hub", "content"]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            kept = ("Range", "Authorization", "Accept-Encoding")
            with hub.lock:
                hub.log.append(
                    Asked(name, self.command, self.path, *(self.headers[key] for key in kept))
                )
            (self.answer_hub if name == "hub" else self.answer_content)()

        def empty(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def answer_hub(self) -> None:
            asked = _RESOLVE.fullmatch(self.path)
            if hub.refuse:
                self.empty(hub.refuse)
            elif not asked or asked["repository"] != hub.repository:
                self.empty(404, X_Error_Code="RepoNotFound")
            elif hub.token and self.headers["Authorization"] != f"Bearer {hub.token}":
                self.empty(403, X_Error_Code="GatedRepo", X_Error_Message="Ask for access.")
            elif asked["revision"] not in ("main", hub.commit):
                self.empty(404, X_Error_Code="RevisionNotFound")
            elif asked[3] not in hub.files:
                self.empty(404, X_Error_Code="EntryNotFound", X_Repo_Commit=hub.commit)
            elif hub.hide:
                self.empty(200, ETag='"abc"')
            else:
                body = hub.files[asked[3]]
                sha256 = hashlib.sha256(body).hexdigest()
                self.empty(
                    302,
                    Location=f"{hub.content_endpoint}/{sha256}?signature=secret",
                    X_Repo_Commit=hub.commit,
                    X_Linked_Etag=f'"{sha256}"',
                    X_Linked_Size=str(len(body)),
                    # The real hub offers Xet as well; a download that took it would fail here.
                    X_Xet_Hash=sha256,
                    Link=f'<{hub.endpoint}/no-xet>; rel="xet-auth"',
                )

        def answer_content(self) -> None:
            if hub.refuse_content:
                self.empty(hub.refuse_content)
                return
            sha256 = self.path[1:].partition("?")[0]
            body = next(b for b in hub.files.values() if hashlib.sha256(b).hexdigest() == sha256)
            body = body[: len(body) - hub.shorten]
            begin, end = 0, len(body)
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
            if asked and not hub.ignore_range:
                begin = int(asked[1])
                end = min(end, int(asked[2]) + 1) if asked[2] else end
                if begin >= end:
                    self.empty(416, Content_Range=f"bytes */{len(body)}")
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(end - begin))
            self.end_headers()
            self.send_body(body, begin, end)

        def send_body(self, body: bytes, begin: int, end: int) -> None:
            stop = end
            if hub.break_at is not None and begin <= hub.break_at < end and hub.breaks > 0:
                hub.breaks -= 1
                stop = hub.break_at
            while begin < stop:
                if hub.hold_at is not None and begin >= hub.hold_at and not hub.release.is_set():
                    hub.holding.set()
                    hub.release.wait()
                    self.close_connection = True
                    return
                block = body[begin : min(begin + _BLOCK_BYTES, stop)]
                sent = bytes(255 - byte for byte in block) if hub.corrupt else block
                with hub.lock:  # before who waits for them can have them
                    hub.sent_bytes += len(block)
                self.wfile.write(sent)
                begin += len(block)
            if stop < end:
                self.close_connection = True
                if hub.reset:
                    # With a linger time of zero, closing sends a reset; detached, it closes now.
                    self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                    os.close(self.connection.detach())

    return Handler
