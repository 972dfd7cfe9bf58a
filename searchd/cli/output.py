"""Printing: tables for people, JSON for programs."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from searchd.cli.options import OutputFormat


def on_terminal() -> bool:
    """Whether somebody is looking."""
    return sys.stdout.isatty()


def width() -> int:
    """Columns that lines may take: the terminal's, or COLUMNS, or 80."""
    return shutil.get_terminal_size((80, 24)).columns


def show(output: OutputFormat | None, as_json: Callable[[], Any], as_lines: Callable[[], Sequence[str]]) -> None:
    """Print one answer.

    Args:
        output: The asked-for form; None means a table on a terminal, else JSON.
        as_json: Makes the JSON value.
        as_lines: Makes the table's lines, the first of which is its heading.
    """
    if output is OutputFormat.JSON or (output is None and not on_terminal()):
        show_json(as_json())
    else:
        show_lines(as_lines())


def show_change(output: OutputFormat | None, as_json: Callable[[], Any], line: str) -> None:
    """Print what a change came to: as a line, or all of it if JSON was asked for."""
    if output is OutputFormat.JSON:
        show_json(as_json())
    else:
        show_line(line)


def show_json(value: Any) -> None:
    """Print a JSON document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_json_line(value: Any) -> None:
    """Print a JSON document on a line of its own, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show_lines(lines: Sequence[str]) -> None:
    """Print lines as they are; on a terminal the first one stands out."""
    console = Console(highlight=False)
    for i, line in enumerate(lines):
        console.print(Text(line, style="bold" if i == 0 else ""), soft_wrap=True)


def show_line(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
