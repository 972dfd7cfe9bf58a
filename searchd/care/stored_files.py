"""Checks of the storage folder: checkpoints that are needed, and what nobody needs any more."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from searchd.care.finding import Finding, ok, problem, warning
from searchd.care.survey import Survey
from searchd.worker.manifest import MANIFEST, DamagedCheckpoint, decoded, verify

CHECKPOINTS: Final = "checkpoints"
KINDS: Final = (CHECKPOINTS, "logs", "artifacts")

SETTLED: Final = timedelta(minutes=1)
"""After a trial has ended, its checkpoints are forgotten within that time."""

ABANDONED: Final = timedelta(days=1)
"""A file that is being written gets its name within that time."""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def studies_in(storage: Path, kind: str) -> dict[str, Path]:
    """Folders of studies, by name."""
    return {
        f"projects/{folder.parts[-3]}/studies/{folder.name}": folder
        for folder in sorted((storage / kind).glob("projects/*/studies/*"))
    }


def checkpoints(storage: Path, survey: Survey) -> Finding:
    """Whether those of trials that have not ended are what was written."""
    whole, damaged = 0, []
    for study, folder in studies_in(storage, CHECKPOINTS).items():
        for manifest in sorted(folder.glob(f"*/*/*/{MANIFEST}")):
            trial = manifest.relative_to(folder).parts[0]
            if trial.isdecimal() and (study, int(trial)) in survey.open_trials:
                fault = _fault(manifest)
                whole += fault is None
                if fault:
                    damaged.append(f"{manifest.parent.relative_to(storage)}: {fault}")
    if damaged:
        remedy = "look at the disk. Workers pass it over and go on from the one before, or start that fold over"
        return problem("checkpoints", f"{len(damaged):,} of {whole + len(damaged):,} are damaged", remedy, damaged)
    return ok("checkpoints", f"all {whole:,} of unfinished trials are whole" if whole else "none of unfinished trials")


def _fault(manifest: Path) -> str | None:
    """What is wrong with a checkpoint; None if nothing is, or if it has been deleted meanwhile."""
    try:
        for name, expected in decoded(manifest.read_bytes()).files.items():
            with (manifest.parent / name).open("rb") as file:
                verify(file, name, expected)
    except DamagedCheckpoint as damage:
        return str(damage)
    except OSError as error:
        return f"{error.strerror}: {Path(str(error.filename)).name}" if manifest.exists() else None
    return None


def leftovers(storage: Path, data_dir: Path, found: dict[str, Path], survey: Survey, at: datetime) -> Finding:
    """What nobody needs any more.

    Args:
        storage: The storage folder.
        data_dir: The data directory.
        found: Folders in it of what may be a study, listed before the survey: studies made since are not among them.
        survey: Of the store.
        at: The current time, UTC.
    """
    left = [
        *(folder for name, folder in found.items() if name.partition(":")[2] not in survey.names),
        *_of_ended_trials(storage, survey, at),
        *_unfinished(storage, at),
        *data_dir.glob(".*.partial-backup"),
    ]
    there = [str(path) for path in left if path.exists()]  # some may have been deleted by the server meanwhile
    if there:
        return warning("leftovers", f"{len(there):,} that nobody needs", "they may be removed with rm -r", there)
    return ok("leftovers", "none")


def folders_of_studies(storage: Path) -> dict[str, Path]:
    """Every folder of a study, by kind and name."""
    return {f"{kind}:{name}": folder for kind in KINDS for name, folder in studies_in(storage, kind).items()}


def _of_ended_trials(storage: Path, survey: Survey, at: datetime) -> Iterator[Path]:
    for study, folder in studies_in(storage, CHECKPOINTS).items():
        for trial in sorted(folder.iterdir()):
            key = (study, int(trial.name)) if trial.name.isdecimal() else None
            if key in survey.ended_at and at - (survey.ended_at[key] or _BEGINNING) > SETTLED:
                yield trial


def _unfinished(storage: Path, at: datetime) -> Iterator[Path]:
    for path in sorted((storage / CHECKPOINTS).glob("projects/*/studies/*/*/**/.*.tmp")):
        if at - datetime.fromtimestamp(path.stat().st_mtime, UTC) > ABANDONED:
            yield path
