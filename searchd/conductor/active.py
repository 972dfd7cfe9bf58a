"""An active study: its durable state as facts left it, and what is derived from that."""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from searchd.conductor.follow_ups import FollowUps
from searchd.conductor.lineage import Lineage
from searchd.conductor.standing import Standing
from searchd.conductor.trace import Scored, Trace
from searchd.domain.brackets import brackets_of
from searchd.domain.evaluation import TEST_FOLD, Score
from searchd.domain.fidelity import Fidelity
from searchd.domain.measurement import Measurement, is_finite
from searchd.domain.objective import Goal
from searchd.domain.population import population_size
from searchd.domain.study import Progress, Study, StudyState
from searchd.domain.trial import (
    FoldRun,
    FoldRunKey,
    FoldRunState,
    Origin,
    Trial,
    TrialNumber,
    TrialState,
)
from searchd.ports.engine import Task, WorkerId
from searchd.ports.scheduler import Scheduler
from searchd.ports.searcher import Observation, Suggestion

FINISHERS = 3
"""Searched trials that complete the top rung even when promotion alone would bring nobody there."""

REMARKS = 20
"""Newest remarks of a searcher that are kept."""


class ActiveStudy:
    """A study that has not ended. ``put`` and ``measured`` apply facts; everything else is derived or transient."""

    def __init__(self, study: Study, scheduler: Scheduler, order: int) -> None:
        spec = study.spec
        self.study = study
        self.order = order
        self.scheduler = scheduler
        self.ladder = spec.ladder
        self.ladder_epochs = frozenset(rung.epochs for rung in self.ladder)
        self.folds_in_repeat = max(spec.evaluation.folds, 1)
        self.brackets = brackets_of(spec)
        self.task = Task(
            study=study.name,
            trainable=spec.trainable,
            fixed=spec.fixed,
            dataset=spec.dataset,
            data=study.data,
            evaluation=spec.evaluation,
            seed=spec.seed,
            metrics=(spec.objective.metric, *spec.others),
            born=study.created_at.isoformat(),
            heritage=spec.heritage,
        )
        self.trials: dict[TrialNumber, Trial] = {}
        """Trials that have not ended."""
        self.standing = Standing(spec, self.ladder, study.progress)
        self.traces: dict[tuple[TrialNumber, int], Trace] = {}
        self.last_number = 0
        """The highest number of a trial; there is one for every number up to it."""
        self.given = 0
        """Trials that count in the budget: all but confirmations and tests."""
        self.follow_ups, self.lineage = FollowUps(spec), Lineage(self.ladder)
        self.next_number = TrialNumber(1)
        """The number to ask for next. Where a caller has enqueued trials meanwhile, a suggestion becomes a trial of a
        higher number than it was asked for."""
        progress = study.progress
        self.counts = dict(progress.trials)
        self.rungs = list(progress.rungs) or [0] * len(self.ladder)
        self.finishers = 0
        """Searched trials that completed the top rung."""
        self.contenders = 0
        """Those, and the ones that were stopped on it."""
        self.climbing: set[TrialNumber] = set()
        """Searched trials that are running."""

        self.suggestions: deque[Suggestion] = deque()
        self.asking: deque[tuple[TrialNumber, ...]] = deque()
        """Numbers that the searcher has been asked for and has not answered, one entry for each Ask."""
        self.exhausted = False
        self.search_open = False
        self.search_failures = 0
        self.ready: deque[TrialNumber] = deque()
        """Trials with a fold run to hand out next; entries may be outdated."""
        self.extra: deque[TrialNumber] = deque()
        """Trials with fold runs that may be handed out when there is nothing better to do; may be outdated."""
        self.told: dict[TrialNumber, Observation] = {}
        self.serving: set[WorkerId] = set()
        self.segment_seconds: float | None = None
        self.epochs, self.full_epochs = progress.epochs, progress.full_epochs
        self.train_seconds, self.since_best = progress.train_seconds, progress.since_best
        self.search_log = progress.search_log
        self.progress_stale = False
        self.stamp = 0
        """Which entry in its pool's line is the valid one."""
        self.served = 0
        """When its pool last served it, counted in turns."""

    # Facts

    def put(self, trial: Trial) -> None:
        """Apply TrialPut."""
        old = self.trials.get(trial.number)
        if old is not None:
            self.counts[old.state] -= 1
        self.counts[trial.state] = self.counts.get(trial.state, 0) + 1
        if trial.state.ended:
            whole = self.rung_of(trial) if trial.origin.repeats else self.ladder[-1]
            self.full_epochs += whole.folds * whole.epochs
        if trial.origin.repeats:
            self.progress_stale = True
            self._remember(trial, 0)
            return
        for rung in range(old.rung if old else 0, trial.rung):
            self.rungs[rung] += 1
        improvements = self.standing.improvements
        self.progress_stale = True
        self._remember(trial, old.rung if old else 0)
        if self.standing.improvements > improvements:
            self.since_best = 0
        elif (old is None or not old.rung) and (trial.rung or trial.state.ended):
            self.since_best += trial.state is not TrialState.CANCELLED

    def restore(self, trial: Trial) -> None:
        """Take in a stored trial at recovery; counts come from the stored progress."""
        self._remember(trial, 0)
        if trial.origin.repeats:
            return
        for rung, score in enumerate(trial.scores[: len(self.ladder) - 1]):
            if rung < self.lineage.inherited(trial):
                continue
            climbed = trial.rung > rung + 1 or (trial.rung == rung + 1 and trial.state is TrialState.RUNNING)
            self.scheduler.recorded(trial.number, rung, self.goal.signed(score), climbed)
            if not climbed and trial.state.ended and trial.rung == rung + 1:
                self.scheduler.forget(trial.number, rung)

    def _remember(self, trial: Trial, considered: int) -> None:
        self.standing.consider(trial, considered)
        if trial.origin.repeats:
            self.follow_ups.put(trial)
        else:
            self._remember_searched(trial)
        self.last_number = max(self.last_number, trial.number)
        self.next_number = TrialNumber(max(self.next_number, trial.number + 1))
        if not trial.state.ended:
            self.trials[trial.number] = trial
            return
        self.trials.pop(trial.number, None)
        for index in range(len(trial.fold_runs)):
            self.traces.pop((trial.number, index), None)

    def _remember_searched(self, trial: Trial) -> None:
        self.given += trial.number > self.last_number
        if self.population:
            self.lineage.put(trial)
        searched = trial.origin is not Origin.DEFAULT
        self.finishers += searched and trial.state is TrialState.COMPLETED
        self.contenders += searched and trial.state.ended and trial.rung >= len(self.ladder) - 1
        if searched and trial.state is TrialState.RUNNING:
            self.climbing.add(trial.number)
        else:
            self.climbing.discard(trial.number)

    def measured(self, m: Measurement) -> None:
        """Apply MeasurementAdded; of a fold run the newest attempt counts."""
        place = (TrialNumber(m.trial), self.index(m.repeat, m.fold))
        trace = self.traces.get(place)
        if trace is None or trace.attempt < m.attempt:
            trace = self.traces[place] = Trace(m.attempt)
        elif trace.attempt > m.attempt:
            return
        trace.epoch = m.epoch
        trace.seconds += m.seconds
        values = [m.metrics.get(name) for name in self.task.metrics]
        known = tuple(value for value in values if value is not None and is_finite(value))
        if len(known) < len(values):
            return
        trace.last = Scored(known[0], known[1:])
        if trace.best is None or self.goal.better(known[0], trace.best.score):
            trace.best = trace.last

    def count(self, m: Measurement) -> None:
        """Count a new measurement's cost."""
        self.epochs += 1
        self.train_seconds += m.seconds
        self.progress_stale = True

    def took(self, key: FoldRunKey, attempt: int, seconds: float) -> None:
        """Note how long a segment trained, the last ``seconds`` of it not yet traced; a moving mean says how brief the
        next ones will be."""
        trace = self.traces.get((key.trial, self.index(key.repeat, key.fold)))
        if trace is not None and trace.attempt == attempt:
            seconds += trace.seconds
        known = self.segment_seconds
        self.segment_seconds = seconds if known is None else 0.8 * known + 0.2 * seconds

    # Derived

    @property
    def goal(self) -> Goal:
        """Direction of the objective."""
        return self.study.spec.objective.goal

    def index(self, repeat: int, fold: int) -> int:
        """Place of a fold run in its trial; those of confirmations begin after the repeats of the search."""
        if fold == TEST_FOLD:
            return 0
        repeats = self.study.spec.evaluation.repeats
        return (repeat - repeats if repeat >= repeats else repeat) * self.folds_in_repeat + fold

    def place(self, trial: Trial, index: int) -> tuple[int, int]:
        """The (repeat, fold) of a trial's fold run."""
        evaluation = self.study.spec.evaluation
        if trial.origin is Origin.TEST:
            return 0, TEST_FOLD
        return evaluation.place(index + evaluation.fold_runs * (trial.origin is Origin.CONFIRMATION))

    def key(self, trial: Trial, run: FoldRun) -> FoldRunKey:
        """What engines know a fold run by."""
        return FoldRunKey(trial.study, trial.number, run.repeat, run.fold, self.task.born)

    def counted(self, run: FoldRun, trace: Trace) -> Scored | None:
        """What of a fold run stands under the study's score rule.

        For the best one what earlier attempts noted counts: a fold run goes on from where it was noted.
        """
        if self.study.spec.evaluation.score is Score.LAST:
            return trace.last
        others = run.others or ((),) * len(run.scores)
        known = [Scored(score, beside) for (_, score), beside in zip(run.scores, others, strict=True)]
        if trace.best is not None:
            known.append(trace.best)
        return max(known, key=lambda scored: self.goal.signed(scored.score), default=None)

    def rung_of(self, trial: Trial) -> Fidelity:
        """The rung a trial is working on."""
        if trial.origin is Origin.CONFIRMATION:
            return self.study.spec.evaluation.confirming
        return Fidelity(1, self.ladder[-1].epochs) if trial.origin is Origin.TEST else self.ladder[trial.rung]

    def target(self, trial: Trial) -> int:
        """Epochs to advance a fold run of the trial to: the rung's, or further where no decision needs a pause.

        A trial alone on its one fold may run on while the scheduler judges its reports: a stopping scheduler cancels
        it if need be, the default configuration always climbs, and so does every trial below its bracket.
        """
        if trial.origin.repeats:
            return self.ladder[-1].epochs
        rung, waits_at = trial.rung, len(self.ladder) - 1
        if self.study.spec.scheduler.pauses and (trial.origin is not Origin.DEFAULT or self.population):
            waits_at = self.brackets.of(trial.number)
        while rung < waits_at and self.ladder[rung].folds == 1:
            rung += 1
        return self.ladder[rung].epochs

    @property
    def asked(self) -> int:
        """Suggestions that are on their way."""
        return sum(map(len, self.asking))

    @property
    def impatient(self) -> bool:
        """Whether too many trials in a row have been no better than the best, so that no new one is to start."""
        patience = self.study.spec.budget.patience
        return patience is not None and self.since_best >= patience

    @property
    def search_over(self) -> bool:
        """Whether no new trial is to start although there may be more."""
        return self.impatient or self.standing.on_target

    @property
    def no_more_trials(self) -> bool:
        """Whether no new trial can come: the budget or the patience is used or the space exhausted, and nothing is on
        its way."""
        if self.search_over:
            return True
        return (self.exhausted or self.trials_left <= 0) and not self.asked and not self.startable

    @property
    def population(self) -> int | None:
        """Members that the searcher starts, not counting those that broke; None without a population."""
        return population_size(self.study.spec)

    @property
    def room(self) -> int:
        """Trials that suggestions may still become; negative if there are too many trials."""
        unused = self.study.spec.budget.trials - self.given
        if self.population is None:
            return unused
        return min(unused, self.population - (self.given - self.lineage.no_members))

    @property
    def startable(self) -> int:
        """Suggestions that may become trials now. Where callers have enqueued configurations or lowered the budget
        there may be more suggestions; they are kept, since the budget may grow, and the searcher has given them."""
        return 0 if self.search_over else max(min(len(self.suggestions), self.room), 0)

    @property
    def trials_left(self) -> int:
        """Suggestions to ask for in all; negative if there are too many."""
        return self.room - len(self.suggestions) - self.asked

    @property
    def budget_left(self) -> int:
        """Trials of the budget that do not exist and that no suggestion, there or on its way, will become."""
        coming = max(min(len(self.suggestions) + self.asked, self.room), 0)
        return self.study.spec.budget.trials - self.given - coming

    @property
    def slots_left(self) -> bool:
        """Whether the study may occupy one more worker."""
        slots = self.study.spec.budget.slots
        return slots is None or len(self.serving) < slots

    @property
    def hands_out(self) -> bool:
        """Whether segments may start."""
        return self.study.state in (StudyState.PENDING, StudyState.RUNNING)

    def progress(self) -> Progress:
        """The counts as of now."""
        return Progress(
            trials={state: n for state, n in self.counts.items() if n},
            rungs=tuple(self.rungs),
            best=self.standing.best,
            default_score=self.standing.default_score,
            busy=len(self.serving),
            epochs=self.epochs,
            full_epochs=self.full_epochs,
            train_seconds=self.train_seconds,
            front=self.standing.front,
            worst=self.standing.worst,
            search_log=self.search_log,
            since_best=self.since_best,
            confirmed=self.follow_ups.results(),
            follow_ups=sum(self.counts.values()) - self.given,
        )

    def remark(self, number: TrialNumber, remark: str) -> None:
        """Note how the searcher goes about it from a trial on, if that has changed."""
        if remark and not (self.search_log and self.search_log[-1].endswith(f": {remark}")):
            self.search_log = (*self.search_log, f"from trial {number}: {remark}")[-REMARKS:]
            self.progress_stale = True

    def observe(self, trial: Trial) -> None:
        """Note what the searcher should be told of a trial: one that learns of all but repeats and descendants, any of
        what was asked for by others."""
        learns = self.study.spec.search.algorithm.adaptive and trial.origin.informs
        if learns or trial.origin is Origin.REQUESTED:
            self.told[trial.number] = observation(trial)


