"""Whether a trial comes out the same when it is trained again."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from searchd.client.again import Again, Here, again
from searchd.client.handle import StudyHandle
from searchd.domain.errors import SearchdError
from searchd.domain.leaderboard import corrected_standard_error
from searchd.domain.trial import Origin

ROUNDING = 1e-6
"""Scores that differ by no more, relatively, may have been added up in another order."""


class Verdict(StrEnum):
    """How the scores compare."""

    SAME = "same"
    """Bit for bit."""
    WITHIN_NOISE = "within noise"
    """Their means differ by no more than the standard error of the stored one."""
    DIFFERENT = "different"


class NotReproducible(SearchdError):  # noqa: N818  # named for what went wrong
    """A trial cannot be trained again as it was; ``reason`` says why."""

    def __init__(self, trial: int, reason: str) -> None:
        super().__init__(trial, reason)
        self.trial = trial
        self.reason = reason

    def __str__(self) -> str:
        return f"trial {self.trial} cannot be reproduced: {self.reason}"


@dataclass(frozen=True, slots=True)
class Repeated:
    """A fold run, trained again.

    Attributes:
        repeat: From 0.
        fold: In the repeat, from 0; -1 for a test.
        epoch: The epoch that is compared: the last that it was trained to.
        stored: The metric then, as it was reported.
        found: The metric now.
        attempts: How often it was handed out.
    """

    repeat: int
    fold: int
    epoch: int
    stored: float
    found: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A trial, trained again.

    Attributes:
        study: Name of its study.
        trial: Its number.
        metric: What is compared.
        fold_runs: Each of its fold runs, at least one.
        noise: Corrected standard error of the stored mean; None with fewer than 2 folds.
        explanations: What is not as it was, one sentence each.
    """

    study: str
    trial: int
    metric: str
    fold_runs: tuple[Repeated, ...]
    noise: float | None
    explanations: tuple[str, ...]

    @property
    def stored(self) -> float:
        """The mean of the stored scores."""
        return statistics.fmean(run.stored for run in self.fold_runs)

    @property
    def found(self) -> float:
        """The mean of those that were found."""
        return statistics.fmean(run.found for run in self.fold_runs)

    @property
    def verdict(self) -> Verdict:
        """How they compare."""
        if all(_same(run.stored, run.found) for run in self.fold_runs):
            return Verdict.SAME
        if all(math.isclose(run.stored, run.found, rel_tol=ROUNDING) for run in self.fold_runs):
            return Verdict.WITHIN_NOISE
        near = self.noise is not None and abs(self.found - self.stored) <= self.noise
        return Verdict.WITHIN_NOISE if near else Verdict.DIFFERENT

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; what is no number is null."""
        runs = [
            {
                "repeat": run.repeat,
                "fold": run.fold,
                "epoch": run.epoch,
                "stored": _plain(run.stored),
                "found": _plain(run.found),
                "attempts": run.attempts,
            }
            for run in self.fold_runs
        ]
        return {
            "study": self.study,
            "trial": self.trial,
            "metric": self.metric,
            "verdict": self.verdict.value,
            "stored": _plain(self.stored),
            "found": _plain(self.found),
            "noise": self.noise,
            "fold_runs": runs,
            "explanations": list(self.explanations),
        }


def reproduce(
    handle: StudyHandle, number: int, here: Here, told: Callable[[Repeated], None] = lambda _: None
) -> Reproduction:
    """Train a trial again, each fold run to the epoch that it had reached, and compare the scores then.

    Args:
        handle: The study.
        number: Of the trial.
        here: Where what it needs is on this machine.
        told: Called with each fold run, when it is through.

    Raises:
        NotReproducible: it went on from another trial's checkpoint, or nothing is stored of it.
        RetrainingFailed: a fold run does not get to its end.
        SearchdError: as ``searchd.client.again.again``, but for DataChanged: other data is an explanation.
    """
    trial = handle.trial(number)
    if trial.origin is Origin.DESCENT:
        raise NotReproducible(number, "it went on from the checkpoint of another trial, which is gone")
    stored = {(m.repeat, m.fold, m.epoch): m.metrics for m in handle.measurements(number)}
    newest = {place[:2]: place[2] for place in sorted(stored)}
    if not newest:
        raise NotReproducible(number, "no fold run of it has reported anything")
    attempts = {(run.repeat, run.fold): run.attempt for run in trial.fold_runs}
    with again(handle, number, here, same_data=False) as ready:
        metric, runs = ready.study.metric, []
        for (repeat, fold), epoch in newest.items():
            reports = ready.scores(repeat, fold, epoch)
            then = stored[repeat, fold, epoch].get(metric, math.nan)
            now = reports[-1].metrics[metric] if reports[-1].epoch == epoch else math.nan
            runs.append(Repeated(repeat, fold, epoch, then, now, attempts.get((repeat, fold), 1)))
            told(runs[-1])
        evaluation = ready.spec.evaluation
        folds = evaluation.folds or 1 / evaluation.holdout
        noise = corrected_standard_error([run.stored for run in runs], folds)
        explanations = tuple(_explanations(ready, runs))
    return Reproduction(handle.name, number, metric, tuple(runs), noise, explanations)


def _explanations(ready: Again, runs: list[Repeated]) -> list[str]:
    study, found = ready.study, []
    if ready.code != study.code:
        found.append(f"the trainable's code is {ready.code} here, and was {study.code} when the study was created")
    if ready.task.data != study.data:
        found.append(f"the data is {ready.task.data} here, and was {study.data} when the study was created")
    if ready.spec.resources.gpus and ready.device == "cpu":
        found.append("the study trained on GPUs, and this was trained on a CPU")
    elif ready.device == "cuda":
        found.append("on a GPU some operations differ from run to run in the last digits")
    again_ = sum(run.attempts > 1 for run in runs)
    if again_:
        found.append(f"{again_} of its fold runs {'was' if again_ == 1 else 'were'} handed out more than once")
    return found


def _same(stored: float, found: float) -> bool:
    return stored == found or (math.isnan(stored) and math.isnan(found))


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
