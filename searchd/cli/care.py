"""Commands that look after a store: backup, restore, doctor."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from searchd.cli.failures import ExitCode
from searchd.cli.options import DEFAULT_DATA_DIR, DataDir, Output
from searchd.cli.output import show, show_line, width

if TYPE_CHECKING:
    from searchd.care.archive import Manifest
    from searchd.care.finding import Finding
    from searchd.config import ServerSettings

_INDENT = 22

Store = Annotated[str | None, typer.Option("--store", metavar="URL", help="database instead of the built-in one")]


Storage = Annotated[
    Path | None,
    typer.Option(
        "--storage",
        metavar="DIR",
        file_okay=False,
        help="where checkpoints, logs and artifacts are  [default: in --data-dir]",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("doctor")(doctor)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="where to, such as searchd.tar.gz")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    store: Store = None,
    storage: Storage = None,
    no_checkpoints: Annotated[
        bool, typer.Option("--no-checkpoints", help="leave checkpoints out: smaller, but what trained starts over")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="replace the file if it exists")] = False,
) -> None:
    """Save everything a server keeps in one file; the server may be running."""
    from datetime import UTC, datetime

    from searchd.care.backup import back_up

    settings = _settings(data_dir, store, storage)
    at = datetime.now(UTC)
    saved = back_up(file, settings.store, settings.storage, at, checkpoints=not no_checkpoints, replace=force)
    show_line(f"saved {_summary(saved.manifest)}")
    show_line(f"in {file}, {_size(saved.size)}")
    if saved.left_out:
        show_line(f"left out {_count(saved.left_out, 'link or special file')} below {settings.storage}")


def restore(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="what `searchd backup` wrote", exists=True, dir_okay=False)
    ],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    store: Store = None,
    storage: Storage = None,
) -> None:
    """Make a new store of a backup, in a new data directory (and an empty database)."""
    from searchd.care.restore import restore as restore_backup

    settings = _settings(data_dir, store, storage)
    restored = restore_backup(file, settings.data_dir, settings.store, settings.storage)
    contents = restored.manifest.contents
    show_line(f"restored {_summary(restored.manifest)}")
    show_line(f"to {data_dir}, as it was at {contents.at}")
    show_line(f"its identity is a new one, {restored.identity}:")
    show_line(f"workers of the saved store, {contents.store[:8]}…, are never taken over; end its servers")
    if not contents.checkpoints:
        show_line("it has no checkpoints: folds that had not finished start over")


def doctor(
    data_dir: DataDir = DEFAULT_DATA_DIR, store: Store = None, storage: Storage = None, output: Output = None
) -> None:
    """Check everything a server keeps and say what is wrong; changes nothing, and the server may be running."""
    from datetime import UTC, datetime

    from searchd.care.doctor import examine
    from searchd.cli import note
    from searchd.engines.ray.processes import ProcessRecord

    found = note.read(data_dir)
    noted = ProcessRecord(found.pid, found.started) if found is not None else None
    findings = examine(_settings(data_dir, store, storage), noted, datetime.now(UTC))
    problems = sum(finding.problem for finding in findings)
    show(
        output,
        lambda: {"sound": not problems, "checks": [asdict(finding) for finding in findings]},
        lambda: [_heading(findings, data_dir), *(line for finding in findings for line in _lines(finding))],
    )
    if problems:
        raise typer.Exit(ExitCode.FAILED)


def _heading(findings: "Sequence[Finding]", data_dir: Path) -> str:
    problems = _count(sum(finding.verdict == "problem" for finding in findings), "problem")
    warnings = _count(sum(finding.verdict == "warning" for finding in findings), "warning")
    return f"{data_dir}: {problems}, {warnings}"


def _lines(finding: "Finding") -> list[str]:
    """A line for the check, and below it what it is about and what to do."""
    indent = " " * _INDENT
    first = f"{finding.verdict:9}{finding.check:13}"
    lines = _wrapped(finding.message, first, indent)
    for detail in finding.details:
        lines += _wrapped(detail, f"{indent}- ", f"{indent}  ")
    return lines + (_wrapped(finding.remedy, f"{indent}-> ", f"{indent}   ") if finding.remedy else [])


def _wrapped(text: str, first: str, indent: str) -> list[str]:
    return textwrap.wrap(text, max(width(), 40), initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)


def _settings(data_dir: Path, store: str | None, storage: Path | None) -> "ServerSettings":
    from searchd.config import ServerSettings

    return ServerSettings(data_dir, store_url=store, storage_dir=storage)


def _summary(manifest: "Manifest") -> str:
    contents = manifest.contents
    parts = [_count(contents.studies, "study", "studies"), _count(contents.trials, "trial")]
    files = len(manifest.members) - 1
    return f"{', '.join(parts)}, revision {contents.revision:,}, {_count(files, 'file')} ({_size(manifest.size)})"


def _count(n: int, noun: str, plural: str = "") -> str:
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"
