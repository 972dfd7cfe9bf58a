"""What callers of the API have been promised, kept by a model that knows nothing of how the server does it."""

import contextlib
import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message

from searchd.v1 import study_pb2, trial_pb2
from searchd.v1.study_service_pb2 import (
    CreateStudyRequest,
    CreateStudyResponse,
    DeleteStudyRequest,
    StopStudyRequest,
    StopStudyResponse,
    WatchStudyResponse,
)

Mutation = CreateStudyRequest | StopStudyRequest | DeleteStudyRequest

MADE_UP = "projects/default/studies/net-"
"""How names begin that the server makes up."""

_MOVES = ("PENDING", "RUNNING", "STOPPING", "ENDED")
_ENDED = ("SUCCEEDED", "STOPPED", "FAILED")
_CHANGING = ("state", "reason", "progress", "start_time", "end_time")
_OPEN = (trial_pb2.TRIAL_STATE_PENDING, trial_pb2.TRIAL_STATE_RUNNING, trial_pb2.TRIAL_STATE_PAUSED)


@dataclass(frozen=True)
class Outcome:
    """What a call came to: OK with an answer, or a code with the reason in its ErrorInfo."""

    code: str
    reason: str = ""
    answer: Message | None = None


@dataclass
class Life:
    """A study from its creation to its deletion, as far as it has been seen."""

    seed: int
    constant: bytes = b""
    move: int = 0
    final: bytes = b""
    epochs: int = 0
    events: dict[int, bytes] = field(default_factory=dict)
    trials: dict[int, bytes] = field(default_factory=dict)
    measured: set[tuple[int, int, int, int]] = field(default_factory=set)

    def seen(self, study: study_pb2.Study) -> None:
        """Look at it: its definition stays, its state only moves on, and once it has ended nothing changes."""
        state = study_pb2.StudyState.Name(study.state).removeprefix("STUDY_STATE_")
        move = _MOVES.index("ENDED" if state in _ENDED else state)
        assert study.seed == self.seed
        constant = study_pb2.Study()
        constant.CopyFrom(study)
        for changing in _CHANGING:
            constant.ClearField(changing)  # type: ignore[arg-type]
        assert self.constant in (b"", text(constant))
        assert move >= self.move
        assert study.progress.epochs >= self.epochs
        assert self.final in (b"", text(study))
        self.constant, self.move, self.epochs = text(constant), move, study.progress.epochs
        self.final = text(study) if state in _ENDED else b""

    def saw_event(self, event: WatchStudyResponse) -> None:
        """Look at an event: a revision says the same for ever."""
        assert self.events.setdefault(event.revision, text(event)) == text(event)

    def saw_trials(self, trials: list[trial_pb2.Trial]) -> None:
        """Look at all trials: none goes away, their numbers have no gaps, and what has ended does not change."""
        assert [trial.number for trial in trials] == list(range(1, len(trials) + 1))
        assert len(trials) >= len(self.trials)
        for trial in trials:
            assert self.trials.get(trial.number, b"") in (b"", text(trial))
            self.trials[trial.number] = b"" if trial.state in _OPEN else text(trial)

    def saw_measurements(self, measurements: list[trial_pb2.Measurement]) -> None:
        """Look at all measurements: they are in order, and none goes away."""
        keys = [(m.trial, m.repeat, m.fold, m.epoch) for m in measurements]
        assert keys == sorted(set(keys))
        assert self.measured <= set(keys)
        self.measured = set(keys)


