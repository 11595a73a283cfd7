"""A trained model at work: queries -> embeddings -> the best of the corpus.

Only the query tower's formula is computed here. Candidate embeddings were computed when training
ended and are memory-mapped; a past event is looked up among them, exactly as training saw it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped

from antiphon.artifacts import Stage, open_stage
from antiphon.config import Config
from antiphon.corpus import Corpus
from antiphon.errors import ArtifactError
from antiphon.exact_search import top_k_inner_product
from antiphon.exclusions import Exclusions
from antiphon.history import History, gather_history
from antiphon.indexes import Index, NumpyScan, open_index
from antiphon.indexes.graph import Graph
from antiphon.indexes.lists import empty_lists
from antiphon.library import Plays
from antiphon.own_library import OwnItems, OwnScores, own_items, slices_of_events
from antiphon.prepared import Prepared
from antiphon.queries import Queries
from antiphon.query_vectors import QueryVectors
from antiphon.repeat_scores import RepeatScores
from antiphon.request import Mode
from antiphon.threads import aside, single_threaded_blas

__all__ = ["TrainedModel"]

CHUNK_QUERIES = 1024
FEW_QUERIES = 32
"""So many leave a processor free for what their users have had, while they are searched for."""


@dataclass(frozen=True)
class TrainedModel:
    """The folder of the train stage, beside the prepared log it was trained on.

    Attributes:
        candidates: candidate embeddings by item number; the last columns are trends.
        users: user embeddings by user number.
        vectors: embeds queries.
        repeats: scores what users have had; None of a model without the repeat term.
        index: what candidates are searched in; without one they are scanned, exactly.
    """

    stage: Stage
    config: Config
    prepared: Prepared
    candidates: Float32[np.ndarray, "items width_and_trend"]
    users: Float32[np.ndarray, "users width"]
    vectors: QueryVectors
    repeats: RepeatScores | None
    index: Index | None = None

    @classmethod
    def load(cls, path: Path, prepared: Prepared, config: Config) -> TrainedModel:
        """Open and check a trained model.

        Raises:
            ArtifactError: a part is missing, damaged, of another version or of another run.
        """
        stage = open_stage(path, inputs={"prepared": prepared.stage})
        with np.load(path / "dense.npz", allow_pickle=False) as file:
            weights = dict(file)
        try:
            vectors = QueryVectors(prepared.schema.context, weights)
            repeats = (
                RepeatScores(prepared.schema.context, weights) if config.model.repeats else None
            )
        except KeyError as error:
            missing = error.args[0]
            raise ArtifactError(
                f"{path / 'dense.npz'} lacks the weight {missing}",
                hint="another version of antiphon trained it: remove model/ and run it again",
            ) from None
        return cls(
            stage,
            config,
            prepared,
            # plain views of what is mapped: indexing a memmap costs several times as much
            candidates=np.asarray(np.load(path / "candidates.npy", mmap_mode="r")),
            users=np.asarray(np.load(path / "tables" / "user.npy", mmap_mode="r")),
            vectors=vectors,
            repeats=repeats,
        )

    @classmethod
    def load_run(cls, run: Path) -> TrainedModel:
        """Open the trained model of a run folder; see `load`."""
        config = Config.load(run / "config.toml")
        return cls.load(run / "model", Prepared.open(run / "prepared"), config)

    @single_threaded_blas()
    def embed(
        self, queries: Queries, history: History | None = None, corpus: Corpus | None = None
    ) -> Float32[np.ndarray, "queries width_and_trend"]:
        """Query embeddings.

        Args:
            queries: who asks, when and under which context.
            history: what they had; by default what the training log knows of them.
            corpus: what the history's items are in; by default the candidates of training.
        """
        events = self.prepared.events
        if history is None:
            history = gather_history(
                events,
                queries.user_number.astype(np.int64),
                queries.time_s,
                queries.time_s,
                self.config.model.history_length,
            )
        parts = [np.zeros((0, self.candidates.shape[1]), np.float32)]
        for start in range(0, len(queries), CHUNK_QUERIES):
            rows = slice(start, start + CHUNK_QUERIES)
            some, had = queries.take(rows), history.take(rows)
            users = np.asarray(self.users[some.user_number])
            past = self._past(had, corpus or self.corpus)
            # without training events, what a user's row says was never learned
            is_trained = events.ends[some.user_number] > events.starts[some.user_number]
            is_known = (had.age_bucket >= 0).any(axis=1) | is_trained
            parts.append(self.vectors.of(users, is_known, past, had, some.context))
        return np.concatenate(parts)

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
        if mode == "all" and self.repeats is None:
            return self.search.top_k(embedded, k)
        events = self.prepared.events
        if mode == "discover":
            return self.search.top_k(embedded, k, exclude=Exclusions.heard(events, queries))
        numbers, scores = empty_lists(len(queries), k)
        for rows in slices_of_events(events, queries):
            some = queries.take(rows)
            had = own_items(events, some)
            scoring = self.scoring(some, embedded[rows], had)
            if mode == "all":
                left_out = Exclusions(had.offsets, had.item_number)
                others = self.search.top_k(embedded[rows], k, exclude=left_out)
                numbers[rows], scores[rows] = scoring().best(k, others)
            else:
                numbers[rows], scores[rows] = scoring().best(k)
        return numbers, scores

    def rank_among(
        self, queries: Queries, items: Int32[np.ndarray, " items"], k: int
    ) -> tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]:
        """The k best of some items, exactly; see `cold.RanksAmong`.

        None of them may be among what the users have had: the repeat term is left out.
        """
        before = int(items[0]) - 1
        if int(items[-1]) - before == len(items):  # as a rule the last ones: not copied
            vectors = self.candidates[before : before + len(items) + 1]
        else:
            vectors = self.candidates[np.concatenate([[0], items])]
        places, scores = top_k_inner_product(self.embed(queries), vectors, k)
        return np.concatenate([np.zeros(1, np.int32), items])[places], scores

    def attention(
        self, queries: Queries, history: History, corpus: Corpus | None = None
    ) -> Float32[np.ndarray, "queries length"]:
        """How much of the query tower's attention each past event has, averaged over its heads.

        What they lack to 1 is the weight of "nothing".
        """
        past = self._past(history, corpus or self.corpus)
        return self.vectors.attention(past, history, queries.context)

    @single_threaded_blas()
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
        vectors = (corpus or self.corpus).rows_of(own.item_number)
        score = np.zeros(len(own.item_number), np.float64)
        asked = self.asked(queries.context, len(queries))
        counted = self.counted(asked, embedded)
        for row, (start, end) in enumerate(itertools.pairwise(own.offsets.tolist())):
            np.dot(vectors[start:end].astype(np.float64), counted[row], out=score[start:end])
        score += self.repeat_of(asked, own.query(), own.plays)
        return OwnScores(own.offsets, own.item_number, score.astype(np.float32))

    def scoring(
        self,
        queries: Queries,
        embedded: Float32[np.ndarray, "queries width_and_trend"],
        own: OwnItems,
        corpus: Corpus | None = None,
    ) -> Callable[[], OwnScores]:
        """`own_scores`, to be called when they are needed; of few queries begun in another thread.

        Many take all processors; by graph, few are found before they are scored.
        """
        work = cache(partial(self.own_scores, queries, embedded, own, corpus))
        if len(queries) <= FEW_QUERIES and not isinstance((corpus or self.corpus).index, Graph):
            return aside(work).result
        return work

    def asked(
        self, context: Mapping[str, Shaped[np.ndarray, "queries ..."]], queries: int
    ) -> Float32[np.ndarray, "queries parameters"] | None:
        """What contexts choose of the repeat term; None of a model that has none."""
        return self.repeats.asked(context, queries) if self.repeats else None

    def counted(
        self,
        asked: Float32[np.ndarray, "queries parameters"] | None,
        embedded: Float32[np.ndarray, "queries width_and_trend"],
    ) -> Float32[np.ndarray, "queries width_and_trend"]:
        """Query embeddings as they count for what their users have had before.

        Args:
            asked: see `asked`.
            embedded: as for all else.
        """
        if self.repeats is None or asked is None:
            return embedded
        of_vectors, of_trends = self.repeats.shares(asked)
        width = self.vectors.width
        parts = embedded[:, :width] * of_vectors[:, None], embedded[:, width:] * of_trends[:, None]
        return np.concatenate(parts, axis=1)

    def repeat_of(
        self,
        asked: Float32[np.ndarray, "queries parameters"] | None,
        query: Int64[np.ndarray, " pairs"],
        plays: Plays,
    ) -> Float32[np.ndarray, " pairs"]:
        """The repeat term of pairs of a query and an item; 0 of a model that has none."""
        if self.repeats is None or asked is None or not len(query):
            return np.zeros(len(query), np.float32)
        return self.repeats.of(asked, query, plays)

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

    def _past(
        self, history: History, corpus: Corpus
    ) -> Float32[np.ndarray, "queries length width"]:
        return corpus.rows_of(history.item_number)[..., : self.vectors.width]
