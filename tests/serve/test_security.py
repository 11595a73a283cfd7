"""Who may ask what, how much, and from where."""

from __future__ import annotations

import json
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Client, serving

from antiphon.errors import ConfigError
from antiphon.serve.keys import Keys, digest, new_key, scope_of
from antiphon.serve.settings import Key, Limits, Settings, is_loopback, read_settings

KEYS = {"reader": ["read"], "writer": ["events"], "operator": ["read", "events", "admin"]}


@pytest.fixture(scope="module")
def locked(run, tmp_path_factory) -> Iterator[Client]:
    """A service with keys, small limits, and one site that may call it."""
    keys = [
        {"name": name, "sha256": digest(f"key of {name}"), "scopes": scopes}
        for name, scopes in KEYS.items()
    ]
    limits = {"body_bytes": 2048, "k": 20, "history": 5, "batch": 2, "events": 3, "values": 4}
    with serving(
        run,
        store=str(tmp_path_factory.mktemp("store") / "live"),
        keys=keys,
        limits=limits | {"body_seconds": 0.3},
        cors_origins=["https://shop.example"],
        hosts=["music.example"],
    ) as client:
        yield client


PATHS = [
    ("POST", "/v1/recommend", {}, "read"),
    ("POST", "/v1/recommend/batch", {"requests": [{}]}, "read"),
    ("GET", "/v1/items/501/similar", None, "read"),
    ("GET", "/v1/users", None, "read"),
    ("GET", "/v1/items", None, "read"),
    ("GET", "/v1/schema", None, "read"),
    ("GET", "/v1/model", None, "read"),
    ("GET", "/metrics", None, "read"),
    ("GET", "/report", None, "read"),
    ("GET", "/openapi.json", None, "read"),
    ("POST", "/v1/events", {"events": [{"user": 1, "item": 501}]}, "events"),
    ("POST", "/v1/items", {"items": [{"id": 9_000_001}]}, "events"),
    ("DELETE", "/v1/items/599", None, "events"),
    ("POST", "/v1/items/599/restore", {}, "events"),
    ("POST", "/v1/admin/deploy", {"run": "nothing"}, "admin"),
    ("POST", "/v1/admin/rollback", {}, "admin"),
]


@pytest.mark.parametrize(("method", "path", "body", "scope"), PATHS)
def test_each_route_needs_its_scope(locked, method, path, body, scope) -> None:
    def status(key: str | None) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return locked.ask(method, path, body, headers)[0]

    assert status(None) == 401
    assert status("key of nobody") == 401
    for name, scopes in KEYS.items():
        allowed = status(f"key of {name}")
        assert allowed in (200, 409) if scope in scopes else allowed == 403, name


def test_every_route_is_in_that_table(locked) -> None:
    operator = {"Authorization": "Bearer key of operator"}
    document = locked.ask("GET", "/openapi.json", headers=operator)[1]
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            scope = scope_of(method.upper(), path.replace("{id}", "1"))
            declared = [one["key"] for one in described.get("security", [])]
            assert declared == ([[scope]] if scope else []), (method, path)


def test_what_needs_no_key(locked) -> None:
    for path in ("/health", "/ready", "/"):
        assert locked.ask("GET", path)[0] == 200
    assert locked.ask("GET", "/nothing")[0] == 404


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic key of reader",
        "key of reader",
        "Bearer key of readers",
        "Bearer key of reade",
        f"Bearer {digest('key of reader')}",
    ],
)
def test_keys_that_are_nearly_right_are_wrong(locked, header) -> None:
    error = locked.refused(401, "GET", "/v1/users", headers={"Authorization": header})
    assert error["allowed"] == "Authorization: Bearer KEY"


def test_keys_are_kept_as_digests() -> None:
    made = new_key()
    assert len(made) > 40
    assert made != new_key()
    keys = Keys([Key(name="a", sha256=digest(made), scopes=("read",))])
    assert keys.owner(f"Bearer {made}".encode()).name == "a"
    assert keys.owner(f"bearer {made}".encode()).name == "a"
    assert keys.owner(None) is None
    assert not Keys([]).needed


OPERATOR = {"Authorization": "Bearer key of operator"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/recommend", {"k": 21}),
        ("/v1/recommend", {"history": list(range(6))}),
        ("/v1/recommend", {"deny": list(range(5))}),
        ("/v1/recommend/batch", {"requests": [{}] * 3}),
        ("/v1/events", {"events": [{"user": 1, "item": 501}] * 4}),
        ("/v1/items", {"items": [{"id": n} for n in range(4)]}),
    ],
)
def test_limits(locked, path, body) -> None:
    locked.refused(422, "POST", path, body, headers=OPERATOR)


