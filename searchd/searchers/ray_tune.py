"""Ray Tune's searchers: a fresh one for each suggestion, to which the study's trials are played back.

Liaw et al., "Tune: A Research Platform for Distributed Model Selection and Training", 2018; ``ray.tune.search``.
"""

import inspect
import logging
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from ray.tune.search import SEARCH_ALG_IMPORT, Searcher
from ray.tune.search.sample import Categorical, Float

from searchd.domain.objective import Goal
from searchd.domain.trial import TrialNumber, TrialState
from searchd.searchers.chance import uniforms
from searchd.searchers.coordinates import Axis, Coordinate
from searchd.searchers.replayed import Told
from searchd.worker.randomness import seeded

_METRIC = "score"
_SEEDS = ("seed", "random_state_seed", "random_state")
"""What the vendors' constructors call a seed; those that take none draw from the global generators."""


class RayModel:
    """Plays trials back to a searcher of Ray Tune, then asks it.

    Each trial is given to it as a point to evaluate, which it answers with before it thinks of its own; then it is told
    how the point fared. So it learns from configurations that it did not propose, and a restart changes nothing. What
    cannot be played back is what a searcher knows beyond points and results: the order in which results came, and its
    generator's state, in place of which it is seeded anew. It may therefore propose what it proposed before; whoever
    asks takes no configuration twice.

    A trial that ended early is told with the mean of its last rung, as Ray Tune itself does: these searchers know
    no better. Optuna's does, so it is told the means of all rungs and no result, which it keeps as pruned. Trials that
    break a limit complete without a result, and unfinished ones do not complete. Parameters that are inactive have some
    value for the searcher, by chance, and for nobody else. Scores are always finite, so that none of Optuna's trials
    is left running by a NaN, and its studies, though all of one name, are each in a storage of their own.

    A searcher that has no suggestion now, or none any more, leaves it to chance: the budget ends a study.

    Args:
        name: One of ``RAY_SEARCHERS``.
        axes: What to search, by label; at least one.
        goal: Direction of the scores.
        trials: How many the study is going to start, at least 1.
    """

    def __init__(self, name: str, axes: Mapping[str, Axis], goal: Goal, trials: int) -> None:
        self._name = name
        self._axes = axes
        self._mode = "max" if goal is Goal.MAXIMIZE else "min"
        self._trials = trials

    def proposal(self, told: Sequence[Told], number: TrialNumber, seed: int) -> Mapping[str, Coordinate] | None:
        """What the searcher suggests next; None if it has no suggestion.

        Raises:
            RuntimeError: it does not take given points, so that trials cannot be played back to it.
        """
        # Those with a result first: some wait for the results of their first points before they go on.
        told = sorted(told, key=lambda of: not of.observation.scores)
        points = [self._point(of) for of in told]
        with seeded(seed):
            searcher = self._searcher(seed, [dict(point) for point in points])
            for of, point in zip(told, points, strict=True):
                self._played(searcher, of, point)
            return _suggested(searcher, number)

    def _searcher(self, seed: int, points: list[dict[str, Coordinate]]) -> Any:
        import_searcher: Any = SEARCH_ALG_IMPORT[self._name]
        made = import_searcher()
        options: dict[str, Any] = {name: seed for name in _SEEDS if name in inspect.signature(made).parameters}
        match self._name:
            case "ax":
                options = {"random_seed": seed, "verbose_logging": False}
            case "nevergrad":
                best = import_module("nevergrad").optimizers.NGOpt
                options = {"optimizer": best, "optimizer_kwargs": {"budget": self._trials}}
            case "optuna":
                logging.getLogger("optuna").setLevel(logging.WARNING)  # it reports each study that it is given
        space = {label: _domain(axis) for label, axis in self._axes.items()}
        searcher = made(metric=_METRIC, mode=self._mode, points_to_evaluate=points or None, **options)
        searcher.set_search_properties(_METRIC, self._mode, space)
        return searcher

    def _played(self, searcher: Any, of: Told, point: Mapping[str, Coordinate]) -> None:
        trial = str(of.observation.number)
        given = _suggested(searcher, of.observation.number)
        if given is None:
            return  # it takes no more unfinished trials
        if not all(math.isclose(given[label], value, abs_tol=1e-6) for label, value in point.items()):
            raise RuntimeError(f"ray:{self._name} does not take the points that it is given")
        if not of.observation.scores:
            return
        results: list[dict[str, Any]] = [
            {_METRIC: score, "training_iteration": rung, "hyperband_info": {"budget": rung}}
            for rung, score in enumerate(of.observation.scores, 1)
        ]
        if not of.observation.feasible:
            searcher.on_trial_complete(trial)
            return
        for result in results:
            searcher.on_trial_result(trial, result)
        pruned = self._name == "optuna" and of.observation.state is not TrialState.COMPLETED
        searcher.on_trial_complete(trial, None if pruned else results[-1])

    def _point(self, of: Told) -> Mapping[str, Coordinate]:
        """A coordinate for every axis."""
        chance = uniforms(0, of.observation.number, len(self._axes))
        return {
            label: of.coordinates.get(label, u if axis.options is None else int(u * axis.options))
            for (label, axis), u in zip(self._axes.items(), chance, strict=True)
        }


def _suggested(searcher: Any, number: TrialNumber) -> Mapping[str, Coordinate] | None:
    """A coordinate for every axis; None if it wants to wait for results, or has had enough."""
    answer: Any = searcher.suggest(str(number))
    return None if answer == Searcher.FINISHED else answer


def _domain(axis: Axis) -> Any:
    domain: Any = Float(0.0, 1.0) if axis.options is None else Categorical(list(range(axis.options)))
    return domain.uniform()
