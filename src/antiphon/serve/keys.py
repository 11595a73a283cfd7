"""Who may do what: keys, as digests, and the scope that each path needs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from antiphon.serve.settings import Key, Scope

__all__ = ["Keys", "digest", "new_key", "scope_of"]


def new_key() -> str:
    """A key nobody can guess: 256 random bits."""
    return f"antiphon_{secrets.token_urlsafe(32)}"


def digest(key: str | bytes) -> str:
    """What a config holds of a key. Random keys need no salt and no slow hash."""
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).hexdigest()


def scope_of(method: str, path: str) -> Scope | None:
    """What a request must be allowed to do; None where everyone may."""
    if path.startswith("/v1/admin/"):
        return "admin"
    if path == "/v1/events" or (path.startswith("/v1/items") and method not in ("GET", "HEAD")):
        return "events"
    if path.startswith("/v1/") or path in ("/metrics", "/report", "/openapi.json"):
        return "read"
    return None


class Keys:
    """Looks up whom a key belongs to, in the same time whether it is nearly right or not at all."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = [(key.sha256.encode(), key) for key in keys]

    @property
    def needed(self) -> bool:
        """Whether there are any; without, everyone who can reach the service may do everything."""
        return bool(self._keys)

    def owner(self, authorization: bytes | None) -> Key | None:
        """Whose key the header `Authorization: Bearer KEY` holds."""
        scheme, _, given = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        found = None
        given_digest = digest(given.strip()).encode()
        for known, key in self._keys:  # all of them: the time tells nothing
            if hmac.compare_digest(known, given_digest):
                found = key
        return found
