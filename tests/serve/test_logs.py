"""A line of JSON for whatever happens."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from antiphon.serve.logs import _Json


def line(**told: object) -> dict[str, object]:
    record = logging.getLogger("antiphon.serve").makeRecord(
        "antiphon.serve", logging.INFO, "", 0, "asked %s", ("twice",), None, extra=told
    )
    found: dict[str, object] = json.loads(_Json().format(record))
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    assert found.pop("time") == time
    assert found.pop("level") == "info"
    assert found.pop("event") == "asked twice"
    return found


@pytest.mark.parametrize("since_1970", [0.0, 1.9996, 1_700_000_000.001, 1_700_000_000.999])
def test_times_are_those_of_iso_8601(since_1970: float) -> None:
    record = logging.makeLogRecord({"created": since_1970, "msecs": since_1970 % 1 * 1000})
    expected = datetime.fromtimestamp(int(since_1970 * 1000) / 1000, UTC)
    told = datetime.fromisoformat(json.loads(_Json().format(record))["time"])
    assert abs((told - expected).total_seconds()) <= 0.001


def test_what_is_told_besides() -> None:
    assert line() == {}
    assert line(status=200, ms=1.25, caller=None) == {"status": 200, "ms": 1.25, "caller": None}
    assert line(path=Path("a"), problem=KeyError("b")) == {"path": "a", "problem": "'b'"}
    assert line(path="half a \udc80") == {"path": "half a \udc80"}


def test_an_error_has_its_traceback() -> None:
    try:
        raise KeyError("here")
    except KeyError as error:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (KeyError, error, None)})
    assert json.loads(_Json().format(record))["error"] == "KeyError: 'here'"
