"""The comparison of what was told with what is there finds every way in which a promise can be broken."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from searchd.client import Event
from searchd.client.views import read_study, read_trial
from searchd.domain.facts import Fact, MeasurementAdded, RequestAnswered, StudyPut, TrialPut
from searchd.domain.study import StudyState
from searchd.domain.trial import TrialState
from searchd.stores.sql import open_sql_store
from searchd.wire.codec import encode_measurement, encode_study, encode_trial
from tests.acceptance.faults.promises import Broken, Epoch, Log, Promise, broken
from tests.acceptance.faults.recorder import Acknowledged, Recorder, Watched, measured_as
from tests.contracts.makers import AT, STUDY, fold_run, measurement, study, trial

MEASURED = measurement()
ENDED_TRIAL = trial().ended(TrialState.COMPLETED, AT)
ENDED_STUDY = study(state=StudyState.SUCCEEDED, ended_at=AT)
FACTS: tuple[Fact, ...] = (
    StudyPut(study(state=StudyState.PENDING)),
    RequestAnswered("create", "digest", study()),
    StudyPut(study()),
    TrialPut(trial()),
    MeasurementAdded(STUDY, MEASURED),
    TrialPut(ENDED_TRIAL),
    StudyPut(ENDED_STUDY),
)
EPOCH = Epoch("digits", 1, "0-0", 7, 1, 0.5)


@dataclass
class Case:
    """What was told, stored and trained."""

    recorder: Recorder
    facts: list[Fact]
    trained: list[Epoch]

    def broken(self, folder: Path) -> list[Broken]:
        """What is found."""
        store = open_sql_store(f"sqlite:///{folder / 'store.db'}")
        store.commit(self.facts, AT)
        store.close()
        return broken(self.recorder, Log(folder / "store.db"), self.trained)


def event(revision: int) -> Event:
    """A fact as a watch shows it."""
    match FACTS[revision - 1]:
        case StudyPut(put):
            message = encode_study(put)
            return Event(revision, AT, read_study(message), message=message)
        case TrialPut(put_trial):
            shown = encode_trial(put_trial, {})
            return Event(revision, AT, read_trial(shown), message=shown)
        case MeasurementAdded(_, added):
            return Event(revision, AT, added, message=encode_measurement(added))
        case fact:
            raise AssertionError(fact)


def case() -> Case:
    """One in which every promise was kept."""
    recorder = Recorder("")
    recorder.acknowledged.append(Acknowledged("create", "create", STUDY))
    watched = Watched(STUDY, [event(revision) for revision in (1, 3, 4, 5, 6, 7)])
    watched.ended.set()
    recorder.watches.append(watched)
    recorder.measured[STUDY] = {measured_as(MEASURED)}
    recorder.ended[STUDY] = {1: read_trial(encode_trial(ENDED_TRIAL, {}))}
    return Case(recorder, list(FACTS), [EPOCH])


def harmed(harm: Callable[[Case], object]) -> Case:
    """One with something wrong."""
    made = case()
    harm(made)
    return made


def watched(case: Case) -> list[Event]:
    """What the watch brought."""
    return case.recorder.watches[0].events


def stop_without_effect(case: Case) -> None:
    """Have a study stopped that goes on."""
    case.recorder.acknowledged.append(Acknowledged("stop", "create", STUDY))
    case.facts.pop()
    watched(case).pop()


HARMS: dict[str, tuple[Promise, Callable[[Case], object]]] = {
    "request": (Promise.ACKNOWLEDGED, lambda c: c.recorder.acknowledged.append(Acknowledged("create", "b", STUDY))),
    "stop": (Promise.ACKNOWLEDGED, stop_without_effect),
    "twice": (Promise.ACKNOWLEDGED, lambda c: c.facts.append(FACTS[0])),
    "measurement": (Promise.SHOWN, lambda c: c.recorder.measured[STUDY].add((1, 0, 0, 2, 0.1))),
    "trial": (
        Promise.SHOWN,
        lambda c: c.recorder.ended[STUDY].update({1: replace(c.recorder.ended[STUDY][1], state=TrialState.FAILED)}),
    ),
    "end": (Promise.COMPLETED_ONCE, lambda c: c.facts.append(TrialPut(ENDED_TRIAL))),
    "attempt": (
        Promise.ATTEMPTS_GROW,
        lambda c: c.facts.insert(3, TrialPut(trial(fold_runs=(fold_run(attempt=2),)))),
    ),
    "unended": (Promise.EVERYTHING_ENDS, lambda c: c.facts.append(TrialPut(trial(2)))),
    "gap": (Promise.WATCH_GAP, lambda c: watched(c).pop(2)),
    "error": (Promise.WATCH_GAP, lambda c: setattr(c.recorder.watches[0], "error", TimeoutError())),
    "duplicate": (Promise.WATCH_DUPLICATE, lambda c: watched(c).insert(2, event(4))),
    "order": (Promise.WATCH_ORDER, lambda c: watched(c).insert(1, watched(c).pop(2))),
    "invented": (Promise.WATCH_TRUE, lambda c: watched(c).append(replace(event(7), revision=8))),
    "untrained": (Promise.MEASURED_TRUE, lambda c: c.trained.__setitem__(0, EPOCH._replace(number=2))),
    "trained": (Promise.TRAINED_ONCE, lambda c: c.trained.append(EPOCH._replace(pid=8))),
}


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path) -> None:
    """A case in which every promise was kept has none broken."""
    assert case().broken(tmp_path) == []


@pytest.mark.parametrize("name", list(HARMS))
def test_each_harm_is_found(name: str, tmp_path: Path) -> None:
    """Each harm breaks the promise that it breaks."""
    promise, harm = HARMS[name]
    assert promise in {found.promise for found in harmed(harm).broken(tmp_path)}


def test_a_lost_revision_is_found(tmp_path: Path) -> None:
    """A log with a revision missing is not contiguous."""
    assert case().broken(tmp_path) == []
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM events WHERE revision = 2")
    found = broken(case().recorder, Log(tmp_path / "store.db"), [EPOCH])
    assert {one.promise for one in found} == {Promise.CONTIGUOUS}


def test_every_promise_is_tried() -> None:
    """There is a harm for each promise."""
    assert {promise for promise, _ in HARMS.values()} | {Promise.CONTIGUOUS} == set(Promise)


def test_studies_whose_workers_were_harmed_are_excused(tmp_path: Path) -> None:
    """An epoch may be trained twice where a worker was harmed."""
    twice = harmed(HARMS["trained"][1])
    twice.broken(tmp_path)
    assert broken(twice.recorder, Log(tmp_path / "store.db"), twice.trained, {STUDY}) == []
