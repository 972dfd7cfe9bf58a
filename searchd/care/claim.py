"""Who may use a data directory: one process at a time, and no server while a restore into it is not complete."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from searchd.domain.errors import InvalidArgument

UNFINISHED = "restore.json"
"""The file that is there from before a restore changes anything until it is complete."""

LOCK = "lock"


@contextlib.contextmanager
def claimed(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; the lock ends with the process, however that ends.

    Raises:
        InvalidArgument: another process holds it.
    """
    with (data_dir / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InvalidArgument(
                "--data-dir", f"another server uses {data_dir}", "choose another, or end it with `searchd down`"
            ) from None
        yield


def check_complete(data_dir: Path) -> None:
    """Refuse a data directory into which a restore was begun and not finished.

    Raises:
        InvalidArgument: it is one.
    """
    if (data_dir / UNFINISHED).exists():
        raise InvalidArgument(
            "--data-dir",
            f"a restore into {data_dir} was interrupted",
            "run the same `searchd restore` again, which finishes it or starts over",
        )
