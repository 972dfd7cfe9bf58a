"""The anytime curve of a study, from its trials and measurements, read page by page."""

import bisect
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from searchd.domain.insight import Curve, CurvePoint, dominated_volume
from searchd.domain.measurement import Measurement
from searchd.domain.objective import signed_values
from searchd.domain.study import Study, StudyName
from searchd.domain.trial import Trial, TrialNumber, objective_values
from searchd.ports.store import Store

POINTS = 100
"""Most points at which a curve improves."""

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Improvement:
    """A trial that no earlier one equalled or beat in every objective; ``signed`` values are larger when better."""

    at: datetime
    trial: TrialNumber
    values: tuple[float, ...]
    signed: tuple[float, ...]

    def spoils(self, other: "Improvement") -> bool:
        """Whether the other is no improvement, because this one was there first and is nowhere worse."""
        first = (self.at, self.trial) < (other.at, other.trial)
        return first and all(mine >= theirs for mine, theirs in zip(self.signed, other.signed, strict=True))


class _Work:
    """What was done up to each of some moments, and in all."""

    def __init__(self, moments: Sequence[datetime]) -> None:
        self._moments = moments
        self.epochs = [0] * (len(moments) + 1)
        self.seconds = [0.0] * (len(moments) + 1)
        self.last = moments[-1]

    def add(self, measurement: Measurement) -> None:
        """Count an epoch for every moment from its report on."""
        place = bisect.bisect_left(self._moments, measurement.at)
        self.epochs[place] += 1
        self.seconds[place] += measurement.seconds
        self.last = max(self.last, measurement.at)

    def upto(self, place: int) -> tuple[int, float]:
        """Epochs and their seconds up to a moment; the place after the last stands for all."""
        return sum(self.epochs[: place + 1]), sum(self.seconds[: place + 1])


def read_curve(store: Store, name: StudyName) -> Curve:
    """The curve as of now. Of each trial only its end is kept, of measurements nothing.

    Raises:
        StudyNotFound: there is no such study.
    """
    study = store.study(name)
    found: list[Improvement] = []
    ends = array("d")
    repeats: set[int] = set()
    for trial in _trials(store, name):
        if trial.origin.repeats:
            repeats.add(trial.number)
        elif trial.ended_at is not None:
            ends.append(trial.ended_at.timestamp())
            _consider(found, study, trial)
    if not found:
        return Curve(study, ())
    found.sort(key=lambda one: (one.at, one.trial))
    chosen = _chosen(len(found))
    work = _Work([found[place].at for place in chosen])
    for measurement in _measurements(store, name):
        if measurement.trial not in repeats:
            work.add(measurement)
    return Curve(study, tuple(_points(study, found, chosen, work, sorted(ends))))


def _points(
    study: Study, found: Sequence[Improvement], chosen: Sequence[int], work: _Work, ends: Sequence[float]
) -> Iterator[CurvePoint]:
    """A point for each chosen improvement, then one for where the study stands."""
    last = max(work.last, datetime.fromtimestamp(ends[-1], UTC))
    for index, at in enumerate([*(found[place].at for place in chosen), last]):
        if index < len(chosen):
            value = _value(study, found[: chosen[index] + 1])
        epochs, seconds = work.upto(index)
        yield CurvePoint(
            trial=found[chosen[min(index, len(chosen) - 1)]].trial,
            value=value,
            trials=bisect.bisect_right(ends, at.timestamp()),
            fold_epochs=epochs,
            train_seconds=seconds,
            wall_time=at - (study.started_at or study.created_at),
        )


def _consider(found: list[Improvement], study: Study, trial: Trial) -> None:
    """Take the trial in if it improved on all that ended before it, and drop what it shows to have been none."""
    if trial.ended_at is None or trial.rung < len(study.spec.ladder) or not trial.feasible:
        return
    values = objective_values(study.spec, trial)
    new = Improvement(trial.ended_at, trial.number, values, signed_values(study.spec.objectives, values))
    if not any(known.spoils(new) for known in found):
        found[:] = [known for known in found if not new.spoils(known)]
        found.append(new)


def _value(study: Study, found: Sequence[Improvement]) -> float | None:
    """What the last of the improvements brought it to."""
    if len(study.spec.objectives) == 1:
        return found[-1].values[0]
    return dominated_volume(study, [one.values for one in found])


def _chosen(count: int) -> list[int]:
    """Places of at most ``POINTS`` of so many, evenly, the first and the last among them."""
    if count <= POINTS:
        return list(range(count))
    return [round(place * (count - 1) / (POINTS - 1)) for place in range(POINTS)]


def _trials(store: Store, name: StudyName) -> Iterator[Trial]:
    page = store.trials(name, None, 0, PAGE)
    while page:
        yield from page
        page = store.trials(name, None, page[-1].number, PAGE)


def _measurements(store: Store, name: StudyName) -> Iterator[Measurement]:
    page = store.measurements(name, None, None, PAGE)
    while page:
        yield from page
        last = page[-1]
        page = store.measurements(name, None, (last.trial, last.repeat, last.fold, last.epoch), PAGE)
