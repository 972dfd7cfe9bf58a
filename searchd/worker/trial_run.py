"""Tries a trainable in this very process, with nothing in between, so that a debugger works."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from searchd.domain.space import Parameters
from searchd.domain.trial import TrialNumber
from searchd.ports.engine import Segment, Task
from searchd.trainable import set_current
from searchd.worker.files import Storage
from searchd.worker.forms import start
from searchd.worker.host import FoldRunHost, Loads, Surroundings
from searchd.worker.loading import load_trainable
from searchd.worker.metrics import MissingMetric, checked_metrics
from searchd.worker.provider import DatasetProvider
from searchd.worker.randomness import seed_everything


@dataclass(frozen=True, slots=True)
class Tried:
    """What the first epoch of the first fold gave, and the seconds that it took, set-up included."""

    metrics: Mapping[str, float]
    seconds: float


def try_once(
    task: Task,
    parameters: Parameters,
    *,
    datasets: DatasetProvider,
    modules: Sequence[str],
    installed: bool,
    storage: Path,
    device: str,
) -> Tried:
    """Train one epoch of trial 1 on fold 0.

    Args:
        task: The study's task.
        parameters: The configuration, without the task's fixed parameters.
        datasets: Where data comes from.
        modules: Modules that register trainables.
        installed: Whether to look among the installed entry points too.
        storage: Root for artifacts; no log and no checkpoint is written.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        RefusedReport: it reported something that is refused, or (MissingMetric) returned without a report.
        Exception: whatever the trainable raises, with its own traceback.
    """
    registration = load_trainable(task.trainable, modules, installed)
    segment = Segment(task, TrialNumber(1), parameters, repeat=0, fold=0, attempt=1, target=1)
    host = FoldRunHost(segment, Surroundings(datasets, Storage(storage.absolute()), device, Loads()), None)
    context = host.context()
    seed_everything(context.seed, device)
    set_current(context)
    began = time.perf_counter()
    try:
        running = start(registration, context, host, None, segment)
        try:
            reported = running.step()
            if reported is None:
                raise MissingMetric("the trainable never reported: it returned before its first yield")
            metrics = checked_metrics(reported, task.metrics, 1)
            return Tried(metrics, time.perf_counter() - began)
        finally:
            running.close()
    finally:
        set_current(None)
