"""Options that several commands share."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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
OutputOfChange = Annotated[
    OutputFormat | None, typer.Option("--output", "-o", help="json for all of what was changed, else it is one line")
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


def pairs(option: str, texts: Iterable[str] | None) -> dict[str, str]:
    """What was given as ``KEY=VALUE``.

    Raises:
        CommandFailed: one is not of that form, or a key is there twice.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CommandFailed(f"{option} {text!r} is not of the form KEY=VALUE", ExitCode.USAGE)
        if key in found:
            raise CommandFailed(f"{option} has {key!r} twice; give it once", ExitCode.USAGE)
        found[key] = value
    return found


def configuration(option: str, texts: Iterable[str] | None) -> dict[str, Any]:
    """Parameters given as ``NAME=VALUE``, a value as in a study file: 1e-3 is a number, true a boolean, adam a text.

    Raises:
        CommandFailed: one is not of that form or has no such value, or a name is there twice.
    """
    return {name: _value(f"{option} {name}={text}", text) for name, text in pairs(option, texts).items()}


def _value(given: str, text: str) -> Any:
    from searchd.wire.study_file import read_study
    from searchd.wire.values import decode_parameters

    if not text.strip():
        raise CommandFailed(f"{given} has no value; an empty text is '', and nothing is null", ExitCode.USAGE)
    file = read_study(f"fixed:\n  value: {text}")
    if file.violations or len(text.splitlines()) > 1:
        raise CommandFailed(f"{given} cannot be read; put quotes around a text", ExitCode.USAGE)
    return decode_parameters(file.study.fixed)["value"]
