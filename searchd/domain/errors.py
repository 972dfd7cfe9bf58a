"""Every error that a caller can cause or must handle, under one root.

Errors cross process boundaries, so each passes all its fields to ``super().__init__`` and survives pickling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Violation:
    """One mistake in what a caller sent.

    Attributes:
        path: Where it is, in the caller's own terms: ``search_space.lr.loguniform``.
        message: What is wrong, one sentence without a full stop.
        remedy: What to do about it, one sentence without a full stop.
    """

    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.remedy}"


class SearchdError(Exception):
    """The root of all errors that searchd raises on purpose."""


class InvalidStudy(SearchdError):
    """A study definition that cannot be accepted, with all of its violations (at least one)."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(tuple(violations))
        self.violations = tuple(violations)

    def __str__(self) -> str:
        return "\n".join(map(str, self.violations))


class InvalidArgument(SearchdError):
    """A malformed request field other than a study definition."""

    def __init__(self, field: str, reason: str, remedy: str) -> None:
        super().__init__(field, reason, remedy)
        self.field = field
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}; {self.remedy}"


class StudyNotFound(SearchdError):
    """No such study, or none that the caller may see."""

    def __init__(self, study: str) -> None:
        super().__init__(study)
        self.study = study

    def __str__(self) -> str:
        return f"no study {self.study!r}; `searchd ls` lists the studies there are"


class TrialNotFound(SearchdError):
    """The study has no trial of that number."""

    def __init__(self, study: str, trial: int) -> None:
        super().__init__(study, trial)
        self.study = study
        self.trial = trial

    def __str__(self) -> str:
        return f"{self.study} has no trial {self.trial}; `searchd trials` lists the trials there are"


class TrainableNotFound(SearchdError):
    """No trainable of that name is registered on the server."""

    LISTED = 5
    """How many names a message lists at most."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, tuple(known))
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        if len(self.known) <= self.LISTED:
            return f"no trainable {self.name!r}; known: {', '.join(self.known) or 'none'}"
        near = get_close_matches(self.name, self.known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"no trainable {self.name!r}; {hint}`searchd trainables` lists all there are"


class CodeNotFound(SearchdError):
    """No code of that id has been uploaded, or it is not kept any more."""

    def __init__(self, code_id: str) -> None:
        super().__init__(code_id)
        self.code_id = code_id

    def __str__(self) -> str:
        return f"no code {self.code_id!r} is here; send the files: `searchd submit study.yaml --code DIR`"


class CodeRefused(SearchdError):
    """The server takes no code of its callers."""

    def __str__(self) -> str:
        return "the server was started with --no-code; start it without, or with --trainables and your module"


class StudyExists(SearchdError):
    """A different study of that name exists already; ``differing`` names the fields that differ."""

    def __init__(self, study: str, differing: Sequence[str]) -> None:
        super().__init__(study, tuple(differing))
        self.study = study
        self.differing = tuple(differing)

    def __str__(self) -> str:
        return f"{self.study} exists and differs in {', '.join(self.differing)}; choose another study_id"


class RequestReused(SearchdError):
    """A request_id came back with another body."""

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id)
        self.request_id = request_id

    def __str__(self) -> str:
        return f"request_id {self.request_id!r} was used for another request; send a new one"


class StudyActive(SearchdError):
    """The study is still running and must be stopped before what was asked can be done."""

    def __init__(self, study: str, state: str) -> None:
        super().__init__(study, state)
        self.study = study
        self.state = state

    def __str__(self) -> str:
        return f"{self.study} is {self.state}; stop it first"


class StudyEnded(SearchdError):
    """The study has ended, so that it takes no more trials."""

    def __init__(self, study: str, state: str) -> None:
        super().__init__(study, state)
        self.study = study
        self.state = state

    def __str__(self) -> str:
        return f"{self.study} is {self.state}; give it a larger budget first: searchd extend {self.study} --trials N"


class BudgetUsed(SearchdError):
    """All trials of the study's budget exist or are on their way."""

    def __init__(self, study: str, trials: int) -> None:
        super().__init__(study, trials)
        self.study = study
        self.trials = trials

    def __str__(self) -> str:
        return f"all {self.trials} trials of {self.study} are given away; searchd extend {self.study} --trials N"


