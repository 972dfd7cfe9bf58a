"""A server of one's own, for as long as one command runs."""

import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import IO

from searchd.cli.failures import CommandFailed, ExitCode

ANNOUNCEMENT = re.compile(r"searchd serves on (\S+?),")
START_WITHIN = timedelta(seconds=90)
STOP_WITHIN = timedelta(seconds=45)
LOG = "server.log"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked this process to end; not an Exception, so that nothing on the way swallows it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise Interrupted as Ctrl-C raises KeyboardInterrupt, so that cleaning up happens."""

    def interrupt(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted(signum)

    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def kept_or_passing(chosen: Path | None) -> Iterator[Path]:
    """The chosen directory, made if it is not there, or one that is gone afterwards."""
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
    else:
        with TemporaryDirectory(prefix="searchd-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)


@contextmanager
def _deferred() -> Iterator[None]:
    """Inside, signals are only noted; they act at the end. Not a blocked mask, which a child would inherit."""
    noted: list[int] = []
    before = {s: signal.signal(s, lambda signum, _frame: noted.append(signum)) for s in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    if noted:
        signal.raise_signal(noted[0])


@contextmanager
def child_server(data_dir: Path, options: Sequence[str], end_rest: Callable[[Path], object]) -> Iterator[str]:
    """A server in a session of its own, so that a Ctrl-C reaches only us; ended on the way out, whatever happens.

    Args:
        data_dir: Its data directory, which exists.
        options: More options of ``searchd up``.
        end_rest: Ends what a server that did not end well has left behind in its data directory.

    Yields:
        Its address.

    Raises:
        CommandFailed: it did not start; the message has the last line of its log.
    """
    command = [sys.executable, "-m", "searchd", "up", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir), *options]
    process = None
    with (data_dir / LOG).open("ab") as log:
        try:
            with _deferred():
                process = subprocess.Popen(  # noqa: S603  # our own interpreter and options
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
            yield _address(process, data_dir)
        finally:
            if process is not None:
                _stop(process)
                end_rest(data_dir)


def _address(process: "subprocess.Popen[str]", data_dir: Path) -> str:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    if process.stdout is None:
        raise ValueError("the process has no pipe")
    threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True).start()
    try:
        while (line := lines.get(timeout=START_WITHIN.total_seconds())) is not None:
            if (match := ANNOUNCEMENT.search(line)) is not None:
                return match[1]
    except queue.Empty:
        raise CommandFailed(f"the server did not start within {START_WITHIN}", ExitCode.FAILED) from None
    written = (data_dir / LOG).read_text(errors="replace").strip().splitlines()
    reason = written[-1] if written else f"exit code {process.wait()}"
    raise CommandFailed(f"the server did not start: {reason.removeprefix('error: ')}", ExitCode.FAILED)


def _read_lines(pipe: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    with pipe:
        for line in pipe:
            lines.put(line)
    lines.put(None)


def _stop(process: "subprocess.Popen[str]") -> None:
    """Ask it to end; an impatient second Ctrl-C or signal asks it to end at once."""
    for seconds in (STOP_WITHIN.total_seconds(), 5.0):
        try:
            if process.poll() is None:
                process.terminate()
            process.wait(seconds)
        except (subprocess.TimeoutExpired, KeyboardInterrupt, Interrupted):
            continue
        return
    process.kill()
    process.wait()
