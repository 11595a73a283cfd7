"""What HTTP answers is what the Recommender answers, and says what it can't answer."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from typing import Any

import pytest

import chain
from antiphon.recommend import Recommender
from antiphon.request import Request

USER = chain.FIRST_USER + 3


@pytest.fixture(scope="module")
def recommender(run) -> Recommender:
    return Recommender.load(run)


def in_http(answer: Any, run: dict[str, str]) -> dict[str, Any]:
    """An answer as the service puts it."""
    data = asdict(answer)
    return data | {
        "items": [dict(item) for item in data["items"]],
        "unknown_history": list(data["unknown_history"]),
        "unknown_items": list(data["unknown_items"]),
        "run": run,
    }


ASKED = [
    {"user": USER, "context": {"mood": "1"}},
    {"user": USER, "context": {"mood": "0"}, "k": 30, "mode": "discover"},
    {"user": USER, "mode": "repeat", "k": 5},
    {"user": USER, "exclude_heard": True},
    {"user": 424242, "history": [505, 506, 999_999], "context": {"mood": 1}},
    {"k": 7, "where": {"maker": ["ann", "dan"]}, "at_most": {"maker": 2}},
    {"user": USER, "allow": [501, 502, 503, "x"], "deny": [502]},
    {"user": str(USER), "context": {"mood": True}, "time_s": 1_700_900_000},
]


def as_request(asked: dict[str, Any]) -> Request:
    return Request(**{"user_id" if name == "user" else name: v for name, v in asked.items()})


@pytest.mark.parametrize("asked", ASKED)
def test_the_answer_is_the_recommenders(client, recommender, asked) -> None:
    answer = client.post("/v1/recommend", asked)
    (expected,) = recommender.answer([as_request(asked)])
    assert answer == in_http(expected, answer["run"])
    assert answer["run"]["name"] == "small"


def test_a_batch_is_answered_like_its_parts(client) -> None:
    batch = client.post("/v1/recommend/batch", {"requests": ASKED})
    for one, asked in zip(batch["answers"], ASKED, strict=True):
        alone = client.post("/v1/recommend", asked)
        assert [item["id"] for item in one["items"]] == [item["id"] for item in alone["items"]]
        scores = [[item["score"] for item in each["items"]] for each in (one, alone)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-5)
        assert one["run"] == batch["run"]


def test_reasons_are_told_where_they_are_asked_for(client, recommender) -> None:
    asked = {"user": USER, "context": {"mood": "1"}, "k": 3, "why": True}
    answer = client.post("/v1/recommend", asked)
    (expected,) = recommender.answer([as_request(asked)])
    for item, wanted in zip(answer["items"], expected.items, strict=True):
        assert item["why"]["repeat"] == pytest.approx(wanted.why.repeat)
        assert [past["id"] for past in item["why"]["past"]] == [p.id for p in wanted.why.past]


def test_similar_items(client, recommender) -> None:
    found = client.get("/v1/items/501/similar?k=4")["items"]
    expected = recommender.similar(501, 4)
    assert [(item["id"], item["title"]) for item in found] == [(i.id, i.title) for i in expected]
    assert client.refused(404, "GET", "/v1/items/1/similar")["received"] == "1"
    assert client.refused(422, "GET", "/v1/items/501/similar?k=0")


WRONG = [
    ({"context": {"mood": "2"}}, "2", "0, 1", None),
    ({"context": {"mood": 0.5}}, "0.5", "0, 1", None),
    ({"context": {"moood": "1"}}, "moood", "mood", "did you mean 'mood'?"),
    ({"usr": 1}, "usr", None, "did you mean 'user'?"),
    ({"where": {"makr": "ann"}}, "makr", "maker, year", "did you mean 'maker'?"),
    ({"where": {"maker": "eve"}}, "'eve'", None, None),
    ({"k": 0}, "0", None, None),
    ({"k": 100_000}, "100000", None, None),
    ({"k": "10"}, "10", None, None),
    ({"mode": "surprise"}, "surprise", "'all', 'discover' or 'repeat'", None),
    ({"history": [1] * 1001}, None, None, None),
]


@pytest.mark.parametrize(("asked", "received", "allowed", "hint"), WRONG)
def test_what_cant_be_used_is_refused_by_name(client, asked, received, allowed, hint) -> None:
    error = client.refused(422, "POST", "/v1/recommend", asked)
    if received is not None:
        assert error["received"] == received
    if allowed is not None:
        assert error["allowed"] == allowed
    assert error["hint"] == hint


def test_routes_that_are_gone_to_straight_have_one_method(client) -> None:
    for path in ("/v1/recommend", "/v1/recommend/batch"):
        error = client.refused(405, "GET", path)
        assert error["what"] == "the path doesn't have this method"
        assert client.refused(422, "POST", path, b"")["what"].startswith("the body isn't JSON")
        assert client.refused(404, "POST", f"{path}/", {})


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"x"', b"\xff", b'{"k": NaN}'])
def test_bodies_that_are_none_are_refused(client, body) -> None:
    assert client.ask("POST", "/v1/recommend", body)[0] in (400, 422)


def test_users_and_items_are_found(client, recommender) -> None:
    users = [user["id"] for user in client.get("/v1/users?limit=5")["users"]]
    assert users == recommender.sample_users(5)
    assert client.get(f"/v1/users?query={USER}") == {"users": [{"id": USER}]}
    assert client.get("/v1/users?query=nobody") == {"users": []}
    (item,) = client.get("/v1/items?query=501")["items"][:1]
    assert item == {"id": 501, "title": "Song [501]"}
    found = client.get("/v1/items?query=sONG%20[51&limit=100")["items"]
    assert sorted(item["id"] for item in found) == list(range(510, 520))
    assert len(client.get("/v1/items?limit=1000")["items"]) == len(recommender.items)
    client.refused(422, "GET", "/v1/items?limit=0")


def test_a_form_can_be_drawn_from_the_schema(client) -> None:
    schema = client.get("/v1/schema")
    (mood,) = schema["context"]
    assert mood == {
        "name": "mood",
        "kind": "categorical",
        "values": [{"value": "0", "label": "calm"}, {"value": "1", "label": "lively"}],
    }
    assert schema["modes"] == ["all", "discover", "repeat"]
    assert [feature["name"] for feature in schema["item"]] == ["maker", "year", "length"]
    assert schema["item"][2]["mean"] > 0
    assert schema["titles"]
    assert schema["report"]


def test_the_model_is_told(client) -> None:
    model = client.get("/v1/model")
    assert model["run"]["name"] == "small"
    assert model["evaluation"]["ndcg_at_10"] >= 0
    assert model["items"] == chain.ITEMS


def test_the_page_and_the_report_are_served(client) -> None:
    for path in ("/", "/report"):
        status, body, headers = client.ask("GET", path)
        assert status == 200
        assert body.startswith(b"<!doctype html>")
        assert headers["content-type"] == "text/html; charset=utf-8"
    for path in ("/assets/nothing.js", "/assets/..%2f..%2fserver.py", "/assets/%2e%2e/server.py"):
        assert client.ask("GET", path)[0] == 404


def test_metrics_count_what_was_asked(client) -> None:
    def counted(name: str) -> float:
        text = client.ask("GET", "/metrics")[1].decode()
        return sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)
        )

    names = {
        'antiphon_requests_total{route="/v1/recommend",status="200"}': 3,
        'antiphon_requests_total{route="/v1/recommend",status="422"}': 1,
        'antiphon_request_seconds_count{route="/v1/recommend"}': 4,
        "antiphon_answers_total": 3,
        "antiphon_empty_answers_total": 1,
        "antiphon_unknown_users_total": 1,
        "antiphon_unknown_items_total": 2,
        'antiphon_context_total{feature="mood",value="1"}': 1,
        'antiphon_context_total{feature="mood",value="unknown"}': 2,
        "antiphon_best_score_bin_total": 1,
    }
    before = {name: counted(name) for name in names}
    client.post("/v1/recommend", {"user": USER, "context": {"mood": "1"}})
    client.post("/v1/recommend", {"user": "nobody", "history": [1, 2]})
    client.post("/v1/recommend", {"user": USER, "allow": []})
    client.refused(422, "POST", "/v1/recommend", {"k": 0})
    assert {name: counted(name) - before[name] for name in names} == names


def test_ids_of_requests_are_given_back(client) -> None:
    for given, kept in (("abc-1.2", True), ("a b", False), ("x" * 200, False)):
        _, _, headers = client.ask("GET", "/health", headers={"X-Request-ID": given})
        assert (headers["x-request-id"] == given) == kept
    ids = [client.ask("GET", "/health")[2]["x-request-id"] for _ in range(3)]
    assert all(one != other for one, other in itertools.combinations(ids, 2))
