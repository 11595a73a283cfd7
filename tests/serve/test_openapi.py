"""Everything the OpenAPI document says is true, tried with what it allows and what it doesn't.

Each operation is asked at random by its description, and against it; the answer's status, media
type and body must be among those described, and what the document forbids must be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode, checks
from serving import Client, serving

EXAMPLES = 15
# the document can't say which values some item of the log has; keys are tried elsewhere
NOT_CHECKED = [checks.positive_data_acceptance, checks.ignored_auth]
OPERATIONS = [
    "DELETE /v1/items/{id}",
    "GET /health",
    "GET /metrics",
    "GET /ready",
    "GET /v1/items",
    "GET /v1/items/{id}/similar",
    "GET /v1/map",
    "GET /v1/model",
    "GET /v1/schema",
    "GET /v1/users",
    "POST /v1/admin/deploy",
    "POST /v1/admin/rollback",
    "POST /v1/events",
    "POST /v1/items",
    "POST /v1/items/{id}/restore",
    "POST /v1/map/places",
    "POST /v1/recommend",
    "POST /v1/recommend/batch",
]


@pytest.fixture(scope="module")
def service(run, tmp_path_factory) -> Iterator[Client]:
    """One that may be written to."""
    with serving(run, store=str(tmp_path_factory.mktemp("store") / "live")) as client:
        yield client


@cache
def described(port: int) -> dict[str, Any]:
    """The operations of a service's document."""
    document = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    operations = [one.ok() for one in document.get_all_operations()]
    return {f"{one.method.upper()} {one.path}": one for one in operations}


def test_every_operation_is_tried(service: Client) -> None:
    assert sorted(described(service.port)) == OPERATIONS


# of schemathesis, which draws from a generator of its own
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_are_as_described(service: Client, name: str, mode: GenerationMode) -> None:
    operation = described(service.port)[name]
    takes_anything = operation.body or operation.query or operation.path_parameters
    if mode is GenerationMode.NEGATIVE and not takes_anything:
        return  # there is nothing to get wrong

    @hypothesis.given(case=operation.as_strategy(mode))
    @hypothesis.settings(max_examples=EXAMPLES, suppress_health_check=list(hypothesis.HealthCheck))
    def ask(case: schemathesis.Case) -> None:
        answer = case.call()
        case.validate_response(answer, excluded_checks=NOT_CHECKED)
        if answer.status_code >= 400:
            assert answer.json()["error"]["what"]

    ask()
