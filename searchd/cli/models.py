"""Trained models: what export --model does, and the command reproduce."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from searchd.cli.failures import CommandFailed, ExitCode
from searchd.cli.options import Modules, Output, OutputFormat, Project, TrialArgument
from searchd.cli.output import on_terminal, show_json, show_line
from searchd.client import Client, StudyHandle
from searchd.client.names import split_trial_name
from searchd.client.numbers import number
from searchd.worker.model_formats import ModelFormat

if TYPE_CHECKING:
    from searchd.client.reproduction import Repeated, Reproduction


Model = Annotated[bool, typer.Option("--model", help="train the best trial again, and write its model with a card")]
Trial = Annotated[int | None, typer.Option("--trial", min=1, metavar="N", help="that trial's model, not the best's")]
Refit = Annotated[bool, typer.Option("--refit", help="train it on all rows that folds use; so it is without --fold")]
Fold = Annotated[
    int | None, typer.Option("--fold", min=0, metavar="K", help="train it on the rows of that fold run alone, from 0")
]
Formats = Annotated[
    list[ModelFormat] | None,
    typer.Option("--format", help="may be repeated  [default: skops for scikit-learn, torch for networks]"),
]
Force = Annotated[bool, typer.Option("--force", help="replace the model that is in DIR")]
DataRoots = Annotated[
    list[Path] | None,
    typer.Option(
        "--data-root", metavar="DIR", exists=True, file_okay=False, help="where dataset files may lie  [default: .]"
    ),
]
ServerStorage = Annotated[
    Path | None,
    typer.Option(
        "--storage",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="the server's storage, for studies that build on another",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reproduce")(reproduce)


def write_model(
    handle: StudyHandle,
    folder: Path,
    trial: int | None,
    refit: bool,
    fold: int | None,
    forms: Sequence[ModelFormat] | None,
    force: bool,
    trainables: Sequence[str] | None,
    data_roots: Sequence[Path] | None,
    storage: Path | None,
) -> None:
    """Export a model as the options say, and print what was written."""
    if refit and fold is not None:
        raise CommandFailed("--refit is on all rows, and --fold on those of one fold run; give one", ExitCode.USAGE)
    with _trainables_print_elsewhere():
        found = handle.export_model(
            folder,
            trial=trial,
            fold=fold,
            formats=forms or (),
            force=force,
            trainables=trainables or (),
            data_roots=data_roots or [Path.cwd()],
            storage=storage,
        )
    card, trained = found.card, found.card["trained"]
    rows = f"{trained['rows']} rows: " if trained["rows"] else ""
    epochs = f", for {trained['epochs']} epochs" if trained["of_epochs"] > 1 else ""
    show_line(f"trial {card['trial']}, trained on {rows}{trained['on']}{epochs}")
    for warning in card["warnings"]:
        show_line(f"# {warning}")
    checks = {file["name"]: file for file in card["files"]}
    for name in found.files:
        show_line(f"{found.folder / name}{_check(checks[name]) if name in checks else ''}")


def reproduce(
    trial: TrialArgument,
    trainables: Modules = None,
    data_root: DataRoots = None,
    storage: ServerStorage = None,
    project: Project = "default",
    output: Output = None,
) -> None:
    """Train a trial again in this process, and compare its scores with the stored ones; exit code 1 if they differ."""
    from searchd.client.again import here
    from searchd.client.reproduction import Verdict, reproduce

    name, numbered = split_trial_name(trial, project)
    as_json = output is OutputFormat.JSON or (output is None and not on_terminal())
    with Client() as client, _trainables_print_elsewhere() as out:

        def tell(run: "Repeated") -> None:
            if not as_json:
                print(_run_line(run), file=out, flush=True)

        place = here(trainables or (), data_root or [Path.cwd()], storage)
        found = reproduce(client.study(name), numbered, place, tell)
    if as_json:
        show_json(found.to_dict())
    else:
        for line in _verdict_lines(found):
            show_line(line)
    if found.verdict is Verdict.DIFFERENT:
        raise CommandFailed(f"trial {numbered} did not come out the same", ExitCode.FAILED)


@contextlib.contextmanager
def _trainables_print_elsewhere() -> Iterator[TextIO]:
    """What a trainable prints goes to standard error, so that a program can read what the command prints."""
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield out


def _check(file: dict[str, object]) -> str:
    apart = file["largest_difference"]
    how = "gives the same outputs" if apart == 0 else f"gives outputs within {apart:.1g}"
    return f"  ({file['bytes']} bytes; {how} on {file['checked_rows']} rows)"


def _run_line(run: "Repeated") -> str:
    where = "test" if run.fold < 0 else f"repeat {run.repeat} fold {run.fold}"
    apart = "the same" if run.stored == run.found else f"{run.found - run.stored:+.3g}"
    return f"{where} epoch {run.epoch}: stored {number(run.stored, 6)}   again {number(run.found, 6)}   {apart}"


def _verdict_lines(found: "Reproduction") -> list[str]:
    from searchd.client.reproduction import Verdict

    means = f"{found.metric} {number(found.stored, 6)} stored, {number(found.found, 6)} again"
    match found.verdict:
        case Verdict.SAME:
            verdict = f"same, bit for bit: {found.metric} {number(found.stored, 6)}"
        case Verdict.WITHIN_NOISE:
            noise = f"; its standard error is {number(found.noise, 2)}" if found.noise is not None else ""
            verdict = f"within noise: {means}{noise}"
        case Verdict.DIFFERENT:
            verdict = f"different: {means}"
    if found.verdict is not Verdict.SAME and not found.explanations:
        reason = "code, data and device are the same; other versions of libraries, or chance that is not seeded, may be"
        return [verdict, f"# {reason}"]
    return [verdict, *(f"# {explanation}" for explanation in found.explanations)]
