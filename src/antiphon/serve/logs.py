"""Logs as JSON, a line each; and ids that tie the lines of a request together."""

from __future__ import annotations

import json
import logging
import random
import re
import sys
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from pydantic import TypeAdapter

__all__ = ["log_as_json", "request_id"]

SANE = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_random = random.Random()
_LINE = TypeAdapter[Any](Any)
STANDARD = len(vars(logging.makeLogRecord({})))
"""Attributes that every record has; what a caller tells besides follows them."""


def request_id(given: bytes | None) -> str:
    """The caller's id where it is sane, else a new one."""
    if given is not None and SANE.fullmatch(given):
        return given.decode("ascii")
    return f"{_random.getrandbits(64):016x}"  # no secret: nothing is asked of the system


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}+00:00",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **dict(islice(vars(record).items(), STANDARD, None)),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        try:
            return _LINE.dump_json(line, fallback=str).decode()
        except ValueError:  # half a character, as names of files may have
            return json.dumps(line, default=str)


@lru_cache(maxsize=1)
def _second(since_1970: int) -> str:
    """A second as ISO 8601 has it; many lines are of the same."""
    return f"{datetime.fromtimestamp(since_1970, UTC):%Y-%m-%dT%H:%M:%S}"


def log_as_json(level: int = logging.INFO) -> None:
    """Send the logs of this process to stderr, as JSON."""
    # what isn't told needn't be found out (logging's "Optimization")
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("antiphon.serve").setLevel(level)
