"""What an answer says, as models for the OpenAPI document and as bytes."""

from __future__ import annotations

from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel, Field, TypeAdapter

from antiphon.answers import Answer, Item

__all__ = [
    "Answered",
    "AnsweredBatch",
    "Deployed",
    "EventsKept",
    "Feature",
    "Health",
    "ItemAlike",
    "ItemChanged",
    "ItemFound",
    "Items",
    "ItemsAlike",
    "ItemsKept",
    "Listed",
    "Model",
    "PastShown",
    "Run",
    "SchemaShown",
    "User",
    "Users",
    "Value",
    "WhyShown",
    "answer_json",
    "item_data",
    "json_response",
    "run_json",
]


class Run(BaseModel):
    """Which run answered. Everything in one answer comes from this one."""

    name: str
    version: str = Field(description="changes with every byte of the run's model")


class PastShown(BaseModel):
    """An item of the user's recent past that weighed in an answer."""

    id: int | str
    title: str | None = None
    attention: float = Field(description="its share of the query tower's attention")
    effect: float = Field(description="what the listed item's score owes to it")


class WhyShown(BaseModel):
    """Why an item is listed."""

    past: list[PastShown]
    repeat: float = Field(description="part of the score for having been had before")
    context: float = Field(description="the score less that without a context")


class Listed(BaseModel):
    """One item of a list."""

    id: int | str
    score: float = Field(description="to be compared within one answer")
    title: str | None = None
    had_before: bool = Field(description="a repeat, not a discovery")
    why: WhyShown | None = Field(None, description="where the request asks")


class Answered(BaseModel):
    """A list, best first."""

    items: list[Listed]
    known_user: bool = Field(description="whether training has seen the user")
    mode: str = Field(description="all, discover or repeat")
    time_s: int = Field(description="the moment that was asked about, on the log's clock")
    live_events: int = Field(description="events of the user that came since training")
    unknown_history: list[int | str] = Field(description="ids that the corpus lacks; ignored")
    unknown_items: list[int | str] = Field(description="those of allow and deny; ignored")
    run: Run


class AnsweredBatch(BaseModel):
    """Answers, in the order of the requests."""

    answers: list[Answered]
    run: Run


class User(BaseModel):
    """Somebody of the log."""

    id: int | str


class Users(BaseModel):
    """Those with most events first."""

    users: list[User]


class ItemFound(BaseModel):
    """An item of the corpus."""

    id: int | str
    title: str | None = None


class Items(BaseModel):
    """Those most played first."""

    items: list[ItemFound]


class ItemAlike(ItemFound):
    """An item like another."""

    score: float = Field(description="cosine of the embeddings")


class ItemsAlike(BaseModel):
    """Those most alike first."""

    items: list[ItemAlike]
    run: Run


class EventsKept(BaseModel):
    """What became of events; they are on disk."""

    new: int
    duplicates: int = Field(description="known already; they changed nothing")
    unknown_users: int = Field(description="of users whom training hasn't seen")
    unknown_items: int = Field(description="of no effect until the item is added")
    before_log: int = Field(description="older than training's end, and of no effect")


class ItemsKept(BaseModel):
    """Items that are listed from now on; they are on disk."""

    items: int


class ItemChanged(BaseModel):
    """An item that is listed no more, or again."""

    id: str
    listed: bool


class Value(BaseModel):
    """One value of a categorical feature, and what to call it."""

    value: str
    label: str | None = None


class Feature(BaseModel):
    """A feature, and what a form needs to ask for it."""

    name: str
    kind: str
    values: list[Value] | None = Field(None, description="of a categorical context feature")
    period: float | None = Field(None, description="of a cyclic one")
    mean: float | None = Field(None, description="of a numeric one")
    deviation: float | None = Field(None, description="of a numeric one")
    size: int | None = Field(None, description="of a vector")


class SchemaShown(BaseModel):
    """What a request may say."""

    context: list[Feature]
    item: list[Feature]
    modes: list[str]
    default_mode: str
    items: int = Field(description="candidates")
    users: int = Field(description="known ones")
    titles: bool = Field(description="whether items have titles")
    report: bool = Field(description="whether there is an evaluation to read at /report")
    limits: dict[str, int] = Field(description="k, history, batch, events, values")
    run: Run


class Health(BaseModel):
    """The process is there."""

    status: str


class Model(BaseModel):
    """The run that answers now."""

    run: Run
    engine: str = Field(description="what candidates are searched with")
    width: int = Field(description="of the embeddings, trends included")
    items: int
    users: int
    train_end_s: int = Field(description="training events are before this time")
    evaluation: dict[str, float] = Field(description="metrics over all queries, if evaluated")
    since: str = Field(description="when it began to answer")
    previous: Run | None = Field(None, description="what a rollback would bring back")


class Deployed(BaseModel):
    """What a deployment did."""

    run: Run
    previous: Run | None = None


_JSON, _ANSWER = TypeAdapter[Any](Any), TypeAdapter(Answer)


def json_response(data: object) -> Response:
    """Data as they are, without a check against a model: they were made here."""
    return Response(_JSON.dump_json(data), media_type="application/json")


def run_json(run: dict[str, str]) -> bytes:
    """A `Run`, as JSON."""
    return _JSON.dump_json(run)


def answer_json(answer: Answer, run: bytes) -> bytes:
    """An `Answered`, as JSON, of an answer and its run."""
    # told what an answer is made of, pydantic takes a third of the time that it takes to find out
    return b'%b,"run":%b}' % (_ANSWER.dump_json(answer)[:-1], run)


def item_data(item: Item) -> dict[str, Any]:
    """An `ItemAlike`, as data."""
    return {"id": item.id, "title": item.title, "score": item.score}
