"""The routes that write: what users did, and which items there are."""

import weakref
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from fastapi.responses import Response
from pydantic import Field, create_model

from antiphon.live import AddedItem, LiveEvent
from antiphon.schema import FittedCategorical, FittedFeature
from antiphon.serve.asked import AskedModel, Asks, Id, Moment, Text, said, stated_type
from antiphon.serve.desks import Desks
from antiphon.serve.given import EventsKept, ItemChanged, ItemsKept, json_response
from antiphon.serve.loaded import LoadedRun
from antiphon.serve.refusals import refusals, refuse
from antiphon.serve.settings import Limits

__all__ = ["writing_routes"]

EVENTS = {"security": [{"key": ["events"]}]}
REFUSALS = (400, 401, 403, 408, 413, 415, 422, 503)


def writing_routes(loaded: LoadedRun, desks: Desks, models: Asks, limits: Limits) -> APIRouter:
    """Routes that change what one run answers from."""
    router = APIRouter(tags=["writes"])
    recommender = weakref.proxy(loaded.recommender)  # see `make_app`
    events_model = _events_model(models, limits)
    items_model = _items_model(loaded, limits)

    @router.post(
        "/v1/events",
        response_model=EventsKept,
        responses=refusals(*REFUSALS),
        openapi_extra=EVENTS,
    )
    async def events(told: Annotated[events_model, Body()]) -> Response:  # type: ignore[valid-type]
        """Plays that happened just now: the next answer knows them. All are kept, or none."""
        appended = await desks.writes.ask_one(lambda: recommender.append(_events(told)))
        return json_response(vars(appended))

    @router.post(
        "/v1/items",
        response_model=ItemsKept,
        responses=refusals(*REFUSALS),
        openapi_extra=EVENTS,
    )
    async def items(told: Annotated[items_model, Body()]) -> Response:  # type: ignore[valid-type]
        """Items that training didn't know, to be listed from now on. All are kept, or none."""
        new: Any = told
        added = [AddedItem(one.id, said(one.features), one.title) for one in new.items]
        await desks.writes.ask_one(lambda: recommender.add_items(added))
        return json_response({"items": len(added)})

    @router.delete(
        "/v1/items/{id:path}",
        response_model=ItemChanged,
        responses=refusals(401, 403, 404, 422, 503),
        openapi_extra=EVENTS,
    )
    async def withdraw(
        id: Annotated[str, Path(min_length=1, max_length=512)],  # noqa: A002 - the API's word
    ) -> Response:
        """List an item no more, from now on."""
        return await changed(id, listed=False)

    @router.post(
        "/v1/items/{id:path}/restore",
        response_model=ItemChanged,
        responses=refusals(401, 403, 404, 422, 503),
        openapi_extra=EVENTS,
    )
    async def restore(
        id: Annotated[str, Path(min_length=1, max_length=512)],  # noqa: A002 - the API's word
    ) -> Response:
        """List an item again that was withdrawn."""
        return await changed(id, listed=True)

    async def changed(id_: str, *, listed: bool) -> Response:
        if not recommender.shelf.numbers([id_]).any():
            return refuse(404, "there is no such item", id_)
        change = recommender.restore_items if listed else recommender.withdraw_items
        await desks.writes.ask_one(lambda: change([id_]))
        return json_response({"id": id_, "listed": listed})

    return router


def _events_model(models: Asks, limits: Limits) -> Any:
    event = create_model(
        "Event",
        __base__=AskedModel,
        __doc__="A play.",
        user=(Id, Field(description="known to the log or not")),
        item=(Id, Field(description="the log's id, or that of an item added since")),
        context=(models.context, Field(default_factory=models.context)),
        timestamp_s=(
            Moment | None,
            Field(None, description="on the log's clock; by default the present"),
        ),
        key=(
            Annotated[str, Field(min_length=1, max_length=200)] | None,
            Field(
                None,
                description="of two events with one key the second changes nothing, so a call can "
                "be repeated; by default user, item and time",
            ),
        ),
    )
    return create_model(
        "Events",
        __base__=AskedModel,
        __doc__="Plays.",
        events=(list[event], Field(min_length=1, max_length=limits.events)),
    )


def _items_model(loaded: LoadedRun, limits: Limits) -> Any:
    known: dict[str, Any] = {
        feature.name: (_of_item(feature) | None, None) for feature in loaded.recommender.schema.item
    }
    features = create_model(
        "ItemFeatures", __base__=AskedModel, __doc__="What is known of it.", **known
    )
    item = create_model(
        "NewItem",
        __base__=AskedModel,
        __doc__="An item that training didn't know.",
        id=(Id, ...),
        title=(Text | None, None),
        features=(features, Field(default_factory=features)),
    )
    return create_model(
        "NewItems",
        __base__=AskedModel,
        __doc__="Items.",
        items=(list[item], Field(min_length=1, max_length=limits.events)),
    )


def _of_item(feature: FittedFeature) -> Any:
    if isinstance(feature, FittedCategorical):
        return Id | Annotated[list[Id], Field(max_length=feature.max_values)]
    return stated_type(feature)


def _events(told: Any) -> list[LiveEvent]:
    return [
        LiveEvent(one.user, one.item, one.timestamp_s, said(one.context), key=one.key)
        for one in told.events
    ]
