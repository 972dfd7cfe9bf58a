"""The service's own conductor over simulated workers, for schedulers to be measured."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from benchmarks.search.asha_peers import Outcome
from benchmarks.search.curve_table import EPOCHS
from benchmarks.search.curves import RESUME_SECONDS, Trials, space
from searchd.conductor.messages import CreateStudy
from searchd.domain.evaluation import Evaluation
from searchd.domain.facts import Fact
from searchd.domain.fidelity import Ladder
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler
from searchd.domain.search import Algorithm, Search
from searchd.domain.study import Budget, Retry, Study, StudySpec, study_name
from searchd.engines.simulated import Epoch, SimulatedCluster, SimulatedEngine, VirtualClock
from searchd.ports.engine import Node, Segment
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.local import LocalSearchers
from searchd.service.simulation import Simulation
from searchd.stores.memory import MemoryStore

MANY = 1_000_000
"""Trials that no run comes to an end of."""


def run(
    trials: Trials,
    scheduler: Scheduler,
    algorithm: Algorithm,
    workers: int,
    target: float,
    patience: float,
    ladder: Ladder = (),
) -> Outcome:
    """Run a study until a fully trained trial reaches the target or so many seconds have passed."""
    clock = VirtualClock()
    began = clock.now()
    epochs: list[tuple[datetime, timedelta]] = []

    def behaviour(segment: Segment, epoch: int) -> Iterator[Epoch]:
        training = trials.training(segment.trial, segment.parameters)
        for number in range(epoch, EPOCHS):
            resuming = RESUME_SECONDS if number == epoch and epoch else 0.0
            lasts = timedelta(seconds=float(training.seconds[number]) + resuming)
            epochs.append((clock.now(), lasts))
            yield Epoch({"score": float(training.scores[number])}, lasts)

    cluster = SimulatedCluster(clock, [Node("node", workers, 0)], behaviour, timedelta(0))
    simulation = Simulation(_Discarding(), make_scheduler, clock, cluster)
    simulation.start(SimulatedEngine(cluster, simulation.post), LocalSearchers(simulation.post))
    study = simulation.request(CreateStudy(_study(trials, scheduler, algorithm, ladder, began)))
    active = simulation.conductor.mind.studies[study.name]

    def reached() -> bool:
        return active.standing.best is not None and active.standing.best.score >= target

    simulation.run(lambda: reached() or (clock.now() - began).total_seconds() >= patience)
    now = clock.now()
    spent = sum((min(at + lasts, now) - at).total_seconds() for at, lasts in epochs)
    seconds = (now - began).total_seconds()
    return Outcome(seconds if reached() else math.inf, spent / (workers * seconds))


def _study(trials: Trials, scheduler: Scheduler, algorithm: Algorithm, ladder: Ladder, now: datetime) -> Study:
    spec = StudySpec(
        "curves",
        (Objective("score", Goal.MAXIMIZE),),
        space(trials.curves),
        seed=trials.seed,
        search=Search(algorithm),
        scheduler=scheduler,
        evaluation=Evaluation(epochs=EPOCHS, ladder=ladder),
        budget=Budget(trials=MANY),
        retry=Retry(segment_timeout=timedelta(days=30)),
    )
    return Study(study_name("default", f"{trials.curves.name}-{trials.seed}"), spec, "code", "", now)


class _Discarding(MemoryStore):
    """A store that keeps nothing: nobody reads, and writing is not what is timed."""

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:  # noqa: ARG002
        return 0
