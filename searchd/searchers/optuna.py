"""Tree-structured Parzen estimator, from Optuna: it is shown our trials, and samples for one suggestion at a time.

Bergstra, Bardenet, Bengio and Kegl, "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011; multivariate after
Falkner, Klein and Hutter, "BOHB", ICML 2018.
"""

import warnings
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from searchd.domain.objective import Goal
from searchd.domain.space import Choice, Domain, Float, Integer, Parameters, ParameterValue, SearchSpace
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Suggestion
from searchd.searchers.chance import seed_of, uniforms
from searchd.searchers.distinct import Novelty
from searchd.searchers.lattice import Options, steps
from searchd.searchers.sobol import SobolPoints

STARTUP_TRIALS = 10
"""Trials with a result before the model is asked; until then suggestions are points of a Sobol sequence."""

_STUDY = "study"

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it reports each study that it is given


class TpeSearcher:
    """TPE over the study's own trials, conditional parameters in groups, unfinished trials as constant liars.

    A trial that completed is shown as complete; one that completed lower rungs only (paused, stopped, or climbing at
    the moment) as pruned at its last one; one without a result yet as running, which keeps suggestions apart. Failed,
    infeasible and cancelled trials are not learnt from, and neither are configurations outside the space.
    """

    def __init__(self, space: SearchSpace, goal: Goal, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._axes = {p.name: _axis(p.domain) for p in space.parameters}
        self._conditional = any(p.when for p in space.parameters)
        self._points = SobolPoints(len(space.parameters), seed)
        self._novelty = Novelty(space, seed)
        self._shown = _ShownTrials(goal)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        for observation in observations:
            self._novelty.take(observation.number, observation.parameters)
            trial = self._frozen(observation)
            if trial is None:
                self._shown.hide(observation.number)
            else:
                self._shown.show(trial)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``, which counts as pending from now on; None if a discrete space is
        used up."""
        proposal = self._novelty.fresh(number, lambda attempt: self._propose(number, attempt))
        if proposal is None:
            return None
        self.tell([Observation(number, proposal, TrialState.PENDING)])
        return Suggestion(proposal)

    def _propose(self, number: TrialNumber, attempt: int) -> Parameters:
        if self._shown.results < STARTUP_TRIALS:
            count = len(self._space.parameters)
            return self._space.draw(
                uniforms(self._seed, number, count, attempt) if attempt else self._points.point(number)
            )
        sampler = _sampler(seed_of(self._seed, number, attempt), self._conditional)
        # A study remembers what it read from its storage, so each suggestion needs its own.
        study = optuna.load_study(study_name=_STUDY, storage=self._shown, sampler=sampler)
        trial = _frozen_trial(number, OptunaState.RUNNING)
        relative = sampler.sample_relative(study, trial, sampler.infer_relative_search_space(study, trial))
        chosen: dict[str, ParameterValue] = {}
        for parameter in self._space.active(chosen):
            name, axis = parameter.name, self._axes[parameter.name]
            if axis.distribution.single():
                chosen[name] = parameter.domain.at(0)
            elif name in relative:
                chosen[name] = axis.outward(relative[name])
            else:
                chosen[name] = axis.outward(sampler.sample_independent(study, trial, name, axis.distribution))
        return chosen

    def _frozen(self, observation: Observation) -> FrozenTrial | None:
        """The trial as Optuna is to see it; None if it must not."""
        inner: dict[str, Any] = {}
        for parameter in self._space.active(observation.parameters):
            if parameter.name not in observation.parameters:
                return None
            inner[parameter.name] = self._axes[parameter.name].inward(observation.parameters[parameter.name])
            if inner[parameter.name] is None:
                return None
        result: dict[str, Any] = {}
        match observation.state:
            case TrialState.FAILED | TrialState.INFEASIBLE | TrialState.CANCELLED:
                return None
            case TrialState.COMPLETED:
                state = OptunaState.COMPLETE
                result["value"] = observation.score
            case TrialState.PENDING | TrialState.RUNNING if observation.score is None:
                state = OptunaState.RUNNING
            case TrialState.PENDING | TrialState.RUNNING | TrialState.PAUSED | TrialState.STOPPED:
                state = OptunaState.PRUNED
                if observation.score is not None:
                    result["intermediate_values"] = {len(observation.scores): observation.score}
        distributions = {name: self._axes[name].distribution for name in inner}
        return _frozen_trial(observation.number, state, params=inner, distributions=distributions, **result)


@dataclass(frozen=True, slots=True)
class _Axis:
    """How a parameter looks to Optuna. ``inward`` gives None for a value outside the domain."""

    distribution: BaseDistribution
    inward: Callable[[ParameterValue], Any]
    outward: Callable[[Any], ParameterValue]


def _axis(domain: Domain) -> _Axis:
    match domain:
        case Choice():
            # The options themselves may be lists or objects, which Optuna's categories cannot be.
            options = Options(domain.options)
            return _Axis(CategoricalDistribution(tuple(range(options.count))), options.position, options.value)
        case Integer() | Float():
            return _log_axis(domain) if domain.log else _linear_axis(domain)


def _linear_axis(domain: Integer | Float) -> _Axis:
    of = steps(domain)
    if of is None:
        return _Axis(FloatDistribution(domain.low, domain.high), _within(domain), float)
    return _Axis(IntDistribution(0, of.count - 1), of.position, of.value)


def _log_axis(domain: Integer | Float) -> _Axis:
    of = steps(domain)
    if of is None:
        return _Axis(FloatDistribution(domain.low, domain.high, log=True), _within(domain), float)
    if isinstance(domain, Integer) and domain.step == 1:
        return _Axis(IntDistribution(domain.low, domain.high - 1, log=True), _within(domain), int)
    return _Axis(
        FloatDistribution(of.low, of.top, log=True), _within(domain), lambda inner: of.value(of.nearest(inner))
    )


def _within(domain: Integer | Float) -> Callable[[ParameterValue], Any]:
    return lambda value: value if domain.contains(value) else None


def _sampler(seed: int, conditional: bool) -> TPESampler:
    with warnings.catch_warnings():
        # Grouping is marked experimental; it is the only way in which TPE handles conditions.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=conditional, constant_liar=True
        )


def _frozen_trial(number: TrialNumber, state: OptunaState, **known: Any) -> FrozenTrial:
    blank: dict[str, Any] = {"value": None, "params": {}, "distributions": {}, "intermediate_values": {}}
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        datetime_start=None,
        datetime_complete=None,
        user_attrs={},
        system_attrs={},
        **blank | known,
    )


class _ShownTrials(InMemoryStorage):
    """A storage whose trials are ours: samplers read them here, and nothing that samplers write is kept.

    Attributes:
        results: Trials shown as complete or pruned.
    """

    def __init__(self, goal: Goal) -> None:
        super().__init__()
        direction = StudyDirection.MAXIMIZE if goal is Goal.MAXIMIZE else StudyDirection.MINIMIZE
        self.create_new_study([direction], _STUDY)
        self._by_number: dict[int, FrozenTrial] = {}
        self.results = 0

    def show(self, trial: FrozenTrial) -> None:
        """Put a trial in place of what was shown of it."""
        self.hide(trial.number)
        self._by_number[trial.number] = trial
        self.results += trial.state.is_finished()

    def hide(self, number: int) -> None:
        """Show nothing of a trial."""
        hidden = self._by_number.pop(number, None)
        self.results -= hidden is not None and hidden.state.is_finished()

    def get_all_trials(
        self,
        study_id: int,  # noqa: ARG002  # there is one study
        deepcopy: bool = True,  # noqa: ARG002  # samplers do not change what they read
        states: Container[OptunaState] | None = None,
    ) -> list[FrozenTrial]:
        """The shown trials in number order, whatever order they were told in."""
        trials = (self._by_number[number] for number in sorted(self._by_number))
        return [trial for trial in trials if states is None or trial.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Samplers leave notes for other processes here; the suggestion itself tells them all."""
