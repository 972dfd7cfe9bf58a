"""Hyperopt's two algorithms: tree-structured Parzen estimators and annealing.

Bergstra, Bardenet, Bengio and Kegl, "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; Bergstra, Yamins and
Cox, "Making a Science of Model Search", ICML 2013.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from hyperopt import anneal, hp, tpe
from hyperopt.base import JOB_STATE_DONE, JOB_STATE_NEW, STATUS_NEW, STATUS_OK, Domain, trials_from_docs

from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm
from searchd.domain.trial import TrialNumber
from searchd.searchers.coordinates import Axis, Coordinate
from searchd.searchers.replayed import Told

STARTUP_TRIALS = 20
"""Trials with a result before TPE is asked, as hyperopt has it; until then chance proposes."""


class HyperoptModel:
    """Writes hyperopt's documents of the trials, and asks one of its algorithms.

    Of losses both use nothing but the order. So they are given ranks: first trials that keep the limits, then by
    completed rungs, then by mean; in that order a trial that was stopped or paused early stands among the others where
    it belongs. A conditional parameter has no value in the document of a trial without it, and is learnt from the
    others. To TPE unfinished trials are bad ones, which keeps suggestions apart; annealing, which would start from
    them, is shown results alone.

    Args:
        algorithm: ``Algorithm.HYPEROPT_TPE`` or ``Algorithm.HYPEROPT_ANNEAL``.
        axes: What to search, by label; at least one.
        goal: Direction of the scores.
    """

    def __init__(self, algorithm: Algorithm, axes: Mapping[str, Axis], goal: Goal) -> None:
        self._anneals = algorithm is Algorithm.HYPEROPT_ANNEAL
        self._axes = axes
        self._goal = goal

    def proposal(self, told: Sequence[Told], number: TrialNumber, seed: int) -> Mapping[str, Coordinate] | None:
        """What the algorithm samples next; None before there are enough results (TPE 20, annealing 1)."""
        losses = self._ranks(told)
        if len(losses) < (1 if self._anneals else STARTUP_TRIALS):
            return None
        shown = [of for of in told if of.observation.number in losses or not self._anneals]
        documents = trials_from_docs([self._document(of, losses) for of in shown], validate=False)
        if self._anneals:
            (answer,) = anneal.suggest([number], self._domain, documents, seed)
        else:
            (answer,) = tpe.suggest([number], self._domain, documents, seed, n_startup_jobs=0, verbose=False)
        return {label: values[0] for label, values in answer["misc"]["vals"].items()}

    @cached_property
    def _domain(self) -> Domain:
        space = {
            label: hp.uniform(label, 0, 1) if axis.options is None else hp.randint(label, axis.options)
            for label, axis in self._axes.items()
        }
        return Domain(lambda configuration: configuration, space)

    def _ranks(self, told: Sequence[Told]) -> Mapping[TrialNumber, int]:
        """The ranks of the trials that have a result, from 0, which is the best."""
        results = [of.observation for of in told if of.observation.scores]
        results.sort(key=lambda o: (not o.feasible, -len(o.scores), -self._goal.signed(o.scores[-1]), o.number))
        return {result.number: rank for rank, result in enumerate(results)}

    def _document(self, of: Told, losses: Mapping[TrialNumber, int]) -> dict[str, Any]:
        number = of.observation.number
        loss = losses.get(number)
        values = {label: [of.coordinates[label]] if label in of.coordinates else [] for label in self._axes}
        return {
            "tid": number,
            "state": JOB_STATE_NEW if loss is None else JOB_STATE_DONE,
            "result": {"status": STATUS_NEW} if loss is None else {"status": STATUS_OK, "loss": float(loss)},
            "misc": {
                "tid": number,
                "idxs": {label: [number] * len(value) for label, value in values.items()},
                "vals": values,
            },
            "spec": None,
            "exp_key": None,
        }
