"""What a study tells beyond its ranking: the Pareto front, which parameters matter, the anytime curve."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from searchd.domain.errors import ImportanceUnknown, InvalidArgument, Overloaded
from searchd.domain.fidelity import Fidelity
from searchd.domain.insight import (
    Curve,
    Importance,
    ParetoFront,
    ParetoTrial,
    Sample,
    dominated_volume,
    front_of,
    worth_at,
)
from searchd.domain.objective import Objective
from searchd.domain.study import Study, StudyName
from searchd.domain.trial import Trial, TrialNumber
from searchd.ports.importance import Importances
from searchd.ports.store import Store
from searchd.service.curve import read_curve

FEWEST = 10
"""Trials that must have completed a rung before importance is asked there."""

SAMPLES = 2000
"""Trials that importance is evaluated over at most."""

BEST_TRIALS = 5
"""Trials that must be among the best for a distribution of them; otherwise the best tenth is looked at."""

QUESTIONS = 4
"""Questions of importance that may wait while one is answered."""

PAGE = 500


@dataclass(frozen=True, slots=True)
class _Question:
    study: Study
    metric: str
    rung: Fidelity
    samples: list[Sample]
    best_share: float


class Insight:
    """Use cases of understanding a study. Reads come from the store; nothing here waits for the loop."""

    def __init__(self, store: Store, importances: Importances) -> None:
        self._store = store
        self._importances = importances
        self._one = asyncio.Semaphore(1)
        self._open = 0

    async def front(self, study: StudyName, after: int, limit: int) -> ParetoFront:
        """Up to ``limit`` trials of the Pareto front with numbers above ``after``; with one objective the best alone.

        Raises:
            StudyNotFound: there is no such study.
        """
        return await asyncio.to_thread(self._front, study, after, limit)

    async def curve(self, study: StudyName) -> Curve:
        """How good the best was after how much work.

        Raises:
            StudyNotFound: there is no such study.
        """
        return await asyncio.to_thread(read_curve, self._store, study)

    async def importance(self, study: StudyName, metric: str) -> Importance:
        """How much each parameter matters for one of the study's objectives; empty for the one that rankings go by.

        Raises:
            StudyNotFound: there is no such study.
            InvalidArgument: the metric is none of its objectives.
            ImportanceUnknown: its space or its trials do not tell.
            Overloaded: too many ask at once.
        """
        if self._open > QUESTIONS:
            raise Overloaded("the list of questions for importance", QUESTIONS)
        self._open += 1
        try:
            async with self._one:
                question = await asyncio.to_thread(self._question, study, metric)
                return await self._answered(question)
        finally:
            self._open -= 1

    async def _answered(self, question: _Question) -> Importance:
        space = question.study.spec.space
        try:
            found = await self._importances.shares(space, question.samples, question.best_share)
        except TimeoutError:
            raise ImportanceUnknown(question.study.name, "working it out took too long") from None
        total = math.fsum(found.values())
        shares = [(name, share / total if total else 0.0) for name, share in found.items()]
        return Importance(
            metric=question.metric,
            evaluator=self._importances.evaluator,
            rung=question.rung,
            trials=len(question.samples),
            best_share=question.best_share,
            shares=tuple(sorted(shares, key=lambda share: -share[1])),
        )

    def _front(self, name: StudyName, after: int, limit: int) -> ParetoFront:
        study = self._store.study(name)
        points = front_of(study)
        page = [point for point in points if point.trial > after][:limit]
        trials = tuple(ParetoTrial(self._store.trial(name, TrialNumber(p.trial)), p.values) for p in page)
        volume = dominated_volume(study, [point.values for point in points]) if points else None
        return ParetoFront(study, trials, volume)

    def _question(self, name: StudyName, metric: str) -> _Question:
        study = self._store.study(name)
        objective = _objective(study, metric)
        _check_space(study)
        rungs: list[list[Sample]] = [[] for _ in study.spec.ladder]
        strides = [1] * len(rungs)
        seen = [0] * len(rungs)
        after = 0
        while page := self._store.trials(name, None, after, PAGE):
            after = page[-1].number
            for rung, trial, worth in _completions(study, objective, page):
                if seen[rung] % strides[rung] == 0:
                    rungs[rung].append(Sample(trial.parameters, worth))
                seen[rung] += 1
                if len(rungs[rung]) > SAMPLES:
                    rungs[rung], strides[rung] = rungs[rung][::2], 2 * strides[rung]
        enough = [rung for rung, samples in enumerate(rungs) if len(samples) >= FEWEST]
        if not enough:
            reason = f"{len(rungs[0])} trials have completed a rung, and it takes {FEWEST}; wait, or extend the study"
            raise ImportanceUnknown(name, reason)
        samples = rungs[enough[-1]]
        if len({sample.worth for sample in samples}) == 1:
            raise ImportanceUnknown(name, f"all {len(samples)} trials scored the same; widen the space")
        best_share = max(0.1, BEST_TRIALS / len(samples))
        return _Question(study, objective.metric, study.spec.ladder[enough[-1]], samples, best_share)


def _completions(study: Study, objective: Objective, trials: Sequence[Trial]) -> Iterator[tuple[int, Trial, float]]:
    """Each rung that each trial has completed, and how good it was there."""
    for trial in trials:
        for rung in range(0 if trial.origin.repeats else trial.rung):
            worth = worth_at(study.spec, trial, objective.metric, rung)
            if worth is not None:
                yield rung, trial, worth


def _objective(study: Study, metric: str) -> Objective:
    spec = study.spec
    if not metric:
        return spec.objective
    found = next((objective for objective in spec.objectives if objective.metric == metric), None)
    if found is None:
        known = " or ".join(objective.metric for objective in spec.objectives)
        raise InvalidArgument("metric", f"{metric!r} is no objective of {study.name}", f"use {known}, or leave it out")
    return found


def _check_space(study: Study) -> None:
    space = study.spec.space
    if not space.parameters:
        raise ImportanceUnknown(study.name, "it searches no parameter")
    conditional = [parameter.name for parameter in space.parameters if parameter.when]
    if conditional:
        names = ", ".join(conditional)
        reason = f"the space has parameters under conditions, {names}; fix what they depend on"
        raise ImportanceUnknown(study.name, reason)
