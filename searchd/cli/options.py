"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from searchd.cli.failures import CommandFailed, ExitCode


class OutputFormat(StrEnum):
    """How a reading command prints."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[
    OutputFormat | None,
    typer.Option("--output", "-o", help="table or json; by default a table on a terminal, else json"),
]
Project = Annotated[str, typer.Option("--project", help="project of studies with a short name")]
StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="name of a study, such as digits-cnn")]
TrialArgument = Annotated[str, typer.Argument(metavar="STUDY/N", help="a trial, such as digits-cnn/17")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="only studies with this label")]
DataDir = Annotated[
    Path,
    typer.Option("--data-dir", envvar="SEARCHD_DATA_DIR", file_okay=False, help="where the server keeps everything"),
]
Modules = Annotated[
    list[str] | None, typer.Option("--trainables", metavar="MODULE", help="module with trainables; may be repeated")
]

DEFAULT_DATA_DIR = Path("~/.local/share/searchd").expanduser()


def pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """What was given as ``key=value``.

    Raises:
        CommandFailed: one is not of that form.
    """
    found = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CommandFailed(f"{option} {text!r} is not of the form key=value", ExitCode.USAGE)
        found[key] = value
    return found
