"""Whatever the database, its driver or the disk raises, as errors that callers may see."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic_core import PydanticSerializationError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from searchd.domain.errors import SearchdError, StoreDamaged, StoreFull, StoreUnavailable

# A file that maps the log cannot grow either when the disk is full.
_SQLITE_FULL: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_SQLITE_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_POSTGRES_FULL: Final = "53100"
_POSTGRES_DAMAGED: Final = {"XX001", "XX002"}
_DISK_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class CommitUnknown(StoreUnavailable):
    """The connection broke while a transaction was being committed; nobody here knows whether it was."""


@contextmanager
def errors_translated() -> Iterator[None]:
    """Turn what comes from below into StoreUnavailable, StoreFull or StoreDamaged."""
    try:
        yield
    except DBAPIError as error:
        raise _translated(error.orig or error) from error
    except sqlite3.Error as error:
        raise _translated(error) from error
    except OSError as error:
        kind = StoreFull if error.errno in _DISK_FULL else StoreUnavailable
        raise kind(one_line(error)) from error
    except (SQLAlchemyError, PydanticSerializationError, UnicodeError) as error:
        raise StoreUnavailable(one_line(error)) from error


def _translated(error: BaseException) -> SearchdError:
    code = getattr(error, "sqlite_errorcode", None)
    state = getattr(error, "sqlstate", None)
    text = one_line(error)
    if code in _SQLITE_FULL or state == _POSTGRES_FULL:
        return StoreFull(text)
    # The driver's own complaint about text that is no Unicode has no code.
    undecodable = isinstance(error, sqlite3.OperationalError) and code is None and "decode" in text
    if undecodable or (code is not None and code & 0xFF in _SQLITE_DAMAGED) or state in _POSTGRES_DAMAGED:
        return StoreDamaged("the database", text)
    return StoreUnavailable(text)


def one_line(error: BaseException) -> str:
    """What an error says, or its kind if it says nothing, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
