"""Stores driven at random beside a model of what they promise, which is nothing but dictionaries.

Two servers have each store open. Whatever one of them does is done to every store and to the model; what comes of it,
and all that can be read afterwards, must be the same everywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from searchd.domain.errors import LeaseLost, RevisionExpired, StoreUnavailable, StudyNotFound, TrialNotFound
from searchd.domain.facts import (
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
    study_of,
)
from searchd.domain.measurement import Measurement
from searchd.domain.objective import Goal
from searchd.domain.study import Progress, Study, StudyName, StudySpec, StudyState, study_name
from searchd.domain.trial import FoldRunState, Trial, TrialNumber, TrialState
from searchd.ports.store import Answered, Lease, LiveStudy, Store
from tests.contracts.makers import AT, fold_run, measurement, minimizing, spec, study, trial

NAMES = [study_name("default", i) for i in ("b", "a", "a-1")] + [study_name("other", "a")]
REQUESTS = ["r", "r\0", ""]
KEPT = [StudyState.RUNNING, StudyState.PAUSED, StudyState.STOPPED]

Open = Callable[[], Store]
Key = tuple[int, int, int, int]


def definition(name: StudyName) -> StudySpec:
    """What defines the study of a name; a definition never changes."""
    return minimizing(labels={"team": "a"}) if name == NAMES[0] else spec(labels={"team": name[-1], "tier": "1"})


def _study(name: StudyName, state: StudyState, busy: int) -> Study:
    return study(name, spec=definition(name), state=state, progress=Progress(busy=busy))


def _trial(name: StudyName, number: int, scores: tuple[float, ...], state: TrialState, out: bool) -> Trial:
    runs = tuple(fold_run(fold, state=FoldRunState.HANDED_OUT if out else FoldRunState.WAITING) for fold in (0, 1))
    return trial(number, study=name, scores=scores, state=state, fold_runs=runs)


def _measurement(number: int, repeat: int, fold: int, epoch: int, attempt: int) -> Measurement:
    return measurement(number, repeat=repeat, fold=fold, epoch=epoch, attempt=attempt, seconds=float(attempt))


_names = st.sampled_from(NAMES)
_numbers = st.integers(1, 3)
_small = st.integers(0, 1)
_scores = st.lists(st.sampled_from([0.1, 0.5, -2.0]), max_size=2).map(tuple)
_trials = st.builds(
    _trial, _names, _numbers, _scores, st.sampled_from([TrialState.RUNNING, TrialState.PAUSED]), st.booleans()
)
_studies = st.builds(_study, _names, st.sampled_from(KEPT), _small)
facts: st.SearchStrategy[Fact] = st.one_of(
    st.builds(StudyPut, _studies),
    st.builds(TrialPut, _trials),
    st.builds(TrialPut, _trials),
    st.builds(MeasurementAdded, _names, st.builds(_measurement, _numbers, _small, _small, _numbers, _numbers)),
    st.builds(ProgressPut, _names, st.builds(Progress, busy=st.integers(2, 9))),
    st.builds(RequestAnswered, st.sampled_from(REQUESTS), st.sampled_from(["d", "e"]), _studies),
    st.builds(StudyDeleted, _names),
)


@dataclass
class Model:
    """What a store holds, and the epoch of each of two servers."""

    lease: Lease = field(default_factory=lambda: Lease(0, "", "", 0))
    epochs: list[int | None] = field(default_factory=lambda: [None, None])
    revision: int = 0
    trimmed: int = 0
    log: dict[int, Fact] = field(default_factory=dict)
    studies: dict[StudyName, Study] = field(default_factory=dict)
    trials: dict[StudyName, dict[int, Trial]] = field(default_factory=dict)
    measurements: dict[StudyName, dict[Key, Measurement]] = field(default_factory=dict)
    answers: dict[str, Answered] = field(default_factory=dict)

    def lost(self, server: int) -> bool:
        """Whether a server's epoch is over."""
        return self.epochs[server] not in (None, self.lease.epoch)

    def after(self, new: Sequence[Fact]) -> "Model | None":
        """What there is after a commit; None if a fact has no owner."""
        made = replace(
            self,
            lease=replace(self.lease, beats=self.lease.beats + bool(new)),
            log=dict(self.log),
            studies=dict(self.studies),
            trials={name: dict(trials) for name, trials in self.trials.items()},
            measurements={name: dict(found) for name, found in self.measurements.items()},
            answers=dict(self.answers),
        )
        return made if all(made._take(fact) for fact in new) else None

    def _take(self, fact: Fact) -> bool:
        name = study_of(fact)
        if isinstance(fact, TrialPut | ProgressPut | MeasurementAdded) and name not in self.studies:
            return False
        self.revision += 1
        match fact:
            case StudyPut(new):
                self.studies[new.name] = new
                self.trials.setdefault(new.name, {})
                self.measurements.setdefault(new.name, {})
            case StudyDeleted(gone):
                for kept in (self.studies, self.trials, self.measurements):
                    kept.pop(gone, None)
                self.log = {revision: old for revision, old in self.log.items() if study_of(old) != gone}
            case ProgressPut(of, progress):
                self.studies[of] = replace(self.studies[of], progress=progress)
            case TrialPut(put):
                self.trials[put.study][put.number] = put
            case MeasurementAdded(of, added):
                if added.trial not in self.trials[of]:
                    return False
                key = (added.trial, added.repeat, added.fold, added.epoch)
                known = self.measurements[of].get(key)
                if known is None or known.attempt <= added.attempt:
                    self.measurements[of][key] = added
            case RequestAnswered(request, digest, answer):
                self.answers[request] = Answered(digest, answer)
        if not isinstance(fact, RequestAnswered):
            self.log[self.revision] = fact
        return True

    def ranked(self, name: StudyName) -> list[Trial]:
        """Trials that completed a rung, best first."""
        sign = 1 if self.studies[name].spec.objective.goal is Goal.MINIMIZE else -1
        found = [t for t in self.trials[name].values() if t.scores]
        return sorted(found, key=lambda t: (-len(t.scores), sign * t.scores[-1], t.number))

    def live(self) -> list[LiveStudy]:
        """Studies that have not ended, in creation order: the order of the dictionary, for deleting takes away."""
        return [self._live(name) for name, found in self.studies.items() if not found.state.ended]

    def _live(self, name: StudyName) -> LiveStudy:
        trials = [trial for _, trial in sorted(self.trials[name].items())]
        out = {(t.number, r.repeat, r.fold) for t in trials for r in t.fold_runs if r.state is FoldRunState.HANDED_OUT}
        reported = [m for key, m in sorted(self.measurements[name].items()) if key[:3] in out]
        return LiveStudy(self.studies[name], tuple(trials), tuple(reported))


