"""What must be so of the figures of a study: scores are those of measurements, counts those of the log."""

import math
import statistics
from collections import Counter
from collections.abc import Iterator

from searchd.domain.evaluation import Score
from searchd.domain.trial import FoldRun, FoldRunKey, Origin, Trial
from tests.simulation.known import Known
from tests.simulation.rules import Breach


def completed(known: Known, trial: Trial) -> Iterator[Breach]:
    """Every fold run has a score at the top rung, and each score is that of a measurement in the log."""
    spec = known.study.spec
    top = spec.ladder[-1]
    folds = {Origin.CONFIRMATION: spec.evaluation.confirming.folds, Origin.TEST: 1}.get(trial.origin, top.folds)
    label = f"{trial.study} trial {trial.number}"
    scores: list[float] = []
    for run in trial.fold_runs:
        yield from _scored(known, trial, run)
        last = run.score_at(top.epochs)
        if last is not None:
            scores.append(last)
    if len(scores) != folds:
        yield "a complete trial has the scores of all its folds", label
    mean = statistics.fmean(scores) if scores else math.nan
    if not trial.scores or trial.scores[-1] != mean:
        yield "a trial's score is its folds' mean", label


def _scored(known: Known, trial: Trial, run: FoldRun) -> Iterator[Breach]:
    spec = known.study.spec
    inherited = [score for epoch, score in run.scores if epoch <= trial.of_epoch]
    key = FoldRunKey(trial.study, trial.number, run.repeat, run.fold)
    found = [
        (m.epoch, m.metrics[spec.objective.metric])
        for m in known.measurements
        if (m.trial, m.repeat, m.fold) == (trial.number, run.repeat, run.fold) and spec.objective.metric in m.metrics
    ]
    for epoch, score in run.scores[len(inherited) :]:
        if spec.evaluation.score is Score.LAST:
            ok = (epoch, score) in found
        else:
            ok = score in [*inherited, *(value for at, value in found if at <= epoch)]
        if not ok:
            yield "scores are those of measurements in the log", (key, epoch, score)


def recounted(known: Known) -> Iterator[Breach]:
    """The counts that go with a batch are those of the log at its end."""
    name, progress = known.study.name, known.progress
    counts = Counter(trial.state for trial in known.trials.values())
    if dict(progress.trials) != dict(counts):
        yield "counts equal a recount (trials)", (name, progress, counts)
    rungs = [sum(t.rung > rung for t in known.searched()) for rung in range(len(known.study.spec.ladder))]
    if list(progress.rungs) != rungs:
        yield "counts equal a recount (rungs)", (name, progress.rungs, rungs)
    if progress.since_best != known.since_best:
        yield "counts equal a recount (since best)", (name, progress, known.since_best)
    epochs = len(known.measurements)
    if progress.epochs != epochs:
        yield "counts equal a recount (epochs)", (name, progress.epochs, epochs)
