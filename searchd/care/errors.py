"""Why a backup or a restore is not done."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from searchd.domain.errors import SearchdError
from searchd.stores.errors import one_line


class DamagedBackup(SearchdError):  # noqa: N818  # named for what went wrong
    """A file is no backup, or no longer what was written; ``reason`` is one line."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} cannot be used as a backup: {self.reason}; take another one"


class CareRefused(SearchdError):  # noqa: N818  # named for what went wrong
    """It cannot be done as things are; nothing was changed."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.reason}; {self.remedy}"


class NotWritten(SearchdError):  # noqa: N818  # named for what went wrong
    """The disk refused, for want of room or otherwise; what was begun has been removed."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} could not be written: {self.reason}; nothing of it is left, see to that and try again"


@contextmanager
def not_written(what: str) -> Iterator[None]:
    """Turn what the disk says while something is written into NotWritten."""
    try:
        yield
    except OSError as error:
        raise NotWritten(what, error.strerror or one_line(error)) from error
    except SQLAlchemyError as error:
        raise NotWritten(what, one_line(error.__cause__ or error)) from error
