"""A worker in a process of its own, for tests that have it killed: ``python -m tests.unit.worker.doomed STORAGE ROOT``.

Trains ``quadratic`` for nine epochs and saves after each. ``--sync N`` kills it when it is about to flush to the disk
for the N-th time; ``SEARCHD_FAILPOINTS`` does at the places that it names. Prints the losses if it is left alone.
"""

import argparse
import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any

from searchd.worker import fold_run
from tests.unit.worker.worker_harness import a_segment, a_task, losses, running, settings

SEGMENT = a_segment(a_task("quadratic", epochs=99), target=9)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sync", type=int, default=0)
    parser.add_argument("storage", type=Path)
    parser.add_argument("root")
    asked = parser.parse_args()
    fold_run.SAVE_EVERY_SECONDS = 0.0
    flushes, flush = itertools.count(1), os.fsync

    def flush_or_die(fd: Any) -> None:
        if next(flushes) == asked.sync:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(fd)

    os.fsync = flush_or_die
    with running(asked.storage, told=settings(asked.storage, checkpoints=asked.root)) as server:
        [(reports, _)] = server.run(SEGMENT)
    print(json.dumps(losses(reports)))  # noqa: T201  # what the test reads


if __name__ == "__main__":
    main()
