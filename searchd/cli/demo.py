"""The demo command: the whole main job in one go, with a server of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from searchd.cli.failures import CommandFailed, ExitCode
from searchd.cli.output import show_line, show_lines, width
from searchd.cli.rankings import remarks, yaml_line
from searchd.client import BestConfig, Client, Study, StudyHandle, Trial
from searchd.client.lines import event_line
from searchd.client.live import live_console, show_live
from searchd.client.numbers import decimals_for, fixed, percent
from searchd.client.progress import ranking
from searchd.domain.study import StudyState

TOP = 8


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", file_okay=False, help="keep everything here, instead of nothing")
    ] = None,
) -> None:
    """Start a server, tune a network on digits with 5 folds, show the leaderboard, and clean up."""
    from searchd.cli.child_server import Interrupted, child_server, interruptible
    from searchd.cli.shutdown import end_everything

    try:
        with interruptible(), _directory(data_dir) as directory:
            began = datetime.now(UTC)
            show_line("starting a server and a local Ray")
            with child_server(directory, (), end_everything) as address, Client(address) as client:
                show_line(f"serving on {address} after {_seconds(began, datetime.now(UTC))}")
                _run(client, began)
    except Interrupted as interrupted:
        raise typer.Exit(128 + interrupted.signum) from None


@contextmanager
def _directory(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
    else:
        with TemporaryDirectory(prefix="searchd-demo-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)


def _run(client: Client, began: datetime) -> None:
    with as_file(files("searchd.cli") / "demo.yaml") as definition:
        handle = client.create_study(definition)
    console = live_console(None)
    study = show_live(handle, handle.watch(), console) if console is not None else _followed(handle)
    if study.state is not StudyState.SUCCEEDED:
        raise CommandFailed(f"the study ended {study.state.name}: {study.reason}", ExitCode.FAILED)
    found = handle.best()
    show_line("")
    if console is None:  # else the live view has left it there
        show_lines([*ranking(study, list(handle.leaderboard(TOP)), width()), ""])
    show_line("\n".join([*remarks(found), yaml_line(found.params)]))
    show_line("")
    for line in summary(study, found, began):
        show_line(line)


def _followed(handle: StudyHandle) -> Study:
    """A line for each trial that got somewhere."""
    reached: dict[int, int] = {}
    for event in handle.watch():
        match event.value:
            case Trial() as trial if trial.state.ended or len(trial.rung_scores) > reached.get(trial.number, 0):
                reached[trial.number] = len(trial.rung_scores)
            case Study():
                pass
            case _:
                continue
        line = event_line(event)
        if line is not None:
            show_line(line)
    return handle.get()


def summary(study: Study, found: BestConfig, began: datetime) -> list[str]:
    """What the demo has shown, in a few lines."""
    best = found.best
    decimals = decimals_for([best.mean])
    lines = [f"tuned {study.metric} over {best.rung.folds} folds: {fixed(best.mean, decimals)}"]
    if found.default is not None:
        lines.append(f"default configuration on the same folds: {fixed(found.default.mean, decimals)}")
    if found.gain is not None:
        low, mean, high = (fixed(value, decimals) for value in (found.gain.low, found.gain.mean, found.gain.high))
        lines.append(f"gain {mean}, paired and corrected 95% interval [{low}, {high}]")
    progress = study.progress
    ended = sum(progress.trials.values())
    at_top = progress.rungs[-1] if progress.rungs else 0
    lines.append(f"{ended} trials, {at_top} of them evaluated fully")
    saved = percent(progress.full_epochs - progress.epochs, progress.full_epochs)
    lines.append(f"fold epochs saved against full evaluation of every trial: {saved}")
    if study.started_at is not None and study.started_at > began:
        lines.append(f"first trial running {_seconds(began, study.started_at)} after the server was started")
    if study.ended_at is not None and study.ended_at > began:
        lines.append(f"done after {_seconds(began, study.ended_at)}")
    return lines


def _seconds(since: datetime, until: datetime) -> str:
    return f"{(until - since).total_seconds():.1f} s"
