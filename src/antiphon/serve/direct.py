"""A route that takes nothing but a body of JSON, and makes little of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import ValidationError

__all__ = ["DirectRoute"]


class DirectRoute(APIRoute):
    """Reads the body's model straight from its bytes, and calls the endpoint with it.

    To look for what else an endpoint may depend on takes FastAPI longer than all of that.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        model: Any = self.body_field and self.body_field.field_info.annotation

        async def handle(request: Request) -> Response:
            try:
                asked = model.model_validate_json(await request.body())
            except ValidationError as error:
                told = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
                raise RequestValidationError(told) from None
            answer: Response = await self.endpoint(asked)
            return answer

        return handle
