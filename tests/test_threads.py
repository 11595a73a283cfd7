"""Products of answering are left to one thread, which then waits for nobody."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import antiphon.threads as threads_module
from antiphon.own_library import own_items
from antiphon.queries import Queries
from antiphon.query_vectors import QueryVectors
from antiphon.repeat_scores import RepeatScores
from antiphon.retrieval import FEW_QUERIES
from antiphon.threads import aside, single_threaded_blas
from searched_run import trained_model


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_inside_and_after() -> None:
    before = threads()
    with single_threaded_blas():
        assert threads() == {1}
    assert threads() == before


def test_whoever_leaves_last_takes_the_limit_back() -> None:
    before = threads()
    first, second = single_threaded_blas(), single_threaded_blas()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert threads() == {1}, "the second is still inside"
    second.__exit__(None, None, None)
    assert threads() == before


def test_what_has_one_thread_is_not_told_so(monkeypatch) -> None:
    class Library:
        def __init__(self, threads: int) -> None:
            self.num_threads, self.told = threads, []

        def set_num_threads(self, threads: int) -> None:
            self.told.append(threads)

    one, team = Library(1), Library(4)
    monkeypatch.setattr(threads_module, "_blas", lambda: (one, team))
    with single_threaded_blas():
        assert (one.told, team.told) == ([], [1])
    assert (one.told, team.told) == ([], [1, 4])


def test_embedding_and_scoring_a_library(tmp_path_factory, monkeypatch) -> None:
    model = trained_model(tmp_path_factory)
    seen: list[set[int]] = []

    def watched(method):
        def called(*args, **named):
            seen.append(threads())
            return method(*args, **named)

        return called

    monkeypatch.setattr(QueryVectors, "of", watched(QueryVectors.of))
    monkeypatch.setattr(RepeatScores, "of", watched(RepeatScores.of))
    users = np.array([1], np.int32)
    now_s = np.array([model.prepared.schema.held_out_start_s])
    context = {name: values[:1] for name, values in model.prepared.events.context.items()}
    queries = Queries(users, users.astype(np.int64), now_s, context)
    embedded = model.embed(queries)
    assert len(model.own_scores(queries, embedded, own_items(model.prepared.events, queries)).score)
    assert seen == [{1}, {1}]


def test_work_done_aside_is_done_while_this_thread_goes_on() -> None:
    both = threading.Barrier(2, timeout=30)

    def meet() -> int:
        both.wait()  # reached by neither if one were done after the other
        return threading.get_ident()

    coming = aside(meet)
    assert meet() == threading.get_ident() != coming.result()


def test_what_is_raised_aside_is_raised_where_the_result_is_asked_for() -> None:
    def fail() -> None:
        raise KeyError("there")

    coming = aside(fail)
    with pytest.raises(KeyError, match="there"):
        coming.result()


@pytest.mark.parametrize("queries", [1, FEW_QUERIES, FEW_QUERIES + 1])
def test_scores_are_the_same_whichever_thread_makes_them(tmp_path_factory, queries) -> None:
    model = trained_model(tmp_path_factory)
    users = (np.arange(queries) % model.prepared.schema.user_count + 1).astype(np.int32)
    now_s = np.full(queries, model.prepared.schema.held_out_start_s)
    context = {name: values[:queries] for name, values in model.prepared.events.context.items()}
    asked = Queries(users, users.astype(np.int64), now_s, context)
    embedded, own = model.embed(asked), own_items(model.prepared.events, asked)
    scoring = model.scoring(asked, embedded, own)
    here = model.own_scores(asked, embedded, own)
    np.testing.assert_array_equal(scoring().score, here.score)
    assert scoring() is scoring(), "scored once"
