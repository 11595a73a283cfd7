"""Batches against a plain reference, one query at a time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import planted
from antiphon.batches import Batches
from antiphon.catalogue import Catalogue
from antiphon.prefetch import prefetch
from antiphon.rows import RowFinder
from antiphon.schema import FittedCategorical


@pytest.fixture(scope="module")
def batches(tmp_path_factory) -> Batches:
    prepared = planted.moods(tmp_path_factory.mktemp("log") / "prepared")
    config = planted.config(
        model__context_dropout=0.0, model__user_dropout=0.0, train__stranger_share=0.0
    )
    return Batches(
        prepared.events,
        Catalogue.of(prepared, prepared.item_counts()),
        prepared.schema,
        config.model,
        config.train,
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
    candidates = items[np.concatenate([batch["positive"].ravel(), batch["negative"]])]
    for q, user in enumerate(users):
        rows = slice(events.starts[user], events.ends[user])
        times, played = events.timestamp_s[rows], events.item_number[rows]
        moods = events.context["mood"][rows]
        past = history[q][batch["history"]["age"][q] >= 0]
        bits = np.unpackbits(batch["left_out"][q], bitorder="little", count=96)
        # the history is a run of the user's events, most recent first, that ends somewhere
        ends = [e for e in range(len(played) + 1) if _matches(played[:e][::-1][:8], past)]
        fitting = []
        for end in ends:
            begin_s = times[end - 1] + 1 if end else times[0] - planted.DAY
            window = (times >= begin_s) & (times < times[min(end, len(times) - 1)] + planted.DAY)
            pairs = set(zip(played[window].tolist(), moods[window].tolist(), strict=True))
            asked = zip(positive[q].tolist(), batch["context"]["mood"][q].tolist(), strict=True)
            heard = np.isin(candidates, played[:end])
            fitting.append(set(asked) <= pairs and (bits == heard).all())
        assert any(fitting), (
            "targets follow within the horizon, with their context; what was heard is left out"
        )


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


def test_windows_cover_the_log_evenly(batches: Batches) -> None:
    # Over an epoch each event is a target about once; those of the first and the last window,
    # which several steps share, oftener or less often.
    events = batches.events
    seen = np.zeros(10)
    for step in range(batches.steps_per_epoch):
        now_s = batches._present.moment_s(step)
        drawn = batches._touched(step, batches.share)[0]
        times_s = events.timestamp_s[drawn.targets]
        assert (times_s >= now_s).all()
        assert (times_s < now_s + planted.DAY).all()
        seen += np.bincount((times_s // planted.DAY).ravel(), minlength=10)
    played = np.bincount(events.timestamp_s[events.rows()] // planted.DAY, minlength=10)
    np.testing.assert_allclose(seen[1:8] / played[1:8], 1, atol=0.25)
    assert seen.sum() == pytest.approx(played.sum(), rel=0.02)


def test_expected_counts_are_those_of_the_mixture(batches: Batches) -> None:
    # A candidate's count: 15 other queries of 4 targets, drawn like the window's plays, and 32
    # negatives drawn by (plays + 0.5) ** 0.75. Of all items: sum of expected counts = 60 + 32.
    step = batches.steps_per_epoch // 2
    batch = batches.batch(step)
    now_s = batches._present.moment_s(step)
    times_s = batches.events.timestamp_s[batches.events.rows()]
    ahead = (times_s >= now_s) & (times_s < now_s + planted.DAY)
    window = np.bincount(batches.events.item_number[batches.events.rows()][ahead], minlength=61)
    counts = batches.catalogue.counts.astype(float)
    weight = np.where(np.arange(61) > 0, (counts + 0.5) ** 0.75, 0)
    expected = 60 * window / window.sum() + 32 * weight / weight.sum()
    assert expected.sum() == pytest.approx(92)
    items = batch["rows"]["item"]
    candidates = items[np.concatenate([batch["positive"].ravel(), batch["negative"]])]
    np.testing.assert_allclose(batch["log_expected_count"], np.log(expected[candidates]), rtol=1e-5)


def test_more_rows_than_expected_leave_out_the_oldest() -> None:
    finder = RowFinder(rows=100, capacity=50)
    finder.find(np.arange(10, dtype=np.int32))
    finder.shrink()
    assert finder.capacity == 16, "ten, a quarter more and one, to a multiple of 8"
    ids = np.arange(40, 20, -1).astype(np.int32)
    rows, places = finder.find(ids)
    assert rows.tolist() == ids[:16].tolist()
    assert places.tolist() == [*range(16), -1, -1, -1, -1]
    found, at = finder.among(np.array([99, 25, 24, 40, 25], np.int32))
    assert (found.tolist(), at.tolist()) == ([1, 3, 4], [15, 0, 15])
    finder.find(np.array([24], np.int32))
    assert finder.among(np.array([40, 24], np.int32))[0].tolist() == [1], "the last ones only"


def test_dropout_shows_the_unknown(tmp_path: Path) -> None:
    prepared = planted.moods(tmp_path / "prepared")
    config = planted.config(model__context_dropout=0.5, model__user_dropout=0.5)
    batches = Batches(
        prepared.events,
        Catalogue.of(prepared, prepared.item_counts()),
        prepared.schema,
        config.model,
        config.train,
    )
    moods, users = [], []
    for step in range(40):
        batch = batches.batch(step)
        moods.append(batch["context"]["mood"] == 0)
        users.append(batch["rows"]["user"][batch["user"]] == 0)
    # 40 steps of 64 targets and 16 users: within four deviations of one half
    assert abs(np.mean(moods) - 0.5) < 4 * 0.5 / np.sqrt(40 * 64)
    assert abs(np.mean(users) - 0.5) < 4 * 0.5 / np.sqrt(40 * 16)


def test_strangers_ask_as_if_nothing_were_known_of_them(tmp_path: Path) -> None:
    prepared = planted.moods(tmp_path / "prepared")

    def asked(share: float) -> Batches:
        config = planted.config(train__stranger_share=share, model__user_dropout=0.0)
        catalogue = Catalogue.of(prepared, prepared.item_counts())
        events, schema = prepared.events, prepared.schema
        return Batches(events, catalogue, schema, config.model, config.train)

    some, none = asked(0.5), asked(0.0)
    strangers = 0
    for step in range(40):
        batch, plain = some.batch(step), none.batch(step)
        assert plain["is_known"].all()
        known = batch["is_known"]
        strangers += int((~known).sum())
        users = batch["rows"]["user"][batch["user"]]
        assert ((users == 0) == ~known).all()
        assert (batch["history"]["age"][~known] == -1).all()
        assert np.isposinf(batch["own"]["log_expected_count"][~known]).all()
        assert not batch["own"]["plays"]["known"][~known].any()
        assert not batch["left_out"][~known].any()
        # what is asked of them is what would have been asked of whom they stand for
        items, others = batch["rows"]["item"], plain["rows"]["item"]
        assert (items[batch["positive"]] == others[plain["positive"]]).all()
        # and the others are as they were
        was = plain["rows"]["user"][plain["user"]]
        assert (users[known] == was[known]).all()
        assert (batch["history"]["age"][known] == plain["history"]["age"][known]).all()
        assert (batch["left_out"][known] == plain["left_out"][known]).all()
    # 40 steps of 16 queries: within four deviations of one half
    assert abs(strangers / (40 * 16) - 0.5) < 4 * 0.5 / np.sqrt(40 * 16)


def test_some_items_are_told_by_their_content_only(batches: Batches) -> None:
    genre = FittedCategorical(name="genre", cardinality=3)
    schema = batches.schema.model_copy(update={"item": (genre,)})
    counts = np.where(np.arange(20_000) % 2, batches.catalogue.counts.max(), 0)
    catalogue = with_genre(replace(batches.catalogue, counts=counts), genre)
    model = batches.model.model_copy(update={"id_dropout": 0.1})
    content = replace(batches, schema=schema, catalogue=catalogue, model=model)
    items = np.arange(20_000, dtype=np.int32)
    has_id = content._has_id(items, 3)
    assert not has_id[::2].any(), "what nobody played"
    # 10,000 items, one in ten: within four deviations
    assert abs(has_id[1::2].mean() - 0.9) < 4 * 0.3 / np.sqrt(10_000)
    assert replace(content, model=batches.model)._has_id(items, 3).all(), "by default none"
    assert replace(batches, model=model)._has_id(items[:50], 3).all(), "without content none"


def with_genre(catalogue: Catalogue, genre: FittedCategorical) -> Catalogue:
    codes = np.ones(catalogue.rows, np.int32)
    return Catalogue((genre,), catalogue.counts, {genre.name: codes})


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
