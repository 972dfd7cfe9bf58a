"""The ``searchd`` command."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from searchd.cli import auto, care, cluster, demo, export, insights, models, rankings, server, studies, trials, tryout
from searchd.cli.failures import ExitCode, exit_code, explanation

# Typer's own or click's, depending on Typer's version.
_UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


class Commands(TyperGroup):
    """Commands whose every failure is one clear line and an exit code."""

    def main(
        self, args: Sequence[str] | None = None, prog_name: str | None = None, *_: Any, **extra: Any
    ) -> Any:  # the rest of the signature differs between Typer's versions
        """Run a command.

        Raises:
            SystemExit: always, with the exit code.
        """
        extra["standalone_mode"] = False
        try:
            code = super().main(args, prog_name, **extra)
        except BrokenPipeError:  # the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = ExitCode.DONE
        except (KeyboardInterrupt, typer.Abort):
            code = 130
        except _UsageError as error:
            message: str = error.format_message()  # type: ignore[attr-defined]
            is_help = message.startswith("Usage:")  # what no arguments at all get
            typer.echo(message if is_help else f"error: {message.rstrip('.')}; see --help", err=True)
            code = ExitCode.USAGE
        except Exception as error:
            if os.environ.get("SEARCHD_DEBUG") == "1":
                raise
            for line in explanation(error):
                typer.echo(line, err=True)
            code = exit_code(error)
        sys.exit(code if isinstance(code, int) else ExitCode.DONE)


app = typer.Typer(
    name="searchd",
    help="Hyperparameter search as a service: studies over gRPC, folds on Ray, an honest leaderboard.",
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (server, demo, auto, tryout, studies, trials, rankings, insights, export, models, cluster, care):
    group.register(app)


def main() -> None:
    """Run the command that the process was started with."""
    app()
