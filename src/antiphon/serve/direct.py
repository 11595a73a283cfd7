"""Routes that take nothing but a body of JSON, and that most requests are for.

To look through all routes, and for what else an endpoint may depend on, takes FastAPI and Starlette
longer than all the rest that the loop does for an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.serve.refusals import explain, refusal_of, refuse

__all__ = ["DirectRoute", "Straight"]


class DirectRoute(APIRoute):
    """Reads the body's model straight from its bytes; the endpoint gives the answer as bytes."""

    async def answer(self, body: bytes) -> Response:
        """The answer, or why there is none."""
        model: Any = self.body_field and self.body_field.field_info.annotation
        try:
            asked = model.model_validate_json(body)
        except ValidationError as error:
            told = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
            return refuse(422, **explain(told, model))
        try:
            return Response(await self.endpoint(asked), media_type="application/json")
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            return refusal

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""

        async def handle(request: Request) -> Response:
            return await self.answer(await request.body())

        return handle


class Straight:
    """An application whose direct routes are gone to straight.

    Args:
        app: has these routes and all others.
        direct: has these alone; their bodies come in one piece.
    """

    def __init__(self, app: ASGIApp, direct: APIRouter) -> None:
        self._app = app
        self._routes = {
            (method, route.path): route
            for route in direct.routes
            if isinstance(route, DirectRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        answer = await route.answer((await receive())["body"])
        await answer(scope, receive, send)
