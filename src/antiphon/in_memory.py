"""A model in memory, as evaluation judges it: without a run's folder."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from antiphon.catalogue import Catalogue
from antiphon.config import Config
from antiphon.model import TwoTower
from antiphon.model_files import save_candidates
from antiphon.prepared import Prepared
from antiphon.query_vectors import QueryVectors
from antiphon.repeat_scores import RepeatScores
from antiphon.retrieval import TrainedModel
from antiphon.trend import Kinds, Trend
from antiphon.windows import Window

__all__ = ["in_memory"]


def in_memory(
    model: TwoTower, catalogue: Catalogue, window: Window, config: Config, prepared: Prepared
) -> TrainedModel:
    """What a model answers in a window, knowing what lies before.

    Args:
        model: its state in its variables.
        catalogue: the corpus it was trained on.
        window: whose queries it will be asked.
        config: of its training.
        prepared: the log.
    """
    now_s = int(window.queries.time_s[0])
    trend = Trend.as_of(
        window.known, catalogue.rows, Kinds.of(prepared.schema, config.model), now_s
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidates.npy"
        save_candidates(model, catalogue, trend, now_s, path)
        candidates = np.load(path)
    weights = {v.path: np.asarray(v.value) for v in model.trainable_variables}
    context = prepared.schema.context
    return TrainedModel(
        prepared.stage,
        config,
        replace(prepared, events=window.known),
        candidates=candidates,
        users=np.array(model.tables["user"].table.value),
        vectors=QueryVectors(context, weights),
        repeats=RepeatScores(context, weights) if model.repeat_term else None,
    )
