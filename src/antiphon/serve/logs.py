"""Logs as JSON, a line each; and ids that tie the lines of a request together."""

from __future__ import annotations

import json
import logging
import random
import re
import sys
from datetime import UTC, datetime

__all__ = ["log_as_json", "request_id"]

SANE = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_random = random.Random()
_encode = json.JSONEncoder(default=str).encode
KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def request_id(given: bytes | None) -> str:
    """The caller's id where it is sane, else a new one."""
    if given is not None and SANE.fullmatch(given):
        return given.decode("ascii")
    return f"{_random.getrandbits(64):016x}"  # no secret: nothing is asked of the system


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in KNOWN},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _encode(line)


def log_as_json(level: int = logging.INFO) -> None:
    """Send the logs of this process to stderr, as JSON."""
    # what isn't told needn't be found out (logging's "Optimization")
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("antiphon.serve").setLevel(level)
