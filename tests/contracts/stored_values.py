"""What every store promises of the studies, trials and measurements in it; a part of the store's contract."""

import math
from collections.abc import Sequence
from datetime import timedelta

import pytest

from searchd.domain.errors import StudyNotFound, TrialNotFound
from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.facts import (
    MeasurementAdded,
    ProgressPut,
    StudyPut,
    TrialPut,
)
from searchd.domain.failure import Failure
from searchd.domain.fidelity import Fidelity
from searchd.domain.measurement import Measurement
from searchd.domain.parent import Heritage, Parent, ParentTrial
from searchd.domain.search import Precedent
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Best, Budget, Dataset, Progress, Resources, Retry, StudyName, StudyState, study_name
from searchd.domain.trial import Origin, TrialNumber, TrialState
from searchd.ports.store import DamagedStudy, LiveStudy, Store
from tests.contracts.makers import AT, STUDY, fold_run, measurement, minimizing, spec, study, trial

OTHER = study_name("default", "other")


def names(store: Store, **filters: object) -> list[str]:
    """Ids of the studies listed, in order."""
    asked: dict[str, object] = {"project": "default", "states": None, "labels": {}, "after": None, "limit": 100}
    return [s.name.rsplit("/", 1)[1] for s in store.studies(**(asked | filters))]  # type: ignore[arg-type]


def whole(found: Sequence[LiveStudy | DamagedStudy]) -> Sequence[LiveStudy]:
    """What was found, none of it damaged."""
    assert all(isinstance(live, LiveStudy) for live in found)
    return [live for live in found if isinstance(live, LiveStudy)]


def keys(found: Sequence[Measurement]) -> list[tuple[int, int, int, int]]:
    """What the measurements are ordered by."""
    return [(m.trial, m.repeat, m.fold, m.epoch) for m in found]


