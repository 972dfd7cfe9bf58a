"""What databases, drivers and disks raise, as errors that callers may see."""

import errno
import pickle
import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from searchd.domain.errors import LeaseLost, SearchdError, StoreDamaged, StoreFull, StoreTooNew, StoreUnavailable
from searchd.stores.errors import CommitUnknown, errors_translated


def from_sqlite(code: int) -> sqlite3.OperationalError:
    """An error of SQLite."""
    error = sqlite3.OperationalError("something\n  is wrong")
    error.sqlite_errorcode = code
    return error


def from_postgres(state: str) -> psycopg.OperationalError:
    """An error of PostgreSQL."""
    error = psycopg.OperationalError("something\n  is wrong")
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (from_sqlite(sqlite3.SQLITE_FULL), StoreFull),
        (from_sqlite(sqlite3.SQLITE_IOERR_SHMSIZE), StoreFull),
        (from_sqlite(sqlite3.SQLITE_IOERR_WRITE), StoreUnavailable),
        (from_sqlite(sqlite3.SQLITE_BUSY), StoreUnavailable),
        (from_sqlite(sqlite3.SQLITE_CORRUPT_INDEX), StoreDamaged),
        (from_sqlite(sqlite3.SQLITE_NOTADB), StoreDamaged),
        (from_postgres("53100"), StoreFull),
        (from_postgres("57P01"), StoreUnavailable),
        (from_postgres("XX001"), StoreDamaged),
        (OSError(errno.ENOSPC, "something is wrong"), StoreFull),
        (OSError(errno.EDQUOT, "something is wrong"), StoreFull),
        (OSError(errno.EIO, "something is wrong"), StoreUnavailable),
        (InvalidRequestError("something\n  is wrong"), StoreUnavailable),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "something is wrong"), StoreUnavailable),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
def test_errors_from_below(raised: Exception, expected: type[SearchdError]) -> None:
    """Each error from below becomes one of ours, with what it says in one line."""
    error = DBAPIError("SELECT 1", None, raised) if isinstance(raised, sqlite3.Error | psycopg.Error) else raised
    with pytest.raises(SearchdError) as caught, errors_translated():
        raise error
    assert type(caught.value) is expected
    assert "something is wrong" in str(caught.value)
    assert caught.value.__cause__ is error


def test_our_own_errors_pass() -> None:
    """What is ours already is left as it is, and so is what nobody foresaw."""
    for error in (StoreTooNew("3", "2"), LeaseLost(1, 2), RuntimeError("a fault of ours")):
        with pytest.raises(type(error)) as caught, errors_translated():
            raise error
        assert caught.value is error


def test_unknown_outcome_pickles() -> None:
    """The error of a commit whose outcome is unknown crosses processes."""
    error = pickle.loads(pickle.dumps(CommitUnknown("why")))
    assert (type(error), error.reason) == (CommitUnknown, "why")
