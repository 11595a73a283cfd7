"""The routes that read: recommendations, look-ups, and what a form needs to know."""

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Body, Query
from fastapi.responses import Response

from antiphon.recommend import Answer
from antiphon.retrieval import Mode
from antiphon.schema import FittedCategorical, FittedFeature
from antiphon.serve.asked import asks
from antiphon.serve.batching import Batcher
from antiphon.serve.given import (
    Answered,
    AnsweredBatch,
    Items,
    SchemaShown,
    Users,
    answer_data,
    json_response,
)
from antiphon.serve.loaded import LoadedRun
from antiphon.serve.metrics import Metrics
from antiphon.serve.refusals import refusals
from antiphon.serve.settings import Limits

__all__ = ["reading_routes"]

READ = {"security": [{"key": ["read"]}]}
MOST_SHOWN = 1000


def reading_routes(
    loaded: LoadedRun, batcher: Batcher[Any, Answer], limits: Limits, metrics: Metrics
) -> APIRouter:
    """Routes that answer from one run."""
    router = APIRouter()
    models = asks(loaded.recommender.schema, limits)
    run = loaded.run

    def shown(result: Answer | Exception, asked: Any) -> dict[str, Any]:
        if isinstance(result, Exception):
            raise result
        metrics.answered(asked, result)
        return answer_data(result, run)

    @router.post(
        "/v1/recommend",
        response_model=Answered,
        responses=refusals(400, 401, 403, 408, 413, 415, 422, 503),
        openapi_extra=READ,
        tags=["answers"],
    )
    async def recommend(asked: Annotated[models.recommend, Body()]) -> Response:  # type: ignore[name-defined]
        """The best items for a user at this moment."""
        (result,) = await batcher.ask([asked])
        return json_response(shown(result, asked))

    @router.post(
        "/v1/recommend/batch",
        response_model=AnsweredBatch,
        responses=refusals(400, 401, 403, 408, 413, 415, 422, 503),
        openapi_extra=READ,
        tags=["answers"],
    )
    async def recommend_batch(asked: Annotated[models.batch, Body()]) -> Response:  # type: ignore[name-defined]
        """Several requests in one; one that can't be answered refuses all."""
        results = await batcher.ask(asked.requests)
        pairs = zip(results, asked.requests, strict=True)
        return json_response({"answers": [shown(*pair) for pair in pairs], "run": run})

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
        responses=refusals(401, 403, 422),
        openapi_extra=READ,
        tags=["look-ups"],
    )
    def items(  # in a thread of its own: it may go through millions of titles
        limit: Annotated[int, Query(ge=1, le=MOST_SHOWN)] = 20,
        query: Annotated[
            str, Query(max_length=512, description="an item's id, or part of its title")
        ] = "",
    ) -> Response:
        """Items of the corpus, the most played first."""
        found = loaded.lookups.items(limit, query)
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
