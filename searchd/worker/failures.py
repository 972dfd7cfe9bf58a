"""What is told of an exception that a trainable raised, whatever that exception is."""

import errno
import traceback
from collections.abc import Iterator
from pathlib import Path

from searchd.domain.failure import Failure
from searchd.worker.logs import TAIL_LINES, shown_line
from searchd.worker.metrics import MissingMetric

_LONGEST_REASON = 500
_OWN_CODE = str(Path(__file__).parent)
_OUT_OF_MEMORY = (
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # torch's allocator for the host's memory, in its several versions
    "not enough memory",
    "can't allocate memory",
)


def failure_of(error: BaseException) -> Failure:
    """Which way of failing an exception is."""
    if is_out_of_memory(error):
        return Failure.OUT_OF_MEMORY
    return Failure.METRIC_MISSING if isinstance(error, MissingMetric) else Failure.ERROR


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it, or what it was raised from or while handling, says that memory ran out: the host's or a GPU's.

    Libraries are known by the names of their errors and by what these say, since none is imported to find out.
    """
    return any(map(_says_so, _chain(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it, as a traceback would show them."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__):
        return True
    try:
        message = str(error) if isinstance(error, RuntimeError) else ""
    except Exception:  # an author's own
        return False
    return any(sign in message for sign in _OUT_OF_MEMORY)


def first_line(error: BaseException) -> str:
    """The first line of its message, at most 500 characters; an author's exception may be unable to say anything."""
    try:
        message = str(error)
    except Exception as broken:
        return f"its message cannot be had: {type(broken).__name__} in __str__"
    return message.strip().split("\n", 1)[0][:_LONGEST_REASON]


def reason_of(error: BaseException, source: str | None = None) -> str:
    """One line: the type, the message, and unless ``source`` is None the innermost line in that file, else in any."""
    message = first_line(error)
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if source is None:
        return text
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    for file, line in [f for f in frames if f[0] == source][-1:] or frames[-1:]:
        text += f" ({Path(file).name}:{line})"
    return text


def traceback_of(error: BaseException) -> str:
    """The traceback without the worker's own frames at its top."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN_CODE):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def traceback_tail(error: BaseException) -> str:
    """The last lines of the whole traceback, as a log's tail would have them."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(map(shown_line, lines[-TAIL_LINES:]))
