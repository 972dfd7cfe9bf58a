"""The store as the world sees it: the memory store, with what disks do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from searchd.domain.errors import StoreFull, StoreUnavailable
from searchd.domain.facts import (
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
)
from searchd.ports.store import Lease
from searchd.stores.memory import MemoryStore
from tests.simulation.plan import Fault
from tests.simulation.stage import Stage


@dataclass(slots=True)
class Mood:
    """What ails the disk, for all who have it open: commits to come that fail in a way, and lasting conditions."""

    refuse: int = 0
    unsure: int = 0
    stuck: list[float] = field(default_factory=list)
    full: bool = False
    gone: bool = False


class Disk(MemoryStore):
    """A store with moods, whose writes the model sees at the instant at which it is durable."""

    def __init__(self, stage: Stage) -> None:
        super().__init__("0" * 32)
        self.mood = Mood()
        self._stage = stage

    def begin_epoch(self, holder: str = "", address: str = "", seen: Lease | None = None) -> int:
        """Refuse while the disk is full, as a write."""
        self._check_room()
        epoch = super().begin_epoch(holder, address, seen)
        self._stage.note(f"epoch {epoch} begins, {holder}")
        self._stage.model.epoch_begun(epoch)
        return epoch

    def beat(self) -> None:
        """Refuse while the disk is full, as a write."""
        self._check_room()
        super().beat()

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:
        """Write as well as the mood allows."""
        self._check_room()
        if self.mood.refuse:
            self.mood.refuse -= 1
            self._stage.fired(Fault.COMMIT_REFUSED)
            raise StoreUnavailable("an input or output error")
        revision = super().commit(facts, at)
        self._stage.model.committed(self._epoch, facts, revision)
        if self._stage.traced:
            for fact in facts:
                self._stage.note(f"{self._epoch} | {brief(fact)}")
        if self.mood.stuck:
            self._stage.fired(Fault.COMMIT_STUCK)
            self._stage.events.dawdle(self.mood.stuck.pop())
        if self.mood.unsure:
            self.mood.unsure -= 1
            self._stage.fired(Fault.COMMIT_UNSURE)
            raise StoreUnavailable("the connection broke, and it is not known whether the write was done")
        return revision

    def _check_open(self) -> None:
        super()._check_open()
        if self.mood.gone:
            self._stage.fired(Fault.STORE_GONE)
            raise StoreUnavailable("it cannot be reached")

    def _check_room(self) -> None:
        if self.mood.full:
            self._stage.fired(Fault.STORE_FULL)
            raise StoreFull("no space left on its device")


def brief(fact: Fact) -> str:
    """A fact on one line, for traces."""
    match fact:
        case TrialPut(trial):
            runs = " ".join(
                f"{r.repeat}.{r.fold}:{r.state.value}@{r.epoch}>{r.target}#{r.attempt}" for r in trial.fold_runs
            )
            return f"{trial.study} trial {trial.number} {trial.state.value} [{runs}] {trial.scores} {trial.reason}"
        case MeasurementAdded(name, m):
            return f"{name} trial {m.trial} {m.repeat}.{m.fold} epoch {m.epoch}#{m.attempt} {dict(m.metrics)}"
        case StudyPut(study):
            return f"{study.name} {study.state.value} {study.reason}"
        case ProgressPut(name, progress):
            return f"{name} {dict(progress.trials)} busy {progress.busy} epochs {progress.epochs}"
        case RequestAnswered(request_id):
            return f"answered {request_id!r}"
        case StudyDeleted(name):
            return f"{name} deleted"
        case _:
            assert_never(fact)
