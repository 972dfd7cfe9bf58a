"""The command export: a study as files, or where other tools look for it."""

from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from searchd.cli import models
from searchd.cli.failures import CommandFailed, ExitCode
from searchd.cli.options import Modules, Project, StudyArgument
from searchd.cli.output import show_line
from searchd.client import Client, StudyHandle
from searchd.domain.study import Study

TRIALS = 100
"""Trials in one write."""


class Form(StrEnum):
    """What a study is written as."""

    CSV = "csv"
    PARQUET = "parquet"
    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    WANDB = "wandb"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    study: StudyArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False, help="where to; made if it is not there")],
    to: Annotated[
        Form | None, typer.Option("--to", help="csv, parquet, tensorboard, mlflow or wandb  [default: csv]")
    ] = None,
    model: models.Model = False,
    trial: models.Trial = None,
    refit: models.Refit = False,
    fold: models.Fold = None,
    form: models.Formats = None,
    force: models.Force = False,
    trainables: Modules = None,
    data_root: models.DataRoots = None,
    storage: models.ServerStorage = None,
    project: Project = "default",
) -> None:
    """Write a study as tables, or for TensorBoard, MLflow or Weights & Biases; or its best model, with a card."""
    given = {
        "--trial": trial,
        "--refit": refit or None,
        "--fold": fold,
        "--format": form,
        "--force": force or None,
        "--trainables": trainables,
        "--data-root": data_root,
        "--storage": storage,
    }
    stray = [option for option, value in given.items() if value not in (None, []) and not model]
    if stray:
        raise CommandFailed(f"{stray[0]} is for models; add --model", ExitCode.USAGE)
    if model and to is not None:
        raise CommandFailed("--to is for studies, and --model for one of their models; give one", ExitCode.USAGE)
    if model:
        with Client() as client:
            handle = client.study(study, project=project)
            models.write_model(handle, folder, trial, refit, fold, form, force, trainables, data_root, storage)
        return
    _write_study(study, folder, to or Form.CSV, project)


def _write_study(study: str, folder: Path, to: Form, project: str) -> None:
    with Client() as client:
        handle = client.study(study, project=project)
        handle.get()  # nothing is written for a study that there is not
        try:
            tables = to in (Form.CSV, Form.PARQUET)
            place = _tables(handle, folder, to) if tables else _shown(handle, folder, to.value)
        except ImportError as error:
            package = '"searchd[server]"' if to is Form.PARQUET else '"searchd[tracking]"'
            raise CommandFailed(f"{to} needs {error.name}; pip install {package}", ExitCode.USAGE) from None
        show_line(place)


def _tables(handle: StudyHandle, folder: Path, form: Form) -> str:
    """Trials and measurements, a file each."""
    if form is Form.PARQUET:
        import pyarrow  # noqa: F401  # pandas would complain about it at greater length

    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("trials", handle.trials()), ("measurements", handle.measurements())):
        frame = table.to_pandas()
        path = folder / f"{name}.{form}"
        if form is Form.PARQUET:
            mixed = [c for c in frame.columns if frame[c].map(type).nunique() > 1 and frame[c].dtype == object]
            frame[mixed] = frame[mixed].map(_text)  # a column of numbers and texts is none of Parquet's
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False)
    return str(folder)


def _text(value: object) -> str | None:
    return None if value is None or value != value else str(value)  # noqa: PLR0124  # only NaN differs from itself


def _shown(handle: StudyHandle, folder: Path, name: str) -> str:
    from searchd.tracking.sink import News, Surroundings, no_links
    from searchd.tracking.vendors import open_sink
    from searchd.wire.codec import decode_study, decode_trial

    study: Study = decode_study(handle.get().message)
    around = Surroundings((folder / name).absolute(), lambda trial: list(handle.measurements(trial)), no_links)
    sink = open_sink(name, study, around)
    try:
        trials = (decode_trial(shown.message) for shown in handle.trials())
        while page := list(islice(trials, TRIALS)):
            measured = [m for trial in page for m in around.history(trial.number)]
            sink.write(News(study, page, measured))
        sink.write(News(study))
        return sink.place
    finally:
        sink.close()
