"""An independent model of what searchd promises: it sees what becomes durable, what workers are given and do, and what
callers and watchers are told, and says which promise is broken. It knows nothing of how anything is decided."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from searchd.domain.errors import (
    SearchdError,
    StudyNotFound,
    TrainableQuarantined,
)
from searchd.domain.facts import (
    Event,
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
    study_of,
)
from searchd.domain.failure import Failure
from searchd.domain.measurement import Measurement
from searchd.domain.study import Changes, Study, StudyName, StudyState
from searchd.domain.trial import FoldRunKey, FoldRunState, Origin, Trial, TrialState
from searchd.ports.engine import Segment, WorkerId
from tests.simulation import figures, rules
from tests.simulation.known import Known

Run = tuple[int, FoldRunKey]
"""A fold run, with the seed of its study: studies of one name follow each other."""


@dataclass(slots=True)
class _Asked:
    """A request that somebody has made, and whether it has changed anything."""

    name: StudyName
    wish: rules.Wish
    done: bool = False


class Model:
    """What has happened, and which promises that breaks. ``broken`` gathers them, one line each."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.log: dict[int, Fact] = {}
        self.studies: dict[StudyName, Known] = {}
        self.revision = 0
        self._epoch = 0
        self._births: Counter[StudyName] = Counter()
        self._deaths: dict[StudyName, list[int]] = defaultdict(list)
        self._asked: Counter[tuple[str, StudyName]] = Counter()
        self._refused: set[StudyName] = set()
        self._requests: set[str] = set()
        self._wishes: dict[str, _Asked] = {}
        self._finished: set[tuple[StudyName, int]] = set()
        self._latest: dict[StudyName, int] = {}
        self._handed_out: set[tuple[Run, int]] = set()
        self._handed: set[tuple[Run, int]] = set()
        self._made: dict[tuple[Run, int], list[Mapping[str, float]]] = defaultdict(list)
        self.training: Counter[tuple[Run, int]] = Counter()
        self._given: dict[WorkerId, list[Segment]] = defaultdict(list)
        self._killed: set[WorkerId] = set()
        self._ailed: Counter[tuple[Run, Failure]] = Counter()

    def breaks(self, promise: str, detail: object) -> None:
        """Note a broken promise."""
        self.broken.append(f"{promise}: {detail}")

    def expect(self, holds: bool, promise: str, detail: object) -> None:
        """Note a promise as broken unless it holds."""
        if not holds:
            self.breaks(promise, detail)

    def _report(self, breaches: Iterable[rules.Breach]) -> None:
        for breach in breaches:
            self.breaks(*breach)

    # What becomes durable

    def epoch_begun(self, epoch: int) -> None:
        """A writer's epoch has begun."""
        self.expect(epoch == self._epoch + 1, "epochs count up by one", (self._epoch, epoch))
        self._epoch = epoch

    def committed(self, epoch: int | None, facts: Sequence[Fact], revision: int) -> None:
        """Facts have been written."""
        self.expect(epoch == self._epoch, "nobody writes whose epoch is over", f"{epoch} in {self._epoch}")
        self.expect(revision == self.revision + len(facts), "revisions are contiguous", (self.revision, revision))
        for fact in facts:
            self.revision += 1
            self.log[self.revision] = fact
            self._take(fact)
        for fact in facts:
            if isinstance(fact, ProgressPut) and fact.study in self.studies:
                self._report(figures.recounted(self.studies[fact.study]))

    def _take(self, fact: Fact) -> None:
        name = fact.study.name if isinstance(fact, RequestAnswered) else study_of(fact)
        known = None if name is None else self.studies.get(name)
        if name is not None and not isinstance(fact, RequestAnswered):
            self._latest[name] = self.revision
        match fact:
            case StudyPut(study):
                self._study_put(known, study)
            case RequestAnswered():
                self._request_answered(known, fact)
            case _ if known is None:
                self.breaks("facts are about studies that exist", fact)
            case StudyDeleted(study):
                self.expect(known.study.state.ended, "only what has ended is deleted", study)
                self._deaths[study].append(self.revision)
                self._within(study, len(self._deaths[study]), "delete")
                del self.studies[study]
            case ProgressPut(_, progress):
                known.progress = progress
            case TrialPut(trial):
                self._trial_put(known, trial)
            case MeasurementAdded(_, measurement):
                self._measured(known, measurement)

    def _study_put(self, known: Known | None, study: Study) -> None:
        if known is None:
            self._births[study.name] += 1
            self._within(study.name, self._births[study.name], "create")
            self.studies[study.name] = Known(study, self._births[study.name])
            return
        self._report(rules.changed_study(known, study))
        if study.state is StudyState.STOPPED and not known.study.state.ended:
            self._within(study.name, 1, "stop")
        if study.spec != known.study.spec:
            self._spec_changed(known, study)
        if known.study.state.ended and not study.state.ended:
            known.since_best = 0
        known.study = study

    def _spec_changed(self, known: Known, study: Study) -> None:
        """A definition changes as somebody has asked, and once for each time that they did."""
        before, name = known.study.spec, study.name
        for asked in self._wishes.values():
            wish = asked.wish
            if (
                asked.name == name
                and not asked.done
                and isinstance(wish, Changes)
                and wish.applied(before) == study.spec
            ):
                asked.done = True
                return
        self.breaks("nothing is done that nobody asked for (change)", (name, before.differing(study.spec)))

    def _request_answered(self, known: Known | None, fact: RequestAnswered) -> None:
        self.expect(fact.request_id not in self._requests, "a request has its effect once", fact.request_id)
        self._requests.add(fact.request_id)
        if known is not None and fact.trial is not None:
            known.enqueued += 1
            same = known.trials.get(fact.trial.number) == fact.trial and fact.trial.origin is Origin.REQUESTED
            wish = self._wishes[fact.request_id].wish
            self.expect(same and fact.trial.parameters == wish, "what was asked for is what is tried", fact.trial)
            asked_for = [t.number for t in known.trials.values() if t.origin is Origin.REQUESTED]
            self.expect(len(asked_for) == known.enqueued, "a request has its effect once", (fact.request_id, asked_for))

    def _within(self, name: StudyName, count: int, what: str) -> None:
        self.expect(count <= self._asked[what, name], f"nothing is done that nobody asked for ({what})", name)

    def _trial_put(self, known: Known, trial: Trial) -> None:
        label = f"{trial.study} trial {trial.number}"
        before = known.trials.get(trial.number)
        if before is None:
            self.expect(trial.number == len(known.trials) + 1, "trials are numbered without gaps", label)
            breaches = [*rules.new_trial(known, trial)]
        else:
            self.expect(not before.state.ended, "a trial reaches a final state once and keeps it", label)
            breaches = [*rules.changed_trial(known, before, trial)]
        if rules.is_handed_out(before, trial):
            breaches += rules.handed_out(known, trial)
        self._report(breaches)
        runs_before = before.fold_runs if before is not None else ()
        for index, run in enumerate(trial.fold_runs):
            key = FoldRunKey(trial.study, trial.number, run.repeat, run.fold)
            old = runs_before[index] if index < len(runs_before) else None
            attempt = old.attempt if old is not None else 0
            if run.state is FoldRunState.HANDED_OUT:
                again = old is not None and old.state is FoldRunState.HANDED_OUT and run.attempt == attempt
                self.expect(again or run.attempt == attempt + 1, "each hand-out is a new attempt", (key, run.attempt))
                self._handed_out.add(((known.study.spec.seed, key), run.attempt))
            else:
                self.expect(run.attempt == attempt, "attempts only grow, by being handed out", (key, run.attempt))
            failures = old.failures if old is not None else ()
            self.expect(run.failures[: len(failures)] == failures, "failures are not forgotten", key)
        known.put(trial)
        if trial.state is TrialState.COMPLETED:
            self._report(figures.completed(known, trial))
        if trial.state in (TrialState.FAILED, TrialState.INFEASIBLE):
            self._blamed(known, trial)

    def _blamed(self, known: Known, trial: Trial) -> None:
        """A trial fails only by failures of its own, more than its study retries."""
        failure = trial.failure
        label = f"{trial.study} trial {trial.number}, {failure}: {trial.reason}"
        if failure is None:
            self.breaks("a trial that failed says by what", label)
            return
        retries = known.study.spec.retry.of(failure)
        most = max(
            (
                self._ailed[(known.study.spec.seed, FoldRunKey(trial.study, trial.number, r.repeat, r.fold)), failure]
                for r in trial.fold_runs
            ),
            default=0,
        )
        self.expect(most > retries, "no trial fails for what is not its fault", f"{label} ({most} of {retries})")

    def _measured(self, known: Known, m: Measurement) -> None:
        key = FoldRunKey(known.study.name, m.trial, m.repeat, m.fold)  # type: ignore[arg-type]
        run = (known.study.spec.seed, key)
        label = (key, m.attempt, m.epoch)
        self.expect((run, m.attempt) in self._handed, "measurements come from attempts that were handed out", label)
        trial = known.trials.get(m.trial)
        current = None
        if trial is not None:
            current = next((r for r in trial.fold_runs if (r.repeat, r.fold) == (m.repeat, m.fold)), None)
        accepted = current is not None and current.state is FoldRunState.HANDED_OUT and current.attempt == m.attempt
        self.expect(accepted, "only the newest attempt is listened to", label)
        self.expect((key, m.attempt, m.epoch) not in known.measured, "no epoch is measured twice", label)
        same = any(made == m.metrics for made in self._made[run, m.epoch])
        self.expect(same, "measurements are what the worker measured", label)
        known.measured.add((key, m.attempt, m.epoch))
        known.measurements.append(m)

    # What workers are given and do

    def handed(self, worker: WorkerId, segment: Segment) -> None:
        """A server hands a segment out."""
        run = (segment.task.seed, _place(segment))
        self.expect((run, segment.attempt) in self._handed_out, "what is done is durable before", segment.key)
        self.expect((run, segment.attempt) not in self._handed, "an attempt is handed out once", (run, segment.attempt))
        self._handed.add((run, segment.attempt))
        self._given[worker].append(segment)
        known = self.studies.get(segment.key.study)
        if known is not None and known.study.spec.seed == segment.task.seed:
            self._begins(known, segment)
        if worker in self._killed:
            self.ailed(segment, Failure.WORKER_KILLED)

    def _begins(self, known: Known, segment: Segment) -> None:
        trial, donor = known.trials[segment.trial], segment.donor
        if donor is None:
            self.expect(trial.origin is not Origin.DESCENT, "a descendant begins where its donor was", segment.key)
            return
        same = (donor.trial, donor.epoch) == (trial.of, trial.of_epoch)
        same = same and donor.parameters == known.trials[donor.trial].parameters
        self.expect(same, "a descendant begins where its donor was", (segment.key, donor))
        begun = self.training[(segment.task.seed, _place(segment)._replace(trial=donor.trial)), donor.epoch]
        self.expect(begun > 0, "a descendant begins where its donor was", (segment.key, donor))

    def killed(self, worker: WorkerId) -> None:
        """A worker is killed, which may be laid to whatever it was given and nobody has heard the end of."""
        self._killed.add(worker)
        given = {((segment.task.seed, _place(segment)), segment.attempt) for segment in self._given[worker]}
        for known in self.studies.values():
            for trial in known.trials.values():
                for run in trial.fold_runs:
                    place = known.study.spec.seed, FoldRunKey(trial.study, trial.number, run.repeat, run.fold)
                    out = (place, run.attempt)
                    if run.state is FoldRunState.HANDED_OUT and out in given:
                        self._ailed[place, Failure.WORKER_KILLED] += 1

    def trained(self, segment: Segment, epoch: int, metrics: Mapping[str, float]) -> None:
        """A worker trains an epoch."""
        run = (segment.task.seed, _place(segment))
        begun = segment.donor is None or epoch > segment.donor.epoch
        self.expect(begun, "a descendant begins where its donor was", (segment.key, epoch))
        self.training[run, epoch] += 1
        self._made[run, epoch].append(dict(metrics))

    def ailed(self, segment: Segment, failure: Failure) -> None:
        """Something happened that the fold run may be blamed for."""
        self._ailed[(segment.task.seed, _place(segment)), failure] += 1
        if failure is Failure.HUNG:
            self._ailed[(segment.task.seed, _place(segment)), Failure.TIMED_OUT] += 1

    # What callers are told

    def told(self, name: StudyName, numbers: Sequence[int]) -> None:
        """A searcher is told of trials."""
        known = self.studies.get(name)
        if known is None or self._births[name] > 1:
            return  # a server that slept may tell its own searcher of the one before
        for number in numbers:
            trial = known.trials.get(number)
            informs = trial is not None and trial.origin not in (Origin.CONFIRMATION, Origin.TEST, Origin.DESCENT)
            self.expect(informs, "searchers are told of what was searched, when it is durable", (name, number))

    def asked(self, what: str, name: StudyName, request_id: str, wish: rules.Wish = None) -> None:
        """Somebody begins to ask for something, once or more often."""
        self._asked[what, name] += 1
        self._wishes[request_id] = _Asked(name, wish)

    def answered(self, what: str, name: StudyName, request_id: str, answer: object) -> None:
        """Somebody is told that it was done, or why not."""
        known = self.studies.get(name)
        deaths, births = len(self._deaths[name]), self._births[name]
        if isinstance(answer, TrainableQuarantined) and what == "create":
            self._refused.add(name)
            return
        if isinstance(answer, StudyNotFound) and what in ("stop", "delete"):
            self.expect(deaths == births > 0, "a study exists until it is deleted", (request_id, answer))
            return
        wish = self._wishes[request_id].wish
        if isinstance(answer, SearchdError) and known is not None and rules.excused(known, what, wish, answer):
            return
        if isinstance(answer, SearchdError):
            self.breaks("requests that are right are carried out", f"{request_id}: {type(answer).__name__}: {answer}")
            return
        promise = "what is acknowledged is durable"
        match what:
            case "create":
                self.expect(births == self._asked["create", name], promise, request_id)
            case "stop":
                stopping = known is None or known.study.state is StudyState.STOPPING or known.study.state.ended
                self.expect(births > 0 and stopping, promise, request_id)
            case "change":
                same = known is not None and isinstance(wish, Changes) and wish.applied(known.study.spec)
                self.expect(known is not None and same == known.study.spec, promise, request_id)
            case "enqueue":
                tried = known is not None and isinstance(answer, Trial) and known.trials.get(answer.number)
                self.expect(isinstance(tried, Trial) and tried.origin is Origin.REQUESTED, promise, request_id)
            case _:
                self.expect(deaths == self._asked["delete", name], promise, request_id)

    def watched(self, watcher: str, name: StudyName, seen: int, event: Event) -> None:
        """A watcher that has seen everything up to a revision sees an event."""
        label = f"{watcher} at {seen}: {event.revision}"
        self.expect(event.revision > seen, "a watcher sees each event once, in order", label)
        fact = self.log.get(event.revision)
        self.expect(fact == event.fact, "a watcher sees what is in the log", label)
        for revision in range(seen + 1, event.revision):
            missed = self.log[revision]
            if isinstance(missed, RequestAnswered) or study_of(missed) != name:
                continue
            if isinstance(missed, StudyDeleted):
                excused = seen == 0
            else:
                excused = any(revision < death <= self.revision for death in self._deaths[name])
            self.expect(excused, "a watcher misses nothing", f"{label}, not {revision} {type(missed).__name__}")

    # For those who wait

    def life(self, name: StudyName) -> int:
        """How many studies of that name there have been."""
        return self._births[name]

    def ended(self, name: StudyName, life: int) -> bool:
        """Whether that life of the study has ended."""
        known = self.studies.get(name)
        return known is None or known.life != life or known.study.state.ended

    def finish(self, name: StudyName) -> None:
        """The study of that name has ended for good."""
        self._finished.add((name, self._births[name]))

    def finished(self, name: StudyName) -> bool:
        """Whether the study of that name has."""
        return (name, self._births[name]) in self._finished

    def latest(self, name: StudyName) -> int:
        """The revision of the newest event of a study of that name."""
        return self._latest.get(name, 0)

    def gone(self, name: StudyName) -> bool:
        """Whether a study of that name was there and none is now."""
        return self._births[name] > 0 and name not in self.studies

    def never_created(self, name: StudyName) -> bool:
        """Whether a study of that name was refused for good, and none is there."""
        return name in self._refused and name not in self.studies

    def rare(self) -> bool:
        """Whether a trial is under way that goes on from another, or repeats one."""
        return any(
            not trial.state.ended and trial.of is not None
            for known in self.studies.values()
            for trial in known.trials.values()
        )

    def set_aside(self, name: StudyName) -> bool:
        """Whether the study is paused and waits for somebody to stop it."""
        known = self.studies.get(name)
        return known is not None and known.study.state is StudyState.PAUSED


def _place(segment: Segment) -> FoldRunKey:
    """The fold run as the log has it."""
    return segment.key._replace(born="")
