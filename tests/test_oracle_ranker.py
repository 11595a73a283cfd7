"""The oracle of a synthetic log under the judge: it bounds other rankers from above."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import chain
from antiphon.baselines import NAMES
from antiphon.config import Config
from antiphon.contexts import unknown
from antiphon.evaluate import Evaluation, evaluate_rankers
from antiphon.evaluation import evaluate
from antiphon.exclusions import Exclusions
from antiphon.figures import ACCURACY
from antiphon.judge import score
from antiphon.oracle_ranker import OracleRanker, find_oracle, synthetic_folder
from antiphon.prepare import prepare
from antiphon.prepared import Prepared
from antiphon.published import TEST_START_S
from antiphon.queries import Queries
from antiphon.retrieval import TrainedModel
from antiphon.sections import EvaluateSection
from antiphon.synthetic import synthesize
from antiphon.train import train
from antiphon.windows import held_out_window, validation_window

SECTION = EvaluateSection(resamples=50)


class MostPopular:
    """In all training, which is more than a validation window may know."""

    def rank(
        self, queries: Queries, k: int, *, exclude_heard: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        lists = np.tile(np.arange(1, k + 1, dtype=np.int32), (len(queries), 1))
        return lists, -lists.astype(np.float32)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Prepared]:
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize(folder / "data", users=300, events=120_000, seed=1)
    config = Config.parse(
        {
            "name": "synthetic",
            "log": {
                "events": str(folder / "data" / "flat" / "50m" / "multi_event.parquet"),
                "user": "uid",
                "item": "item_id",
                "time": "timestamp",
                "positive": "event_type = 'listen' AND played_ratio_pct >= 50",
                "catalogue": False,
            },
            "features": {
                "context": [
                    {"name": "is_organic", "kind": "categorical", "values": {"0": "a", "1": "b"}}
                ]
            },
            # the test window of Yambda
            "split": {"test_start_s": 25_913_600, "validation_days": 1},
            "model": {"width": 8, "history_length": 16},
            "train": {"epochs": 2, "global_batch_size": 256, "sampled_negatives": 256},
            "evaluate": {"resamples": 50},
        }
    )
    prepare(config, folder / "prepared")
    return config, Prepared.open(folder / "prepared")


@pytest.fixture(scope="module")
def oracle(log: tuple[Config, Prepared]) -> OracleRanker:
    found = find_oracle(log[0].log.events, log[1])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def judged(log: tuple[Config, Prepared], tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """A model and every baseline but the seed's recipe, which takes longest and knows least."""
    config, prepared = log
    folder = tmp_path_factory.mktemp("run")
    train(config, prepared, folder / "model")
    model = TrainedModel.load(folder / "model", prepared, config)
    names = [name for name in NAMES if name != "seed"]
    with chain.few_baselines(names):
        return evaluate(config, model, folder / "evaluation")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["all", "is_organic=0", "is_organic=1"])
def test_the_oracle_bounds_every_model_from_above(judged: Evaluation, part: str) -> None:
    others = judged.models.keys() - {"oracle"}
    assert others == {"antiphon", *NAMES} - {"seed"}
    for metric in ACCURACY:
        bound = judged.value("oracle", part, metric)
        assert bound is not None
        for name in others:
            value = judged.value(name, part, metric)
            assert value is not None
            assert value < bound, (name, metric)


@pytest.mark.slow
def test_yambdas_published_figures_say_nothing_of_a_synthetic_log(judged: Evaluation) -> None:
    assert judged.judge.window.schema.held_out_start_s == TEST_START_S
    assert judged.published is None


@pytest.mark.slow
def test_what_baselines_were_tuned_to_is_part_of_the_evaluation(judged: Evaluation) -> None:
    told = judged.to_json()["baselines"]
    assert list(told) == [name for name in NAMES if name != "seed"]
    assert told["context_popular"]["knobs"].keys() == {
        "half_life_days",
        "smoothing",
        "by",
        "exclude_heard",
    }
    assert all(one["tried"] >= 1 and 0 <= one["validation"] <= 1 for one in told.values())
    json.dumps(told, allow_nan=False)


def test_the_oracle_is_above_popularity(log: tuple[Config, Prepared], oracle: OracleRanker) -> None:
    rankers = {"antiphon": MostPopular(), "oracle": oracle}
    evaluation = evaluate_rankers(log[1], rankers, SECTION)
    for part in ("all", "is_organic=0", "is_organic=1"):
        best = evaluation.value("oracle", part, "ndcg_at_10")
        other = evaluation.value("antiphon", part, "ndcg_at_10")
        assert best is not None
        assert other is not None
        assert best > 1.5 * other > 0
    assert "oracle" not in evaluation.comparisons


def test_the_true_context_is_better_than_none(
    log: tuple[Config, Prepared], oracle: OracleRanker
) -> None:
    window = held_out_window(log[1], SECTION)
    asked = window.queries
    blind = window.queries.with_context(unknown(log[1].schema, len(asked)))
    lists, scores = oracle.rank(blind, 20, exclude_heard=False)
    assert (lists > 0).all()
    assert (np.diff(scores, axis=1) <= 0).all()
    told, _ = oracle.rank(asked, 20, exclude_heard=False)
    assert (told != lists).any()


def test_heard_items_are_left_out(log: tuple[Config, Prepared], oracle: OracleRanker) -> None:
    queries = held_out_window(log[1], SECTION).queries.take(np.arange(20))
    heard = Exclusions.heard(log[1].events, queries)
    lists, _ = oracle.rank(queries, 30, exclude_heard=True)
    for row in range(20):
        out = heard.item_number[heard.offsets[row] : heard.offsets[row + 1]]
        assert not np.isin(lists[row][lists[row] > 0], out).any()


def test_the_oracle_of_the_validation_window(
    log: tuple[Config, Prepared], oracle: OracleRanker
) -> None:
    window = validation_window(log[1], SECTION)
    best = score(window, oracle, SECTION, ["ndcg_at_10"])["ndcg_at_10"]
    assert best > score(window, MostPopular(), SECTION, ["ndcg_at_10"])["ndcg_at_10"]


def test_other_logs_have_no_oracle(log: tuple[Config, Prepared], tmp_path: Path) -> None:
    elsewhere = [str(tmp_path / "a" / "*.parquet")]
    assert find_oracle(elsewhere, log[1]) is None
    assert synthetic_folder(elsewhere) is None


def test_a_synthetic_log_is_known_without_its_context(log: tuple[Config, Prepared]) -> None:
    blind = replace(log[1], schema=log[1].schema.model_copy(update={"context": ()}))
    assert find_oracle(log[0].log.events, blind) is None
    assert synthetic_folder(log[0].log.events) is not None