class Model:
    """Studies that exist and requests that were answered.

    Attributes:
        lives: By full name.
        answers: What was asked for with each request_id, and the answer; None while that has not been heard.
        unnamed: Seeds of studies that were created, but nobody has been told their names.
    """

    def __init__(self) -> None:
        self.lives: dict[str, Life] = {}
        self.answers: dict[str, tuple[bytes, bytes | None]] = {}
        self.unnamed: list[int] = []

    def decided(self, request: Mutation, outcome: Outcome) -> None:
        """Compare the outcome of a request with what was promised, and take in its effect."""
        if len(request.request_id) > 128:
            assert (outcome.code, outcome.reason) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
            return
        if request.request_id in self.answers:
            self._repeated(request, outcome)
            return
        match request:
            case CreateStudyRequest():
                self._create(request, outcome)
            case StopStudyRequest():
                self._stop(request, outcome)
            case DeleteStudyRequest():
                self._delete(request, outcome)
        if outcome.code == "OK" and request.request_id and not getattr(request, "validate_only", False):
            assert outcome.answer is not None
            self.answers[request.request_id] = body(request), text(outcome.answer)

    def written_unheard(self, request: Mutation) -> None:
        """Take in the effect of a request that was carried out, though its caller was told UNAVAILABLE."""
        match request:
            case CreateStudyRequest(study_id=""):
                self.unnamed.append(request.study.seed)
            case CreateStudyRequest():
                self.lives.setdefault(name_of(request), Life(request.study.seed))
            case StopStudyRequest():
                life = self.lives[request.name]
                life.move = max(life.move, _MOVES.index("STOPPING"))
            case DeleteStudyRequest():
                del self.lives[request.name]
        if request.request_id:
            self.answers[request.request_id] = body(request), None

    def listed(self, names: list[str]) -> None:
        """Look at the names of all studies: those that there are, in order, and what was created unheard."""
        assert names == sorted(names)
        assert set(self.lives) <= set(names)
        for name in set(names) - set(self.lives):
            assert name.startswith(MADE_UP)
            self.lives[name] = Life(self.unnamed.pop())
        assert not self.unnamed

    def _repeated(self, request: Mutation, outcome: Outcome) -> None:
        asked, answer = self.answers[request.request_id]
        if asked != body(request):
            assert (outcome.code, outcome.reason) == ("ALREADY_EXISTS", "REQUEST_REUSED")
            return
        assert outcome.code == "OK"
        assert outcome.answer is not None
        assert answer in (None, text(outcome.answer))
        self.answers[request.request_id] = asked, text(outcome.answer)

    def _create(self, request: CreateStudyRequest, outcome: Outcome) -> None:
        if request.study.budget.trials < 0:
            assert (outcome.code, outcome.reason) == ("INVALID_ARGUMENT", "INVALID_STUDY")
            return
        life = self.lives.get(name_of(request)) if request.study_id else None
        if life is not None and life.seed != request.study.seed:
            assert (outcome.code, outcome.reason) == ("ALREADY_EXISTS", "STUDY_EXISTS")
            return
        assert outcome.code == "OK"
        assert isinstance(outcome.answer, CreateStudyResponse)
        study = outcome.answer.study
        if request.study_id:
            assert study.name == name_of(request)
        else:
            assert study.name.startswith(MADE_UP)
            assert study.name not in self.lives
        if life is None:
            assert study.state == study_pb2.STUDY_STATE_PENDING
            life = Life(request.study.seed)
        life.seen(study)
        if not request.validate_only:
            self.lives[study.name] = life

    def _stop(self, request: StopStudyRequest, outcome: Outcome) -> None:
        life = self.lives.get(request.name)
        if life is None:
            assert (outcome.code, outcome.reason) == ("NOT_FOUND", "STUDY_NOT_FOUND")
            return
        assert outcome.code == "OK"
        assert isinstance(outcome.answer, StopStudyResponse)
        life.seen(outcome.answer.study)
        assert life.move >= _MOVES.index("STOPPING")

    def _delete(self, request: DeleteStudyRequest, outcome: Outcome) -> None:
        life = self.lives.get(request.name)
        if life is None:
            assert (outcome.code, outcome.reason) == ("NOT_FOUND", "STUDY_NOT_FOUND")
        elif outcome.code == "OK":
            del self.lives[request.name]
        else:
            assert (outcome.code, outcome.reason) == ("FAILED_PRECONDITION", "STUDY_ACTIVE")
            assert not life.final


def in_some_order(model: Model, requests: Sequence[Mutation], outcomes: Sequence[Outcome]) -> Model:
    """The model after requests that ran at once, in the first order that explains their outcomes."""
    for order in itertools.permutations(range(len(requests))):
        tried = copy.deepcopy(model)
        with contextlib.suppress(AssertionError):
            for index in order:
                tried.decided(requests[index], outcomes[index])
            return tried
    raise AssertionError(f"no order explains {list(zip(requests, outcomes, strict=True))}")


def name_of(request: Mutation) -> str:
    """The study that a request names."""
    if isinstance(request, CreateStudyRequest):
        return f"projects/default/studies/{request.study_id}"
    return request.name


def body(request: Mutation) -> bytes:
    """What is asked for, apart from the request_id."""
    without = type(request)()
    without.CopyFrom(request)  # type: ignore[arg-type]
    without.ClearField("request_id")
    return type(request).__name__.encode() + text(without)


def text(message: Message) -> bytes:
    """A message as bytes, the same for the same content."""
    return message.SerializeToString(deterministic=True)
