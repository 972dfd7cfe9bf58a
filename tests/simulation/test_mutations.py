"""The model can fail: each of these bugs, put into the product on purpose, is found within a few seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from searchd.conductor import evaluation, handing_out, workers
from searchd.conductor.active import ActiveStudy
from searchd.conductor.follow_ups import FollowUps
from searchd.conductor.lineage import Lineage
from searchd.conductor.messages import Answer, Decision, Input
from searchd.conductor.mind import Mind
from searchd.conductor.requests import Requests
from searchd.domain.errors import SearchdError
from searchd.domain.facts import Event, Fact, MeasurementAdded
from searchd.domain.failure import RETRIES, Failure
from searchd.domain.measurement import Measurement
from searchd.domain.study import Changes, Study, StudyName
from searchd.domain.trial import FoldRun, FoldRunState, Origin, Trial, TrialState
from searchd.engines.simulated_worker import SimulatedWorker
from searchd.ports.engine import SegmentReported
from searchd.service import desk
from searchd.service.loop import Loop
from searchd.service.writer import Writer
from searchd.stores.memory import MemoryStore
from tests.simulation.world import simulated

SEEDS = 150
"""Most that a bug may need to be found."""

Patch = pytest.MonkeyPatch


def acts_before_the_commit(patch: Patch) -> None:
    """Workers are told before it is certain."""
    committed = Loop._committed

    async def hasty(self: Loop, decision: Decision, batch: list[Input]) -> bool:
        self._act(decision.commands)
        decision.commands.clear()
        return await committed(self, decision, batch)

    patch.setattr(Loop, "_committed", hasty)


def answers_before_the_commit(patch: Patch) -> None:
    """Callers are told before it is certain."""
    committed = Loop._committed

    async def hasty(self: Loop, decision: Decision, batch: list[Input]) -> bool:
        for command in decision.commands:
            if isinstance(command, Answer):
                desk.answer(command.token, command.result)
        return await committed(self, decision, batch)

    patch.setattr(Loop, "_committed", hasty)


def goes_on_after_a_failed_commit(patch: Patch) -> None:
    """What could not be written stays in memory."""

    async def stubborn(self: Loop, decision: Decision, batch: list[Input]) -> bool:
        try:
            await self._writer.commit(decision.facts, self._clock.now())
        except SearchdError as error:
            desk.refuse(batch, error)
            return False
        self.listeners.wake(None)
        return True

    patch.setattr(Loop, "_committed", stubborn)


def keeps_the_attempt(patch: Patch) -> None:
    """A fold run that is handed out again has the number that it had."""

    def forgetful(value: Any, **changes: Any) -> Any:
        if isinstance(value, FoldRun) and changes.get("attempt", 0) > 1:
            del changes["attempt"]
        return replace(value, **changes)

    patch.setattr(handing_out, "replace", forgetful)


def lets_everybody_write(patch: Patch) -> None:
    """The store takes facts from writers whose epoch is over."""
    patch.setattr(MemoryStore, "_check_writer", MemoryStore._check_open)


def takes_reports_twice(patch: Patch) -> None:
    """What was reported before is taken in again."""
    measured = ActiveStudy.measured

    def forgetful(self: ActiveStudy, m: Measurement) -> None:
        measured(self, m)
        for trace in self.traces.values():
            trace.epoch = 0

    patch.setattr(ActiveStudy, "measured", forgetful)


def listens_to_old_attempts(patch: Patch) -> None:
    """Any attempt is taken for the newest."""
    held_run = evaluation.held_run

    def lenient(active: ActiveStudy, key: Any, attempt: int) -> Any:
        trial = active.trials.get(key.trial)
        index = active.index(key.repeat, key.fold)
        if trial is None or index >= len(trial.fold_runs):
            return None
        return held_run(active, key, trial.fold_runs[index].attempt)

    patch.setattr(evaluation, "held_run", lenient)


def hands_out_what_workers_hold(patch: Patch) -> None:
    """A server that starts believes that its predecessor's workers hold nothing."""
    reconciled = workers.reconciled

    def rash(mind: Mind) -> None:
        mind.holders.clear()
        reconciled(mind)

    patch.setattr(workers, "reconciled", rash)


def forgets_answers(patch: Patch) -> None:
    """Requests are never recognised."""
    patch.setattr(MemoryStore, "answered", lambda self, request_id: None)
    patch.setattr(Requests, "_repeated", lambda self, request: None)


def blames_for_lost_nodes(patch: Patch) -> None:
    """A trial whose node is lost has failed."""
    failed = evaluation.failed

    def unjust(mind: Any, active: Any, trial: Any, index: int, failure: Failure, *rest: Any) -> Any:
        if RETRIES[failure] > 10:
            failure = Failure.ERROR
        return failed(mind, active, trial, index, failure, *rest)

    patch.setattr(workers, "failed", unjust)


def miscounts(patch: Patch) -> None:
    """Counts are not those of the log."""
    patch.setattr(ActiveStudy, "count", lambda self, measurement: None)


def loses_events(patch: Patch) -> None:
    """Whoever reads the log is now and then not shown its last page's end."""
    events = MemoryStore.events

    def careless(self: MemoryStore, after: int, study: StudyName | None, limit: int) -> Sequence[Event]:
        return [event for event in events(self, after, study, limit) if event.revision % 11]

    patch.setattr(MemoryStore, "events", careless)


