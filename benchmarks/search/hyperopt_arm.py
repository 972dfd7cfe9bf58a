"""hyperopt's TPE as its users run it, one proposal at a time as ``fmin`` asks for them."""

import logging
from typing import Any

import numpy as np
from hyperopt import STATUS_OK, Trials, hp, space_eval, tpe
from hyperopt.base import JOB_STATE_DONE, JOB_STATE_RUNNING, Domain
from hyperopt.pyll.base import scope

from benchmarks.search.tasks import Task, Values
from searchd.domain import space as ours
from searchd.domain.space import Choice, Float, Parameter, Parameters, SearchSpace


class HyperoptArm:
    """TPE with its default settings; trials that run are in its list, as parallel users have them there."""

    def __init__(self, task: Task, seed: int) -> None:
        logging.getLogger("hyperopt").setLevel(logging.ERROR)
        self._space = hyperopt_space(task.space)
        self._domain = Domain(_unused, self._space)
        self._trials = Trials()
        self._rng = np.random.default_rng(seed)
        self._asked = 0

    def ask(self) -> Parameters | None:
        """The next trial's configuration; never None."""
        (number,) = self._trials.new_trial_ids(1)
        self._trials.refresh()
        (document,) = tpe.suggest(
            [number], self._domain, self._trials, int(self._rng.integers(2**31 - 1)), verbose=False
        )
        document["state"] = JOB_STATE_RUNNING
        self._trials.insert_trial_docs([document])
        self._trials.refresh()
        point = {name: found[0] for name, found in document["misc"]["vals"].items() if found}
        return flat(space_eval(self._space, point))

    def tell(self, number: int, values: Values) -> None:
        """What a trial measured."""
        document = self._trials._dynamic_trials[number - 1]
        document["state"] = JOB_STATE_DONE
        document["result"] = {"loss": values[0], "status": STATUS_OK}
        self._trials.refresh()


def _unused(chosen: Any) -> float:
    """The function that hyperopt would call; trials are run elsewhere."""
    raise NotImplementedError(f"{chosen} is not for hyperopt to try")


def hyperopt_space(space: SearchSpace) -> dict[str, Any]:
    """The space in hyperopt's words: what depends on a choice is nested in its options.

    A parameter may depend on several options of one choice, and on no more than one choice directly.
    """
    nodes: dict[str, Any] = {}
    for parameter in reversed(space.parameters):
        nodes[parameter.name] = _node(parameter, space, nodes)
    return {p.name: nodes[p.name] for p in space.parameters if not p.when}


def _node(parameter: Parameter, space: SearchSpace, nodes: dict[str, Any]) -> Any:
    name, domain = parameter.name, parameter.domain
    match domain:
        case Choice():
            below = [
                {
                    p.name: nodes[p.name]
                    for p in space.parameters
                    for condition in p.when
                    if condition.parameter == name and option in condition.values
                }
                for option in domain.options
            ]
            branches = [
                {name: option, **nested} if nested else option
                for option, nested in zip(domain.options, below, strict=True)
            ]
            return hp.choice(name, branches)
        case Float():
            if domain.log:
                return hp.loguniform(name, np.log(domain.low), np.log(domain.high))
            return hp.uniform(name, domain.low, domain.high)
        case ours.Integer():
            if domain.log:
                return scope.int(hp.qloguniform(name, np.log(domain.low), np.log(domain.high - 1), 1))
            return hp.uniformint(name, domain.low, domain.high - 1)


def flat(chosen: dict[str, Any]) -> dict[str, Any]:
    """Nested choices as one configuration."""
    found: dict[str, Any] = {}
    for name, value in chosen.items():
        found.update(flat(value) if isinstance(value, dict) and name in value else {name: value})
    return found