def raw(client: Client, *parts: bytes, wait_s: float = 5.0) -> bytes:
    """What comes back for bytes, sent one part after the other, until the service hangs up."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=wait_s) as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR) if len(parts) > 1 else None
        found = b""
        while b"\r\n\r\n" not in found or not found.endswith(b"}"):
            part = connection.recv(65_536)
            if not part:
                break
            found += part
        return found


HEAD = b"POST /v1/recommend HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key of reader\r\n"
JSON = b"Content-Type: application/json\r\n"


def test_bodies_that_are_too_large_are_refused_before_they_are_read(locked) -> None:
    told = raw(locked, HEAD + JSON + b"Content-Length: 999999999\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 413")
    chunk = b"800\r\n" + b" " * 2048 + b"\r\n"
    told = raw(locked, HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + chunk)
    assert told.startswith(b"HTTP/1.1 413")
    assert json.loads(told.partition(b"\r\n\r\n")[2])["error"]["allowed"] == "2048 bytes"


def test_bodies_that_dont_come_are_not_waited_for(locked) -> None:
    told = raw(locked, HEAD + JSON + b"Content-Length: 10\r\n\r\n{")
    assert told.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("kind", [b"", b"Content-Type: text/plain\r\n", b"Content-Type: x\r\n"])
def test_what_a_form_elsewhere_could_send_is_refused(locked, kind) -> None:
    told = raw(locked, HEAD + kind + b"Content-Length: 2\r\n\r\n{}")
    assert told.startswith(b"HTTP/1.1 415")


def test_pages_of_other_sites_may_not_ask(locked) -> None:
    def status(**headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return locked.ask("POST", "/v1/recommend", {}, OPERATOR | given)[0]

    own = f"127.0.0.1:{locked.port}"
    assert status(Origin=f"http://{own}") == 200
    assert status(Origin="https://shop.example") == 200
    for elsewhere in ("https://evil.example", "null", f"http://{own}.evil.example"):
        assert status(Origin=elsewhere) == 403
    assert status(Sec_Fetch_Site="cross-site") == 403
    assert status(Sec_Fetch_Site="same-origin") == 200


def test_a_name_that_somebody_else_points_here_is_refused(locked) -> None:
    for host, status in (
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("LOCALHOST:80", 200),
        ("music.example", 200),
        ("[::1]:8000", 200),
    ):
        assert locked.ask("GET", "/health", headers={"Host": host})[0] == status


def test_only_named_sites_are_told_that_they_may(locked, client) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    for service, origin, allowed in (
        (locked, "https://shop.example", True),
        (locked, "https://evil.example", False),
        (client, "https://shop.example", False),
    ):
        _, _, headers = service.ask("OPTIONS", "/v1/recommend", headers={"Origin": origin, **asked})
        assert (headers.get("access-control-allow-origin") == origin) == allowed
    headers = locked.ask(
        "GET", "/v1/users", headers={"Origin": "https://shop.example", **OPERATOR}
    )[2]
    assert headers["access-control-allow-origin"] == "https://shop.example"


@pytest.mark.parametrize("path", ["/", "/report", "/v1/users", "/nothing", "/health"])
def test_strict_headers_on_everything(client, path) -> None:
    headers = client.ask("GET", path)[2]
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy or "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize(
    "name", ["../one", "/etc", "..", ".", "", "one/../one", "one\0", "one/", ".hidden", "x" * 300]
)
def test_no_name_of_a_run_leads_anywhere_else(run, tmp_path, name) -> None:
    from antiphon.errors import ArtifactError
    from antiphon.serve.service import Service

    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / ".hidden").mkdir()
    service = Service(tmp_path / "runs" / "one", Settings())
    with pytest.raises(ArtifactError, match="no such run"):
        service.run_called(name)
    assert service.run_called("one") == tmp_path / "runs" / "one"


def test_the_world_needs_keys() -> None:
    assert [is_loopback(h) for h in ("127.0.0.1", "::1", "localhost", "127.9.9.9")] == [True] * 4
    assert not any(is_loopback(h) for h in ("0.0.0.0", "::", "example.org", "10.0.0.1"))
    with pytest.raises(ConfigError, match="keys are needed"):
        read_settings(None, host="0.0.0.0")
    key = {"name": "a", "sha256": "0" * 64}
    assert Settings.model_validate({"host": "0.0.0.0", "keys": [key]}).workers == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = 'x'", "port"),
        ("prot = 1", "did you mean 'port'?"),
        ("[limits]\nkk = 1", "limits.kk"),
        ("[[keys]]\nname = 'a'\nsha256 = 'short'", "keys.0.sha256"),
        (f"[[keys]]\nname='a'\nsha256='{'0' * 64}'\nscopes=['all']", "keys.0.scopes.0"),
        (f"keys = [{{name='a', sha256='{'0' * 64}'}}, {{name='a', sha256='{'1' * 64}'}}]", "same"),
        ("port = ", "can't be read"),
    ],
)
def test_a_config_that_cant_be_used_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "service.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_settings(path)
    assert words in str(caught.value)


def test_the_command_line_stands_above_the_file(tmp_path: Path) -> None:
    path = tmp_path / "service.toml"
    path.write_text("port = 81\nworkers = 2\n[limits]\nk = 7\n")
    told: dict[str, Any] = {"port": 82, "host": None}
    settings = read_settings(path, **told)
    assert (settings.port, settings.workers, settings.limits.k) == (82, 2, 7)
    with pytest.raises(ConfigError, match="can't be read"):
        read_settings(tmp_path / "nothing.toml")


def test_the_config_in_the_docs_is_all_there_is_with_its_defaults() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    document = tomllib.loads(text.partition("```toml service")[2].partition("```")[0])
    assert document.keys() == Settings.model_fields.keys()
    assert document["limits"] == Limits().model_dump()
    assert document["keys"][0].keys() == Key.model_fields.keys()
    shown = Settings.model_validate(document).model_dump(exclude={"keys", "runs", "store"})
    assert shown == Settings().model_dump(exclude={"keys", "runs", "store"})
