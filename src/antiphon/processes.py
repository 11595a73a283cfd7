"""Several processes that train one model, on one machine or many.

JAX connects them: each has devices of its own, and a program runs on all devices at once. What
happens to one happens to all, since every step waits for everybody's part.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from antiphon.errors import ConfigError, PeerError

__all__ = ["join", "leads", "leave", "require_same", "told_of_lost_peers"]

START_S = 300
"""To wait for all to be there."""
HEARTBEAT_S = 30
"""After this long without a sign of life a process counts as dead, and JAX aborts all others."""
FAREWELL_S = 86_400
"""To wait at the end for process 0, which has files to complete when all others are done."""

_shutdown: Any = jax.distributed.shutdown  # comes without types
_LOST = re.compile(r"gloo|nccl|coordination service|heartbeat|connection|peer", re.IGNORECASE)


def join(coordinator: str | None, processes: int, process: int | None) -> None:
    """Join the others; to be called before JAX is used.

    Args:
        coordinator: host and port of process 0; None where the launcher's environment tells it
            (Slurm, Open MPI, Kubernetes, Cloud TPU).
        processes: how many there are.
        process: the number of this one, from 0; None as above.

    Raises:
        ConfigError: nobody said where the others are, or there aren't as many.
        PeerError: they weren't all there in time.
    """
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=START_S,
            heartbeat_timeout_seconds=HEARTBEAT_S,
            shutdown_timeout_seconds=FAREWELL_S,
        )
    except ValueError as error:
        raise ConfigError(
            "the other processes of the training can't be found",
            received=str(error),
            hint="give --coordinator HOST:PORT, --processes N and --process I, from 0 to N - 1, or "
            "start it with a launcher that JAX knows",
        ) from error
    except RuntimeError as error:
        raise PeerError(
            "the processes of the training didn't come together",
            received=str(error).splitlines()[0],
            allowed=f"{processes} processes with numbers of their own, within {START_S} s",
            hint="is the coordinator's port free, and reachable from everywhere?",
        ) from error
    if jax.process_count() != processes:
        # without this N processes that don't know each other would train N models
        raise ConfigError(
            "there aren't as many processes as asked for",
            received=jax.process_count(),
            allowed=processes,
            hint="do all get the same --processes and --coordinator?",
        )


def leads() -> bool:
    """Whether this process writes what all of them make: it is number 0, or the only one."""
    return jax.process_index() == 0


def leave() -> None:
    """Wait until all are done: a process that just ended would count as dead."""
    _shutdown()


def require_same(what: str, value: str) -> None:
    """Check that all processes have the same.

    Raises:
        ConfigError: they differ in it.
    """
    if jax.process_count() == 1:
        return
    own = np.frombuffer(hashlib.sha256(value.encode()).digest(), np.uint8)
    found = np.asarray(multihost_utils.process_allgather(own))
    different = [number for number, other in enumerate(found) if (other != found[0]).any()]
    if different:
        raise ConfigError(
            f"processes differ in {what}",
            received=f"another one in process {', '.join(map(str, different))} than in process 0",
            hint="give all the same config and the same run folder, on a disk that all of them see",
        )


@contextlib.contextmanager
def told_of_lost_peers() -> Iterator[None]:
    """Turn what is raised when a connection to another process ends into an error of ours."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if jax.process_count() == 1 or not _LOST.search(str(error)):
            raise
        raise PeerError.of(str(error).splitlines()[0]) from error