def loses_measurements(patch: Patch) -> None:
    """Some facts are never written."""
    commit = Writer.commit

    async def careless(self: Writer, facts: Sequence[Fact], at: datetime) -> None:
        kept = [fact for fact in facts if not (isinstance(fact, MeasurementAdded) and fact.measurement.epoch == 2)]
        await commit(self, kept, at)

    patch.setattr(Writer, "commit", careless)


def waits_for_the_dead(patch: Patch) -> None:
    """What a lost worker held is never handed out again."""
    patch.setattr(workers, "_interrupted", lambda *arguments: None)


def forgets_to_cancel(patch: Patch) -> None:
    """A report of a trial that has ended brings it back to life."""
    reported = evaluation.reported

    def necromancer(mind: Mind, active: ActiveStudy, event: SegmentReported, now: datetime) -> None:
        trial = active.trials.get(event.key.trial)
        reported(mind, active, event, now)
        after = active.trials.get(event.key.trial)
        if trial is not None and after is None and any(r.state is FoldRunState.HANDED_OUT for r in trial.fold_runs):
            active.trials[trial.number] = trial

    patch.setattr(workers, "reported", necromancer)


def stumbles_over_acknowledgements(patch: Patch) -> None:
    """Something raises where nobody waits for it."""

    def stumble(self: SimulatedWorker, sequence: int) -> None:
        raise KeyError(sequence)

    patch.setattr(SimulatedWorker, "acknowledge", stumble)


def confirms_again(patch: Patch) -> None:
    """A server that starts does not know what was confirmed and tested before."""
    put = FollowUps.put

    def forgetful(self: FollowUps, trial: Trial) -> None:
        if trial.state is not TrialState.COMPLETED:
            put(self, trial)

    patch.setattr(FollowUps, "put", forgetful)


def exceeds_the_budget(patch: Patch) -> None:
    """What is enqueued comes on top of what was suggested already."""
    patch.setattr(ActiveStudy, "startable", property(lambda self: len(self.suggestions)))


def begins_anew(patch: Patch) -> None:
    """Descendants are not told whose checkpoints they go on from."""
    patch.setattr(Lineage, "donor", lambda self, trial: None)


def changes_nothing_for_good(patch: Patch) -> None:
    """What a caller changes in a study that runs is known to the server alone."""
    change = Requests._change

    def forgetful(self: Requests, name: StudyName, changes: Changes, known: Study | None, *rest: Any) -> Study:
        active = self._mind.studies.get(name)
        if active is None:
            return change(self, name, changes, known, *rest)
        return replace(active.study, spec=changes.applied(active.study.spec))

    patch.setattr(Requests, "_change", forgetful)


def tells_searchers_everything(patch: Patch) -> None:
    """Searchers learn of confirmations and tests."""
    patch.setattr(Origin, "informs", True)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A bug, a promise that it breaks, and the seed from which to look."""

    bug: Callable[[Patch], None]
    promise: str
    first: int = 0


MUTATIONS = (
    Mutation(acts_before_the_commit, "what is done is durable before"),
    Mutation(answers_before_the_commit, "what is acknowledged is durable"),
    Mutation(goes_on_after_a_failed_commit, "counts equal a recount"),
    Mutation(keeps_the_attempt, "each hand-out is a new attempt"),
    Mutation(lets_everybody_write, "nobody writes whose epoch is over"),
    Mutation(takes_reports_twice, "no epoch is measured twice"),
    Mutation(listens_to_old_attempts, "only the newest attempt is listened to", first=85),
    Mutation(hands_out_what_workers_hold, "no epoch is trained twice because a server died"),
    Mutation(forgets_answers, "a request has its effect once"),
    Mutation(blames_for_lost_nodes, "no trial fails for what is not its fault"),
    Mutation(miscounts, "counts equal a recount"),
    Mutation(loses_events, "a watcher misses nothing"),
    Mutation(loses_measurements, "scores are those of measurements in the log"),
    Mutation(waits_for_the_dead, "everything comes to its end"),
    Mutation(stumbles_over_acknowledgements, "nothing unforeseen is raised"),
    Mutation(forgets_to_cancel, "a trial reaches a final state once and keeps it"),
    Mutation(confirms_again, "each candidate is confirmed and tested once"),
    Mutation(exceeds_the_budget, "no more trials than the budget allows"),
    Mutation(begins_anew, "a descendant begins where its donor was"),
    Mutation(changes_nothing_for_good, "what is acknowledged is durable"),
    Mutation(tells_searchers_everything, "searchers are told of what was searched"),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.bug.__name__)
def test_the_model_finds_the_bug(mutation: Mutation, monkeypatch: Patch) -> None:
    """With the bug in place some seed soon breaks the promise that it should break."""
    mutation.bug(monkeypatch)
    broken: list[str] = []
    for seed in range(mutation.first, mutation.first + SEEDS):
        broken += simulated(seed).broken
        if any(line.startswith(mutation.promise) for line in broken):
            return
    pytest.fail(f"no seed breaks {mutation.promise!r}; broken are {broken[:5]}")
