"""Batches against a plain reference, one query at a time."""

from pathlib import Path

import numpy as np
import pytest

import planted
from antiphon.batches import Batches, prefetch
from antiphon.catalogue import Catalogue
from antiphon.rows import RowFinder


@pytest.fixture(scope="module")
def batches(tmp_path_factory) -> Batches:
    prepared = planted.moods(tmp_path_factory.mktemp("log") / "prepared")
    config = planted.config(model__context_dropout=0.0, model__user_dropout=0.0)
    return Batches(
        prepared.events,
        Catalogue.of(prepared, prepared.item_counts()),
        prepared.schema,
        config.model,
        config.train,
        horizon_s=planted.DAY,
    )


def test_ids_come_back_through_the_rows(batches: Batches) -> None:
    batch = batches.batch(3)
    events = batches.events
    items = batch["rows"]["item"]
    distinct = items[items < batches.catalogue.rows]
    assert len(set(distinct.tolist())) == len(distinct), "each row once"
    users = batch["rows"]["user"][batch["user"]]
    positive = items[batch["positive"]]
    history = items[batch["history"]["item"]]
    for q, user in enumerate(users):
        rows = slice(events.starts[user], events.ends[user])
        times, played = events.timestamp_s[rows], events.item_number[rows]
        moods = events.context["mood"][rows]
        past = history[q][batch["history"]["age"][q] >= 0]
        # the history is a run of the user's events, most recent first, that ends somewhere
        ends = [e for e in range(len(played) + 1) if _matches(played[:e][::-1][:8], past)]
        fitting = []
        for end in ends:
            begin_s = times[end - 1] + 1 if end else times[0] - planted.DAY
            window = (times >= begin_s) & (times < times[min(end, len(times) - 1)] + planted.DAY)
            pairs = set(zip(played[window].tolist(), moods[window].tolist(), strict=True))
            asked = zip(positive[q].tolist(), batch["context"]["mood"][q].tolist(), strict=True)
            fitting.append(set(asked) <= pairs)
        assert any(fitting), "targets follow the history within the horizon, with their context"


def _matches(expected: np.ndarray, found: np.ndarray) -> bool:
    return len(expected) == len(found) and bool((expected == found).all())


def test_a_batch_is_a_function_of_seed_and_step(batches: Batches) -> None:
    first, again, other = batches.batch(5), batches.batch(5), batches.batch(6)
    assert _flat(first) == _flat(again)
    assert _flat(first) != _flat(other)


def _flat(value: object) -> object:
    if isinstance(value, dict):
        return {key: _flat(part) for key, part in value.items()}
    return np.asarray(value).tobytes()


def test_shapes_never_change(batches: Batches) -> None:
    shapes = [_shapes(batches.batch(step)) for step in range(20)]
    assert all(one == shapes[0] for one in shapes)


def _shapes(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shapes(part) for key, part in value.items()}
    array = np.asarray(value)
    return array.shape, array.dtype


def test_every_position_is_an_anchor_once_an_epoch(batches: Batches) -> None:
    # With a horizon of nothing the only targets are the events at the anchor's own time.
    events = batches.events
    alone = Batches(
        events,
        batches.catalogue,
        batches.schema,
        batches.model,
        batches.train.model_copy(
            update={"global_batch_size": 4, "targets_per_query": 1, "sampled_negatives": 4}
        ),
        horizon_s=0,
    )
    seen = []
    for step in range(batches.count // 4):
        batch = alone.batch(step)
        seen += batch["rows"]["item"][batch["positive"]].ravel().tolist()
    played = events.item_number.tolist()
    # ties in time may swap events of one user; the items seen are the same but for those
    assert abs(np.bincount(seen, minlength=61) - np.bincount(played, minlength=61)).sum() <= 6


def test_expected_counts_are_those_of_the_mixture(batches: Batches) -> None:
    # A candidate's count: 15 other queries of 4 targets, drawn like plays, and 32 negatives drawn
    # by plays ** 0.75. Of all items: sum of expected counts = 60 + 32.
    batch = batches.batch(0)
    counts = batches.catalogue.counts.astype(float)
    expected = 60 * counts / counts.sum() + 32 * counts**0.75 / (counts**0.75).sum()
    assert expected.sum() == pytest.approx(92)
    items = batch["rows"]["item"]
    candidates = items[np.concatenate([batch["positive"].ravel(), batch["negative"]])]
    np.testing.assert_allclose(batch["log_expected_count"], np.log(expected[candidates]), rtol=1e-5)


def test_chance_is_the_loss_of_equal_scores(batches: Batches) -> None:
    batch = batches.batch(1)
    items = batch["rows"]["item"]
    positive = items[batch["positive"]]
    candidates = np.concatenate([positive.ravel(), items[batch["negative"]]])
    weight = np.exp(-batch["log_expected_count"].astype(float))
    for q in range(len(positive)):
        for t in range(4):
            counted = candidates != positive[q, t]
            counted[4 * q : 4 * q + 4] = False
            chance = np.log(1 + weight[counted].sum())
            assert batch["chance"][q, t] == pytest.approx(chance, rel=1e-5)


def test_dropout_shows_the_unknown(tmp_path: Path) -> None:
    prepared = planted.moods(tmp_path / "prepared")
    config = planted.config(model__context_dropout=0.5, model__user_dropout=0.5)
    batches = Batches(
        prepared.events,
        Catalogue.of(prepared, prepared.item_counts()),
        prepared.schema,
        config.model,
        config.train,
        horizon_s=planted.DAY,
    )
    moods, users = [], []
    for step in range(40):
        batch = batches.batch(step)
        moods.append(batch["context"]["mood"] == 0)
        users.append(batch["rows"]["user"][batch["user"]] == 0)
    # 40 steps of 64 targets and 16 users: within four deviations of one half
    assert abs(np.mean(moods) - 0.5) < 4 * 0.5 / np.sqrt(40 * 64)
    assert abs(np.mean(users) - 0.5) < 4 * 0.5 / np.sqrt(40 * 16)


def test_rows_are_found_without_sorting() -> None:
    finder = RowFinder(rows=100, capacity=10)
    ids = np.array([7, 3, 7, 7, 99, 3], np.int32)
    rows, places = finder.find(ids)
    assert rows.shape == (16,), "rounded up to a multiple of 8"
    assert rows[places].tolist() == ids.tolist()
    assert sorted(rows[rows < 100].tolist()) == [3, 7, 99]


def test_prefetching_changes_nothing_and_passes_errors_on(batches: Batches) -> None:
    ahead = list(prefetch(batches.batch, 2, 5))
    assert [_flat(b) for b in ahead] == [_flat(batches.batch(step)) for step in (2, 3, 4)]

    def broken(step: int) -> dict:
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="the disk went away"):
        list(prefetch(broken, 0, 1))