class StoredValuesContract:
    """The promises of reading state, one test each."""

    # Studies

    def test_study_survives_whole(self, store: Store) -> None:
        """Every field of a study comes back as it was, with the types of its values."""
        space = SearchSpace(
            (
                Parameter("a", Float(0.0, 1.0, step=0.25)),
                Parameter("b", Integer(1, 9, log=True)),
                Parameter("c", Choice((1, 1.5, "1", True, None, [1, {"x": 2.0}]), grid=True)),
                Parameter("d", Float(0.5, 2.0), when=(Condition("c", (1, True)), Condition("b", (3,)))),
            )
        )
        definition = spec(
            space=space,
            dataset=Dataset(uri="data/t.parquet", target="y", drop=("id", "w"), groups="patient"),
            fixed={"width": 8, "rate": 8.0, "flag": True, "none": None, "top": math.inf},
            evaluation=Evaluation(folds=5, split=Split.GROUP, epochs=9, ladder=(Fidelity(1, 9), Fidelity(5, 9))),
            resources=Resources(0.5, 0.25),
            budget=Budget(7, 2, timedelta(minutes=90)),
            retry=Retry(1, timedelta(seconds=0.5)),
            labels={"team": "vision", "note": 'Ünïcode "quoted"\n\0'},
            warm_start=("old", "older"),
            track=("tensorboard", "wandb"),
            precedents=((Precedent({"a": 0.25, "c": "1"}, -0.5), Precedent({"a": 0.5, "c": None}, -1e300)), ()),
            inherited=({"a": 0.25, "c": [None, {}]},),
            parent=Parent("old", 3),
            heritage=Heritage(
                OTHER, "then", "t", {"w": 8.0}, 5, same_rows=True, trials=(ParentTrial(3, {"a": 1}, 0.5),)
            ),
        )
        progress = Progress({"completed": 2}, (2, 1), Best(2, 0.5), 0.25, 1, 12, 90, 3.5)
        made = study(spec=definition, progress=progress, reason="why", ended_at=AT + timedelta(microseconds=1))
        store.commit([StudyPut(made)], AT)
        found = store.study(STUDY)
        assert found == made
        assert repr(found.spec.fixed) == repr(made.spec.fixed)
        assert repr(found.spec.space) == repr(space)

    def test_putting_a_study_again_changes_all_of_it(self, store: Store) -> None:
        """A study may change its state, its budget and its labels; it is found by its new labels only."""
        store.commit([StudyPut(study(spec=spec(labels={"team": "vision", "old": "1"})))], AT)
        changed = study(spec=spec(labels={"team": "speech"}, budget=Budget(trials=7))).stopping("asked to")
        store.commit([StudyPut(changed)], AT)
        assert store.study(STUDY) == changed
        for labels, found in (({"team": "speech"}, [changed]), ({"team": "vision"}, []), ({"old": "1"}, [])):
            assert list(store.studies("default", None, labels, None, 10)) == found

    def test_study_created_and_changed_in_one_batch(self, store: Store) -> None:
        """A study may be created and change state in the same batch."""
        pending = study(state=StudyState.PENDING, started_at=None)
        store.commit([StudyPut(pending), StudyPut(pending.started(AT))], AT)
        assert store.study(STUDY) == pending.started(AT)
        assert [e.fact for e in store.events(0, STUDY, 10)] == [StudyPut(pending), StudyPut(pending.started(AT))]

    def test_progress_changes_nothing_else(self, store: Store) -> None:
        """Progress replaces a study's progress only, and the newest stands."""
        store.commit([StudyPut(study(OTHER)), StudyPut(study())], AT)
        newer = Progress({"running": 2}, (2,), busy=2)
        store.commit([ProgressPut(STUDY, Progress(busy=9))], AT)
        store.commit([ProgressPut(STUDY, newer)], AT)
        assert store.study(STUDY) == study(progress=newer)
        assert store.study(OTHER) == study(OTHER)
        assert whole(store.live())[1].study.progress == newer

    def test_progress_and_state_in_one_batch(self, store: Store) -> None:
        """A study put carries its progress; of several values in a batch the last stands."""
        store.commit([StudyPut(study(progress=Progress(busy=1))), ProgressPut(STUDY, Progress(busy=2))], AT)
        assert store.study(STUDY).progress.busy == 2
        store.commit([ProgressPut(STUDY, Progress(busy=3)), StudyPut(study(progress=Progress(busy=4)))], AT)
        assert store.study(STUDY).progress.busy == 4

    def test_unknown_study_is_not_found(self, store: Store) -> None:
        """Every read of a study that does not exist raises StudyNotFound with its name."""
        store.commit([StudyPut(study())], AT)
        reads = (
            lambda: store.study(OTHER),
            lambda: store.trial(OTHER, TrialNumber(1)),
            lambda: store.trials(OTHER, None, 0, 10),
            lambda: store.ranked(OTHER, 10),
            lambda: store.measurements(OTHER, None, None, 10),
        )
        for read in reads:
            with pytest.raises(StudyNotFound) as raised:
                read()
            assert raised.value.study == OTHER

    def test_studies_page_in_name_order(self, store: Store) -> None:
        """Studies of a project are listed by name, from the one after the last seen."""
        ids = ["b", "a-1", "c", "a"]
        store.commit([StudyPut(study(study_name("default", i))) for i in ids], AT)
        store.commit([StudyPut(study(study_name(project, "x"))) for project in ("default-2", "def")], AT)
        assert names(store) == ["a", "a-1", "b", "c"]
        assert names(store, limit=2) == ["a", "a-1"]
        assert names(store, after=study_name("default", "a-1"), limit=1) == ["b"]
        assert names(store, after=StudyName("projects/default/studies/aa")) == ["b", "c"]
        assert names(store, project="def") == ["x"]
        assert names(store, project="none") == []

    def test_studies_by_state(self, store: Store) -> None:
        """Studies can be narrowed to those in any of some states, as they are now."""
        running, ended = study(), study(OTHER).succeeded(AT, "")
        store.commit([StudyPut(running), StudyPut(study(OTHER)), StudyPut(ended)], AT)
        assert names(store, states=frozenset({StudyState.SUCCEEDED})) == ["other"]
        assert names(store, states=frozenset({StudyState.SUCCEEDED, StudyState.RUNNING})) == ["digits", "other"]
        assert names(store, states=frozenset()) == []

    def test_studies_by_label(self, store: Store) -> None:
        """Studies can be narrowed to those that bear all of some labels."""
        labelled = {"a": {"team": "vision", "tier": "1"}, "b": {"team": "vision", "tier": "2"}, "c": {"tier": "1"}}
        store.commit([StudyPut(study(study_name("default", i), spec=spec(labels=x))) for i, x in labelled.items()], AT)
        assert names(store, labels={"team": "vision"}) == ["a", "b"]
        assert names(store, labels={"team": "vision", "tier": "1"}) == ["a"]
        assert names(store, labels={"team": "1"}) == []

    # Trials

    def test_trial_survives_whole(self, store: Store) -> None:
        """Every field of a trial comes back, and 8 stays an integer, 8.0 a float, True a bool."""
        parameters = {
            "i": 8,
            "f": 8.0,
            "b": True,
            "n": None,
            "s": "é\n",
            "l": [1, 1.0, {"deep": [False]}],
            "big": 2**70,
        }
        runs = (
            fold_run(0, scores=((1, 0.1), (3, 0.2))),
            fold_run(1, repeat=1, failures=(Failure.WORKER_KILLED, Failure.NODE_LOST), epoch=3),
        )
        made = trial(parameters=parameters, scores=(0.1 + 0.2, 1e-300), fold_runs=runs, train_seconds=1 / 3)
        made = made.ended(TrialState.FAILED, AT, "boom", "line 1\nline 2")
        store.commit([StudyPut(study()), TrialPut(made)], AT)
        found = store.trial(STUDY, TrialNumber(1))
        assert found == made
        assert repr(found.parameters) == repr(parameters)

    def test_unknown_trial_is_not_found(self, store: Store) -> None:
        """Reading a trial that the study does not have raises TrialNotFound, also if another study has it."""
        store.commit([StudyPut(study()), StudyPut(study(OTHER)), TrialPut(trial(2, study=OTHER))], AT)
        with pytest.raises(TrialNotFound) as raised:
            store.trial(STUDY, TrialNumber(2))
        assert (raised.value.study, raised.value.trial) == (STUDY, 2)

    def test_trials_page_in_number_order(self, store: Store) -> None:
        """Trials are listed by number, from the one after the last seen."""
        store.commit([StudyPut(study()), *(TrialPut(trial(n)) for n in (11, 2, 1, 3))], AT)
        assert [t.number for t in store.trials(STUDY, None, 0, 10)] == [1, 2, 3, 11]
        assert [t.number for t in store.trials(STUDY, None, 1, 2)] == [2, 3]

    def test_trials_by_state(self, store: Store) -> None:
        """Trials can be narrowed to those in any of some states, as they are now."""
        facts = [TrialPut(trial(n)) for n in range(1, 5)] + [TrialPut(trial(n).paused()) for n in (2, 4)]
        store.commit([StudyPut(study()), *facts], AT)
        paused = frozenset({TrialState.PAUSED})
        assert [t.number for t in store.trials(STUDY, paused, 0, 10)] == [2, 4]
        assert [t.number for t in store.trials(STUDY, paused | {TrialState.RUNNING}, 1, 2)] == [2, 3]

    def test_ranking_when_larger_is_better(self, store: Store) -> None:
        """The ranking puts more completed rungs first, then the larger mean, then the lower number."""
        scores = {1: (0.9,), 2: (0.1, 0.3), 3: (0.1, 0.4), 4: (), 5: (0.95,), 6: (0.2, 0.3)}
        store.commit([StudyPut(study()), *(TrialPut(trial(n, scores=s)) for n, s in scores.items())], AT)
        assert [t.number for t in store.ranked(STUDY, 10)] == [3, 2, 6, 5, 1]
        assert [t.number for t in store.ranked(STUDY, 2)] == [3, 2]

    def test_ranking_when_smaller_is_better(self, store: Store) -> None:
        """The ranking of a study that minimises puts the smaller mean first."""
        scores = {1: (0.9,), 2: (0.1, 0.4), 3: (0.1, 0.3), 4: (0.3, 0.4), 5: (-2.0,)}
        store.commit([StudyPut(study(spec=minimizing()))], AT)
        store.commit([TrialPut(trial(n, scores=s)) for n, s in scores.items()], AT)
        assert [t.number for t in store.ranked(STUDY, 10)] == [3, 2, 4, 5, 1]

    def test_ranking_puts_what_breaks_a_limit_last(self, store: Store) -> None:
        """Of trials with as many rungs those that keep all limits come first; confirmations and tests do not rank."""
        found = [trial(1, scores=(0.9,), feasible=False), trial(2, scores=(0.1,)), trial(3, scores=(0.2,))]
        found.append(trial(4, scores=(0.99,), origin=Origin.CONFIRMATION))
        found.append(trial(5, scores=(0.99,), origin=Origin.TEST))
        store.commit([StudyPut(study()), *map(TrialPut, found)], AT)
        assert [t.number for t in store.ranked(STUDY, 10)] == [3, 2, 1]

    def test_ranking_of_numbers_that_are_none(self, store: Store) -> None:
        """A mean that is not a number ranks last among trials of as many rungs, infinities where they belong."""
        scores = {1: math.nan, 2: -math.inf, 3: 0.5, 4: math.inf}
        store.commit([StudyPut(study()), *(TrialPut(trial(n, scores=(s,))) for n, s in scores.items())], AT)
        store.commit([TrialPut(trial(5, scores=(0.1, 0.1)))], AT)
        assert [t.number for t in store.ranked(STUDY, 3)] == [5, 4, 3]
        assert {t.number for t in store.ranked(STUDY, 10)[3:]} == {1, 2}

    def test_large_numbers_survive(self, store: Store) -> None:
        """A trial, an epoch or an attempt may have any number of 64 bits."""
        large = 2**62
        added = measurement(large, epoch=large + 1, attempt=large + 2)
        store.commit([StudyPut(study()), TrialPut(trial(large)), MeasurementAdded(STUDY, added)], AT)
        assert [t.number for t in store.trials(STUDY, None, large - 1, 1)] == [large]
        assert list(store.measurements(STUDY, None, (large, 0, 0, large), 9)) == [added]

    def test_ranking_follows_changes(self, store: Store) -> None:
        """A trial that completes another rung moves in the ranking."""
        store.commit([StudyPut(study()), TrialPut(trial(1, scores=(0.5,))), TrialPut(trial(2, scores=(0.6,)))], AT)
        store.commit([TrialPut(trial(1, scores=(0.5, 0.1)))], AT)
        assert list(store.ranked(STUDY, 10)) == [trial(1, scores=(0.5, 0.1)), trial(2, scores=(0.6,))]

    # Measurements

    def test_measurements_page_in_key_order(self, store: Store) -> None:
        """Measurements are listed by trial, repeat, fold and epoch, after the key last seen, of one trial or of all."""
        places = [(2, 0, 0, 1), (1, 1, 0, 1), (1, 0, 1, 2), (1, 0, 1, 10), (1, 0, 0, 3)]
        added = [measurement(t, repeat=r, fold=f, epoch=e) for t, r, f, e in places]
        store.commit([StudyPut(study()), TrialPut(trial(1)), TrialPut(trial(2))], AT)
        store.commit([MeasurementAdded(STUDY, m) for m in added], AT)
        assert keys(store.measurements(STUDY, None, None, 10)) == sorted(places)
        assert keys(store.measurements(STUDY, TrialNumber(1), None, 10)) == sorted(places)[:4]
        assert keys(store.measurements(STUDY, None, (1, 0, 1, 2), 2)) == sorted(places)[2:4]
        assert keys(store.measurements(STUDY, TrialNumber(1), (1, 0, 1, 10), 10)) == [(1, 1, 0, 1)]
        assert keys(store.measurements(STUDY, TrialNumber(3), None, 10)) == []

    def test_newest_attempt_stands(self, store: Store) -> None:
        """A measurement is replaced by the same or a newer attempt's, never by an older one's."""
        store.commit([StudyPut(study()), TrialPut(trial())], AT)
        for attempt, accuracy in ((2, 0.2), (1, 0.1)):
            new = measurement(attempt=attempt, metrics={"accuracy": accuracy})
            store.commit([MeasurementAdded(STUDY, new)], AT)
            assert store.measurements(STUDY, None, None, 10)[0].attempt == 2
        newest = [measurement(attempt=a, metrics={"accuracy": v}) for a, v in ((3, 0.3), (3, 0.4), (2, 0.5))]
        store.commit([MeasurementAdded(STUDY, m) for m in newest], AT)
        assert list(store.measurements(STUDY, None, None, 10)) == [newest[1]]

    def test_not_a_number_survives(self, store: Store) -> None:
        """NaN and infinities in metrics come back from the state and from the log."""
        metrics = {"nan": math.nan, "up": math.inf, "down": -math.inf, "whole": 1.0}
        store.commit([StudyPut(study()), TrialPut(trial())], AT)
        store.commit([MeasurementAdded(STUDY, measurement(metrics=metrics))], AT)
        event = store.events(2, None, 1)[0].fact
        assert isinstance(event, MeasurementAdded)
        for found in (store.measurements(STUDY, None, None, 1)[0], event.measurement):
            assert repr(dict(found.metrics)) == repr(metrics)
