"""Routes of the operator: which run answers, another one, and back."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import Response
from pydantic import Field

from antiphon.errors import AntiphonError
from antiphon.serve.asked import AskedModel
from antiphon.serve.given import Deployed, Model, json_response
from antiphon.serve.loaded import LoadedRun
from antiphon.serve.orders import Order
from antiphon.serve.refusals import refusals, refuse

if TYPE_CHECKING:
    from antiphon.serve.service import Current, Service

__all__ = ["admin_routes"]

ADMIN = {"security": [{"key": ["admin"]}]}


class Deploy(AskedModel):
    """Which run."""

    run: Annotated[
        str,
        Field(min_length=1, max_length=255, description="its name in the service's folder of runs"),
    ]


def admin_routes(service: "Service", loaded: LoadedRun) -> APIRouter:
    """Routes that tell which run answers, and change it."""
    router = APIRouter()

    @router.get(
        "/v1/model",
        response_model=Model,
        responses=refusals(401, 403),
        openapi_extra={"security": [{"key": ["read"]}]},
        tags=["operation"],
    )
    async def model() -> Response:
        """The run that answers now."""
        return json_response(_model(service, loaded))

    @router.post(
        "/v1/admin/deploy",
        response_model=Deployed,
        responses=refusals(400, 401, 403, 408, 409, 413, 415, 422),
        openapi_extra=ADMIN,
        tags=["operation"],
    )
    async def deploy(asked: Annotated[Deploy, Body()]) -> Response:
        """Let another run answer; refused where it can't be loaded or a gate of it failed."""
        try:
            path = service.run_called(asked.run)
            return _deployed(service, await service.order(Order("deploy", str(path))))
        except AntiphonError as error:
            return refuse(409, error.what, error.received, error.allowed, error.hint)

    @router.post(
        "/v1/admin/rollback",
        response_model=Deployed,
        responses=refusals(401, 403, 409),
        openapi_extra=ADMIN,
        tags=["operation"],
    )
    async def rollback() -> Response:
        """Let the run before answer again; it is still in memory."""
        try:
            return _deployed(service, await service.order(Order("rollback")))
        except AntiphonError as error:
            return refuse(409, error.what)

    return router


def _deployed(service: "Service", current: "Current") -> Response:
    previous = service.previous and service.previous.loaded.run
    return json_response({"run": current.loaded.run, "previous": previous})


def _model(service: "Service", loaded: LoadedRun) -> dict[str, Any]:
    model = loaded.recommender.model
    figures = (loaded.evaluation or {}).get("models", {}).get("antiphon", {}).get("all", {})
    return {
        "run": loaded.run,
        "engine": loaded.engine,
        "width": int(model.candidates.shape[1]),
        "items": model.prepared.schema.item_count,
        "users": model.prepared.schema.user_count,
        "train_end_s": model.prepared.schema.train_end_s,
        "evaluation": {
            name: figure["value"] for name, figure in figures.items() if figure["value"] is not None
        },
        "since": loaded.since,
        "previous": service.previous and service.previous.loaded.run,
    }