class StoreMachine(RuleBasedStateMachine):
    """Subclass it and say how to make new stores."""

    def new_stores(self) -> Sequence[Open]:
        """For each kind of store, what opens a new one, and every time the same one."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        """Two servers open every store."""
        self.model = Model()
        self.opens = self.new_stores()
        self.stores = [[opened() for opened in self.opens] for _ in range(2)]

    @rule(server=_small, seen=st.sampled_from(["nothing", "now", "before"]))
    def take(self, server: int, seen: str) -> None:
        """A server takes the lease, as it is, as it was, or whatever it is."""
        lease = self.model.lease
        stale = replace(lease, beats=lease.beats - 1)
        given = {"nothing": None, "now": lease, "before": stale}[seen]
        for store in self.stores[server]:
            if given is stale:
                with pytest.raises(LeaseLost) as raised:
                    store.begin_epoch(f"server {server}", "here", given)
                assert (raised.value.epoch, raised.value.current) == (lease.epoch, lease.epoch)
            else:
                assert store.begin_epoch(f"server {server}", "here", given) == lease.epoch + 1
        if given is not stale:
            self.model.epochs[server] = lease.epoch + 1
            self.model.lease = Lease(lease.epoch + 1, f"server {server}", "here", lease.beats + 1)

    @rule(server=_small)
    def beat(self, server: int) -> None:
        """A server gives a sign of life."""
        for store in self.stores[server]:
            self._write(server, store.beat)
        if not self.model.lost(server):
            self.model.lease = replace(self.model.lease, beats=self.model.lease.beats + 1)

    @rule(server=_small)
    def give_up(self, server: int) -> None:
        """A server leaves the lease to others."""
        for store in self.stores[server]:
            store.give_up()
        if self.model.epochs[server] == self.model.lease.epoch:
            self.model.lease = Lease(self.model.lease.epoch, "", "", self.model.lease.beats + 1)

    @rule(server=_small, new=st.lists(facts, max_size=6))
    def commit(self, server: int, new: list[Fact]) -> None:
        """A server commits facts, of which some may have no owner."""
        after = self.model.after(new)
        for store in self.stores[server]:
            if after is None and not self.model.lost(server):
                with pytest.raises(StoreUnavailable):
                    store.commit(new, AT)
            else:
                revision = self._write(server, lambda store=store: store.commit(new, AT))  # type: ignore[misc]
                assert revision is None or after is None or revision == after.revision
        if after is not None and not self.model.lost(server):
            self.model = after

    @rule(server=_small, names=st.permutations(NAMES), numbers=st.permutations([1, 2, 3]))
    def fill(self, server: int, names: list[StudyName], numbers: list[int]) -> None:
        """A server commits what hangs together, so that there is something to read."""
        new: list[Fact] = []
        for name in names[:2]:
            new += [StudyPut(_study(name, StudyState.RUNNING, 0))]
            new += [TrialPut(_trial(name, n, (0.1 * n,), TrialState.RUNNING, n > 1)) for n in numbers[:2]]
            new += [MeasurementAdded(name, _measurement(n, 0, n % 2, 1, n)) for n in numbers[:2]]
        self.commit(server, new)

    @rule(server=_small, which=st.integers(0, 9), fold=_small, attempts=st.permutations([1, 2, 3]))
    def report(self, server: int, which: int, fold: int, attempts: list[int]) -> None:
        """A server commits what two attempts at one of the trials that there are say about the same epoch."""
        there = [(name, number) for name, trials in sorted(self.model.trials.items()) for number in sorted(trials)]
        if there:
            name, number = there[which % len(there)]
            for attempt in attempts[:2]:
                self.commit(server, [MeasurementAdded(name, _measurement(number, 0, fold, 1, attempt))])

    @rule(server=_small, keep=st.integers(0, 12))
    def trim(self, server: int, keep: int) -> None:
        """A server forgets old events."""
        for store in self.stores[server]:
            self._write(server, lambda store=store: store.trim_events(keep))  # type: ignore[misc]
        if not self.model.lost(server):
            self.model.trimmed = max(self.model.trimmed, self.model.revision - keep)

    @rule(server=_small)
    def reopen(self, server: int) -> None:
        """A server goes and comes back, without the lease."""
        for store in self.stores[server]:
            store.close()
            with pytest.raises(StoreUnavailable):
                store.revision()
        self.stores[server] = [opened() for opened in self.opens]
        self.model.epochs[server] = None

    @rule(server=_small, name=_names, limit=st.integers(1, 9))
    def read(self, server: int, name: StudyName, limit: int) -> None:
        """What is read of one study is what the model says."""
        for store in self.stores[server]:
            self._read_study(store, name, limit)

    def teardown(self) -> None:
        """In the end all that can be read is what the model says."""
        try:
            for store in self.stores[0]:
                self._read_log(store, 3)
                self._read_studies(store, 2)
                for name in NAMES:
                    self._read_study(store, name, 2)
        finally:
            for store in (store for server in self.stores for store in server):
                store.close()

    def _write(self, server: int, write: Callable[[], object]) -> object:
        if not self.model.lost(server):
            return write()
        with pytest.raises(LeaseLost) as raised:
            write()
        assert (raised.value.epoch, raised.value.current) == (self.model.epochs[server], self.model.lease.epoch)
        return None

    def _read_log(self, store: Store, limit: int) -> None:
        model = self.model
        assert store.lease() == model.lease
        assert store.revision() == model.revision
        assert [store.answered(request) for request in REQUESTS] == [model.answers.get(r) for r in REQUESTS]
        assert store.live() == model.live()
        kept = [(revision, fact) for revision, fact in model.log.items() if revision > model.trimmed]
        for name in (None, *NAMES):
            expected = [(r, fact) for r, fact in kept if name in (None, study_of(fact))]
            found, after = [], model.trimmed
            while page := store.events(after, name, limit):
                found += [(event.revision, event.fact) for event in page]
                after = page[-1].revision
            assert found == expected
        if model.trimmed:
            with pytest.raises(RevisionExpired) as raised:
                store.events(model.trimmed - 1, None, limit)
            assert raised.value.oldest == model.trimmed + 1

    def _read_studies(self, store: Store, limit: int) -> None:
        for states in (None, frozenset(KEPT[:2])):
            for labels in ({}, {"team": "a"}, {"team": "1", "tier": "1"}):
                expected = [
                    found
                    for name, found in sorted(self.model.studies.items())
                    if name.startswith("projects/default/")
                    and (states is None or found.state in states)
                    and labels.items() <= found.spec.labels.items()
                ]
                listed: list[Study] = []
                after: StudyName | None = None
                while page := store.studies("default", states, labels, after, limit):
                    listed += page
                    after = page[-1].name
                assert listed == expected

    def _read_study(self, store: Store, name: StudyName, limit: int) -> None:
        model = self.model
        if name not in model.studies:
            for read in (lambda: store.study(name), lambda: store.trials(name, None, 0, 9)):
                with pytest.raises(StudyNotFound):
                    read()
            return
        assert store.study(name) == model.studies[name]
        trials = [t for _, t in sorted(model.trials[name].items())]
        assert list(store.trials(name, None, 0, 9)) == trials
        running = frozenset({TrialState.RUNNING})
        assert (
            list(store.trials(name, running, 1, limit))
            == [t for t in trials if t.number > 1 and t.state in running][:limit]
        )
        assert list(store.ranked(name, limit)) == model.ranked(name)[:limit]
        for number in (1, 2, 3):
            if number in model.trials[name]:
                assert store.trial(name, TrialNumber(number)) == model.trials[name][number]
            else:
                with pytest.raises(TrialNotFound):
                    store.trial(name, TrialNumber(number))
        for only in (None, TrialNumber(2)):
            expected = [m for key, m in sorted(model.measurements[name].items()) if only in (None, key[0])]
            found: list[Measurement] = []
            after: Key | None = None
            while page := store.measurements(name, only, after, limit):
                found += page
                after = (page[-1].trial, page[-1].repeat, page[-1].fold, page[-1].epoch)
            assert found == expected
