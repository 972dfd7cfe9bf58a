"""Leaderboards and the best configuration."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from searchd.domain.errors import NoCompleteTrial
from searchd.domain.evaluation import Score
from searchd.domain.leaderboard import (
    BestConfig,
    Entry,
    Leaderboard,
    PairedDifference,
    edge_remarks,
    leaderboard,
    paired_difference,
    rung_scores,
    with_metrics,
)
from searchd.domain.study import Study, StudyName
from searchd.domain.trial import Origin, Trial, TrialNumber
from searchd.ports.store import Store

COMPARED = 100
"""Trials looked at for ties with the best."""

MEASUREMENTS = 10_000


class Leaderboards:
    """Use cases of rankings."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def leaderboard(self, study: StudyName, top: int) -> Leaderboard:
        """The best ``top`` trials: those at the top rung first, then partial ones.

        Raises:
            StudyNotFound: there is no such study.
        """
        return await asyncio.to_thread(self._leaderboard, study, top)

    async def best(self, study: StudyName) -> BestConfig:
        """The best configuration at the top rung, with how sure it is.

        Raises:
            StudyNotFound: there is no such study.
            NoCompleteTrial: no trial has completed the top rung yet.
        """
        return await asyncio.to_thread(self._best, study)

    def _leaderboard(self, name: StudyName, top: int) -> Leaderboard:
        study = self._store.study(name)
        board = leaderboard(study, self._store.ranked(name, top))
        return replace(board, entries=tuple(self._measured(study, entry) for entry in board.entries))

    def _best(self, name: StudyName) -> BestConfig:
        study = self._store.study(name)
        ranked = self._winner_first(study, self._store.ranked(name, COMPARED))
        entries = [entry for entry in leaderboard(study, ranked).entries if entry.rank]
        if not entries:
            raise NoCompleteTrial(name)
        best = self._measured(study, entries[0])
        default = self._default(study, entries)
        return BestConfig(
            study=study,
            best=best,
            parameters={**study.spec.fixed, **best.trial.parameters},
            default=default,
            gain=None if default is None or default.trial.number == best.trial.number else _gain(study, best, default),
            tied=tuple(entry.trial.number for entry in entries[1:] if entry.tied),
            remarks=self._remarks(study, best),
        )

    def _winner_first(self, study: Study, ranked: Sequence[Trial]) -> list[Trial]:
        """The trials with the one that was confirmed best before the others."""
        winners = [c.trial for c in study.progress.confirmed[:1] if c.mean is not None]
        chosen = [self._store.trial(study.name, TrialNumber(number)) for number in winners]
        return [*chosen, *(trial for trial in ranked if trial.number not in winners)]

    def _default(self, study: Study, entries: list[Entry]) -> Entry | None:
        if study.progress.default_score is None:
            return None
        for entry in entries:
            if entry.trial.origin is Origin.DEFAULT:
                return entry
        trial = self._store.trial(study.name, TrialNumber(1))
        return replace(leaderboard(study, [trial]).entries[0], rank=0)

    def _measured(self, study: Study, entry: Entry) -> Entry:
        measurements = self._store.measurements(study.name, entry.trial.number, None, MEASUREMENTS)
        return with_metrics(entry, measurements, entry.rung.folds)

    @staticmethod
    def _remarks(study: Study, best: Entry) -> tuple[str, ...]:
        remarks = edge_remarks(study.spec.space, best.trial.parameters)
        if not best.trial.feasible:
            remarks = ("no trial keeps all limits", *remarks)
        if study.spec.evaluation.score is Score.BEST:
            remarks += ("scores are each fold's best epoch, which is optimistic",)
        return remarks


def _gain(study: Study, best: Entry, default: Entry) -> PairedDifference | None:
    mine, theirs = _scores(best.trial, best), _scores(default.trial, default)
    return paired_difference(mine, theirs, study.spec.evaluation.folds, study.spec.objective.goal)


def _scores(trial: Trial, entry: Entry) -> tuple[float, ...]:
    return rung_scores(trial, entry.rung) or ()
