"""What trainables print goes to the log of their fold run."""

import contextlib
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

TAIL_LINES = 20
_LONGEST_LINE = 2000


def shown_line(line: str) -> str:
    """What a tail shows of a line: the end of a long one, the last state of one drawn over with carriage returns."""
    return line[-_LONGEST_LINE:].rsplit("\r", 1)[-1]


class FoldRunLog:
    """The log file of one fold run, opened at the first write, and its last lines.

    A file that cannot be written, since its disk is full or out of reach, costs the log and never the training.
    """

    __slots__ = ("_file", "_lines", "_partial", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)
        self._partial = ""

    def write(self, text: str) -> None:
        """Append text; whole lines reach the file at once."""
        if not text:
            return
        with contextlib.suppress(OSError):
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", buffering=1, encoding="utf-8", errors="backslashreplace")
            self._file.write(text)
        *whole, partial = (self._partial + text).split("\n")
        self._lines.extend(map(shown_line, whole))
        self._partial = shown_line(partial)

    def flush(self) -> None:
        """Push a partial line to the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.flush()

    def tail(self) -> str:
        """The last lines, at most 20, each as it is shown."""
        lines = [*self._lines, self._partial] if self._partial else list(self._lines)
        return "\n".join(lines[-TAIL_LINES:])

    def close(self) -> None:
        """Close the file if it was opened."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


class Router:
    """Stands in for stdout or stderr: writes to a fold run's log while one runs, else to the stream it replaced."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.target: FoldRunLog | None = None

    def write(self, text: str) -> int:
        """Write text, as streams do."""
        if self.target is None:
            return self._stream.write(text)
        self.target.write(text)
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write several texts, as streams do."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, as streams do."""
        if self.target is None:
            self._stream.flush()
        else:
            self.target.flush()

    def isatty(self) -> bool:
        """A log is no terminal, so that progress bars stay quiet."""
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Routers:
    """Both streams' routers, switched together."""

    def __init__(self, out: Router, err: Router) -> None:
        self._out = out
        self._err = err

    def to(self, log: FoldRunLog | None) -> None:
        """Send what is printed to ``log``, or with None to where it went before."""
        self._out.target = log
        self._err.target = log


@contextlib.contextmanager
def routed() -> Iterator[Routers]:
    """Replace ``sys.stdout`` and ``sys.stderr`` for a while.

    Only Python's streams: what C code or a child process writes to the file descriptors goes to the process's own log.
    """
    out, err = Router(sys.stdout), Router(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield Routers(out, err)
