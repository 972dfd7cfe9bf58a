"""Rows as values, each function within a transaction that reads. What cannot be understood is named."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select, true, tuple_

from searchd.domain.errors import RevisionExpired, StoreDamaged, StudyNotFound, TrialNotFound
from searchd.domain.facts import Event
from searchd.domain.measurement import Measurement
from searchd.domain.study import Study, StudyName, StudyState
from searchd.domain.trial import FoldRunState, Trial, TrialNumber, TrialState
from searchd.ports.store import Answered, LiveStudy
from searchd.stores import records
from searchd.stores.tables import Kind, events, measurements, meta, requests, studies, study_labels, trials

_LOG = select(meta.c.trimmed, func.coalesce(select(func.max(events.c.revision)).scalar_subquery(), 0))
_UNENDED = studies.c.state.in_([state for state in StudyState if not state.ended])
_MEASUREMENT_KEY = (measurements.c.trial, measurements.c.repeat, measurements.c.fold, measurements.c.epoch)
_TRIALS_PER_QUERY = 500


def revision(connection: Connection) -> int:
    """The revision of the newest event, forgotten ones included; 0 if there never was one."""
    trimmed, newest = connection.execute(_LOG).one()
    end: int = max(trimmed, newest)
    return end


def events_after(connection: Connection, after: int, study: StudyName | None, limit: int) -> Sequence[Event]:
    """A page of the log; see ``Store.events``."""
    trimmed = connection.execute(select(meta.c.trimmed)).scalar_one()
    if after < trimmed:
        raise RevisionExpired(after + 1, trimmed + 1)
    # A study's definition is kept once, not in each of its events.
    definition = and_(studies.c.name == events.c.study, events.c.kind == Kind.STUDY)
    query = (
        select(events, studies.c.spec)
        .join_from(events, studies, definition, isouter=True)
        .where(events.c.revision > after, events.c.kind != Kind.REQUEST)
        .order_by(events.c.revision)
        .limit(limit)
    )
    if study is not None:
        query = query.where(events.c.study == study)
    return [
        Event(
            row.revision,
            records.moment(row.at_us),
            records.fact(_kind(row.kind, row.study), row.study, row.body, row.spec),
        )
        for row in connection.execute(query)
    ]


def _kind(kind: str, study: str) -> Kind:
    if kind not in set(Kind):
        raise StoreDamaged(study, f"{kind!r} is no kind of event")
    return Kind(kind)


def _check_exists(connection: Connection, study: StudyName) -> None:
    if connection.scalar(select(studies.c.name).where(studies.c.name == study)) is None:
        raise StudyNotFound(study)


def study_filters(
    project: str, states: frozenset[StudyState] | None, labels: dict[str, str]
) -> Sequence[ColumnElement[bool]]:
    """What studies of a project in any of ``states`` (None: all) with all ``labels`` meet."""
    filters = [studies.c.project == project]
    if states is not None:
        filters.append(studies.c.state.in_(sorted(states)))
    for label, value in labels.items():
        bearing = (study_labels.c.study == studies.c.name, study_labels.c.label == label)
        filters.append(exists().where(*bearing, study_labels.c.value == value))
    return filters


def study_named(name: StudyName) -> ColumnElement[bool]:
    """What the study of that name meets."""
    return studies.c.name == name


def studies_in_order(
    connection: Connection, filters: Sequence[ColumnElement[bool]], after: StudyName | None, limit: int
) -> Sequence[Study]:
    """Up to ``limit`` studies that meet all filters, in name order, from the one after ``after``.

    Raises:
        StoreDamaged: one of them cannot be understood.
    """
    query = select(studies.c.name, studies.c.rest, studies.c.spec, studies.c.progress)
    rows = connection.execute(query.where(_from(filters, after)).order_by(studies.c.name).limit(limit)).all()
    whole = [records.whole_study(row.rest, row.spec, row.progress) for row in rows]
    return records.STUDY.load_all(whole, lambda index: rows[index].name)


def study_names_in_order(
    connection: Connection, filters: Sequence[ColumnElement[bool]], after: StudyName | None, limit: int
) -> Sequence[StudyName]:
    """The names of the same studies, whether or not they can be understood."""
    query = select(studies.c.name).where(_from(filters, after)).order_by(studies.c.name).limit(limit)
    return [StudyName(name) for name in connection.scalars(query)]


def code_is_named(connection: Connection, code_id: str) -> bool:
    """Whether a study's definition has the id of uploaded code in it: whole, since a damaged one may need it too."""
    query = select(studies.c.name).where(studies.c.spec.contains(code_id, autoescape=True)).limit(1)
    return connection.scalar(query) is not None


