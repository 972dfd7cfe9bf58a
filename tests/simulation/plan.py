"""What a seed stands for: how many servers and nodes, which studies, which requests, and which faults may happen."""

import random
from dataclasses import dataclass
from enum import StrEnum

from searchd.domain.draft import StudyDraft
from searchd.domain.failure import Failure
from searchd.domain.space import Parameters
from searchd.ports.engine import Node
from tests.simulation.drafts import drafted


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
class Errand:
    """What the owner of a study that has not ended asks for: to try a configuration, or to change the definition.

    Attributes:
        at: Seconds from the beginning.
        parameters: The configuration; None to change the definition.
        more: By how much the budget of trials changes, if not at all, the priority does.
    """

    at: float
    parameters: Parameters | None = None
    more: int = 0


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A study and what its owner does with it, in seconds from the beginning; None where it is not done.

    ``extensions`` are trials that are added to its budget when it has ended, each time that it has.
    """

    study_id: str
    draft: StudyDraft
    create_at: float
    epoch_seconds: float
    returns_early: float
    ailing: float
    stop_at: float | None
    delete: bool
    watch_at: float
    errands: tuple[Errand, ...] = ()
    extensions: tuple[int, ...] = ()
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
    gpus = chance.choice((0.0, 1.0))
    return Plan(
        seed,
        servers=chance.choice((1, 1, 2, 3)),
        nodes=tuple(Node(f"n{n}", chance.choice((2.0, 3.0)), gpus) for n in range(chance.randint(1, 3))),
        studies=tuple(_study(chance, f"s{n}", quiet_at, gpus) for n in range(chance.choice((1, 2, 2, 3)))),
        quiet_at=quiet_at,
        kinds=kinds,
        faults=tuple(faults),
    )


def _study(chance: random.Random, study_id: str, quiet_at: float, gpus: float, again: bool = False) -> StudyPlan:
    delete = chance.random() < 0.3
    draft = drafted(chance, gpus)
    return StudyPlan(
        study_id,
        draft,
        create_at=chance.uniform(0.0, quiet_at / 3),
        epoch_seconds=chance.choice((0.01, 0.1, 0.3, 1.0, 2.0)),
        returns_early=chance.choice((0.0, 0.0, 0.1)),
        ailing=chance.choice((0.02, 0.1, 0.3)),
        stop_at=chance.uniform(0.0, quiet_at) if chance.random() < 0.25 else None,
        delete=delete,
        watch_at=chance.uniform(0.0, quiet_at),
        errands=_errands(chance, draft, quiet_at),
        extensions=tuple(chance.randint(1, 4) for _ in range(chance.choice((0, 0, 0, 1, 2)))),
        create_again=_study(chance, study_id, quiet_at, gpus, again=True)
        if delete and not again and chance.random() < 0.5
        else None,
    )


def _errands(chance: random.Random, draft: StudyDraft, quiet_at: float) -> tuple[Errand, ...]:
    errands = []
    for _ in range(chance.choice((0, 0, 1, 2, 4))):
        at = chance.uniform(0.0, quiet_at)
        if chance.random() < 0.6:
            parameters = draft.space.draw([chance.random() for _ in draft.space.parameters])
            errands.append(Errand(at, parameters=parameters))
        else:
            errands.append(Errand(at, more=chance.choice((-2, 0, 1, 3))))
    return tuple(sorted(errands, key=lambda errand: errand.at))
