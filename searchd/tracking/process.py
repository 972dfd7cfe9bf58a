"""The server's end of tracking: notes whom to follow, and sees to it that the tracking process runs."""

import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import searchd
from searchd.domain.study import Study
from searchd.ports.tracker import Tracked
from searchd.tracking.host import LEAVING_SECONDS, HostSettings
from searchd.tracking.ledger import Ledger, born
from searchd.tracking.vendors import SINKS

log = logging.getLogger(__name__)

REST_SECONDS: Final = 5.0
"""A process that has ended is replaced after about so long."""


class TrackerProcess:
    """A Tracker whose work another process does; that one is started for the first study that needs it, and ends when
    this one does, however that happens."""

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings
        self._ledger = Ledger(settings.tracking)
        self._inbox: queue.SimpleQueue[Study | None] = queue.SimpleQueue()
        self._child: subprocess.Popen[str] | None = None
        self._keeper = threading.Thread(target=self._keep, name="tracking", daemon=True)
        self._keeper.start()

    def follow(self, study: Study) -> None:
        """Show the study in the places that it names, until it has ended."""
        if study.spec.track:
            self._inbox.put(study)

    def state(self, study: Study) -> Sequence[Tracked]:
        """How far it is, in the order of ``StudySpec.track``."""
        return [self._tracked(sink, study) for sink in study.spec.track]

    def close(self) -> None:
        """End the process; what it has not shown is shown after the next start."""
        self._inbox.put(None)
        self._keeper.join()

    def _tracked(self, sink: str, study: Study) -> Tracked:
        try:
            cursor = self._ledger.cursor(sink, study.name)
        except OSError as error:
            return Tracked(sink, str(self._ledger.folder(sink)), str(error))
        if cursor is None or cursor.born != born(study):
            return Tracked(sink, str(self._ledger.folder(sink)))
        return Tracked(sink, cursor.place, cursor.problem)

    def _keep(self) -> None:
        wanted = self._left_over()
        while True:
            if self._child is not None and self._child.poll() is not None:
                if self._child.returncode != 0:
                    log.warning("the tracking process ended unexpectedly (exit status %s)", self._child.returncode)
                self._child, wanted = None, self._left_over()
            if wanted and self._child is None:
                self._start()
            try:
                study = self._inbox.get(timeout=REST_SECONDS if wanted else None)
            except queue.Empty:
                continue
            if study is None:
                break
            self._note(study)
            wanted = True
        if self._child is not None:
            _end(self._child)

    def _left_over(self) -> bool:
        """Whether anything was left to be shown when the last server ended."""
        try:
            return any(map(self._ledger.any_followed, SINKS))
        except OSError as error:
            log.warning("tracking cannot be resumed: %s", error)
            return False

    def _note(self, study: Study) -> None:
        try:
            for sink in study.spec.track:
                self._ledger.follow(sink, study.name)
        except OSError as error:
            log.warning("%s cannot be tracked: %s", study.name, error)

    def _start(self) -> None:
        package_root = str(Path(searchd.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "searchd.tracking.host"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                # A terminal's Ctrl-C goes to its whole process group; this one leaves when the server does.
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            assert self._child.stdin is not None  # noqa: S101  # a pipe, for the type checker
            self._child.stdin.write(self._settings.dump() + "\n")  # not an argument: there may be a password in it
            self._child.stdin.flush()
        except OSError as error:
            log.warning("the tracking process cannot be started: %s", error)


def _end(child: subprocess.Popen[str]) -> None:
    try:
        child.communicate(timeout=2 * LEAVING_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
