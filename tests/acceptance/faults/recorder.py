"""A client that writes down everything it was told."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Self, TypeVar

from searchd.client import Backoff, Client, Study, Trial
from searchd.client.channel import Channel
from searchd.client.connection import AWAY
from searchd.client.watch import Event
from searchd.domain.errors import SearchdError
from searchd.domain.measurement import Measurement
from searchd.domain.study import StudyName, study_name
from searchd.v1 import study_service_pb2
from searchd.wire.study_file import study_from_mapping

A = TypeVar("A")

PATIENCE_SECONDS = 90.0
"""How long a request is repeated while no server takes it."""

ANSWER_WITHIN = timedelta(seconds=20)
BRIEF = Backoff(longest=timedelta(milliseconds=300))


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A request that was answered: what for, by which id, about which study."""

    what: str
    request_id: str
    study: StudyName


@dataclass
class Watched:
    """What one watch of a study brought."""

    study: StudyName
    events: list[Event] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


@dataclass
class Recorder:
    """Speaks to the server at an address, however often that dies; a context manager.

    Attributes:
        acknowledged: The requests that were answered, in order.
        watches: The watches, with what each of them brought.
        measured: By study, the measurements that any list showed.
        ended: By study, the trials that any list showed as ended.
        attempts: How often requests were sent.
    """

    address: str
    acknowledged: list[Acknowledged] = field(default_factory=list)
    watches: list[Watched] = field(default_factory=list)
    measured: dict[StudyName, set[tuple[int, int, int, int, float]]] = field(default_factory=dict)
    ended: dict[StudyName, dict[int, Trial]] = field(default_factory=dict)
    attempts: int = 0

    def __enter__(self) -> Self:
        self.client = Client(self.address, backoff=BRIEF)
        self._channel = Channel(self.address)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._channel.close()

    def create(self, study_id: str, **fields: Any) -> StudyName:
        """Have a study created, however often that takes; its name."""
        name = study_name("default", study_id)
        self._acknowledged("create", name, f"create-{study_id}", lambda: self.create_once(study_id, **fields))
        return name

    def create_once(self, study_id: str, **fields: Any) -> Any:
        """Ask for a study once, under the request_id that belongs to its id; the answer."""
        file = study_from_mapping({"study_id": study_id, **fields})
        assert not file.violations
        request = study_service_pb2.CreateStudyRequest(
            parent="projects/default", study_id=study_id, study=file.study, request_id=f"create-{study_id}"
        )
        return self._channel.call(lambda at: at.studies.CreateStudy, request, ANSWER_WITHIN)

    def stop(self, name: StudyName) -> None:
        """Have a study stopped, however often that takes."""
        request = study_service_pb2.StopStudyRequest(name=name, request_id=f"stop-{name}")
        stop = partial(self._channel.call, lambda at: at.studies.StopStudy, request, ANSWER_WITHIN)
        self._acknowledged("stop", name, request.request_id, stop)

    def watch(self, name: StudyName) -> Watched:
        """Watch a study to its end, on a thread of its own."""
        watched = Watched(name)
        self.watches.append(watched)

        def run() -> None:
            try:
                watched.events += self.client.study(name).watch()
            except Exception as error:
                watched.error = error
            finally:
                watched.ended.set()

        threading.Thread(target=run, daemon=True).start()
        return watched

    def look(self, name: StudyName) -> Study:
        """Read everything there is about a study, and write it down."""
        study = self.client.study(name)
        found = self.persistent(lambda: (list(study.measurements(None)), list(study.trials()), study.get()))
        measurements, trials, seen = found
        self.measured.setdefault(name, set()).update(map(measured_as, measurements))
        self.ended.setdefault(name, {}).update({trial.number: trial for trial in trials if trial.state.ended})
        return seen

    def end_of(self, name: StudyName, seconds: float = PATIENCE_SECONDS) -> Study:
        """Look at a study until it has ended."""
        deadline = time.monotonic() + seconds
        while not (seen := self.look(name)).state.ended:
            assert time.monotonic() < deadline, f"{name} has not ended: {seen}"
            time.sleep(0.05)
        for watched in self.watches:
            if watched.study == name:
                assert watched.ended.wait(max(deadline - time.monotonic(), 1.0)), "the watch has not ended"
        return seen

    def persistent(self, ask: Callable[[], A]) -> A:
        """The answer, however often it has to be asked for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.attempts += 1
            try:
                return ask()
            except SearchdError as error:
                if not isinstance(error, AWAY) or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def _acknowledged(self, what: str, name: StudyName, request_id: str, send: Callable[[], Any]) -> None:
        answer = self.persistent(send)
        assert answer.study.name == name
        self.acknowledged.append(Acknowledged(what, request_id, name))


def measured_as(m: Measurement) -> tuple[int, int, int, int, float]:
    """What of a measurement does not change with the attempt that reports it."""
    return m.trial, m.repeat, m.fold, m.epoch, m.metrics["loss"]