class StudyChanged(SearchdError):
    """The study is not as the caller knew it: its etag is another now."""

    def __init__(self, study: str) -> None:
        super().__init__(study)
        self.study = study

    def __str__(self) -> str:
        return f"{self.study} has changed; read it again, then repeat the change"


class NoCompleteTrial(SearchdError):
    """The study has no trial at its top rung yet, so there is no best configuration."""

    def __init__(self, study: str) -> None:
        super().__init__(study)
        self.study = study

    def __str__(self) -> str:
        return f"{self.study} has no trial that completed its top rung yet; wait, or read the partial leaderboard"


class ImportanceUnknown(SearchdError):
    """How much the parameters of the study matter cannot be told; ``reason`` is why."""

    def __init__(self, study: str, reason: str) -> None:
        super().__init__(study, reason)
        self.study = study
        self.reason = reason

    def __str__(self) -> str:
        return f"how much the parameters of {self.study} matter cannot be told: {self.reason}"


class Overloaded(SearchdError):
    """A bounded queue is full; the request was not looked at and may be sent again."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(what, limit)
        self.what = what
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.what} is full ({self.limit}); try again shortly"


class RevisionExpired(SearchdError):
    """Events this old are no longer kept; list again, then watch from the list's revision."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(revision, oldest)
        self.revision = revision
        self.oldest = oldest

    def __str__(self) -> str:
        return f"revision {self.revision} is gone, the oldest kept is {self.oldest}; list again and watch from there"


class StoreUnavailable(SearchdError):
    """The store did not take a write; nothing of it was applied or acknowledged."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the store is unavailable: {self.reason}; try again"


class StoreFull(StoreUnavailable):
    """There is no room for a write; nothing of it was applied or acknowledged. Reads go on."""

    def __str__(self) -> str:
        return f"the store takes no writes: {self.reason}; make room on its disk, then try again"


class LeaseLost(StoreUnavailable):
    """Another server has become the store's writer; nothing of the write was applied or acknowledged."""

    def __init__(self, epoch: int, current: int) -> None:
        SearchdError.__init__(self, epoch, current)
        self.epoch = epoch
        self.current = current

    def __str__(self) -> str:
        return f"another server has taken the store over (epoch {self.current}, ours {self.epoch}); try again there"


class StoreDamaged(SearchdError):
    """Something stored cannot be understood; ``what`` names it."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} is damaged in the store: {self.reason}; `searchd doctor` says more, a backup may help"


class NotLeader(SearchdError):
    """This server stands by and only reads; ``leader`` is where the one that writes takes requests, if known."""

    def __init__(self, leader: str) -> None:
        super().__init__(leader)
        self.leader = leader

    def __str__(self) -> str:
        return f"this server stands by and takes no changes; send them to {self.leader or 'the one that leads'}"


class TrainableQuarantined(SearchdError):
    """A trainable crashed too many workers in a row and is given no more until its code changes."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"trainable {self.name!r} is quarantined: {self.reason}; mend it, or restart the server to try again"


class StoreTooNew(SearchdError):
    """The data directory was written by a newer searchd."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(found, known)
        self.found = found
        self.known = known

    def __str__(self) -> str:
        return f"the store has schema {self.found}, this searchd knows up to {self.known}; upgrade searchd"


class ServerStopping(SearchdError):
    """The server is draining and takes no more requests."""

    def __str__(self) -> str:
        return "the server is stopping; try again when it is back"


class ServerUnreachable(SearchdError):
    """Raised by the client: no server answers at the address, or it stopped answering; ``reason`` is one line."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"no searchd server answers at {self.address} ({self.reason}); "
            "start one with `searchd up`, or set SEARCHD_ADDRESS"
        )


class UnknownAnswer(SearchdError):
    """Raised by the client: the server refused with something that this version of the client has no error for."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"the server answered {self.code}: {self.message}"
