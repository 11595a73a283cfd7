"""What the operator of a service decides: where it listens, who may do what, and how much."""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from antiphon.errors import ConfigError, did_you_mean
from antiphon.sections import Section

__all__ = ["Key", "Limits", "Scope", "Settings", "is_loopback", "read_settings"]

Scope = Literal["read", "events", "admin"]


class Key(Section):
    """Who may do what; the key itself is nowhere, only its digest."""

    name: str = Field(min_length=1, description="who has it, as logs call them")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="digest of the key, in hex")
    scopes: tuple[Scope, ...] = Field(("read",), min_length=1, description="what it allows")


class Limits(Section):
    """How much one caller may ask for, and how much may wait."""

    body_bytes: int = Field(1 << 20, ge=1024, description="size of a request's body")
    body_seconds: float = Field(10.0, gt=0, description="time in which a body must have come")
    k: int = Field(1000, ge=1, le=10_000, description="items of a list")
    history: int = Field(1000, ge=0, description="items of a history that a request gives")
    batch: int = Field(64, ge=1, description="requests of a batch")
    events: int = Field(1000, ge=1, description="events, or items, of a call that writes")
    values: int = Field(1000, ge=1, description="values or ids of a condition on items")
    queue: int = Field(64, ge=1, description="requests that may wait for the model")
    together: int = Field(32, ge=1, description="requests answered in one go")
    deadline_ms: int = Field(1000, ge=1, description="longest wait for the model")
    connections: int = Field(1000, ge=1, description="connections of a process")


class Settings(Section):
    """The file that `antiphon serve --config` takes."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65_535, description="port; 0 for any that is free")
    workers: int = Field(1, ge=1, le=64, description="processes that answer")
    runs: Path | None = Field(None, description="folder of runs that may be deployed")
    store: str | None = Field(
        None,
        description="of live events and items: a file, or postgresql://user@host/database; by "
        "default a file beside the run",
    )
    hosts: tuple[str, ...] = Field((), description="further names the service is called by")
    cors_origins: tuple[str, ...] = Field((), description="other sites whose pages may call it")
    clock: Literal["log", "unix"] = Field(
        "log",
        description="what the present is: the end of the log and of what came since, or the time "
        "of this machine, where the log's clock counts seconds since 1970 too",
    )
    watch: bool = Field(True, description="serve what the run's path holds when it changes")
    log_requests: bool = Field(
        True, description="a line of the log for every request that isn't one too many"
    )
    keys: tuple[Key, ...] = Field((), description="who may do what; without any, everyone here")
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _not_open_to_the_world(self) -> Settings:
        if not is_loopback(self.host) and not self.keys:
            raise ValueError(
                f"{self.host} can be reached from other machines, so keys are needed: "
                "`antiphon key NAME` makes one"
            )
        names = [key.name for key in self.keys]
        if len(set(names)) < len(names):
            raise ValueError("two keys have the same name")
        return self


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_settings(path: Path | None, **told: object) -> Settings:
    """Read the file, if there is one, and put what the command line says above it.

    Raises:
        ConfigError: the file can't be read, or a value in it can't be used.
    """
    document: dict[str, object] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"the service's config can't be read: {error}") from None
    try:
        return Settings.model_validate(
            document | {name: value for name, value in told.items() if value is not None}
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        known = first["type"] != "extra_forbidden"
        raise ConfigError(
            f"the service's config can't be used: {name or 'it'}: {first['msg']}",
            received=first["input"] if name and known else None,
            hint=None if known else did_you_mean(name.rsplit(".", 1)[-1], _KEYS),
        ) from None


_KEYS = (*Settings.model_fields, *Limits.model_fields, *Key.model_fields)
