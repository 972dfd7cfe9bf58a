"""What a command that did not succeed says, and the code with which it exits."""

from enum import IntEnum

from searchd.client.numbers import one_line
from searchd.domain.errors import (
    CodeNotFound,
    InvalidArgument,
    InvalidStudy,
    NotLeader,
    SearchdError,
    ServerStopping,
    ServerUnreachable,
    StoreFull,
    StoreUnavailable,
    StudyNotFound,
    TrainableNotFound,
    TrialNotFound,
)


class ExitCode(IntEnum):
    """Exit codes, the same for every command."""

    DONE = 0
    FAILED = 1
    """The study or the trial failed, or something unforeseen happened."""
    USAGE = 2
    """The command line or the study definition is wrong."""
    NOT_FOUND = 3
    REFUSED = 4
    """Understood, but it cannot be done as things are."""
    UNREACHABLE = 5


class CommandFailed(SearchdError):  # noqa: N818  # named for what went wrong, as the domain's errors are
    """A command cannot do its work; the message is one line with what to do about it."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code

    def __str__(self) -> str:
        return self.message


def exit_code(error: Exception) -> ExitCode:
    """The exit code that an error leads to."""
    match error:
        case CommandFailed():
            return error.code
        case InvalidStudy() | InvalidArgument() | FileNotFoundError() | IsADirectoryError() | PermissionError():
            return ExitCode.USAGE
        case StudyNotFound() | TrialNotFound() | TrainableNotFound() | CodeNotFound():
            return ExitCode.NOT_FOUND
        case StoreFull():  # it says so itself: somebody must make room
            return ExitCode.REFUSED
        case ServerUnreachable() | ServerStopping() | StoreUnavailable() | NotLeader():
            return ExitCode.UNREACHABLE
        case SearchdError():
            return ExitCode.REFUSED
        case _:
            return ExitCode.FAILED


def explanation(error: Exception) -> list[str]:
    """One line, or for an invalid study one for each violation."""
    match error:
        case InvalidStudy():
            return [one_line(str(violation)) for violation in error.violations]
        case SearchdError():
            return [f"error: {one_line(str(error))}"]
        case OSError() if error.filename is not None:
            return [f"error: {one_line(str(error.filename))}: {error.strerror}"]
        case ModuleNotFoundError():
            return [f"error: {error}; install the server's parts with `pip install 'searchd[server]'`"]
        case _:
            text = one_line(str(error)) or "no message"
            return [f"error: {type(error).__name__}: {text}; SEARCHD_DEBUG=1 shows where"]