def code_of(active: ActiveStudy) -> tuple[str, str]:
    """The trainable and the fingerprint of its code: what is quarantined together."""
    return active.study.spec.trainable, active.study.code


def observations(trials: Iterable[Trial]) -> tuple[Observation, ...]:
    """What a searcher may know of trials; confirmations, tests and descendants are none of its business."""
    return tuple(observation(trial) for trial in trials if trial.origin.informs)


def observation(trial: Trial) -> Observation:
    """What a searcher may know of a trial."""
    return Observation(
        trial.number,
        trial.parameters,
        trial.state,
        trial.scores,
        trial.others,
        trial.feasible,
        trial.train_seconds,
        trial.note,
        trial.origin,
    )


def in_flight(trial: Trial) -> int:
    """How many of its fold runs are with workers."""
    return sum(run.state is FoldRunState.HANDED_OUT for run in trial.fold_runs)


def opened(active: ActiveStudy, trial: Trial) -> Trial:
    """The trial with the fold runs of its current rung READY, unless they have its score already."""
    rung = active.rung_of(trial)
    for index in range(rung.folds):
        if index >= len(trial.fold_runs):
            repeat, fold = active.place(trial, index)
            trial = replace(trial, fold_runs=(*trial.fold_runs, FoldRun(repeat, fold)))
        elif trial.fold_runs[index].state is FoldRunState.WAITING and trial.fold_runs[index].epoch < rung.epochs:
            trial = trial.with_fold_run(index, replace(trial.fold_runs[index], state=FoldRunState.READY))
    return trial
