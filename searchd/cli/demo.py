"""The demo command: the whole main job in one go, with a server of its own."""

from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from searchd.cli.outcome import see_through
from searchd.cli.output import show_line
from searchd.client import BestConfig, Client, Study
from searchd.client.numbers import decimals_for, fixed, percent


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", file_okay=False, help="keep everything here, instead of nothing")
    ] = None,
) -> None:
    """Start a server, tune a network on digits with 5 folds, show the leaderboard, and clean up."""
    from searchd.cli.child_server import Interrupted, child_server, interruptible, kept_or_passing
    from searchd.cli.shutdown import end_everything

    try:
        with interruptible(), kept_or_passing(data_dir) as directory:
            began = datetime.now(UTC)
            show_line("starting a server and a local Ray")
            with child_server(directory, (), end_everything) as address, Client(address) as client:
                show_line(f"serving on {address} after {_seconds(began, datetime.now(UTC))}")
                _run(client, began)
    except Interrupted as interrupted:
        raise typer.Exit(128 + interrupted.signum) from None


def _run(client: Client, began: datetime) -> None:
    with as_file(files("searchd.cli") / "demo.yaml") as definition:
        handle = client.create_study(definition)
    study, found = see_through(handle)
    for line in summary(study, found, began):
        show_line(line)


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
