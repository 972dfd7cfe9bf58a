"""Looking a store and its data directory over, changing nothing, whether a server runs or not."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from searchd.care import consistency, database, integrity, stored_files, surroundings
from searchd.care.errors import CareRefused
from searchd.care.finding import RESTORE, Finding, ok, problem
from searchd.care.survey import Survey, read_all
from searchd.config import ServerSettings
from searchd.domain.errors import InvalidArgument, SearchdError, StoreDamaged
from searchd.engines.ray.processes import ProcessRecord
from searchd.stores import schema


def examine(settings: ServerSettings, noted: ProcessRecord | None, at: datetime) -> Sequence[Finding]:
    """Everything that can be checked, a finding for each; what cannot be checked is a problem, never an error.

    Args:
        settings: Where everything is.
        noted: The server's process, as noted in the data directory; None if none is.
        at: The current time, UTC.

    Raises:
        InvalidArgument: the store's URL is malformed or not supported.
    """
    directory = surroundings.directory(settings.data_dir)
    if not settings.data_dir.is_dir():
        return [directory]
    return [directory, *_around(settings, noted), *_within(settings, noted, at)]


def _around(settings: ServerSettings, noted: ProcessRecord | None) -> Iterator[Finding]:
    served = noted is not None and noted.find() is not None
    yield from _guarded("secrets", lambda: surroundings.privacy(settings.data_dir))
    yield from _guarded("disk", lambda: surroundings.disks(settings.data_dir, settings.storage))
    yield from _guarded("server", lambda: [surroundings.server(noted)])
    yield from _guarded("ray", lambda: [surroundings.ray(settings.data_dir, served=served)])


def _within(settings: ServerSettings, noted: ProcessRecord | None, at: datetime) -> Iterator[Finding]:
    served = noted is not None and noted.find() is not None
    store, storage = settings.store, settings.storage
    folders = stored_files.folders_of_studies(storage)
    try:
        with database.reading(store) as connection:
            version = integrity.version(connection)
            known = schema.version(connection) in schema.known()
            current = schema.version(connection) == schema.known()[-1]
            lease = integrity.lease_of(connection) if known else None
    except InvalidArgument:
        raise
    except SearchdError as error:
        yield problem("database", _reason(error), _remedy(error))
        return
    yield ok("database", database.shown(store))
    yield version
    if not known:
        return
    yield from _guarded("structure", lambda: [_structure(settings)])
    if not current:  # what it holds has an older form, and can be judged when it has been brought up to date
        return
    survey = _survey(settings)
    yield from consistency.judged(survey)
    yield from _guarded("checkpoints", lambda: [stored_files.checkpoints(storage, survey)])
    if not survey.unread:
        left = stored_files.leftovers
        yield from _guarded("leftovers", lambda: [left(storage, settings.data_dir, folders, survey, at)])
    if lease is not None:
        patience = settings.loop.lease / 2  # in which a leader gives two signs
        yield from _guarded("lease", lambda: [integrity.lease(store, lease, patience, served=served)])


def _guarded(check: str, look: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    try:
        return look()
    except Exception as error:  # whatever a damaged store leads to is a finding
        return [problem(check, f"cannot be checked: {_reason(error)}", _remedy(error))]


def _structure(settings: ServerSettings) -> Finding:
    with database.reading(settings.store) as connection:
        return integrity.structure(connection)


def _survey(settings: ServerSettings) -> Survey:
    survey = Survey()
    try:
        with database.reading(settings.store) as connection:
            read_all(connection, survey)
    except Exception as error:  # as above
        survey.unread = _reason(error)
    return survey


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error) or type(error).__name__


def _remedy(error: Exception) -> str:
    match error:
        case CareRefused():
            return error.remedy
        case StoreDamaged():
            return RESTORE
        case _:
            return "see to that and look again"
