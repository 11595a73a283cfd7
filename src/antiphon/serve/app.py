"""One run's HTTP application; a deployment makes another one."""

from __future__ import annotations

import weakref
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Path
from fastapi.responses import Response
from starlette.types import ASGIApp

from antiphon.serve.admin import admin_routes
from antiphon.serve.asked import asks
from antiphon.serve.desks import Desks
from antiphon.serve.direct import Straight
from antiphon.serve.given import Health, json_response
from antiphon.serve.loaded import LoadedRun
from antiphon.serve.map_routes import map_routes
from antiphon.serve.page_files import PageFile
from antiphon.serve.refusals import handle_errors, refusals, refuse
from antiphon.serve.routes import direct_routes, reading_routes
from antiphon.serve.writing import writing_routes

if TYPE_CHECKING:
    from antiphon.serve.service import Service

__all__ = ["make_app"]

REPORT_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def make_app(service: Service, loaded: LoadedRun, desks: Desks) -> ASGIApp:
    """The application that answers from `loaded`, which the caller keeps alive, as `desks`."""
    # FastAPI remembers every endpoint for good, and with it whatever that refers to
    loaded, desks = weakref.proxy(loaded), weakref.proxy(desks)
    app = FastAPI(
        title="Antiphon",
        version=version("antiphon"),
        description="Context-aware recommendations from one run, with the log's own ids.",
        docs_url=None,  # these two would bring scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    handle_errors(app)
    limits = service.settings.limits
    models = asks(loaded.recommender.schema, limits)
    direct = direct_routes(loaded, desks, models, service.metrics)
    app.include_router(direct)
    app.include_router(reading_routes(loaded, desks, limits))
    app.include_router(map_routes(loaded, limits))
    app.include_router(writing_routes(loaded, desks, models, limits))
    app.include_router(admin_routes(service, loaded))
    app.include_router(_operation(service))
    app.include_router(_pages(loaded, service.pages))
    _describe_keys(app, needed=bool(service.settings.keys))
    return Straight(app, direct)


def _operation(service: Service) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/health", response_model=Health)
    async def health() -> Response:
        """Whether the process is there."""
        return json_response({"status": "ok"})

    @router.get("/ready", response_model=Health, responses=refusals(503))
    async def ready() -> Response:
        """Whether it takes requests: not before a run is loaded, nor when it is stopping."""
        if service.stopping:
            return refuse(503, "the service is stopping")
        return json_response({"status": "ready"})

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **refusals(401, 403)},
        openapi_extra={"security": [{"key": ["read"]}]},
    )
    def metrics() -> Response:
        """Counters and histograms in Prometheus' text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return router


def _pages(loaded: LoadedRun, pages: dict[str, PageFile]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    def file(name: str) -> Response:
        found = pages.get(name)
        if found is None:
            return refuse(404, "there is no such file", name)
        return Response(
            found.content, media_type=found.media_type, headers={"Cache-Control": "no-cache"}
        )

    @router.get("/")
    async def index() -> Response:
        return file("index.html")

    @router.get("/assets/{name}")
    async def asset(name: str = Path()) -> Response:
        return file(name)

    @router.get("/report")
    async def report() -> Response:
        if loaded.report is None:
            return refuse(404, "the run has no evaluation", hint="run `antiphon evaluate RUN`")
        return Response(
            loaded.report,
            media_type="text/html; charset=utf-8",
            headers={"Content-Security-Policy": REPORT_CSP},
        )

    return router


def _describe_keys(app: FastAPI, *, needed: bool) -> None:
    """Tell the OpenAPI document how a key is given, where one is needed."""
    document = app.openapi()  # made once, kept by the app
    if needed:
        scheme = {"type": "http", "scheme": "bearer", "description": "`antiphon key` makes one"}
        document.setdefault("components", {})["securitySchemes"] = {"key": scheme}
        return
    for methods in document["paths"].values():
        for described in methods.values():
            described.pop("security", None)
