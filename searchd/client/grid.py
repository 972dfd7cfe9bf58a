"""Text in columns that fits the width there is."""

from collections.abc import Sequence
from dataclasses import dataclass

GAP = "  "
MIN_CUT = 8


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        title: Its first line.
        right: Whether it is aligned to the right, as numbers are.
        optional: Whether it is left out where there is no room; the last goes first.
        cut: Whether its text may be cut short.
    """

    title: str
    right: bool = False
    optional: bool = False
    cut: bool = False


def grid(columns: Sequence[Column], rows: Sequence[Sequence[str] | str], width: int) -> list[str]:
    """Lines of at most ``width`` characters, the titles first.

    Args:
        columns: The columns, left to right.
        rows: A text for each column; or a single text, which is a line of its own.
        width: Characters there are. Only columns that may neither go nor be cut can make lines longer.
    """
    cells = [row for row in rows if not isinstance(row, str)]
    widths = [max(len(c.title), *(len(r[i]) for r in cells), 0) for i, c in enumerate(columns)]
    shown = _shown(columns, widths, width)
    lines = [_line(columns, [c.title for c in columns], widths, shown)]
    for row in rows:
        lines.append(f"{GAP}{row}" if isinstance(row, str) else _line(columns, row, widths, shown))
    return lines


def _shown(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    shown = list(range(len(columns)))
    uncut = list(widths)

    def excess() -> int:
        return sum(widths[i] for i in shown) + len(GAP) * (len(shown) - 1) - width

    for i in reversed(range(len(columns))):
        if excess() > 0 and columns[i].cut:
            widths[i] = max(min(widths[i], MIN_CUT), widths[i] - excess())
    for i in reversed(range(len(columns))):
        if excess() > 0 and columns[i].optional:
            shown.remove(i)
    for i in shown:
        widths[i] = min(uncut[i], widths[i] + max(-excess(), 0))  # the room of a column that went
    return shown


def _line(columns: Sequence[Column], row: Sequence[str], widths: list[int], shown: list[int]) -> str:
    parts = []
    for i in shown:
        text = row[i] if len(row[i]) <= widths[i] else f"{row[i][: widths[i] - 1]}…"
        parts.append(text.rjust(widths[i]) if columns[i].right else text.ljust(widths[i]))
    return GAP.join(parts).rstrip()
