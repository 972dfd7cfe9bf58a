"""Genetic search for several objectives, from Optuna.

Deb, Pratap, Agarwal and Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions on
Evolutionary Computation, 2002; Deb and Jain, "An Evolutionary Many-Objective Optimization Algorithm Using
Reference-Point-Based Nondominated Sorting", 2014.
"""

import warnings
from collections.abc import Sequence

import optuna
from optuna.samplers import NSGAIIISampler, NSGAIISampler
from optuna.samplers.nsgaii import PolynomialMutation
from optuna.study import Study
from optuna.trial import FrozenTrial

from searchd.domain.search import Algorithm
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Observation
from searchd.searchers.chance import seed_of, uniforms
from searchd.searchers.generations import Generations
from searchd.searchers.optuna import ModelSearcher, Propose
from searchd.searchers.optuna_trials import Partial, View

POPULATION = 20
"""Results that make a generation, and parents of the next. Smaller than is usual where evaluations cost nothing."""

MUTATION = 5.0
"""How near mutated numbers are to their parent's, the higher the nearer: the distribution index of Deb's polynomial."""

PARENTS = 2
"""Fewest that can have children."""

RECENT = 500
"""Parents are chosen from the ones before them and at most this many of the latest results."""


class EvolutionSearcher(ModelSearcher):
    """NSGA-II or NSGA-III. The first generation covers the space evenly; the others are children of the best so far.

    A generation ends when enough of its trials have a result; the others may become parents whenever they have one. So
    may trials that somebody else proposed, and if there are enough of these at the start, they are the first
    generation. One that completed lower rungs only counts as breaking a limit by the rungs that it lacks. A parameter
    that does not exist in a trial has a random value for its children.
    """

    def __init__(self, spec: StudySpec) -> None:
        count = len(spec.space.parameters)
        super().__init__(spec, View(Partial.LACKING, lambda number: uniforms(spec.seed, number, count)))
        self._many = spec.search.algorithm is Algorithm.NSGA3
        self._generations = Generations()

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        super().tell(observations)
        for observation in observations:
            self._generations.read(observation.number, observation.note)

    def _proposals(self, number: TrialNumber) -> Propose:
        self._advance(number)
        if len(self._parents) < PARENTS:
            return self._covering(number)
        return self._sampled(number, self._axes.free)

    def _sampler(self, seed: int) -> "_Nsga2 | _Nsga3":
        with warnings.catch_warnings():
            # NSGA-III and polynomial mutation are marked experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return (_Nsga3 if self._many else _Nsga2)(seed, self._candidates(), self._parents)

    def _note(self, number: TrialNumber) -> str:
        return self._generations.note(number, self._generations.newest)

    def _advance(self, number: TrialNumber) -> None:
        """Begin the next generation for trial ``number`` if the newest one is full."""
        newest = self._generations.newest
        if newest not in self._generations.parents:
            self._generations.begin(newest, ())
        results = set(self._shown.with_results)
        if len(results & self._generations.members[newest] if newest else results) >= POPULATION:
            chosen = self._sampler(seed_of(self._seed, number)).select_parent(self._study(), newest + 1)
            self._generations.begin(newest + 1, [TrialNumber(trial.number) for trial in chosen])

    @property
    def _parents(self) -> list[FrozenTrial]:
        """The newest generation's parents, as they stand now."""
        parents = map(self._shown.get, self._generations.parents[self._generations.newest])
        return [trial for trial in parents if trial is not None and trial.state.is_finished()]

    def _candidates(self) -> list[FrozenTrial]:
        """The latest results besides the parents, in order."""
        parents = self._generations.parents[self._generations.newest]
        others = sorted(set(self._shown.with_results).difference(parents))
        return [trial for trial in map(self._shown.get, others[-RECENT:]) if trial is not None]


class _Family:
    """Tells Optuna's genetic samplers which trials they breed from, which they would note in their storage."""

    def __init__(self, seed: int, candidates: list[FrozenTrial], parents: list[FrozenTrial]) -> None:
        mutation = PolynomialMutation(MUTATION)
        super().__init__(population_size=POPULATION, mutation=mutation, seed=seed)  # type: ignore[call-arg]
        self._candidates = candidates
        self._bred_from = parents

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:  # noqa: ARG002
        """Optuna's first generation has no parents, so any other."""
        return 1

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:  # noqa: ARG002
        """Those that may become parents."""
        return self._candidates

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:  # noqa: ARG002
        """The newest generation's parents."""
        return self._bred_from


class _Nsga2(_Family, NSGAIISampler):
    """NSGA-II of our generations."""


class _Nsga3(_Family, NSGAIIISampler):
    """NSGA-III of our generations."""
