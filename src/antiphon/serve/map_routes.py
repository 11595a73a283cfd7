"""The routes of the page's map of the corpus."""

import weakref
from base64 import b64encode
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Body
from fastapi.responses import Response
from pydantic import BaseModel, Field, create_model

from antiphon.serve.asked import AskedModel, Id
from antiphon.serve.corpus_map import GRID, MOST, CorpusMap
from antiphon.serve.given import Run, json_response
from antiphon.serve.loaded import LoadedRun
from antiphon.serve.refusals import refusals
from antiphon.serve.settings import Limits

__all__ = ["map_routes"]

READ = {"security": [{"key": ["read"]}]}


class MapShown(BaseModel):
    """Where items lie to each other."""

    points: str = Field(
        description="base64 of x and y of each item, the most played first: whole numbers of two "
        f"bytes from 0 to {GRID}, the lower byte first"
    )
    count: int = Field(description="items that are drawn")
    items: int = Field(description="items that there are")
    explained: list[float] = Field(description="share of the variance that x and y hold")
    run: Run


class Place(BaseModel):
    """Where an item lies."""

    id: int | str
    x: int
    y: int


class Places(BaseModel):
    """Items by id; those that there aren't are left out."""

    places: list[Place]
    run: Run


def map_routes(loaded: LoadedRun, limits: Limits) -> APIRouter:
    """Routes over one run; the map is made here and now."""
    router = APIRouter(tags=["look-ups"])
    recommender = weakref.proxy(loaded.recommender)  # see `make_app`
    width = recommender.model.vectors.width  # what follows are trends
    base = recommender.shelf.corpus.candidates
    corpus_map = CorpusMap.of(np.asarray(base[1 : MOST + 1, :width]))
    shown = json_response(
        {
            "points": b64encode(corpus_map.points.astype("<u2").tobytes()).decode("ascii"),
            "count": len(corpus_map.points),
            "items": len(base) - 1,
            "explained": list(corpus_map.explained),
            "run": loaded.run,
        }
    )
    wanted = create_model(
        "Wanted",
        __base__=AskedModel,
        __doc__="Items to find on the map.",
        ids=(list[Id], Field(max_length=limits.values)),
    )

    @router.get(
        "/v1/map", response_model=MapShown, responses=refusals(401, 403), openapi_extra=READ
    )
    async def whole() -> Response:
        """A map of the corpus, at most its 20,000 most played items."""
        return Response(shown.body, media_type=shown.media_type)

    @router.post(
        "/v1/map/places",
        response_model=Places,
        responses=refusals(400, 401, 403, 408, 413, 415, 422),
        openapi_extra=READ,
    )
    def places(asked: Annotated[wanted, Body()]) -> Response:
        """Where items lie on the map, drawn on it or not."""
        named: Any = asked
        shelf = recommender.shelf
        numbers = shelf.numbers(named.ids)
        found = corpus_map.places(shelf.corpus.rows_of(numbers)[:, :width])
        pairs = zip(named.ids, numbers.tolist(), found.tolist(), strict=True)
        return json_response(
            {
                "places": [{"id": id_, "x": x, "y": y} for id_, number, (x, y) in pairs if number],
                "run": loaded.run,
            }
        )

    return router
