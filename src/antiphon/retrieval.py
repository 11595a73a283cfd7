"""A trained model at work: queries -> embeddings -> the best of the corpus.

Only the query tower runs here. Candidate embeddings were computed when training ended and are
memory-mapped; a past event is looked up among them, exactly as training saw it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32, Int32

from antiphon.artifacts import Stage, open_stage
from antiphon.config import Config
from antiphon.errors import ArtifactError
from antiphon.exact_search import ExactSearch
from antiphon.exclusions import Exclusions
from antiphon.history import History, gather_history
from antiphon.prepared import Prepared
from antiphon.queries import Queries
from antiphon.towers import QueryTower

__all__ = ["TrainedModel"]

CHUNK_QUERIES = 1024


@dataclass(frozen=True)
class TrainedModel:
    """The folder of the train stage, beside the prepared log it was trained on.

    Attributes:
        candidates: candidate embeddings by item number; the last column is log popularity.
        users: user embeddings by user number.
    """

    stage: Stage
    config: Config
    prepared: Prepared
    candidates: Float32[np.ndarray, "items width_and_one"]
    users: Float32[np.ndarray, "users width"]
    tower: QueryTower

    @classmethod
    def load(cls, path: Path, prepared: Prepared, config: Config) -> TrainedModel:
        """Open and check a trained model.

        Raises:
            ArtifactError: a part is missing, damaged, of another version or of another run.
        """
        stage = open_stage(path, inputs={"prepared": prepared.stage})
        tower = QueryTower(prepared.schema.context, config.model.width, config.model.temperature)
        with np.load(path / "dense.npz", allow_pickle=False) as weights:
            for variable in tower.variables:
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
        )

    @classmethod
    def load_run(cls, run: Path) -> TrainedModel:
        """Open the trained model of a run folder; see `load`."""
        config = Config.load(run / "config.toml")
        return cls.load(run / "model", Prepared.open(run / "prepared"), config)

    def embed(
        self, queries: Queries, history: History | None = None
    ) -> Float32[np.ndarray, "queries width_and_one"]:
        """Query embeddings.

        Args:
            queries: who asks, when and under which context.
            history: what they had; by default what the training log knows of them.
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
            self._embed_chunk(queries, history, slice(start, start + CHUNK_QUERIES))
            for start in range(0, len(queries), CHUNK_QUERIES)
        ]
        width = self.candidates.shape[1]
        return np.concatenate([np.zeros((0, width), np.float32), *parts])

    def rank(
        self, queries: Queries, k: int, *, exclude_heard: bool
    ) -> tuple[Int32[np.ndarray, "queries k"], Float32[np.ndarray, "queries k"]]:
        """The k best items of each query; see `queries.Ranker`."""
        exclude = Exclusions.heard(self.prepared.events, queries) if exclude_heard else None
        return self.search.top_k(self.embed(queries), k, exclude=exclude)

    @cached_property
    def search(self) -> ExactSearch:
        """Exact search over the corpus."""
        return ExactSearch(self.candidates)

    def _embed_chunk(
        self, queries: Queries, history: History, rows: slice
    ) -> Float32[np.ndarray, "chunk width_and_one"]:
        count = len(queries.user_number[rows])
        # lengths are powers of two, so that few shapes are ever compiled
        padding = (1 << (count - 1).bit_length()) - count

        def padded(values: np.ndarray) -> np.ndarray:
            chunk = np.asarray(values[rows])
            return np.pad(chunk, [(0, padding)] + [(0, 0)] * (chunk.ndim - 1))

        item = padded(history.item_number)
        embedded = self._tower_function(
            np.asarray(self.users[padded(queries.user_number)]),
            np.asarray(self.candidates[item][..., :-1]),
            padded(history.age_bucket),
            {name: padded(values) for name, values in history.context.items()},
            {name: padded(values)[:, None] for name, values in queries.context.items()},
        )
        return np.asarray(embedded)[:count, 0]

    @cached_property
    def _tower_function(self) -> Any:
        return jax.jit(lambda *inputs: self.tower(*inputs, contexts=1))
