"""What an answer says, as models for the OpenAPI document and as bytes."""

from __future__ import annotations

from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel, Field, TypeAdapter

from antiphon.recommend import Answer

__all__ = [
    "Answered",
    "AnsweredBatch",
    "Deployed",
    "Feature",
    "Health",
    "ItemFound",
    "Items",
    "Listed",
    "Model",
    "Run",
    "SchemaShown",
    "User",
    "Users",
    "Value",
    "answer_data",
    "json_response",
]


class Run(BaseModel):
    """Which run answered. Everything in one answer comes from this one."""

    name: str
    version: str = Field(description="changes with every byte of the run's model")


class Listed(BaseModel):
    """One item of a list."""

    id: int | str
    score: float
    title: str | None = None


class Answered(BaseModel):
    """A list, best first."""

    items: list[Listed]
    known_user: bool = Field(description="whether training has seen the user")
    unknown_history: list[int | str] = Field(description="ids that the corpus lacks; ignored")
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


_JSON = TypeAdapter(Any)


def json_response(data: object) -> Response:
    """Data as they are, without a check against a model: they were made here."""
    return Response(_JSON.dump_json(data), media_type="application/json")


def answer_data(answer: Answer, run: dict[str, str]) -> dict[str, Any]:
    """An `Answered`, as data."""
    return {
        "items": [
            {"id": item.id, "score": item.score, "title": item.title} for item in answer.items
        ],
        "known_user": answer.known_user,
        "unknown_history": answer.unknown_history,
        "run": run,
    }
