"""Our side of a benchmark: a real server process with a durable store, spoken to over gRPC."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks.arms import ROOT, SLOTS
from benchmarks.work import HIGH, LOW
from searchd.cli import note
from searchd.cli.child_server import child_server
from searchd.cli.shutdown import end_everything
from searchd.client import Client, Study, StudyHandle
from searchd.domain.study import StudyState

POLL_SECONDS = 0.02
"""How often a study is looked at; watching it would cost a core that the trials need."""

SPACE = {"x": {"uniform": [LOW, HIGH]}}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    client: Client
    process: psutil.Process

    def searcher(self) -> psutil.Process:
        """The process in which its searchers live.

        Raises:
            RuntimeError: there is none.
        """
        for child in self.process.children():
            if any("searchd.searchers.host" in part for part in child.cmdline()):
                return child
        raise RuntimeError("the server has no searcher process")


@contextlib.contextmanager
def server(module: str, folder: Path = ROOT) -> Iterator[Server]:
    """A server of two slots on a local Ray of its own; everything is ended and removed on leaving.

    Args:
        module: Registers the trainables.
        folder: Where the module is found.

    Raises:
        CommandFailed: it did not start.
    """
    options = ("--num-cpus", str(SLOTS), "--trainables", module)
    with (
        TemporaryDirectory(prefix="searchd-benchmark-", ignore_cleanup_errors=True) as temporary,
        contextlib.chdir(folder),
        child_server(Path(temporary), options, end_everything) as address,
        Client(address) as client,
    ):
        noted = note.read(Path(temporary))
        process = None if noted is None else noted.process()
        if process is None:
            raise RuntimeError("the server left no note of its process")
        yield Server(client, process)


def definition(trainable: str, trials: int, **fields: Any) -> dict[str, Any]:
    """A study of plain random search without a scheduler; ``fields`` replace its own."""
    return {
        "trainable": trainable,
        "search_space": SPACE,
        "objectives": [{"metric": "loss", "goal": "minimize"}],
        "search": {"algorithm": "random", "default_first": False},
        "scheduler": {"algorithm": "none"},
        "budget": {"trials": trials},
        **fields,
    }


def finished(handle: StudyHandle) -> Study:
    """Wait until a study has ended well.

    Raises:
        RuntimeError: it ended in another way.
    """
    while not (study := handle.get()).state.ended:
        time.sleep(POLL_SECONDS)
    if study.state is not StudyState.SUCCEEDED:
        raise RuntimeError(f"{study.name} ended {study.state}: {study.reason}")
    return study


def warm_up(client: Client, study: dict[str, Any]) -> None:
    """Run a study twice, so that all workers have trained: the first run may end before the last one is ready."""
    finished(client.create_study(study))
    while any(pool.starting for pool in client.cluster().pools):
        time.sleep(POLL_SECONDS)
    finished(client.create_study(study))


def timed(client: Client, study: dict[str, Any]) -> tuple[float, Study]:
    """Submit a study: the seconds until it has ended, and the study as it ended."""
    began = time.perf_counter()
    ended = finished(client.create_study(study))
    return time.perf_counter() - began, ended
