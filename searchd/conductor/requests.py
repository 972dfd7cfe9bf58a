"""Callers' requests: studies are created, changed, stopped and deleted, configurations enqueued; each is answered."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from searchd.conductor.active import opened
from searchd.conductor.ending import BY_A_CALLER, gpu_hours_used, out_of_time, stop
from searchd.conductor.evaluation import queued
from searchd.conductor.messages import (
    Answer,
    ChangeStudy,
    CreateStudy,
    DeleteStudy,
    EnqueueTrial,
    Request,
    StopStudy,
)
from searchd.conductor.mind import Mind
from searchd.domain.errors import (
    BudgetUsed,
    InvalidStudy,
    RequestReused,
    SearchdError,
    ServerStopping,
    StudyActive,
    StudyChanged,
    StudyEnded,
    StudyExists,
    StudyNotFound,
    TrainableQuarantined,
    Violation,
)
from searchd.domain.facts import RequestAnswered, StudyDeleted, StudyPut, TrialPut
from searchd.domain.space import Parameters
from searchd.domain.study import Changes, Study, StudyName, StudyState
from searchd.domain.trial import Origin, Trial, TrialNumber
from searchd.ports.engine import Forget


class Requests:
    """Carries out requests, one at a time. Of those before it in the same batch the store does not know yet: what they
    were answered and which studies they deleted is noted here until the batch is settled."""

    def __init__(self, mind: Mind) -> None:
        self._mind = mind
        self._answered: dict[str, RequestAnswered] = {}
        self._deleted: set[StudyName] = set()

    def carry_out(self, request: Request, now: datetime) -> None:
        """Decide on a request, and answer it."""
        result: Study | Trial | SearchdError
        try:
            result = self._repeated(request) or self._carried_out(request, now)
        except SearchdError as error:
            result = error
        self._mind.command(Answer(request.token, result))

    def settle(self) -> None:
        """Forget the batch: what it did is known to the store when the next one begins."""
        self._answered.clear()
        self._deleted.clear()

    def _repeated(self, request: Request) -> Study | Trial | None:
        """What the same request was answered earlier in this batch; what was answered before it can be read."""
        before = self._answered.get(request.request_id)
        if before is not None and before.digest != request.digest:
            raise RequestReused(request.request_id)
        if before is None:
            return None
        return before.study if before.trial is None else before.trial

    def _carried_out(self, request: Request, now: datetime) -> Study | Trial:
        known = self._known(request)
        trial: Trial | None = None
        match request.body:
            case CreateStudy(study, first):
                result = self._create(study, first, known, now)
            case StopStudy(name):
                result = self._stop(name, known, now)
            case DeleteStudy(name):
                result = self._delete(name, known)
            case ChangeStudy(name, changes):
                result = self._change(name, changes, known, request.trials, now)
            case EnqueueTrial(name, parameters):
                trial = self._enqueue(name, parameters, known, now)
                result = self._mind.studies[name].study
            case _:
                assert_never(request.body)
        if request.request_id:
            answer = RequestAnswered(request.request_id, request.digest, result, trial)
            self._mind.emit(answer)
            self._answered[request.request_id] = answer
        return result if trial is None else trial

    def _known(self, request: Request) -> Study | None:
        """The study that a request is about, with all that this batch has done to it so far; None if there is none."""
        active = self._mind.studies.get(request.name)
        if active is not None:
            return active.study
        return None if request.name in self._deleted else request.stored

    def _create(
        self, study: Study, first: Sequence[tuple[Parameters, Origin]], known: Study | None, now: datetime
    ) -> Study:
        mind = self._mind
        if known is not None:
            differing = known.spec.differing(study.spec)
            if differing:
                raise StudyExists(study.name, differing)
            return known
        if mind.draining:
            raise ServerStopping
        self._check_quarantine(study)
        mind.emit(StudyPut(study))
        active = mind.studies[study.name]
        for number, (parameters, origin) in enumerate(first[: study.spec.budget.trials], start=1):
            trial = Trial(study.name, TrialNumber(number), parameters, origin, created_at=now)
            mind.emit(TrialPut(queued(active, opened(active, trial))))
        mind.begin(active)
        return study

    def _check_quarantine(self, study: Study) -> None:
        reason = self._mind.quarantined.get((study.spec.trainable, study.code))
        if reason is not None:
            raise TrainableQuarantined(study.spec.trainable, reason)

    def _stop(self, name: StudyName, known: Study | None, now: datetime) -> Study:
        if known is None:
            raise StudyNotFound(name)
        active = self._mind.studies.get(name)
        if active is not None:
            return stop(self._mind, active, BY_A_CALLER, now)
        if not known.state.ended:  # it could not be taken up
            known = (known if known.state is StudyState.STOPPING else known.stopping(BY_A_CALLER)).stopped(now)
            self._mind.decision.facts.append(StudyPut(known))
        return known

    def _delete(self, name: StudyName, known: Study | None) -> Study:
        if known is None:
            raise StudyNotFound(name)
        if not known.state.ended:
            raise StudyActive(name, known.state)
        self._mind.emit(StudyDeleted(name))
        self._deleted.add(name)
        self._mind.command(Forget(name, None))
        return known

    def _change(
        self, name: StudyName, changes: Changes, known: Study | None, trials: Sequence[Trial], now: datetime
    ) -> Study:
        if known is None:
            raise StudyNotFound(name)
        if changes.etag not in ("", known.spec.etag):
            raise StudyChanged(name)
        spec = changes.applied(known.spec)
        active = self._mind.studies.get(name)
        if active is None and known.state.ended and "trials" in changes.fields:
            had = known.spec.budget.trials
            if spec.budget.trials <= had:
                problem = f"{spec.budget.trials} is not more than the {had} that the study had"
                raise InvalidStudy([Violation("budget.trials", problem, "use more, so that it can go on")])
            return self._reopen(replace(known, spec=spec).reopened(), trials, now)
        changed = replace(known, spec=spec)
        if active is None:
            self._mind.decision.facts.append(StudyPut(changed))
            return changed
        self._mind.emit(StudyPut(changed))
        self._mind.watch_time(changed)
        return changed

    def _reopen(self, study: Study, trials: Sequence[Trial], now: datetime) -> Study:
        """Go on with an ended study."""
        self._check_quarantine(study)
        if out_of_time(study, now):
            problem = "it is over since the study's creation"
            raise InvalidStudy([Violation("budget.wall_time", problem, "give a longer one as well")])
        if gpu_hours_used(study.spec, study.progress.train_seconds):
            problem = f"all {study.spec.budget.gpu_hours:g} are used"
            raise InvalidStudy([Violation("budget.gpu_hours", problem, "give more as well")])
        study = replace(study, progress=replace(study.progress, since_best=0))
        self._mind.emit(StudyPut(study))
        active = self._mind.studies[study.name]
        for trial in trials:
            active.restore(trial)
        active.standing.failed_before = active.standing.failures.total()
        self._mind.begin(active, trials)
        return study

    def _enqueue(self, name: StudyName, parameters: Parameters, known: Study | None, now: datetime) -> Trial:
        if known is None:
            raise StudyNotFound(name)
        active = self._mind.studies.get(name)
        if active is None or known.state.ended or known.state is StudyState.STOPPING:
            raise StudyEnded(name, known.state)
        if active.given >= known.spec.budget.trials:
            raise BudgetUsed(name, known.spec.budget.trials)
        number = TrialNumber(active.last_number + 1)
        trial = Trial(name, number, parameters, Origin.REQUESTED, created_at=now)
        trial = queued(active, opened(active, trial))
        self._mind.emit(TrialPut(trial))
        active.observe(trial)
        return trial
