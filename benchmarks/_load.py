"""A load generator that costs little: one thread, plain sockets, requests made beforehand.

Closed loop: every connection asks again as soon as it is answered; shows the most a service can do.
Open loop: requests arrive at random, at a given rate, whether or not earlier ones were answered;
what one waits for a free connection counts as its latency, so a service that stalls can't hide it.
"""

from __future__ import annotations

import json
import select
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Seen", "http_request", "load"]


@dataclass
class Seen:
    """What came back.

    Attributes:
        latency_s: of answers with status 200, from when each was due.
        refused_s: of those with status 503, from when each was sent.
        late_s: how late each was sent that was due at some time, though a connection was free.
        statuses: how often each; 0 is a connection that broke.
        bodies: of answers with status 200, where they were asked for.
        elapsed_s: from the first request to the last answer.
    """

    latency_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)
    elapsed_s: float = 0.0

    def told(self) -> dict[str, Any]:
        """The figures."""
        answered = len(self.latency_s)
        return {
            "answers_per_s": round(answered / self.elapsed_s, 1),
            **_quantiles("", self.latency_s),
            **_quantiles("refused_", self.refused_s),
            **_quantiles("late_", self.late_s),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
        }


def _quantiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    p50, p99, most = np.quantile(seconds, [0.5, 0.99, 1.0]) * 1000
    return {
        f"{name}p50_ms": round(float(p50), 2),
        f"{name}p99_ms": round(float(p99), 2),
        f"{name}max_ms": round(float(most), 2),
    }


def http_request(body: Any, path: str = "/v1/recommend", host: str = "localhost") -> bytes:
    """The bytes of a POST."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = self.sent = self.freed = 0.0
        self.got = b""

    def ask(self, request: bytes, due: float) -> None:
        self.due, self.sent, self.got = due, time.perf_counter(), b""
        self.socket.sendall(request)

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body, when all has come; status 0 where the connection broke."""
        try:
            part = self.socket.recv(1 << 18)
        except OSError:
            part = b""
        if not part:
            return 0, b""
        self.got += part
        head, separator, body = self.got.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return (int(head[9:12]), body) if len(body) >= length else None


def load(
    port: int,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    rate: float | None = None,
    *,
    most: int | None = None,
    keep_bodies: bool = False,
) -> Seen:
    """Ask for some seconds.

    Args:
        port: on this machine.
        requests: asked one after the other, over and over.
        connections: kept open.
        seconds: for how long new requests are due.
        rate: requests a second; None is the closed loop.
        most: requests after which it ends, however much time is left.
        keep_bodies: whether to keep what was answered.
    """
    seen = Seen()
    selector: Any = selectors.DefaultSelector()
    free: deque[_Connection] = deque()
    for _ in range(connections):
        connection = _Connection(port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        free.append(connection)
    generator = np.random.default_rng(0)
    started = time.perf_counter()
    due: deque[float] = deque()
    if rate is not None:
        gaps = generator.exponential(1 / rate, int(rate * seconds))
        due.extend((started + np.cumsum(gaps)).tolist())
    end, asked, flying = started + seconds, 0, 0
    while True:
        now = time.perf_counter()
        if asked == most:
            end = now
            due.clear()
        while free and asked != most and ((rate is None and now < end) or (due and due[0] <= now)):
            connection = free.popleft()
            if due:
                seen.late_s.append(now - max(due[0], connection.freed))
            connection.ask(requests[asked % len(requests)], due.popleft() if due else now)
            asked += 1
            flying += 1
        if not flying and not due and (rate is not None or now >= end):
            break
        wait = max(0.0, due[0] - now) if due and free else 0.5
        # to the microsecond; a selector by itself waits for whole milliseconds: all would be late
        select.select([selector], [], [], wait)
        for key, _ in selector.select(0):
            connection = key.data
            answer = connection.answer()
            if answer is None:
                continue
            status, body = answer
            taken = time.perf_counter() - connection.due
            seen.statuses[status] += 1
            flying -= 1
            if status == 0:
                selector.unregister(connection.socket)
                connection.socket.close()
                connection = _Connection(port)
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            elif status == 200:
                seen.latency_s.append(taken)
                if keep_bodies:
                    seen.bodies.append(body)
            elif status == 503:
                seen.refused_s.append(time.perf_counter() - connection.sent)
            connection.freed = time.perf_counter()
            free.append(connection)
    seen.elapsed_s = time.perf_counter() - started
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    return seen
