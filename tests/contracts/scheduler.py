"""What every scheduler promises, whatever its algorithm."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from searchd.domain.evaluation import Evaluation
from searchd.domain.fidelity import Fidelity
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler as Settings
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber
from searchd.ports.scheduler import Scheduler, Verdict
from searchd.schedulers.factory import make_scheduler

# A contract's tests run in several classes, which differ in their settings only.
shared = examples(deadline=None, suppress_health_check=[HealthCheck.differing_executors])

TOP = 3
"""Rungs 0 to 2 are decided about; a trial that completes rung 3 is complete."""

LADDER = tuple(Fidelity(1, epochs) for epochs in range(1, TOP + 2))


def climbing(settings: Settings, seed: int = 1) -> StudySpec:
    """A study whose ladder has these rungs."""
    evaluation = Evaluation(epochs=LADDER[-1].epochs, ladder=LADDER)
    objectives = (Objective("accuracy", Goal.MAXIMIZE),)
    return StudySpec("t", objectives, seed=seed, scheduler=settings, evaluation=evaluation)


Step = tuple[str, int, int]
"""What happens: its kind, which trial (modulo those it may happen to), and the score, with many ties."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "complete", "complete", "complete", "promote", "promote_best", "forget"]),
        st.integers(0, 20),
        st.integers(-3, 3),
    ),
    max_size=120,
)


@dataclass
class Study:
    """A study in miniature: it does as its scheduler says, and remembers what a store would."""

    scheduler: Scheduler
    running: list[TrialNumber] = field(default_factory=list)
    paused: list[TrialNumber] = field(default_factory=list)
    forgotten: list[TrialNumber] = field(default_factory=list)
    scores: dict[TrialNumber, list[float]] = field(default_factory=dict)
    decisions: list[object] = field(default_factory=list)

    def live(self, steps: Sequence[Step]) -> list[object]:
        """Go through the steps; the decisions made on the way and the ones that stand at the end."""
        self.decisions = []
        for kind, pick, score in steps:
            match kind:
                case "start":
                    trial = TrialNumber(len(self.scores) + 1)
                    self.scores[trial] = []
                    self.running.append(trial)
                case "complete" if self.running:
                    self.complete(self.running.pop(pick % len(self.running)), float(score))
                case "promote":
                    self.promote(self.scheduler.promotable())
                case "promote_best":
                    self.promote(self.scheduler.best_paused())
                case "forget" if self.paused:
                    trial = self.paused.pop(pick % len(self.paused))
                    self.forgotten.append(trial)
                    self.scheduler.forget(trial, len(self.scores[trial]) - 1)
        return [*self.decisions, self.scheduler.promotable(), self.scheduler.best_paused()]

    def complete(self, trial: TrialNumber, score: float) -> None:
        rung = len(self.scores[trial])
        self.scores[trial].append(score)
        if rung < TOP:
            verdict = self.scheduler.completed(trial, rung, score)
            self.decisions.append((trial, rung, verdict))
            if verdict is Verdict.CLIMB:
                self.running.append(trial)
            elif verdict is Verdict.PAUSE:
                self.paused.append(trial)

    def promote(self, found: tuple[TrialNumber, int] | None) -> None:
        self.decisions.append(found)
        if found is not None:
            trial, rung = found
            assert trial in self.paused
            assert len(self.scores[trial]) == rung + 1
            self.paused.remove(trial)
            self.running.append(trial)
            self.scheduler.promoted(trial, rung)

    def rebuilt(self, spec: StudySpec) -> "Study":
        """The same study after a restart: its scheduler is replayed from the scores, trial by trial."""
        scheduler = make_scheduler(spec)
        for trial, scores in self.scores.items():
            for rung, score in enumerate(scores[:TOP]):
                climbed = rung + 1 < len(scores) or trial in self.running
                scheduler.recorded(trial, rung, score, climbed)
            if trial in self.forgotten:
                scheduler.forget(trial, len(scores) - 1)
        return Study(
            scheduler, [*self.running], [*self.paused], [*self.forgotten], {t: [*s] for t, s in self.scores.items()}
        )


class SchedulerContract:
    """Subclass with the attribute ``spec``."""

    spec: StudySpec

    @pytest.fixture
    def scheduler(self) -> Scheduler:
        return make_scheduler(self.spec)

    @shared
    @given(before=STEPS, after=STEPS)
    def test_replaying_is_as_good_as_living(self, before: Sequence[Step], after: Sequence[Step]) -> None:
        """Rebuilt from stored scores at any moment, it decides as if it had been there all along."""
        study = Study(make_scheduler(self.spec))
        study.live(before)
        rebuilt = study.rebuilt(self.spec)
        assert rebuilt.live(after) == study.live(after)

    @shared
    @given(steps=STEPS)
    def test_names_only_paused_trials(self, steps: Sequence[Step]) -> None:
        """Whoever is to climb is paused; if anybody is paused then there is a best one of the highest such rung."""
        study = Study(make_scheduler(self.spec))
        study.live(steps)
        best = study.scheduler.best_paused()
        assert (best is None) == (not study.paused)
        if best is not None:
            assert best[0] in study.paused
            assert best[1] == max(len(study.scores[t]) - 1 for t in study.paused)
        promotable = study.scheduler.promotable()
        assert promotable is None or promotable[0] in study.paused

    @shared
    @given(steps=STEPS)
    def test_a_trial_that_is_stopped_or_forgotten_stays_so(self, steps: Sequence[Step]) -> None:
        """Nobody is named who was stopped or forgotten, whatever happens to others."""
        study = Study(make_scheduler(self.spec))
        study.live(steps)
        gone = {*study.forgotten, *study.scores} - {*study.running, *study.paused}
        while (found := study.scheduler.best_paused()) is not None:
            assert found[0] not in gone
            study.scheduler.promoted(*found)

    def test_begins_with_nobody_paused(self, scheduler: Scheduler) -> None:
        """Before the first trial nobody can climb."""
        assert scheduler.promotable() is None
        assert scheduler.best_paused() is None

    def test_asking_changes_nothing(self, scheduler: Scheduler) -> None:
        """The same question gets the same answer until something happens."""
        for number in range(1, 20):
            scheduler.completed(TrialNumber(number), 0, float(number))
        assert scheduler.promotable() == scheduler.promotable()
        assert scheduler.best_paused() == scheduler.best_paused()
