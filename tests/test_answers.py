"""Batches of requests with every condition at once, against everything scored and sorted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import Phase, given, settings

from antiphon import pipeline
from antiphon.answers import Answer
from antiphon.errors import RequestError
from antiphon.feature_layers import ContextEncoder
from antiphon.library import Library
from antiphon.queries import Queries
from antiphon.recommend import Recommender
from antiphon.repeat_term import RepeatTerm
from antiphon.request import MODES, Request
from antiphon.retrieval import TrainedModel
from chain import FIRST_ITEM, FIRST_USER, ITEMS, USERS
from searched_run import MAKERS, trained_model

NEAR = 2e-5
_libraries: dict[int, Library] = {}
_terms: dict[int, RepeatTerm] = {}


def makers(item_id: int) -> set[str]:
    return {name.strip() for name in MAKERS[(item_id - FIRST_ITEM) % 4].split(",")}


def year(item_id: int) -> int:
    return 1990 + (item_id - FIRST_ITEM) % 3


@pytest.fixture(scope="module")
def recommender(tmp_path_factory) -> Recommender:
    """Of a run that has an index."""
    model = trained_model(tmp_path_factory)
    run = tmp_path_factory.mktemp("indexed") / "small"
    shutil.copytree(model.stage.path.parent, run)
    pipeline.index(run)
    return Recommender.load(run)


def repeat_term(model: TrainedModel) -> RepeatTerm:
    """As it was trained, in Keras."""
    if id(model) not in _terms:
        term = RepeatTerm(ContextEncoder(model.prepared.schema.context))
        with np.load(model.stage.path / "dense.npz") as weights:
            for variable in term.variables:
                variable.assign(weights[variable.path])
        _terms[id(model)] = term
    return _terms[id(model)]


def reference_scores(
    recommender: Recommender, request: Request, *, repeats: bool = True
) -> tuple[dict[int, float], set]:
    """Of every item by id, and which the user has had; repeats as training scores them."""
    model, shelf = recommender.model, recommender.shelf
    user = 0 if request.user_id is None else int(recommender.users.numbers([request.user_id])[0])
    events = model.prepared.events
    rows = np.arange(events.starts[user], events.ends[user])
    now_s = recommender.schema.held_out_start_s
    mood = {None: 0, "0": 1, "1": 2}[request.context.get("mood")]
    query = Queries(
        np.array([user], np.int32),
        np.array([user], np.int64),
        np.array([now_s], np.int64),
        {"mood": np.array([mood], np.int32)},
    )
    embedded = model.embed(query)[0].astype(np.float64)
    scores = model.candidates.astype(np.float64) @ embedded
    items = np.asarray(events.item_number[rows])
    if len(rows) and repeats:
        last = rows[[row for row, item in enumerate(items) if item not in items[row + 1 :]]]
        library = _libraries.setdefault(id(model), Library.of(events))
        padded = np.resize(last, ITEMS)  # one shape, compiled once
        plays = library.plays(padded, np.ones(ITEMS, bool), np.full(ITEMS, now_s))
        trained = repeat_term(model)
        asked = trained.context({"mood": np.full((1, 1), mood, np.int32)}, shape=(1, 1))
        term = trained(asked, plays.in_shape((1, ITEMS)))
        width = model.vectors.width
        shares = np.asarray(trained.shares(asked, width, len(embedded) - width), np.float64)
        vectors = model.candidates[events.item_number[last]].astype(np.float64)
        scores[events.item_number[last]] = vectors @ (embedded * shares[0, 0])
        scores[events.item_number[last]] += np.asarray(term)[0, 0, : len(last)]
    ids = shelf.ids(np.arange(1, len(scores), dtype=np.int32))
    heard = set(shelf.ids(items.astype(np.int32)))
    return dict(zip(ids, scores[1:].tolist(), strict=True)), heard


def reference(recommender: Recommender, request: Request) -> list[tuple[int, float, bool]]:
    """The plainest way to answer."""
    scores, heard = reference_scores(recommender, request)
    found = []
    counts: dict[tuple[str, object], int] = {}
    for id_ in sorted(scores, key=lambda one: (-np.float32(scores[one]), one)):
        fits = {"all": True, "discover": id_ not in heard, "repeat": id_ in heard}
        values = {"maker": makers(id_), "year": {str(year(id_))}}
        if not fits[request.mode or "all"] or id_ in request.deny:
            continue
        if request.allow is not None and id_ not in request.allow:
            continue
        if any(not values[name] & set(map(str, wanted)) for name, wanted in request.where.items()):
            continue
        limited = [(name, value) for name in request.at_most for value in values[name]]
        if any(counts.get(one, 0) >= request.at_most[one[0]] for one in limited):
            continue
        for one in limited:
            counts[one] = counts.get(one, 0) + 1
        found.append((id_, scores[id_], id_ in heard))
    return found[: request.k]


def check(recommender: Recommender, request: Request, answer: Answer | RequestError) -> None:
    assert isinstance(answer, Answer), answer
    expected = reference(recommender, request)
    assert len(answer.items) == len(expected)
    truth, _ = reference_scores(recommender, request)
    for item, (id_, score, repeat) in zip(answer.items, expected, strict=True):
        assert abs(item.score - score) < NEAR
        assert abs(truth[item.id] - item.score) < NEAR
        if item.id == id_:
            assert item.had_before == repeat


ids = st.integers(FIRST_ITEM, FIRST_ITEM + ITEMS - 1)
# what a `Request` is made of; made inside of tests, as its checked constructor draws at random
requests = st.fixed_dictionaries(
    {
        "user_id": st.one_of(
            st.none(), st.just(5), st.integers(FIRST_USER, FIRST_USER + USERS - 1)
        ),
        "context": st.one_of(st.just({}), st.sampled_from("01").map(lambda mood: {"mood": mood})),
        "k": st.integers(1, ITEMS + 5),
        "mode": st.sampled_from(MODES),
        "where": st.fixed_dictionaries(
            {},
            optional={
                "maker": st.lists(st.sampled_from(["ann", "ben", "cleo", "dan"]), max_size=2),
                "year": st.lists(st.sampled_from([1990, 1991, 1992]), min_size=1, max_size=2),
            },
        ),
        "allow": st.one_of(st.none(), st.lists(ids, max_size=12)),
        "deny": st.lists(ids, max_size=6),
        "at_most": st.fixed_dictionaries(
            {}, optional={"maker": st.integers(1, 4), "year": st.integers(1, 4)}
        ),
    }
)


@settings(max_examples=50, phases=[Phase.generate])
@given(batch=st.lists(requests, min_size=1, max_size=4))
def test_answers_are_those_of_everything_scored_and_sorted(recommender, batch) -> None:
    asked = [Request(**fields) for fields in batch]
    for request, answer in zip(asked, recommender.answer(asked), strict=True):
        check(recommender, request, answer)


@settings(max_examples=12, phases=[Phase.generate])
@given(batch=st.lists(requests, min_size=2, max_size=9))
def test_a_batch_answers_as_each_request_would_be_alone(recommender, batch) -> None:
    asked = [Request(**fields) for fields in batch]
    for request, answer in zip(asked, recommender.answer(asked), strict=True):
        (alone,) = recommender.answer([request])
        assert same(alone, answer)


def same(one: Answer, other: Answer) -> bool:
    """But for the last bits of scores."""
    scores = [[item.score for item in answer.items] for answer in (one, other)]
    np.testing.assert_allclose(scores[0], scores[1], atol=NEAR)
    strip = [
        replace(answer, items=tuple(replace(i, score=0.0) for i in answer.items))
        for answer in (one, other)
    ]
    return strip[0] == strip[1]


@pytest.mark.parametrize("mode", MODES)
def test_the_model_itself_answers_the_same(recommender, mode) -> None:
    """What evaluation ranks with, and what requests are answered with."""
    users = [FIRST_USER + n for n in range(0, USERS, 7)]
    numbers = recommender.users.numbers(users)
    queries = Queries(
        numbers,
        numbers.astype(np.int64),
        np.full(len(users), recommender.schema.held_out_start_s, np.int64),
        {"mood": np.full(len(users), 2, np.int32)},
    )
    items, scores = recommender.model.answer(queries, 12, mode)
    answers = recommender.answer([Request(u, {"mood": "1"}, k=12, mode=mode) for u in users])
    for row, answer in enumerate(answers):
        count = np.count_nonzero(items[row])
        assert [item.id for item in answer.items] == recommender.items.ids(items[row][:count])
        found = [item.score for item in answer.items]
        np.testing.assert_allclose(found, scores[row][:count], atol=NEAR)


def test_a_wrong_request_does_not_spoil_the_others(recommender) -> None:
    right, wrong = Request(FIRST_USER), Request(FIRST_USER, {"mood": "sad"})
    answers = recommender.answer([wrong, right, replace(right, k=0), right])
    assert [type(answer) for answer in answers] == [RequestError, Answer, RequestError, Answer]
    assert answers[1] == answers[3]
    assert recommender.answer([]) == []
    assert recommender.answer([wrong])[0].allowed == "0 (calm), 1 (lively)"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"where": {"makr": "ann"}}, r"isn't there(?s:.)*maker, year(?s:.)*'maker'"),
        ({"where": {"length": 3}}, r"isn't categorical(?s:.)*maker, year"),
        (
            {"where": {"maker": ["ann", "anne"]}},
            r"no item has(?s:.)*'anne'(?s:.)*'ann'",
        ),
        ({"at_most": {"makr": 1}}, r"isn't there(?s:.)*maker, year"),
        ({"at_most": {"maker": 0}}, r"at least one item of each maker(?s:.)*>= 1"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(recommender, more, message) -> None:
    with pytest.raises(RequestError, match=message):
        recommender.recommend(FIRST_USER, **more)


def test_ids_of_conditions_that_the_corpus_lacks_are_told(recommender) -> None:
    answer = recommender.recommend(FIRST_USER, allow=[FIRST_ITEM, 7], deny=[8])
    assert answer.unknown_items == (7, 8)
    assert [item.id for item in answer.items] == [FIRST_ITEM]
    assert recommender.recommend(FIRST_USER, allow=[]).items == ()


def test_at_most_one_maker_where_hardly_anything_else_is_left(recommender) -> None:
    answer = recommender.recommend(FIRST_USER, k=50, at_most={"maker": 1})
    # "ben, ann" shares a maker with "ann": of four kinds three may stand side by side at most
    assert 2 <= len(answer.items) <= 3
    seen: set[str] = set()
    for item in answer.items:
        assert not seen & makers(item.id)
        seen |= makers(item.id)


def test_a_run_without_an_index_answers_the_same(recommender) -> None:
    plain = Recommender(replace(recommender.model, index=None))
    batch = [
        Request(FIRST_USER + n, {"mood": "1"}, where={"maker": "ann"}, at_most={"year": 2})
        for n in range(5)
    ]
    for one, other in zip(plain.answer(batch), recommender.answer(batch), strict=True):
        assert same(one, other)


def whys(recommender: Recommender, user: int | None, **more: object) -> Answer:
    answer = recommender.recommend(user, {"mood": "1"}, 40, why=True, **more)
    assert answer == replace(
        recommender.recommend(user, {"mood": "1"}, 40, **more), items=answer.items
    )
    return answer


def test_reasons_are_what_the_model_says_when_asked_again(recommender) -> None:
    answer = whys(recommender, FIRST_USER)
    blank = {item.id: item.score for item in recommender.recommend(FIRST_USER, {}, ITEMS).items}
    asked = Request(FIRST_USER, {"mood": "1"}, mode="all")
    with_term, heard = reference_scores(recommender, asked)
    products, _ = reference_scores(recommender, asked, repeats=False)
    assert {item.had_before for item in answer.items} == {True, False}
    for item in answer.items:
        assert item.why is not None
        assert item.why.context == pytest.approx(item.score - blank[item.id], abs=1e-4)
        assert (item.why.repeat != 0) == item.had_before == (item.id in heard)
        assert item.why.repeat == pytest.approx(with_term[item.id] - products[item.id], abs=NEAR)
        assert len(item.why.past) == 4, "a history of four different items"
        assert sum(past.attention for past in item.why.past) <= 1 + 1e-6
        assert all(past.title == f"Song [{past.id}]" for past in item.why.past)
        effects = [past.effect for past in item.why.past]
        assert effects == sorted(effects, reverse=True)
        assert item.score == pytest.approx(with_term[item.id], abs=NEAR)


def test_the_effect_of_the_past_is_what_hiding_it_costs(recommender) -> None:
    """A stranger with one item of history: without it there is nothing, and nothing else has it."""
    given = FIRST_ITEM + 17
    answer = whys(recommender, None, history=[given], mode="discover")
    bare = {
        item.id: item.score
        for item in recommender.recommend(None, {"mood": "1"}, ITEMS, mode="discover").items
    }
    for item in answer.items:
        (past,) = item.why.past
        assert past.id == given
        assert 0 < past.attention < 1
        assert past.effect == pytest.approx(item.score - bare[item.id], abs=1e-4)
        assert item.why.repeat == 0


def test_without_a_past_there_is_none_to_tell_of(recommender) -> None:
    answer = whys(recommender, None)
    assert all(item.why.past == () and item.why.repeat == 0 for item in answer.items)
    listed: Sequence[Request] = [Request(), Request(FIRST_USER, why=True), Request(mode="repeat")]
    first, second, third = recommender.answer(listed)
    assert all(item.why is None for item in first.items)
    assert all(item.why is not None for item in second.items)
    assert third.items == ()


def test_similar_items_are_those_of_nearest_direction(recommender) -> None:
    width = recommender.model.vectors.width
    vectors = np.asarray(recommender.model.candidates, np.float64)[1:, :width]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit[5]
    order = [n for n in np.argsort(-cosines, kind="stable") if n != 5]
    found = recommender.similar(FIRST_ITEM + _row(recommender, 6), ITEMS)
    assert [i.id for i in found] == recommender.items.ids(np.array(order) + 1)
    np.testing.assert_allclose([i.score for i in found], cosines[order], atol=1e-6)
    assert found[0].title == f"Song [{found[0].id}]"
    some = recommender.similar(found[0].id, 5, where={"maker": "cleo"}, deny=[found[1].id])
    assert len(some) == 5
    assert all(makers(i.id) == {"cleo"} and i.id != found[1].id for i in some)
    with pytest.raises(RequestError, match="no such item"):
        recommender.similar(7)


def _row(recommender: Recommender, number: int) -> int:
    return int(recommender.items.ids([number])[0]) - FIRST_ITEM


def test_a_moment_may_be_given(recommender) -> None:
    """Before the user's first event nothing is known of them but who they are."""
    first_s = int(recommender.model.prepared.events.timestamp_s.min())
    early = recommender.recommend(FIRST_USER, {"mood": "1"}, mode="repeat", time_s=first_s - 1)
    assert early.items == ()
    assert early.known_user
    assert early.time_s == first_s - 1
    assert recommender.recommend(FIRST_USER).time_s == recommender.schema.held_out_start_s


def test_answering_needs_neither_keras_nor_jax(recommender) -> None:
    """They take longer to be imported than everything else takes to be ready."""
    program = """
import sys
import antiphon.serve.server
from antiphon.recommend import Recommender, Request
recommender = Recommender.load(sys.argv[1])
recommender.warm_up(4)
assert recommender.answer([Request(why=True)])[0].items
heavy = {"duckdb", "jax", "keras", "scipy", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""
    run = recommender.model.stage.path.parent
    subprocess.run([sys.executable, "-c", program, str(run)], check=True, timeout=60)
