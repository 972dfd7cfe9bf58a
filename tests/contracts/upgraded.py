"""What is in the database that an earlier version left in ``tests/data/databases``, as this version must read it."""

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from searchd.domain.facts import MeasurementAdded, ProgressPut, StudyDeleted, StudyPut, TrialPut
from searchd.domain.failure import Failure
from searchd.domain.study import Best, Progress, StudyState, study_name
from searchd.domain.trial import FoldRunState, TrialNumber, TrialState
from searchd.ports.store import Lease, LiveStudy, Store
from tests.contracts.makers import AT, STUDY, fold_run, measurement, minimizing, spec, study, trial
from tests.contracts.stored_values import names, whole

V0001 = Path(__file__).parents[1] / "data" / "databases" / "v0001.sql"
"""Of schema 0001: studies that run, have ended and were deleted, trials whose workers died, labels, requests."""

V0002 = V0001.with_name("v0002.sql")
"""The same, of schema 0002."""

DONE, LATER, GONE = (study_name("default", i) for i in ("done", "later", "gone"))


def restore(path: Path, dump: Path = V0001) -> None:
    """Make the SQLite database that a dump tells of."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(dump.read_text())
    database.close()


_LOST = (Failure.WORKER_KILLED,)
_WAITING = fold_run(1, state=FoldRunState.WAITING, scores=((1, 0.1 + 0.2), (3, 1e-300)))
_ODD = {
    "lr": 0.01,
    "channels": 8,
    "whole": 8.0,
    "losses": 5,
    "text": 'é "losses":2 \0\n',
    "big": 2**70,
    "list": [1, 1.0, {"losses": 1}],
    "nan": math.nan,
    "up": math.inf,
}
_TRIALS = (
    trial(1, fold_runs=(fold_run(0, failures=_LOST * 2, attempt=3), _WAITING)),
    trial(2, parameters=_ODD),
    trial(3, fold_runs=()),
)
_RUNNING = study(spec=spec(labels={"team": "vision"}))
_ADDED = (measurement(1, attempt=3), measurement(2, metrics={"accuracy": math.nan}))
_OLDER = measurement(1, attempt=2, metrics={"accuracy": 0.1})

_FAILED = trial(1, study=DONE, fold_runs=(fold_run(0, failures=_LOST * 3),)).ended(
    TrialState.FAILED, AT, "its worker died 3 times", "line 1\nline 2"
)
_BEST = trial(2, study=DONE, scores=(0.25,), fold_runs=(fold_run(0, failures=_LOST),)).ended(TrialState.COMPLETED, AT)
_PROGRESS = Progress({"failed": 1, "completed": 1}, (1,), Best(2, 0.25), None, 0, 2, 6, 1.5)
_BEGUN = study(DONE, spec=minimizing(labels={"team": "vision", "note": 'Ünï "losses": 1'}))
_DONE = replace(_BEGUN.succeeded(AT, "all trials ended"), progress=_PROGRESS)
_LATER = study(LATER, state=StudyState.PENDING, started_at=None)


def expect_v0001(store: Store) -> None:
    """Check that a store has all of it, and goes on."""
    assert store.identity() == "0123456789abcdef" * 2
    assert store.lease() == Lease(2, "", "", 0)
    assert store.revision() == 19
    _expect_state(store)
    _expect_log(store)
    assert store.begin_epoch("next", "here") == 3
    assert store.lease() == Lease(3, "next", "here", 1)
    assert store.commit([TrialPut(trial(4))], AT) == 20


def _expect_state(store: Store) -> None:
    assert names(store) == ["digits", "done", "later"]
    assert names(store, labels={"team": "vision"}) == ["digits", "done"]
    assert [store.study(name) for name in (STUDY, DONE, LATER)] == [_RUNNING, _DONE, _LATER]
    live = [LiveStudy(_RUNNING, _TRIALS, _ADDED), LiveStudy(_LATER, (), ())]
    assert _shown(whole(store.live())) == _shown(live)
    assert list(store.trials(DONE, None, 0, 10)) == [_FAILED, _BEST]
    assert list(store.ranked(DONE, 10)) == [_BEST]
    assert list(store.measurements(DONE, TrialNumber(2), None, 10)) == [measurement(2)]
    answer = store.answered("request-1")
    assert answer is not None
    assert answer.study == replace(_RUNNING, state=StudyState.PENDING, started_at=None)


def _expect_log(store: Store) -> None:
    facts = [
        StudyDeleted(GONE),
        StudyPut(_BEGUN),
        StudyPut(_LATER),
        *(TrialPut(t) for t in _TRIALS),
        *(MeasurementAdded(STUDY, m) for m in (_ADDED[0], _OLDER, _ADDED[1])),
        TrialPut(_FAILED),
        TrialPut(_BEST),
        ProgressPut(DONE, _PROGRESS),
        MeasurementAdded(DONE, measurement(2)),
        StudyPut(_DONE),
    ]
    events = store.events(5, None, 100)
    assert [e.revision for e in events] == list(range(6, 20))
    assert _shown([e.fact for e in events]) == _shown(facts)
    assert events[3].at == AT + timedelta(seconds=1)


def _shown(values: Sequence[object]) -> list[str]:
    """Values with their types, in which NaN equals itself; UTC has several names."""
    return [repr(value).replace("TzInfo(0)", "datetime.timezone.utc") for value in values]
