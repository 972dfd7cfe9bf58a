"""The cluster of a world: workers that train and sicken, and the wire between them and a server."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

from searchd.engines.simulated import Behaviour, Epoch, SimulatedCluster, SimulatedEngine
from searchd.ports.engine import (
    CapacityChanged,
    EngineCommand,
    EngineEvent,
    Forget,
    RunSegments,
    Segment,
    StartWorker,
)
from tests.simulation.plan import AILMENTS, Fault, StudyPlan
from tests.simulation.stage import Stage

WORKER_START = timedelta(seconds=0.5)

A_YEAR = timedelta(days=365)


class WorldCluster(SimulatedCluster):
    """A simulated cluster whose agenda is the event loop's; ``plans`` are the studies', by their seeds."""

    def __init__(self, stage: Stage, plans: Mapping[int, StudyPlan]) -> None:
        super().__init__(stage.clock, stage.plan.nodes, behaviour(stage, plans), WORKER_START)
        self._events = stage.events

    def plan(self, delay: timedelta, action: Callable[[], None]) -> None:
        """Have something happen after a delay, whatever becomes of the server that caused it."""
        self._events.call_later(delay.total_seconds(), action, context=self._events.outside)


class WorldEngine(SimulatedEngine):
    """A server's hold on the cluster: commands leave through a mailbox that dies with the server, and travel on; events
    arrive in order per worker, some of them late and some once more."""

    def __init__(self, cluster: SimulatedCluster, post: Callable[[EngineEvent], None], stage: Stage, name: str) -> None:
        super().__init__(cluster, self._carry)
        self._post = post
        self._stage = stage
        self._chance = stage.chance(f"engine of {name}")
        self._epoch = 0
        self._adopting = False
        self._arrived: dict[str, float] = {}
        self._posted = 0.0
        self._sent = 0.0

    def start(self, epoch: int) -> None:
        """Attach; what is heard meanwhile is heard at once."""
        self._epoch = epoch
        self._adopting = True
        try:
            super().start(epoch)
        finally:
            self._adopting = False

    def perform(self, commands: Sequence[EngineCommand]) -> None:
        """Put commands into the mailbox."""
        self._posted = max(self._posted, self._stage.events.time() + self._chance.choice((0.0, 0.0, 0.001, 0.01)))
        self._stage.events.call_at(self._posted, self._send, commands, self._epoch)

    def _send(self, commands: Sequence[EngineCommand], epoch: int) -> None:
        for command in commands:
            if isinstance(command, RunSegments):
                for segment in command.segments:
                    self._stage.note(f"{command.worker} gets {segment.key} #{segment.attempt}")
                    self._stage.model.handed(command.worker, segment)
        events = self._stage.events
        self._sent = max(self._sent, events.time() + self._chance.choice((0.0, 0.001, 0.01)))
        events.call_at(self._sent, self._arrive, commands, epoch, context=events.outside)

    def _arrive(self, commands: Sequence[EngineCommand], epoch: int) -> None:
        """Workers that have been adopted since refuse what was sent before."""
        late = epoch != self._epoch
        super().perform([c for c in commands if not late or isinstance(c, Forget | StartWorker)])

    def _carry(self, event: EngineEvent) -> None:
        if self._adopting:
            self._post(event)
            return
        events = self._stage.events
        sender = "" if isinstance(event, CapacityChanged) else event.worker
        delay = self._chance.choice((0.0, 0.001, 0.005))
        if self._stage.may(Fault.EVENT_DELAYED) and self._chance.random() < 0.03:
            self._stage.fired(Fault.EVENT_DELAYED, type(event).__name__)
            delay = self._chance.uniform(0.1, 4.0)
        at = self._arrived[sender] = max(self._arrived.get(sender, 0.0), events.time() + delay)
        events.call_at(at, self._post, event, context=events.outside)
        if sender and self._stage.may(Fault.EVENT_REPEATED) and self._chance.random() < 0.05:
            later = at + self._chance.choice((0.0, 0.01, 0.5, 5.0))
            events.call_at(later, self._repeat, event, context=events.outside)

    def _repeat(self, event: EngineEvent) -> None:
        """Have an event arrive once more."""
        self._stage.fired(Fault.EVENT_REPEATED, type(event).__name__)
        self._post(event)


def score(parameters: Mapping[str, object], fold: int, repeat: int, epoch: int) -> float:
    """What a fold run reports after an epoch: better near x = 0.3, rising, with noise that its place decides."""
    x = parameters["x"]
    assert isinstance(x, float | int)
    noise = random.Random(f"{x} {fold} {repeat}").gauss(0, 0.05)
    return round(noise - (x - 0.3) ** 2 + 0.02 * epoch, 6)


def loss(parameters: Mapping[str, object], epoch: int) -> float:
    """The other metric: smaller near x = 0, where the score is not best, and falling."""
    x = parameters["x"]
    assert isinstance(x, float | int)
    return round(0.45 + 0.3 * x - 0.02 * epoch, 6)


def behaviour(stage: Stage, plans: Mapping[int, StudyPlan]) -> Behaviour:
    """How trainables train, by the seeds of their studies: each attempt may have one of the ailments there are."""
    ailments = sorted(stage.plan.kinds & AILMENTS.keys())

    def behave(segment: Segment, epoch: int) -> Iterator[Epoch]:
        seed, plan = segment.task.seed, plans[segment.task.seed]
        chance = random.Random(f"{seed} {segment.trial} {segment.repeat} {segment.fold} {segment.attempt}")
        ails = chance.choice(ailments) if ailments and chance.random() < plan.ailing else None
        breaks_at = epoch + chance.randint(1, 2)
        of_run = random.Random(f"{seed} {segment.trial} {segment.repeat} {segment.fold}")
        begun_at = segment.donor.epoch if segment.donor is not None else 0
        early = of_run.random() < plan.returns_early
        returns_at = begun_at + 1 if early else segment.task.evaluation.epochs
        for number in range(epoch + 1, returns_at + 1):
            seconds = timedelta(seconds=plan.epoch_seconds * chance.uniform(0.5, 1.5))
            accuracy = score(segment.parameters, segment.fold, segment.repeat, number)
            metrics = {"accuracy": accuracy, "loss": loss(segment.parameters, number)}
            if ails is not None and number == breaks_at:
                stage.fired(ails, str(segment.key))
                stage.model.ailed(segment, AILMENTS[ails])
                if ails is Fault.USER_ERROR:
                    raise ValueError("the numbers do not add up")
                if ails is Fault.HANG:
                    seconds = A_YEAR
                elif ails is Fault.METRIC_MISSING:
                    del metrics["accuracy"]
                else:
                    metrics["accuracy"] = float("nan")
            stage.model.trained(segment, number, metrics)
            yield Epoch(metrics, seconds)

    return behave
