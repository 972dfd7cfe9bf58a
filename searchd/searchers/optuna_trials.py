"""Our trials as Optuna's samplers see them."""

import heapq
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation
from searchd.searchers.optuna_axes import Axes
from searchd.searchers.standing import Standing, Standings

STUDY = "study"
"""The name of the one study in the storage."""


class Partial(StrEnum):
    """How trials that completed lower rungs only are shown.

    PRUNED at their last rung, which ranks them below the complete ones by rung and score; LACKING shows them as
    complete ones that break a limit by the number of rungs that they lack; HIDDEN not at all, unless they run.
    """

    PRUNED = "pruned"
    LACKING = "lacking"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class View:
    """What a sampler is shown.

    Attributes:
        partial: How trials appear that completed lower rungs only.
        filling: Gives the quantiles of a trial's inactive parameters, for samplers that need every parameter; None
            leaves them out.
        best: With more results than ``best + recent``, this many of the best are shown, as many by each objective,
        recent: and this many of the others, the latest. None for all.
    """

    partial: Partial
    filling: Callable[[TrialNumber], Sequence[float]] | None = None
    best: int = 0
    recent: int | None = None


class ShownTrials(InMemoryStorage):
    """A storage whose trials are ours: samplers read them here, and nothing that samplers write is kept.

    All objectives are shown as ones to be minimised. Trials that completed are shown as complete, those without a
    result as running, those that completed lower rungs only as the view says. Failed, infeasible and cancelled trials
    and configurations outside the space are not shown.
    """

    def __init__(self, spec: StudySpec, axes: Axes, view: View) -> None:
        super().__init__()
        self.create_new_study([StudyDirection.MINIMIZE] * len(spec.objectives), STUDY)
        self._objectives = len(spec.objectives)
        self._axes = axes
        self._view = view
        self._standings = Standings(spec)
        self._trials: dict[TrialNumber, FrozenTrial] = {}
        self._orders: dict[TrialNumber, list[tuple[float, int, float]]] = {}
        self._listed: list[FrozenTrial] | None = None

    @property
    def results(self) -> int:
        """Trials with a result that are shown."""
        return len(self._orders)

    @property
    def with_results(self) -> Collection[TrialNumber]:
        """Their numbers, in no order."""
        return self._orders.keys()

    def show(self, observation: Observation) -> None:
        """Put a trial in place of what was shown of it."""
        self.hide(observation.number)
        standing = self._standings.of(observation)
        if standing is None and observation.state not in (TrialState.PENDING, TrialState.RUNNING):
            return
        filling = None if self._view.filling is None else self._view.filling(observation.number)
        inner = self._axes.inward(observation.parameters, filling)
        if inner is None:
            return
        result = self._result(observation, standing)
        if result is not None:
            distributions = {name: self._axes.distributions[name] for name in inner}
            trial = frozen_trial(observation.number, params=inner, distributions=distributions, **result)
            self._trials[observation.number] = trial
            if standing is not None and trial.state.is_finished():
                self._orders[observation.number] = [standing.order(i) for i in range(len(standing.losses))]

    def hide(self, number: TrialNumber) -> None:
        """Show nothing of a trial."""
        self._trials.pop(number, None)
        self._orders.pop(number, None)
        self._listed = None

    def get(self, number: TrialNumber) -> FrozenTrial | None:
        """What is shown of a trial; None if nothing is."""
        return self._trials.get(number)

    def _result(self, observation: Observation, standing: Standing | None) -> dict[str, Any] | None:
        """What Optuna is to see of a trial besides its configuration; None if it is not to see it."""
        partial = self._view.partial
        running = observation.state in (TrialState.PENDING, TrialState.RUNNING)
        if standing is None or (standing.lacking and partial is Partial.HIDDEN):
            return {"state": OptunaState.RUNNING} if running else None
        limits = list(standing.excess)
        if partial is Partial.LACKING and self._standings.rungs > 1:
            limits.append(float(standing.lacking))
        result: dict[str, Any] = {"system_attrs": {"constraints": limits} if limits else {}}
        if standing.lacking and partial is Partial.PRUNED:
            steps = {len(observation.scores): standing.losses[0]}
            return result | {"state": OptunaState.PRUNED, "intermediate_values": steps}
        return result | {"state": OptunaState.COMPLETE, "values": standing.losses}

    def get_all_trials(
        self,
        study_id: int,  # noqa: ARG002  # there is one study
        deepcopy: bool = True,  # noqa: ARG002  # samplers do not change what they read
        states: Container[OptunaState] | None = None,
    ) -> list[FrozenTrial]:
        """The shown trials in number order, whatever order they were told in."""
        if self._listed is None:
            left_out = self._left_out()
            self._listed = [self._trials[n] for n in sorted(self._trials) if n not in left_out]
        return [trial for trial in self._listed if states is None or trial.state in states]

    def _left_out(self) -> set[TrialNumber]:
        best, recent = self._view.best, self._view.recent
        if recent is None or len(self._orders) <= best + recent:
            return set()
        kept: set[TrialNumber] = set()
        for objective in range(self._objectives):
            ranks = ((orders[objective], number) for number, orders in self._orders.items())
            kept.update(number for _, number in heapq.nsmallest(best // self._objectives, ranks))
        return set(sorted(self._orders.keys() - kept)[:-recent])

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Samplers leave notes for other processes here; the suggestion itself tells them all."""


def frozen_trial(number: int, state: OptunaState, **known: Any) -> FrozenTrial:
    """A trial in Optuna's form, with nothing in it but what is given."""
    blank: dict[str, Any] = {"params": {}, "distributions": {}, "intermediate_values": {}, "system_attrs": {}}
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        user_attrs={},
        **blank | known,
    )
