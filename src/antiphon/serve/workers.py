"""Several processes on one port: each has a model of its own, and all share the mapped tables.

Every worker listens on a socket of its own (SO_REUSEPORT), so the kernel spreads connections.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from antiphon.serve.settings import Settings

__all__ = ["supervise"]

LOOK_EVERY_S = 0.2
GRACE_S = 45.0

_WORKER = """
import sys
from pathlib import Path
from antiphon.serve.server import run_worker
run_worker(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
"""


def supervise(path: Path, settings: Settings) -> int:
    """Keep the workers running until told to stop.

    Args:
        path: of the run.
        settings: its port is the one that the caller has bound, and still holds.

    Returns:
        0, or the exit code of a worker that refused the run.
    """
    stop = False

    def handle(*_: object) -> None:
        nonlocal stop
        stop = True

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    with tempfile.TemporaryDirectory(prefix="antiphon-") as folder:
        workers = [_start(path, settings, Path(folder)) for _ in range(settings.workers)]
        code = 0
        while not stop and not code:
            time.sleep(LOOK_EVERY_S)
            for place, worker in enumerate(workers):
                ended = worker.poll()
                if ended is None:
                    continue
                if ended > 0:  # it refused the run, and would again
                    code = ended
                    break
                workers[place] = _start(path, settings, Path(folder))  # killed
        for worker in workers:
            worker.terminate()
        for worker in workers:
            try:
                worker.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                worker.kill()
    for number, handler in before.items():
        signal.signal(number, handler)
    return code


def _start(path: Path, settings: Settings, folder: Path) -> subprocess.Popen[bytes]:
    counters = folder / "metrics"
    counters.mkdir(exist_ok=True)
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(counters)}
    arguments = [str(path), settings.model_dump_json(), str(folder)]
    return subprocess.Popen([sys.executable, "-c", _WORKER, *arguments], env=environment)
