"""A trained model at work: queries -> embeddings -> the best of the corpus.

Only the query tower runs here. Candidate embeddings were computed when training ended and are
memory-mapped; a past event is looked up among them, exactly as training saw it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped

from antiphon.artifacts import Stage, open_stage
from antiphon.config import Config
from antiphon.corpus import Corpus
from antiphon.errors import ArtifactError
from antiphon.exclusions import Exclusions
from antiphon.history import History, gather_history
from antiphon.indexes import Index, NumpyScan, merge_top_k, open_index
from antiphon.indexes.lists import empty_lists
from antiphon.library import Plays
from antiphon.own_library import OwnItems, OwnScores, own_items, slices_of_events
from antiphon.prepared import Prepared
from antiphon.queries import Queries
from antiphon.repeat_scores import RepeatScores
from antiphon.repeat_term import RepeatTerm
from antiphon.request import Mode
from antiphon.towers import QueryTower

__all__ = ["TrainedModel"]

CHUNK_QUERIES = 1024


@dataclass(frozen=True)
class TrainedModel:
    """The folder of the train stage, beside the prepared log it was trained on.

    Attributes:
        candidates: candidate embeddings by item number; the last columns are trends.
        users: user embeddings by user number.
        index: what candidates are searched in; without one they are scanned, exactly.
    """

    stage: Stage
    config: Config
    prepared: Prepared
    candidates: Float32[np.ndarray, "items width_and_trend"]
    users: Float32[np.ndarray, "users width"]
    tower: QueryTower
    repeat_term: RepeatTerm | None
    index: Index | None = None

    @classmethod
    def load(cls, path: Path, prepared: Prepared, config: Config) -> TrainedModel:
        """Open and check a trained model.

        Raises:
            ArtifactError: a part is missing, damaged, of another version or of another run.
        """
        stage = open_stage(path, inputs={"prepared": prepared.stage})
        tower = QueryTower.of(prepared.schema, config.model)
        repeat_term = RepeatTerm(tower.context) if config.model.repeats else None
        parts = (tower, repeat_term) if repeat_term else (tower,)
        with np.load(path / "dense.npz", allow_pickle=False) as weights:
            for variable in (v for part in parts for v in part.variables):
                if variable.path not in weights:
                    raise ArtifactError(f"{path / 'dense.npz'} lacks the weight {variable.path}")
                variable.assign(weights[variable.path])
        return cls(
            stage,
            config,
            prepared,
            candidates=np.load(path / "candidates.npy", mmap_mode="r"),
            users=np.load(path / "tables" / "user.npy", mmap_mode="r"),
            tower=tower,
            repeat_term=repeat_term,
        )

    @classmethod
    def load_run(cls, run: Path) -> TrainedModel:
        """Open the trained model of a run folder; see `load`."""
        config = Config.load(run / "config.toml")
        return cls.load(run / "model", Prepared.open(run / "prepared"), config)

    def embed(
        self, queries: Queries, history: History | None = None, corpus: Corpus | None = None
    ) -> Float32[np.ndarray, "queries width_and_trend"]:
        """Query embeddings.

        Args:
            queries: who asks, when and under which context.
            history: what they had; by default what the training log knows of them.
            corpus: what the history's items are in; by default the candidates of training.
        """
        if history is None:
            history = gather_history(
                self.prepared.events,
                queries.user_number.astype(np.int64),
                queries.time_s,
                queries.time_s,
                self.config.model.history_length,
            )
        parts = [
            self._embed_chunk(
                queries, history, slice(start, start + CHUNK_QUERIES), corpus or self.corpus
            )
            for start in range(0, len(queries), CHUNK_QUERIES)
        ]
        width = self.candidates.shape[1]
        return np.concatenate([np.zeros((0, width), np.float32), *parts])

    def rank(
        self, queries: Queries, k: int, *, exclude_heard: bool
    ) -> tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]:
        """The k best items of each query; see `queries.Ranker`."""
        return self.answer(queries, k, "discover" if exclude_heard else "all")

    def answer(
        self, queries: Queries, k: int, mode: Mode = "all"
    ) -> tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]:
        """The k best items of each query, from what the training log knows of its user.

        Of the whole corpus, as far as the index finds them. What the user has had is left out of
        the search by dot product, scored with the repeat term, and merged with what was found.

        Args:
            queries: who asks, when and under which context.
            k: length of the lists.
            mode: all items, only those the user hasn't had before, or only those they have.

        Returns:
            As `queries.Ranker` does.
        """
        embedded = self.embed(queries)
        if mode == "all" and self.repeat_term is None:
            return self.search.top_k(embedded, k)
        events = self.prepared.events
        found = empty_lists(len(queries), k)
        if mode != "repeat":
            found = self.search.top_k(embedded, k, exclude=Exclusions.heard(events, queries))
        if mode == "discover":
            return found
        for rows in slices_of_events(events, queries):
            some = queries.take(np.arange(rows.start, rows.stop))
            own = self.own_scores(some, embedded[rows], own_items(events, some))
            parts = [(found[0][rows], found[1][rows]), own.best(k)]
            found[0][rows], found[1][rows] = merge_top_k(parts, k)
        return found

    def attention(
        self, queries: Queries, history: History, corpus: Corpus | None = None
    ) -> Float32[np.ndarray, "queries length"]:
        """How much of the query tower's attention each past event has, averaged over its heads.

        What they lack to 1 is the weight of "nothing".
        """
        count = len(queries)
        if not self.tower.heads:
            return np.zeros(history.item_number.shape, np.float32)
        given = (
            (corpus or self.corpus).rows_of(history.item_number)[..., : self.tower.width],
            history.age_bucket,
            dict(history.context),
            {name: values[:, None] for name, values in queries.context.items()},
        )
        weights = self._attention_function(*_to_power_of_two(given, count))
        return np.asarray(weights)[:count]

    @cached_property
    def _attention_function(self) -> Any:
        def averaged(history: Any, age: Any, happened: Any, context: Any) -> Any:
            asked = self.tower.context(context, shape=(len(history), 1))
            return self.tower.attention(asked, history, age, happened).mean(axis=(1, 2))

        return jax.jit(averaged)

    def own_scores(
        self,
        queries: Queries,
        embedded: Float32[np.ndarray, "queries width_and_trend"],
        own: OwnItems,
        corpus: Corpus | None = None,
    ) -> OwnScores:
        """What each query's user has had before, scored with the repeat term.

        Args:
            queries: who asks, when and under which context.
            embedded: their embeddings.
            own: what their users have had.
            corpus: what that is in; by default the candidates of training.
        """
        query = own.query()
        vectors = (corpus or self.corpus).rows_of(own.item_number)
        score = np.zeros(len(query), np.float64)
        for row, (start, end) in enumerate(itertools.pairwise(own.offsets.tolist())):
            np.dot(vectors[start:end].astype(np.float64), embedded[row], out=score[start:end])
        repeat = self.repeat_of(queries.context, query, own.plays)
        score = (score + repeat).astype(np.float32)
        return OwnScores(own.offsets, own.item_number, score, repeat)

    def repeat_of(
        self,
        context: Mapping[str, Shaped[np.ndarray, "queries ..."]],
        query: Int64[np.ndarray, " pairs"],
        plays: Plays,
    ) -> Float32[np.ndarray, " pairs"]:
        """The repeat term of pairs of a query and an item; 0 of a model that has none."""
        if self._repeat_scores is None or not len(query):
            return np.zeros(len(query), np.float32)
        return self._repeat_scores.of(context, query, plays)

    @cached_property
    def _repeat_scores(self) -> RepeatScores | None:
        return None if self.repeat_term is None else RepeatScores(self.repeat_term)

    def with_index(self, folder: Path) -> TrainedModel:
        """The same model, its candidates searched in an index that was built of them.

        Raises:
            ArtifactError: the index is missing, damaged or of another model, or needs faiss.
            BackendError: it is in a database that can't be reached.
        """
        stage = open_stage(folder, inputs={"prepared": self.prepared.stage, "model": self.stage})
        return replace(self, index=open_index(stage.path, self.candidates))

    @cached_property
    def search(self) -> Index:
        """Search over the candidates."""
        return self.index or NumpyScan(self.candidates)

    @cached_property
    def corpus(self) -> Corpus:
        """The candidates, and nothing beside them."""
        return Corpus.of(self.candidates, self.search)

    def _embed_chunk(
        self, queries: Queries, history: History, rows: slice, corpus: Corpus
    ) -> Float32[np.ndarray, "chunk width_and_trend"]:
        count = len(queries.user_number[rows])
        item = history.item_number[rows]
        given = (
            np.asarray(self.users[queries.user_number[rows]]),
            corpus.rows_of(item)[..., : self.tower.width],
            history.age_bucket[rows],
            {name: values[rows] for name, values in history.context.items()},
            {name: values[rows][:, None] for name, values in queries.context.items()},
        )
        embedded = self._tower_function(*_to_power_of_two(given, count))
        return np.asarray(embedded)[:count, 0]

    @cached_property
    def _tower_function(self) -> Any:
        return jax.jit(lambda *inputs: self.tower(*inputs, contexts=1))


def _to_power_of_two(arrays: Any, count: int) -> Any:
    """Arrays of `count` rows, in whatever containers, padded so that few shapes are compiled."""
    rows = 1 << (count - 1).bit_length()
    if rows == count:
        return arrays

    def padded(values: np.ndarray) -> np.ndarray:  # several times as fast as numpy.pad
        out = np.zeros((rows, *values.shape[1:]), values.dtype)
        out[:count] = values
        return out

    return jax.tree.map(padded, arrays)
