"""The auto command: from a file of rows to the best model that a budget of time finds, without a study file."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Annotated, Any

import typer

from searchd.cli.outcome import see_through
from searchd.cli.output import show_line
from searchd.client import Client, StudyHandle
from searchd.domain.errors import InvalidStudy, SearchdError, ServerUnreachable

if TYPE_CHECKING:
    from searchd.cli.proposal import Proposal, Wishes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("auto")(auto)


def auto(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="rows: .csv, .parquet or .npz")],
    target: Annotated[str, typer.Option("--target", help="column to predict; of an .npz its array")] = "",
    time: Annotated[str, typer.Option("--time", help="for search, confirmation and test together")] = "10m",
    task: Annotated[str | None, typer.Option("--task", help="classification or regression")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="what to go by, such as log_loss or mae")] = None,
    folds: Annotated[int | None, typer.Option("--folds", min=0, help="of the cross-validation; 0: a hold-out")] = None,
    test: Annotated[float | None, typer.Option("--test", help="share of the rows that no fold sees; 0: none")] = None,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", metavar="COLUMN", help="no feature; may be repeated")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="COLUMN", help="a feature, whatever it looks like")
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="at most so many, even if there is time")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the search and of all trials")] = 0,
    study_id: Annotated[str, typer.Option("--study-id", help="last part of the study's name")] = "",
    address: Annotated[
        str | None, typer.Option("--address", help="of the server  [default: SEARCHD_ADDRESS or localhost:50051]")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", file_okay=False, help="where a server of its own keeps everything")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only print the study file")] = False,
) -> None:
    """Search for the best model of a table: look at it, make a study and say why it is so, follow it, show the best.

    If no server answers, one is started for as long as this command runs.
    """
    from searchd.cli.child_server import Interrupted, interruptible
    from searchd.cli.proposal import Wishes, read_kind

    wishes = Wishes(_duration(time), read_kind(task) if task else None, metric, folds, test, trials, seed)
    proposal = _proposed(file, target, tuple(drop or ()), tuple(keep or ()), wishes)
    for reason in proposal.reasons:
        show_line(f"# {reason}")
    if dry_run:
        show_line(_study_file(proposal, study_id))
        return
    show_line("")
    try:
        with interruptible(), _server(address, file, data_dir) as (client, lasting):
            _run(client.create_study(proposal.study, study_id=study_id), wishes.time, lasting)
    except Interrupted as interrupted:
        raise typer.Exit(128 + interrupted.signum) from None


def _proposed(file: Path, target: str, drop: tuple[str, ...], keep: tuple[str, ...], wishes: "Wishes") -> "Proposal":
    """Look at the file and decide.

    Raises:
        InvalidStudy: the file, a column or an option does not allow it.
    """
    from searchd.cli.proposal import propose
    from searchd.datasets import profile, source
    from searchd.domain.study import Dataset

    path = file.absolute()
    dataset = Dataset(uri=str(path), target=target or None, drop=drop)
    found = source.find(dataset, (path.parent, path.resolve().parent))
    profile.check_memory(found, _available_memory())
    written: dict[str, Any] = {"uri": str(path), **({"target": target} if target else {})}
    return propose(profile.profile(found, dataset, keep), {**written, **({"drop": [*drop]} if drop else {})}, wishes)


def _available_memory() -> int | None:
    """Bytes, or None where psutil, which only servers have, is not there to tell."""
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)


def _duration(text: str) -> timedelta:
    """The time that an option gives.

    Raises:
        InvalidStudy: it is none, or nothing.
    """
    from searchd.domain.errors import Violation
    from searchd.wire.file_values import Misread, read_duration

    try:
        duration: timedelta = read_duration(text, "--time").ToTimedelta()
    except Misread as error:
        raise InvalidStudy([error.violation]) from None
    if not duration:
        raise InvalidStudy([Violation("--time", "is nothing", "give a time such as 90s, 10m or 2h")])
    return duration


def _study_file(proposal: "Proposal", study_id: str) -> str:
    from searchd.wire.study_file import study_from_mapping, write_study

    named = f"study_id: {study_id}\n" if study_id else ""
    return named + write_study(study_from_mapping(proposal.study).study).rstrip("\n")


@contextmanager
def _server(address: str | None, file: Path, data_dir: Path | None) -> Iterator[tuple[Client, bool]]:
    """A client of the server that answers, or else of one that lives as long as this context; and whether it lasts."""
    from searchd.cli.child_server import child_server, kept_or_passing
    from searchd.cli.shutdown import end_everything

    with Client(address) as client:
        try:
            client.server_info()
        except ServerUnreachable:
            show_line(f"no server answers at {client.address}: starting one, and a local Ray")
        else:
            yield client, True
            return
    root = ("--data-root", str(file.absolute().parent))
    with (
        kept_or_passing(data_dir) as directory,
        child_server(directory, root, end_everything) as started,
        Client(started) as client,
    ):
        yield client, False


def _run(handle: StudyHandle, time: timedelta, lasting: bool) -> None:
    from searchd.cli.proposal import SEARCHING

    show_line(handle.name)
    closing = Timer(SEARCHING * time.total_seconds(), close_search, (handle,))
    closing.daemon = True
    closing.start()
    try:
        study, found = see_through(handle)
    except KeyboardInterrupt:
        if lasting:
            show_line(f"{handle.name} goes on until its time is over, without confirmation; `searchd stop` ends it")
        raise
    finally:
        closing.cancel()
    if found.confirmed is None:
        show_line(f"not confirmed on fresh splits: {study.reason or 'there was nothing to confirm'}; give more --time")


def close_search(handle: StudyHandle) -> None:
    """Let no further trial start: what there is is finished, the best is confirmed and tested.

    A budget of time alone would end the study as it is, without either. If this fails, that is what happens.
    """
    with suppress(SearchdError):
        progress = handle.get().progress
        handle.update(budget={"trials": max(sum(progress.trials.values()) - progress.follow_ups, 1)})
