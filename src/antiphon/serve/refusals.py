"""One shape for everything that goes wrong: `{error: {what, received, allowed, hint}}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from antiphon.errors import AntiphonError, RequestError, did_you_mean
from antiphon.serve.asked import NotAllowedError
from antiphon.serve.batching import BusyError, TooLateError

__all__ = [
    "Problem",
    "Refusal",
    "bug",
    "explain",
    "handle_errors",
    "refusal_body",
    "refusal_of",
    "refusals",
    "refuse",
    "too_busy",
]

RETRY_AFTER_S = "1"


class Problem(BaseModel):
    """What was wrong."""

    what: str = Field(description="what was wrong, as one sentence")
    received: str | None = Field(None, description="the offending value")
    allowed: str | None = Field(None, description="what would have been accepted")
    hint: str | None = Field(None, description="what to do next")


class Refusal(BaseModel):
    """The body of every answer that isn't 2xx."""

    error: Problem


WHEN = {
    400: "the request can't be read",
    401: "no key, or an unknown one",
    403: "the key doesn't allow this, or the page of another site asks",
    404: "there is no such thing",
    405: "the path doesn't have this method",
    408: "the body didn't come in time",
    409: "the run is refused; the old one goes on answering",
    413: "the body is too large",
    415: "the body isn't JSON",
    422: "the request can't be used",
    500: "a bug of the service",
    503: "too much is asked, or no run is ready; try again after Retry-After seconds",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides 2xx, for the OpenAPI document."""
    return {status: {"model": Refusal, "description": WHEN[status]} for status in sorted(statuses)}


def refusal_body(
    what: str, received: object = None, allowed: object = None, hint: str | None = None
) -> dict[str, Any]:
    """The body, as data."""
    return {
        "error": {
            "what": what,
            "received": _words(received),
            "allowed": _words(allowed),
            "hint": hint,
        }
    }


def refuse(
    status: int,
    what: str,
    received: object = None,
    allowed: object = None,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A whole answer."""
    told = {"Retry-After": RETRY_AFTER_S} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return JSONResponse(
        refusal_body(what, received, allowed, hint), status, {**told, **(headers or {})}
    )


def bug(request_id: str) -> JSONResponse:
    """The answer where something went wrong that shouldn't; the log has the rest."""
    return refuse(500, "a bug of the service", hint=f"its log tells more, at request {request_id}")


@cache
def too_busy() -> JSONResponse:
    """The answer to one too many; always the same one, made when there is no time to make it."""
    return refuse(503, "too much is asked at once", hint="try again in a second")


def refusal_of(error: Exception) -> JSONResponse | None:
    """The answer to an error that a route raises; None where it is a bug."""
    match error:
        case RequestError():
            return refuse(422, error.what, error.received, error.allowed, error.hint)
        case AntiphonError():
            return refuse(500, error.what, hint="see the service's log")
        case BusyError():
            return too_busy()
        case TooLateError():
            return refuse(503, "the request waited for too long", hint="try again in a second")
    return None


def handle_errors(app: FastAPI) -> None:
    """Give every error that a route raises its status and body."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        body = getattr(request.scope.get("route"), "body_field", None)
        model = body.field_info.annotation if body is not None else None
        return refuse(422, **explain(error.errors(), model))

    async def known(_: Request, error: Exception) -> JSONResponse:
        answer = refusal_of(error)
        if answer is None:
            raise error
        return answer

    for kind in (AntiphonError, BusyError, TooLateError):
        app.add_exception_handler(kind, known)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, _: Exception) -> JSONResponse:
        return bug(request.scope["state"]["request_id"])

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        what = WHEN.get(error.status_code, HTTPStatus(error.status_code).phrase)
        return refuse(error.status_code, what, headers=error.headers)


def explain(errors: Sequence[Any], model: Any = None) -> dict[str, Any]:
    """The first of pydantic's errors in our words, and how many there are.

    Args:
        errors: pydantic's.
        model: of the body.
    """
    first = errors[0]
    context = first.get("ctx") or {}
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    name = ".".join(place)
    reason = context.get("error")
    hint = None
    allowed: object = None
    if isinstance(reason, NotAllowedError):
        what, allowed, hint = reason.what, reason.allowed, reason.hint
    elif first["type"] == "json_invalid":
        what = f"the body isn't JSON: {context.get('error', first['msg'])}"
        return {"what": what, "hint": "Content-Type: application/json, and JSON as the body"}
    elif first["type"] == "extra_forbidden":
        what = f"there is no {name}"
        known = _fields(model, first["loc"][1:-1])
        allowed, hint = ", ".join(known) or "none", did_you_mean(place[-1], known)
        return {"what": what, "received": place[-1], "allowed": allowed, "hint": hint}
    else:
        what = f"{name}: {first['msg']}" if name else f"the request: {first['msg']}"
    allowed = allowed or context.get("expected")
    more = len(errors) - 1
    if more:
        hint = f"{hint + '; ' if hint else ''}and {more} more like this"
    received = first.get("input")
    return {"what": what, "received": received, "allowed": allowed, "hint": hint}


def _fields(model: Any, place: Sequence[int | str]) -> list[str]:
    """The fields of the part of a body that a place leads to."""
    for part in place:
        if isinstance(part, str):
            field = getattr(model, "model_fields", {}).get(part)
            model = _model_in(field.annotation) if field is not None else None
    return list(getattr(model, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """The model that a field holds, or a list of which it holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one))), None)


def _words(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    text = value if isinstance(value, str) else repr(value)
    # JSON has no lone surrogates
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 200 else text[:197] + "..."
