"""A session on a Spark cluster, or an error that says why there is none."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from antiphon.errors import BackendError, ConfigError, LogError

__all__ = ["explained", "first_line", "open_session", "require_workers"]

_MASTERS = ("spark://", "yarn", "k8s://", "local")
_CONNECT_S = 5.0
_WORKERS_S = 120.0
_GROUP = "antiphon-first-job"
# what fails where the cluster does, and not because of what it was asked
_LOST = ("ExecutorLost", "executor lost", "SparkContext was shut down", "stopped SparkContext")


def open_session(master: str | None) -> tuple[SparkSession, bool]:
    """A session of our own on the running cluster, or on one that is joined for it.

    Args:
        master: its URL; by default that of the running session, or of Spark's configuration.

    Returns:
        The session, and whether the cluster was joined for it.

    Raises:
        BackendError: no Java, or no such cluster.
        ConfigError: the URL is none, or a session is already running elsewhere.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        where = running.sparkContext.master
        if master not in (None, where):
            raise ConfigError(
                "this process already has a Spark session, with another master",
                received=f"prepare.master = {master}",
                allowed=where,
            )
        return running.newSession(), False
    _require_java()
    if master is not None:
        _require_reachable(master)
    builder = SparkSession.builder.appName("antiphon").config("spark.ui.showConsoleProgress", False)
    try:
        started = (builder if master is None else builder.master(master)).getOrCreate()
    except (PySparkException, Py4JError, OSError) as error:
        raise BackendError(
            f"Spark can't start: {first_line(error)}",
            received=f"prepare.master = {master}",
            hint="Java's own words about it are above",
        ) from error
    started.sparkContext.setLogLevel("ERROR")
    return started.newSession(), True


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        raise BackendError(
            "Spark needs Java, and there is none",
            received=f"JAVA_HOME = {home}" if home else "no java on the PATH",
            hint="install Java 17 or newer (Debian: default-jre-headless), or set JAVA_HOME",
        )


def _require_reachable(master: str) -> None:
    """Ask a standalone master for a connection, which Spark itself would try for a minute."""
    if not master.startswith(_MASTERS):
        raise ConfigError(
            "prepare.master is nothing that Spark knows",
            received=master,
            allowed="spark://HOST:PORT, yarn, k8s://https://HOST:PORT, local[THREADS]",
        )
    if not master.startswith("spark://"):
        return
    reasons = []
    for place in master.removeprefix("spark://").split(","):
        host, _, port = place.rpartition(":")
        if not host or not port.isdigit():
            reasons.append(f"{place!r} is no HOST:PORT")
            continue
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
        except (OSError, OverflowError) as error:
            reasons.append(f"{place}: {error}")
        else:
            return
    raise BackendError(
        f"no Spark master answers: {'; '.join(reasons)}",
        received=f"prepare.master = {master}",
        allowed="spark://HOST:PORT of a running master",
    )


def require_workers(session: SparkSession, folder: Path) -> None:
    """A first small job: are there workers, and do they write where this process reads?

    Args:
        session: not used by anybody else.
        folder: is made, and removed.

    Raises:
        BackendError: no worker took the job for two minutes, or what they wrote isn't here.
    """
    context = session.sparkContext
    parts = max(2, min(64, context.defaultParallelism))
    context.setJobGroup(_GROUP, "are there workers?", interruptOnCancel=True)
    late = threading.Timer(_WORKERS_S, context.cancelJobGroup, [_GROUP])
    late.start()
    try:
        session.range(0, parts, 1, parts).write.parquet(f"file:{folder}")
    except (PySparkException, Py4JError) as error:
        if late.is_alive():
            raise BackendError(f"Spark can't work: {first_line(error)}") from error
        raise BackendError(
            f"no Spark worker took a job within {_WORKERS_S:.0f} s",
            received=f"the master {context.master}",
            hint="are its workers up, with as much memory as spark.executor.memory asks for?",
        ) from error
    finally:
        late.cancel()
        context.setJobGroup("", "")
    written = len(list(folder.glob("part-*")))
    shutil.rmtree(folder, ignore_errors=True)
    if written < parts:
        raise BackendError(
            "Spark's workers don't write where this process reads",
            received=f"{written} of {parts} files arrived in {folder.parent}",
            allowed="a folder that all machines share, for the run and for the log",
            hint="name one by --runs",
        )


@contextmanager
def explained() -> Iterator[None]:
    """Spark's errors as ours; a full disk as the OSError that it is."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        text = str(error)
        if "No space left" in text:
            raise OSError(errno.ENOSPC, "no space left for Spark's files") from error
        if isinstance(error, Py4JNetworkError) or any(words in text for words in _LOST):
            raise BackendError(f"Spark failed: {first_line(error)}") from error
        raise LogError(_what(error), received=first_line(error)) from error


def _what(error: PySparkException | Py4JError) -> str:
    condition = str(error.getCondition()) if isinstance(error, PySparkException) else ""
    if condition.startswith("CAST_"):
        return "a value of the log can't be converted"
    return "the log can't be read as the config says"


def first_line(error: BaseException) -> str:
    """The line of an error that says what is wrong, without what only Spark's makers read."""
    text, cause = str(error), getattr(error, "java_exception", None)
    while cause is not None:
        text, cause = cause.getMessage() or text, cause.getCause()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if line.startswith("[")), (lines or ["no reason given"])[0])
    return re.sub(r"^\[[A-Z0-9_.]+\] | SQLSTATE: .*$", "", line)
