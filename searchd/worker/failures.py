"""What is told of an exception that a trainable raised, whatever that exception is."""

import traceback
from pathlib import Path

from searchd.worker.logs import TAIL_LINES, shown_line

_LONGEST_REASON = 500
_OWN_CODE = str(Path(__file__).parent)


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
