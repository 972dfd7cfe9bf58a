"""What goes into the conductor and what comes out, beyond the engine's and the searchers' messages."""

from dataclasses import dataclass, field

from searchd.domain.errors import SearchdError
from searchd.domain.facts import Fact
from searchd.domain.space import Parameters
from searchd.domain.study import Changes, Study, StudyName
from searchd.domain.trial import Origin, Trial
from searchd.ports.engine import EngineCommand, EngineEvent
from searchd.ports.searcher import SearchCommand, SearchFailed, Suggested


@dataclass(frozen=True, slots=True)
class CreateStudy:
    """Start a study; ``first`` are its first trials, in order."""

    study: Study
    first: tuple[tuple[Parameters, Origin], ...] = ()


@dataclass(frozen=True, slots=True)
class StopStudy:
    """End a study that has not ended."""

    study: StudyName


@dataclass(frozen=True, slots=True)
class DeleteStudy:
    """Delete a study that has ended."""

    study: StudyName


@dataclass(frozen=True, slots=True)
class ChangeStudy:
    """Change a study's budget, priority or labels; an ended one goes on if it has room for more trials then."""

    study: StudyName
    changes: Changes


@dataclass(frozen=True, slots=True)
class EnqueueTrial:
    """Try a configuration, complete and allowed, next."""

    study: StudyName
    parameters: Parameters


StudyMutation = CreateStudy | ChangeStudy | StopStudy | DeleteStudy
Mutation = StudyMutation | EnqueueTrial


@dataclass(frozen=True, slots=True)
class Request:
    """A caller's mutation; the answer carries ``token`` back. An empty request_id is not remembered.

    ``stored`` is the study of that name as the store has it when the batch begins, None if it has none: of studies that
    have ended the conductor itself knows nothing. ``trials`` are all of an ended one's, where they may be needed.
    """

    token: object
    request_id: str
    digest: str
    body: Mutation
    stored: Study | None = None
    trials: tuple[Trial, ...] = ()

    @property
    def name(self) -> StudyName:
        """The study that it is about."""
        return self.body.study.name if isinstance(self.body, CreateStudy) else self.body.study


@dataclass(frozen=True, slots=True)
class SearchReopened:
    """The searcher of a study was rebuilt from the store and can be asked again."""

    study: StudyName


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The engine has adopted what there was: what no worker holds now can be handed out again."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A timer that the conductor asked for has passed."""


@dataclass(frozen=True, slots=True)
class PauseStudy:
    """Set a study aside after an internal fault."""

    study: StudyName
    reason: str


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """The server is leaving: start nothing more, let workers save."""


Input = (
    Request | EngineEvent | Suggested | SearchFailed | SearchReopened | Reconciled | Tick | DrainRequested | PauseStudy
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: a study or a trial as it now stands, or an error."""

    token: object
    result: Study | Trial | SearchdError


@dataclass(frozen=True, slots=True)
class ReopenSearch:
    """Rebuild the searcher of a study from the store, then say SearchReopened."""

    study: StudyName


Command = EngineCommand | SearchCommand | Answer | ReopenSearch


@dataclass(slots=True)
class Decision:
    """What follows from an input: facts to commit, and commands to carry out once they are committed."""

    facts: list[Fact] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
