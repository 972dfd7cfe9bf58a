"""What a seed stands for: how many servers and nodes, which studies, which requests, and which faults may happen."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Evaluation, Racing, Score
from searchd.domain.failure import Failure
from searchd.domain.fidelity import Fidelity
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Budget, Resources, Retry
from searchd.ports.engine import Node


class Fault(StrEnum):
    """What may happen to a world."""

    SERVER_KILLED = "server killed"
    SERVER_PAUSED = "server paused"
    SERVER_LEFT = "server left"
    COMMIT_REFUSED = "commit refused"
    COMMIT_UNSURE = "commit written, and its caller told that it failed"
    COMMIT_STUCK = "commit written, and its caller told nothing for long"
    STORE_FULL = "store full"
    STORE_GONE = "store gone"
    REPLY_LOST = "reply lost"
    REQUEST_DOUBLED = "request sent twice at once"
    SEARCHER_FAILED = "searcher failed"
    CLOCK_SET = "machine's clock set"
    EVENT_REPEATED = "event repeated later"
    EVENT_DELAYED = "event delayed"
    WORKER_KILLED = "worker killed"
    WORKER_PREEMPTED = "worker preempted"
    WORKER_SILENT = "worker silent"
    NODE_LOST = "node lost"
    CLUSTER_LOST = "cluster lost"
    HANG = "hang"
    NOT_FINITE = "not finite"
    METRIC_MISSING = "metric missing"
    USER_ERROR = "user error"


HARMLESS_TO_TRAINING = frozenset(
    {
        Fault.SERVER_KILLED,
        Fault.SERVER_PAUSED,
        Fault.SERVER_LEFT,
        Fault.COMMIT_REFUSED,
        Fault.COMMIT_UNSURE,
        Fault.COMMIT_STUCK,
        Fault.STORE_FULL,
        Fault.STORE_GONE,
        Fault.REPLY_LOST,
        Fault.REQUEST_DOUBLED,
        Fault.SEARCHER_FAILED,
        Fault.CLOCK_SET,
        Fault.EVENT_REPEATED,
        Fault.EVENT_DELAYED,
    }
)
"""Where nothing else happens, no epoch is trained twice."""

AILMENTS = {
    Fault.HANG: Failure.HUNG,
    Fault.NOT_FINITE: Failure.NOT_FINITE,
    Fault.METRIC_MISSING: Failure.METRIC_MISSING,
    Fault.USER_ERROR: Failure.ERROR,
}
"""What trainables may do of their own accord, and what it counts as."""

TIMED = (
    frozenset(Fault)
    - AILMENTS.keys()
    - {
        Fault.REPLY_LOST,
        Fault.REQUEST_DOUBLED,
        Fault.EVENT_REPEATED,
        Fault.EVENT_DELAYED,
    }
)
"""Faults that happen at an instant; the others happen to a share of what passes."""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A study and what its owner does with it, in seconds from the beginning; None where it is not done."""

    study_id: str
    draft: StudyDraft
    create_at: float
    epoch_seconds: float
    returns_early: float
    ailing: float
    stop_at: float | None
    delete: bool
    watch_at: float
    create_again: "StudyPlan | None" = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a seed decides before anything happens."""

    seed: int
    servers: int
    nodes: tuple[Node, ...]
    studies: tuple[StudyPlan, ...]
    quiet_at: float
    kinds: frozenset[Fault]
    faults: tuple[tuple[float, Fault], ...]

    @property
    def trains_once(self) -> bool:
        """Whether nothing happens that could cost an epoch of training."""
        return self.kinds <= HARMLESS_TO_TRAINING


def planned(seed: int) -> Plan:
    """The plan of a seed; the same on every machine."""
    chance = random.Random(f"plan {seed}")
    quiet_at = chance.uniform(15.0, 40.0)
    pool = sorted(HARMLESS_TO_TRAINING) if seed % 3 == 0 else sorted(Fault)
    kinds = frozenset(kind for kind in pool if chance.random() < 0.3)
    faults = sorted(
        (chance.uniform(0.5, quiet_at), kind)
        for kind in sorted(kinds & TIMED)
        for _ in range(chance.choice((1, 1, 2, 3)))
    )
    return Plan(
        seed,
        servers=chance.choice((1, 1, 2, 3)),
        nodes=tuple(Node(f"n{n}", chance.choice((2.0, 3.0)), 0.0) for n in range(chance.randint(1, 3))),
        studies=tuple(_study(chance, f"s{n}", quiet_at) for n in range(chance.choice((1, 2, 2, 3)))),
        quiet_at=quiet_at,
        kinds=kinds,
        faults=tuple(faults),
    )


def _study(chance: random.Random, study_id: str, quiet_at: float, again: bool = False) -> StudyPlan:
    delete = chance.random() < 0.3
    return StudyPlan(
        study_id,
        _draft(chance),
        create_at=chance.uniform(0.0, quiet_at / 3),
        epoch_seconds=chance.choice((0.01, 0.1, 0.3, 1.0, 2.0)),
        returns_early=chance.choice((0.0, 0.0, 0.1)),
        ailing=chance.choice((0.02, 0.1, 0.3)),
        stop_at=chance.uniform(0.0, quiet_at) if chance.random() < 0.25 else None,
        delete=delete,
        watch_at=chance.uniform(0.0, quiet_at),
        create_again=_study(chance, study_id, quiet_at, again=True)
        if delete and not again and chance.random() < 0.5
        else None,
    )


def _draft(chance: random.Random) -> StudyDraft:
    algorithm = chance.choice((Algorithm.GRID, Algorithm.RANDOM, Algorithm.SOBOL))
    climbs = chance.random() < 0.75
    evaluation = _evaluation(chance, climbs)
    retries = dict.fromkeys((Failure.ERROR, Failure.NOT_FINITE, Failure.METRIC_MISSING), 1)
    return StudyDraft(
        chance.choice(("t0", "t1")),
        space=_space(chance, algorithm),
        seed=chance.randrange(10**9),
        search=Search(algorithm, default_first=chance.random() < 0.5),
        scheduler=Scheduler(
            SchedulerAlgorithm.ASHA if climbs else SchedulerAlgorithm.NONE,
            eta=chance.choice((2, 3)),
        ),
        mode=chance.choice((SchedulerMode.PROMOTION, SchedulerMode.STOPPING)),
        evaluation=evaluation,
        resources=Resources(cpus=chance.choice((1.0, 1.0, 2.0))),
        budget=Budget(
            trials=chance.randint(1, 9),
            slots=chance.choice((None, None, 1, 2)),
            wall_time=timedelta(seconds=chance.uniform(5, 40)) if chance.random() < 0.15 else None,
        ),
        retry=Retry(
            attempts=chance.choice((1, 2, 3)),
            segment_timeout=timedelta(seconds=60),
            report_timeout=chance.choice((None, timedelta(seconds=20))),
            retries=chance.choice(({}, retries)),
        ),
        priority=chance.choice((0, 0, 1)),
    )


def _evaluation(chance: random.Random, climbs: bool) -> Evaluation:
    folds, epochs = chance.choice((0, 2, 3)), chance.choice((1, 2, 4))
    fold_runs = max(folds, 1)
    ladders: tuple[tuple[Fidelity, ...], ...] = ((),)
    if climbs and fold_runs > 1 and epochs > 1:
        ladders = ((), (Fidelity(1, 1), Fidelity(2, 1), Fidelity(fold_runs, epochs)))
        ladders = ladders if fold_runs > 2 else ((), (Fidelity(1, 1), Fidelity(fold_runs, epochs)))
    return Evaluation(
        folds=folds,
        epochs=epochs,
        score=chance.choice(tuple(Score)),
        racing=chance.choice(tuple(Racing)) if folds else Racing.NONE,
        ladder=chance.choice(ladders),
    )


def _space(chance: random.Random, algorithm: Algorithm) -> SearchSpace:
    x = Parameter("x", Float(0.0, 1.0, step=0.25 if algorithm is Algorithm.GRID or chance.random() < 0.3 else None))
    others = (Parameter("n", Integer(1, 3)), Parameter("kind", Choice(("a", "b"))))
    return SearchSpace((x, *others[: chance.randint(0, 2)]))


DEFAULTS: Mapping[str, object] = {"x": 0.5, "n": 1, "kind": "a"}
