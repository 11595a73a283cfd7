"""Answers in the log's own ids, from a model that has learned what was planted."""

from __future__ import annotations

import numpy as np
import pytest

import planted
from antiphon.answers import Answer
from antiphon.errors import RequestError
from antiphon.queries import Queries
from antiphon.recommend import Recommender
from antiphon.request import MAX_K
from antiphon.retrieval import TrainedModel
from antiphon.train import train

ITEMS = 60
KIND = 10  # items of a kind; ids are 10, 20, ... 600, so kind n is (100n, 100n + 100]
STRANGER = 123_456


@pytest.fixture(scope="module")
def recommender(tmp_path_factory) -> Recommender:
    folder = tmp_path_factory.mktemp("run")
    prepared = planted.moods(folder / "prepared")
    config = planted.config(train__epochs=8.0)
    train(config, prepared, folder / "model")
    return Recommender(TrainedModel.load(folder / "model", prepared, config))


def ids(answer: Answer) -> list[int]:
    return [item.id for item in answer.items]


def kinds(answer: Answer) -> list[int]:
    return [(id_ // 10 - 1) // KIND for id_ in ids(answer)]


def ranked(recommender: Recommender, user: int, mood: int, k: int, *, exclude: bool = False):
    query = Queries(
        user_number=np.array([user], np.int32),
        user_key=np.array([user], np.int64),
        time_s=np.array([recommender.schema.held_out_start_s], np.int64),
        context={"mood": np.array([mood], np.int32)},
    )
    return recommender.model.rank(query, k, exclude_heard=exclude)


def heard(recommender: Recommender, user: int) -> set[int]:
    events = recommender.model.prepared.events
    rows = slice(events.starts[user], events.ends[user])
    return {int(number) * 10 for number in events.item_number[rows]}


@pytest.mark.parametrize("user", [1, 7, 120])
@pytest.mark.parametrize("exclude", [False, True])
def test_the_answer_is_what_evaluation_ranks_in_the_ids_of_the_log(
    recommender, user, exclude
) -> None:
    for code, value in ((1, "0"), (2, "1")):
        numbers, scores = ranked(recommender, user, code, 10, exclude=exclude)
        answer = recommender.recommend(user * 10, {"mood": value}, 10, exclude_heard=exclude)
        assert ids(answer) == [int(n) * 10 for n in numbers[0]]
        np.testing.assert_allclose([item.score for item in answer.items], scores[0], rtol=1e-6)
        assert answer.known_user
        assert answer.unknown_history == ()
        assert all(item.title is None for item in answer.items)


def test_ids_and_values_may_be_given_as_text_or_numbers(recommender) -> None:
    answers = [
        recommender.recommend(user, {"mood": mood})
        for user, mood in ((70, 1), ("70", "1"), (70, 1.0), (70, True))
    ]
    assert all(answer == answers[0] for answer in answers)


def test_two_moods_give_two_lists(recommender) -> None:
    shared = []
    for user in range(10, 210, 10):
        one, other = (set(ids(recommender.recommend(user, {"mood": mood}))) for mood in ("0", "1"))
        shared.append(len(one & other))
    # the two favourite kinds of a user have no item in common
    assert np.mean(shared) < 5, shared


def test_who_gives_no_past_either_gets_what_is_popular_under_the_context(recommender) -> None:
    model = recommender.model
    width = model.vectors.width
    trends = model.candidates[1:, width:].astype(np.float64)
    query = Queries(
        user_number=np.zeros(1, np.int32),
        user_key=np.zeros(1, np.int64),
        time_s=np.array([recommender.schema.held_out_start_s], np.int64),
        context={"mood": np.array([1], np.int32)},
    )
    popular = np.float32(trends @ model.embed(query)[0, width:])
    expected = sorted(range(ITEMS), key=lambda item: (-popular[item], item))[:10]
    answer = recommender.recommend(STRANGER, {"mood": "0"}, 10)
    assert ids(answer) == [(item + 1) * 10 for item in expected]
    told = recommender.recommend(STRANGER, {"mood": "0"}, 10, history=[300])
    assert ids(told) != ids(answer)


@pytest.mark.parametrize("k", [0, -1, 1_000_000, MAX_K + 1])
def test_k_out_of_range_is_refused(recommender, k) -> None:
    with pytest.raises(RequestError) as caught:
        recommender.recommend(10, k=k)
    assert f"received: {k}" in str(caught.value)
    assert f"allowed:  a whole number from 1 to {MAX_K}" in str(caught.value)


def test_fewer_candidates_than_asked_for(recommender) -> None:
    everything = recommender.recommend(10, {"mood": 0}, MAX_K, exclude_heard=False)
    assert sorted(ids(everything)) == [number * 10 for number in range(1, ITEMS + 1)]
    scores = [item.score for item in everything.items]
    assert np.isfinite(scores).all()
    assert scores == sorted(scores, reverse=True)
    new = recommender.recommend(10, {"mood": 0}, MAX_K, exclude_heard=True)
    assert set(ids(new)) == set(ids(everything)) - heard(recommender, 1)


def test_what_was_heard_can_be_left_out_of_lists(recommender) -> None:
    had = heard(recommender, 1)
    assert had & set(ids(recommender.recommend(10, {"mood": 0}, exclude_heard=False)))
    answer = recommender.recommend(10, {"mood": 0}, exclude_heard=True)
    assert not had & set(ids(answer))
    given = ids(answer)[0]
    again = recommender.recommend(10, {"mood": 0}, history=[given], exclude_heard=True)
    assert given not in ids(again), "what the request says was heard, was"


def test_modes_part_what_was_had_from_what_was_not(recommender) -> None:
    had = heard(recommender, 1)
    everything, new, again = (
        recommender.recommend(10, {"mood": 1}, ITEMS, mode=mode)
        for mode in ("all", "discover", "repeat")
    )
    assert set(ids(again)) == had
    assert set(ids(new)) == {10 * number for number in range(1, ITEMS + 1)} - had
    # exactly merged: all items of both lists, by score, equals by number
    both = sorted([*new.items, *again.items], key=lambda item: (-item.score, item.id))
    assert list(everything.items) == both
    assert recommender.recommend(10, {"mood": 1}, 5, mode="all").items == tuple(both[:5])


def test_an_unknown_mode_is_refused(recommender) -> None:
    with pytest.raises(
        RequestError, match=r"no such mode(?s:.)*surprise(?s:.)*all, discover, repeat"
    ):
        recommender.recommend(10, mode="surprise")
    with pytest.raises(RequestError, match="both left out and all there is"):
        recommender.recommend(10, mode="repeat", exclude_heard=True)


def test_an_item_just_heard_is_a_repeat(recommender) -> None:
    new = recommender.recommend(STRANGER, {"mood": 1}, 3).items[-1].id
    again = recommender.recommend(STRANGER, {"mood": 1}, history=[new], mode="repeat")
    assert ids(again) == [new]


def test_by_default_lists_are_like_those_that_were_evaluated(recommender) -> None:
    for exclude in (False, True):
        config = planted.config(evaluate__exclude_heard=exclude)
        model = recommender.model
        other = Recommender(TrainedModel.load(model.stage.path, model.prepared, config))
        answer = other.recommend(10, {"mood": 0}, 30)
        assert answer == recommender.recommend(10, {"mood": 0}, 30, exclude_heard=exclude)


def test_an_unknown_user_is_answered_from_the_context(recommender) -> None:
    answer = recommender.recommend(STRANGER, {"mood": 0})
    assert len(answer.items) == 10
    assert not answer.known_user
    assert answer == recommender.recommend(None, {"mood": 0})
    assert answer == recommender.recommend("nobody", {"mood": 0})


def test_an_unknown_user_is_answered_from_the_history_given(recommender) -> None:
    hits = []
    for kind in range(6):
        history = [100 * kind + 10 * place for place in range(1, 5)]
        answer = recommender.recommend(STRANGER, {"mood": 1}, history=history)
        assert not answer.known_user
        hits.append(kinds(answer).count(kind))
    # without the history one list of ten can't hold more than ten of six kinds: 1.7 a kind
    assert np.mean(hits) > 5, hits


def test_the_history_given_comes_on_top_of_the_logs(recommender) -> None:
    plain = recommender.recommend(10, {"mood": 0})
    moved = recommender.recommend(10, {"mood": 0}, history=[600, 590, 580])
    assert plain.items != moved.items
    # the last given is the most recent, and attention sees no more than the last eight; what lies
    # beyond is still part of the library
    later = list(range(20, 100, 10))
    long, short = (
        recommender.recommend(10, {"mood": 0}, ITEMS, history=given, mode="discover")
        for given in ([10] * 20 + later, later)
    )
    assert long.items == tuple(item for item in short.items if item.id != 10)


def test_history_that_the_corpus_lacks_is_reported_and_ignored(recommender) -> None:
    plain = recommender.recommend(10, {"mood": 0}, history=[600])
    answer = recommender.recommend(10, {"mood": 0}, history=[7, 600, "x"])
    assert answer.unknown_history == (7, "x")
    assert answer.items == plain.items


def test_an_unknown_context_feature_is_refused(recommender) -> None:
    with pytest.raises(RequestError) as caught:
        recommender.recommend(10, {"moood": 1})
    assert "received: moood" in str(caught.value)
    assert "allowed:  mood" in str(caught.value)
    assert "did you mean 'mood'?" in str(caught.value)


@pytest.mark.parametrize("value", ["2", 0.5, "", "sad"])
def test_an_unknown_context_value_is_refused(recommender, value) -> None:
    with pytest.raises(RequestError) as caught:
        recommender.recommend(10, {"mood": value})
    assert f"received: {value!r}" in str(caught.value)
    assert "allowed:  0, 1" in str(caught.value)
    assert recommender.context_values() == {"mood": ("0", "1")}


def test_a_context_left_out_is_the_unknown_slot(recommender) -> None:
    numbers, scores = ranked(recommender, 5, 0, 10)
    for context in (None, {}, {"mood": None}):
        answer = recommender.recommend(50, context)
        assert ids(answer) == [int(n) * 10 for n in numbers[0]]
        np.testing.assert_allclose([item.score for item in answer.items], scores[0], rtol=1e-6)
    assert answer.items != recommender.recommend(50, {"mood": 0}).items


def test_a_context_left_out_still_knows_the_user(recommender) -> None:
    """The slot is trained: without the mood, lists are of the user's two favourite kinds."""
    shares = []
    for user in range(1, 41):
        common = np.bincount((np.array(sorted(_plays(recommender, user))) - 1) // KIND)
        favourites = set(np.argsort(-common)[:2])
        listed = kinds(recommender.recommend(user * 10))
        shares.append(np.mean([kind in favourites for kind in listed]))
    assert np.mean(shares) > 0.7  # two kinds of six would be 0.33 by chance


def _plays(recommender: Recommender, user: int) -> list[int]:
    events = recommender.model.prepared.events
    return events.item_number[events.starts[user] : events.ends[user]].tolist()


def test_sample_users_are_those_with_most_events(recommender) -> None:
    counts = recommender.model.prepared.user_counts()
    users = recommender.sample_users(3)
    assert [counts[id_ // 10] for id_ in users] == sorted(counts, reverse=True)[:3]
    assert len(recommender.sample_users(1000)) == 120