def _from(filters: Sequence[ColumnElement[bool]], after: StudyName | None) -> ColumnElement[bool]:
    return and_(*filters, true() if after is None else studies.c.name > after)


def trial_numbered(connection: Connection, study: StudyName, number: TrialNumber) -> Trial:
    """One trial; see ``Store.trial``."""
    _check_exists(connection, study)
    found = _trials(connection, study, select(trials).where(trials.c.number == number))
    if not found:
        raise TrialNotFound(study, number)
    return found[0]


def trials_in_order(
    connection: Connection, study: StudyName, states: frozenset[TrialState] | None, after: int, limit: int
) -> Sequence[Trial]:
    """A page of trials; see ``Store.trials``."""
    _check_exists(connection, study)
    query = select(trials).where(trials.c.number > after).order_by(trials.c.number).limit(limit)
    if states is not None:
        query = query.where(trials.c.state.in_(sorted(states)))
    return _trials(connection, study, query)


def trials_ranked(connection: Connection, study: StudyName, limit: int) -> Sequence[Trial]:
    """The best trials; see ``Store.ranked``."""
    _check_exists(connection, study)
    best_first = (trials.c.rung.desc(), trials.c.feasible.desc(), trials.c.score.desc(), trials.c.number)
    return _trials(connection, study, select(trials).where(trials.c.rung > 0).order_by(*best_first).limit(limit))


def _trials(connection: Connection, study: StudyName, query: Select[Any]) -> tuple[Trial, ...]:
    query = query.where(trials.c.study == study).with_only_columns(trials.c.number, trials.c.body)
    rows = connection.execute(query).all()
    return records.TRIAL.load_all([row.body for row in rows], lambda index: _name(study, rows[index].number))


def _name(study: StudyName, trial: int) -> str:
    return f"{study}/trials/{trial}"


def measurements_in_order(
    connection: Connection,
    study: StudyName,
    trial: TrialNumber | None,
    after: tuple[int, int, int, int] | None,
    limit: int,
) -> Sequence[Measurement]:
    """A page of measurements; see ``Store.measurements``."""
    _check_exists(connection, study)
    query = select(measurements).limit(limit)
    if trial is not None:
        query = query.where(measurements.c.trial == trial)
    if after is not None:
        query = query.where(tuple_(*_MEASUREMENT_KEY) > after)
    return _measurements(connection, study, query)


def _measurements(connection: Connection, study: StudyName, query: Select[Any]) -> tuple[Measurement, ...]:
    query = query.where(measurements.c.study == study).order_by(*_MEASUREMENT_KEY)
    rows = connection.execute(query.with_only_columns(measurements.c.trial, measurements.c.body)).all()
    return records.MEASUREMENT.load_all([row.body for row in rows], lambda index: _name(study, rows[index].trial))


def answer(connection: Connection, request_id: str) -> Answered | None:
    """What was answered to that request_id; None if nothing was."""
    row = connection.execute(select(requests).where(requests.c.request_id == request_id)).one_or_none()
    if row is None:
        return None
    what = f"request {request_id!r}"
    trial = None if row.trial is None else records.TRIAL.load(row.trial, what)
    return Answered(row.digest, records.STUDY.load(row.study, what), trial)


def unended_names(connection: Connection) -> Sequence[StudyName]:
    """Names of all studies that have not ended, in creation order."""
    return [
        StudyName(name)
        for name in connection.scalars(select(studies.c.name).where(_UNENDED).order_by(studies.c.created))
    ]


def live_study(connection: Connection, name: StudyName) -> LiveStudy | None:
    """What is needed to go on with a study; None if it has ended or is gone.

    Raises:
        StoreDamaged: something of it cannot be understood.
    """
    study = next(iter(studies_in_order(connection, [_UNENDED, study_named(name)], None, 1)), None)
    if study is None:
        return None
    found = _trials(connection, name, select(trials).order_by(trials.c.number))
    out = {
        (trial.number, run.repeat, run.fold)
        for trial in found
        for run in trial.fold_runs
        if run.state is FoldRunState.HANDED_OUT
    }
    numbers = sorted({number for number, _, _ in out})
    reported: list[Measurement] = []
    for start in range(0, len(numbers), _TRIALS_PER_QUERY):
        chunk = numbers[start : start + _TRIALS_PER_QUERY]
        reported += _measurements(connection, name, select(measurements).where(measurements.c.trial.in_(chunk)))
    return LiveStudy(study, found, tuple(m for m in reported if (m.trial, m.repeat, m.fold) in out))
