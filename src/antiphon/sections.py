"""The sections of the config that stages after prepare read: every knob, its default, its use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "BUILD_WIDTH",
    "CONNECTIONS",
    "EvaluateSection",
    "GatesSection",
    "IndexSection",
    "ModelSection",
    "Section",
    "TrainSection",
]

BUILD_WIDTH, CONNECTIONS = 200, 16
EPOCHS = 5
LEAST_STEPS = 400
"""Fewer don't take the dense weights to where they should be, however small a log is."""


class Section(BaseModel):
    """A frozen section of the config that refuses keys it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(Section):
    """The two towers."""

    width: int = Field(64, ge=4, le=1024, description="size of the embeddings")
    history_length: int = Field(50, ge=0, le=1000, description="past events attended to")
    context_dropout: float = Field(
        0.1, ge=0, lt=1, description="share of training contexts shown as unknown"
    )
    user_dropout: float = Field(
        0.5, ge=0, le=1, description="share of training users shown as unknown; 1: history alone"
    )
    id_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of items told by their content only, in each training batch; if it "
        "isn't 0, those that nobody has played always are",
    )
    repeats: bool = Field(
        True, description="score what a user has had before with a term of its own"
    )
    trend_half_lives: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(
        (0.5, 2.0, 8.0),
        description="half-lives of the recent popularity of items, in lengths of the test window; "
        "popularity since ever comes on top",
    )
    context_trend_half_life: float = Field(
        0.5,
        ge=0,
        allow_inf_nan=False,
        description="half-life of popularity within each value of the context, of categorical "
        "features of up to 32 values; 0 for none",
    )
    temperature: float = Field(0.1, gt=0, description="initial temperature of the softmax")


class TrainSection(Section):
    """Training."""

    seed: int = Field(0, ge=0, description="seed of everything random")
    epochs: float | None = Field(
        None,
        gt=0,
        description="passes over the positive events; by default five, or as many as make 400 "
        "steps",
    )
    early_stopping: bool = Field(
        False,
        description="train twice: first on what precedes the validation window, to see after how "
        "many of the epochs lists for it are best; then on everything, as long as that",
    )
    global_batch_size: int = Field(1024, ge=2, description="examples a step, over all devices")
    targets_per_query: int = Field(
        4, ge=1, le=64, description="positives drawn for one history of a user"
    )
    run_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share of queries asked just before a run of successive events, and not at "
        "the batch's moment",
    )
    stranger_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of queries asked as if nothing were known of their user",
    )
    sampled_negatives: int = Field(1024, ge=0, description="negatives drawn a step, shared")
    library_negatives: int = Field(
        32, ge=0, le=4096, description="plays drawn from a user's library beyond the history"
    )
    negative_power: float = Field(
        0.75, ge=0, le=1, description="sampled negatives are drawn by (count + 0.5) ** this"
    )
    learning_rate: float = Field(0.2, gt=0, description="of the embedding tables (Adagrad)")
    dense_learning_rate: float = Field(
        0.001, gt=0, description="of all other weights (Adam); falls evenly to nothing"
    )
    chance_steps: int = Field(
        500, ge=1, description="stop if the loss hasn't left chance after this many steps"
    )
    checkpoint_seconds: float = Field(
        600.0,
        ge=0,
        description="seconds of training between checkpoints, from which a run that was killed "
        "goes on; 0 for none but on SIGTERM",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="what the factors of the loss's products are rounded to; sums, tables and all "
        "else are float32. bfloat16 is for processors that multiply it: on one with AVX-512 BF16 "
        "it is faster",
    )
    sharding: Literal["auto", "data", "rows"] = Field(
        "auto",
        description="how several devices share the tables: `data`, each has all of them; `rows`, "
        "each has rows of its own; `auto` is `rows` where tables would take over half of a "
        "device's memory. Devices share each batch either way",
    )
    continue_from: str | None = Field(
        None,
        description="folder of another run, whose model training goes on from; what it knows of "
        "users, items and values is carried over by their ids. `antiphon train --from` sets it",
    )

    def steps_per_epoch(self, events: int) -> int:
        """Steps in which as many positives are seen as there are events."""
        return max(1, round(events / self.global_batch_size))

    def steps(self, events: int) -> int:
        """Of the whole training on so many events."""
        per_epoch = self.steps_per_epoch(events)
        if self.epochs is None:
            return max(EPOCHS * per_epoch, LEAST_STEPS)
        return max(1, round(self.epochs * per_epoch))


class EvaluateSection(Section):
    """How a model is judged."""

    protocol: Literal["standard", "yambda-paper"] = Field(
        "standard", description="definitions of the metrics"
    )
    exclude_heard: bool = Field(
        False, description="leave out of every list what the user has had before"
    )
    query_by: tuple[str, ...] | None = Field(
        None,
        description="context features that tell queries of a user apart; by default all. The "
        "others take the value of the query's first event",
    )
    max_users: int | None = Field(
        None, ge=1, description="evaluate this many users only, chosen by a hash"
    )
    resamples: int = Field(
        1000, ge=0, le=100_000, description="bootstrap resamples of the intervals; 0 for none"
    )
    repetition_feature: str | None = Field(
        None,
        description="categorical item feature whose repetition within a list is measured; by "
        "default the one called artist, if there is one",
    )


class GatesSection(Section):
    """What must hold for an evaluation to pass; where a gate fails, the exit code is 3."""

    learned: bool = Field(
        False, description="the loss has left chance and lists are better than random ones"
    )
    beats_baselines: bool = Field(
        False, description="better than the best baseline, the interval clear of zero"
    )
    context_helps: bool = Field(
        False,
        description="better than without the context and than with a shuffled one, both intervals "
        "clear of zero",
    )
    max_regression_vs: str | None = Field(
        None, description="run folder, or its evaluation.json, that this one must not fall behind"
    )
    max_regression: float = Field(
        0.02, ge=0, lt=1, description="share of a figure that may be lost against that run"
    )
    metrics: tuple[str, ...] = Field(
        ("ndcg_at_10", "recall_at_100"), min_length=1, description="the metrics gates look at"
    )
    slices: tuple[str, ...] = Field(
        ("all",), min_length=1, description="the slices gates look at, as evaluation.json has them"
    )


class IndexSection(Section):
    """Search for the best candidates, as answers need it."""

    kind: Literal["auto", "exact", "approximate"] = Field(
        "auto",
        description="`exact` misses nothing, `approximate` is faster on large catalogues; `auto` "
        "is exact up to `exact_up_to` items, and where a graph misses the target",
    )
    exact_up_to: int = Field(
        1_000_000, ge=0, description="items up to which `auto` is exact; more than that needs faiss"
    )
    target: float = Field(
        0.99,
        gt=0,
        le=1,
        description="`index_recall_at_k` that an index must have against exact search, for every "
        "context value, with and without the user's own library left out",
    )
    k: tuple[int, ...] = Field(
        (10, 100), min_length=1, description="lengths of lists at which the target is checked"
    )
    queries: int = Field(
        1000, ge=1, le=100_000, description="held-out queries to check with, at most"
    )
    to: str | None = Field(
        None,
        description="URL of a database to search in, postgresql://... or milvus://..., without a "
        "password; by default none",
    )
    connections: int = Field(
        CONNECTIONS, ge=4, le=64, description="approximate: neighbours kept for a candidate"
    )
    build_width: int = Field(
        BUILD_WIDTH, ge=8, le=1000, description="approximate: how wide to search for neighbours"
    )

    @model_validator(mode="after")
    def _approximate_elsewhere(self) -> IndexSection:
        if self.to is not None and self.kind == "exact":
            raise ValueError("a database searches approximately: leave out `kind` or `to`")
        return self
