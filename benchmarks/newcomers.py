"""What do newcomers get, of whom nothing is known but a few items that they played?

    python benchmarks/newcomers.py RUN [--plays 0 1 3 10] [--quick]

Prints JSON. RUN is a run's folder with a model. The queries are those of its test window, by users
who had at least as many plays before: each is asked as if the user had no id, and only the last
few plays of theirs had been given. Beside it stands what is popular under the context, tuned, from
the same training events; differences are paired by user. This is about models and not about speed,
so it is no part of `make bench`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.baselines.tune import tune_baselines
from antiphon.evaluate import evaluate_rankers
from antiphon.prepared import rows_between
from antiphon.queries import Queries, Ranker, Targets
from antiphon.retrieval import TrainedModel
from antiphon.windows import Window, held_out_window

METRICS = ("ndcg_at_10", "recall_at_100")
BASELINE = "context_popular"


def who_played(window: Window, plays: int) -> Window:
    """The queries of users who had at least so many plays."""
    rows = np.flatnonzero(window.history_lengths() >= plays)
    starts, ends = window.targets.offsets[rows], window.targets.offsets[rows + 1]
    offsets = np.concatenate([[0], np.cumsum(ends - starts)])
    items = window.targets.item_number[rows_between(starts, ends)]
    return replace(window, queries=window.queries.take(rows), targets=Targets(offsets, items))


def as_newcomers(model: TrainedModel, plays: int) -> TrainedModel:
    """The model, knowing nothing of any user but their last few plays."""
    events = model.prepared.events
    known = replace(events, starts=np.maximum(events.starts, events.ends - plays))
    return replace(
        model,
        prepared=replace(model.prepared, events=known),
        users=np.broadcast_to(model.users[0], model.users.shape),
    )


@dataclass(frozen=True)
class Strangers:
    """Asks another ranker as somebody of whom nothing is known."""

    ranker: Ranker

    def rank(self, queries: Queries, k: int, *, exclude_heard: bool) -> Any:
        """See `queries.Ranker`."""
        nobody = replace(queries, user_number=np.zeros_like(queries.user_number))
        return self.ranker.rank(nobody, k, exclude_heard=exclude_heard)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--plays", type=int, nargs="+", default=[0, 1, 3, 10])
    parser.add_argument("--quick", action="store_true", help="few resamples: rough intervals")
    options = parser.parse_args()
    model = TrainedModel.load_run(options.run)
    prepared, section = model.prepared, model.config.evaluate
    if options.quick:
        section = section.model_copy(update={"resamples": 50})
    cache = options.run / "baselines"
    popular = tune_baselines(prepared, section, names=[BASELINE], cache=cache)[BASELINE]
    whole = held_out_window(prepared, section)
    found: dict[str, Any] = {"run": options.run.name, "baseline": BASELINE, "plays": {}}
    for plays in options.plays:
        print(f"  {plays} plays ...", file=sys.stderr, flush=True)
        window = who_played(whole, plays)
        rankers = {
            "antiphon": as_newcomers(model, plays),
            BASELINE: popular if plays else Strangers(popular),
        }
        evaluation = evaluate_rankers(prepared, rankers, section, window=window)
        found["plays"][plays] = {
            "queries": len(window.queries),
            **{name: _kept(evaluation.models[name]["all"]) for name in rankers},
            "over_baseline": _kept(evaluation.comparisons[BASELINE]["all"]),
        }
    print(json.dumps(found, indent=2))


def _kept(figures: dict[str, Any]) -> dict[str, Any]:
    return {metric: figures[metric] for metric in METRICS}


if __name__ == "__main__":
    main()
