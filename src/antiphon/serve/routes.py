"""The routes that read: recommendations, look-ups, and what a form needs to know."""

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Body, Path, Query
from fastapi.responses import Response

from antiphon.errors import RequestError
from antiphon.request import Mode, Request
from antiphon.schema import FittedCategorical, FittedFeature
from antiphon.serve.asked import Asks, said
from antiphon.serve.desks import Desks
from antiphon.serve.direct import DirectRoute
from antiphon.serve.given import (
    Answered,
    AnsweredBatch,
    Items,
    ItemsAlike,
    SchemaShown,
    Users,
    answer_json,
    item_data,
    json_response,
    run_json,
)
from antiphon.serve.loaded import Alike, LoadedRun
from antiphon.serve.metrics import Metrics
from antiphon.serve.refusals import refusals, refuse
from antiphon.serve.settings import Limits

__all__ = ["direct_routes", "reading_routes"]

READ = {"security": [{"key": ["read"]}]}
MOST_SHOWN = 1000


def direct_routes(loaded: LoadedRun, desks: Desks, models: Asks, metrics: Metrics) -> APIRouter:
    """The routes that most requests are for."""
    router = APIRouter(route_class=DirectRoute)
    run = run_json(loaded.run)

    def shown(result: Any, asked: Any) -> bytes:
        if isinstance(result, Exception):
            raise result
        metrics.answered(asked, result, loaded.drift)
        return answer_json(result, run)

    @router.post(
        "/v1/recommend",
        response_model=Answered,
        responses=refusals(400, 401, 403, 408, 413, 415, 422, 503),
        openapi_extra=READ,
        tags=["answers"],
    )
    async def recommend(asked: Annotated[models.recommend, Body()]) -> bytes:  # type: ignore[name-defined]
        """The best items for a user at this moment."""
        return shown(await desks.model.ask_one(_request(asked)), asked)

    @router.post(
        "/v1/recommend/batch",
        response_model=AnsweredBatch,
        responses=refusals(400, 401, 403, 408, 413, 415, 422, 503),
        openapi_extra=READ,
        tags=["answers"],
    )
    async def recommend_batch(asked: Annotated[models.batch, Body()]) -> bytes:  # type: ignore[name-defined]
        """Several requests in one; one that can't be answered refuses all."""
        results = await desks.model.ask([_request(one) for one in asked.requests])
        answers = [shown(*pair) for pair in zip(results, asked.requests, strict=True)]
        return b'{"answers":[%b],"run":%b}' % (b",".join(answers), run)

    return router


def reading_routes(loaded: LoadedRun, desks: Desks, limits: Limits) -> APIRouter:
    """Routes that tell of one run."""
    router = APIRouter()
    run = loaded.run

    @router.get(
        "/v1/items/{id:path}/similar",
        response_model=ItemsAlike,
        responses=refusals(401, 403, 404, 422, 503),
        openapi_extra=READ,
        tags=["answers"],
    )
    async def similar(
        id: Annotated[str, Path(min_length=1, max_length=512)],  # noqa: A002 - the API's word
        k: Annotated[int, Query(ge=1, le=limits.k)] = 10,
    ) -> Response:
        """The items most like one, popularity left out."""
        try:
            result: Any = await desks.model.ask_one(Alike(id, k))
        except RequestError as error:
            return refuse(404, error.what, error.received)
        return json_response({"items": [item_data(item) for item in result], "run": run})

    @router.get(
        "/v1/users",
        response_model=Users,
        responses=refusals(401, 403, 422),
        openapi_extra=READ,
        tags=["look-ups"],
    )
    async def users(
        limit: Annotated[int, Query(ge=1, le=MOST_SHOWN)] = 20,
        query: Annotated[str, Query(max_length=512, description="a user's id")] = "",
    ) -> Response:
        """Users of the log, those with most events first; or the one with an id."""
        found = loaded.lookups.users(limit, query)
        return json_response({"users": [{"id": id_} for id_ in found]})

    @router.get(
        "/v1/items",
        response_model=Items,
        responses=refusals(401, 403, 422, 503),
        openapi_extra=READ,
        tags=["look-ups"],
    )
    async def items(
        limit: Annotated[int, Query(ge=1, le=MOST_SHOWN)] = 20,
        query: Annotated[
            str, Query(max_length=512, description="an item's id, or part of its title")
        ] = "",
    ) -> Response:
        """Items of the corpus, the most played first."""
        found = await desks.lookups.ask_one((limit, query))
        return json_response({"items": [{"id": id_, "title": title} for id_, title in found]})

    @router.get(
        "/v1/schema",
        response_model=SchemaShown,
        responses=refusals(401, 403),
        openapi_extra=READ,
        tags=["look-ups"],
    )
    async def schema() -> Response:
        """What a request may say: a form can be drawn from it."""
        return json_response(_schema(loaded, limits))

    return router


def _request(asked: Any) -> Request:
    return Request(
        user_id=asked.user,
        context=said(asked.context),
        history=asked.history,
        k=asked.k,
        mode=asked.mode,
        exclude_heard=asked.exclude_heard,
        where=said(asked.where),
        allow=asked.allow,
        deny=asked.deny,
        at_most=said(asked.at_most),
        why=asked.why,
        time_s=asked.time_s,
    )


def _schema(loaded: LoadedRun, limits: Limits) -> dict[str, Any]:
    schema = loaded.recommender.schema
    by_default = loaded.recommender.model.config.evaluate.exclude_heard
    return {
        "context": [_feature(feature) for feature in schema.context],
        "item": [_feature(feature) for feature in schema.item],
        "modes": list(get_args(Mode)),
        "default_mode": "discover" if by_default else "all",
        "items": schema.item_count,
        "users": schema.user_count,
        "titles": loaded.lookups.titles is not None,
        "report": loaded.report is not None,
        "limits": limits.model_dump(include={"k", "history", "batch", "events", "values"}),
        "run": loaded.run,
    }


def _feature(feature: FittedFeature) -> dict[str, Any]:
    shown = feature.model_dump(include={"name", "kind", "period", "mean", "deviation", "size"})
    if isinstance(feature, FittedCategorical) and feature.values is not None:
        labels = feature.labels or (None,) * len(feature.values)
        shown["values"] = [
            {"value": value, "label": label}
            for value, label in zip(feature.values, labels, strict=True)
        ]
    return shown
