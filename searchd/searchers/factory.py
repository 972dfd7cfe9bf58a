"""Which class searches for which algorithm. Vendors are imported when a study first needs them."""

from collections.abc import Callable
from importlib.util import find_spec

from searchd.domain.errors import InvalidStudy
from searchd.domain.search import Algorithm
from searchd.domain.study import StudySpec
from searchd.ports.searcher import Searcher
from searchd.searchers.coordinates import Coordinates
from searchd.searchers.grid import GridSearcher
from searchd.searchers.random import RandomSearcher
from searchd.searchers.replayed import ReplayedSearcher
from searchd.searchers.vendors import search_violations


def standing_still() -> float:
    """A clock by which asking takes no time, for simulation and tests."""
    return 0.0


def make_searcher(spec: StudySpec, seconds: Callable[[], float] = standing_still) -> Searcher:
    """A searcher for a study, told nothing yet; it tries what the study inherited among its own proposals.

    Args:
        spec: The study.
        seconds: A steady clock, for searchers that mind how long they take.

    Raises:
        InvalidStudy: the study names a vendor's algorithm that is not known, not installed, or cannot search its space.
        ValueError: grid search over a space with a continuous parameter, or CMA-ES over one with a choice or a
            condition, or for several objectives.
    """
    searcher = _searcher(spec, seconds)
    if not spec.inherited:
        return searcher
    from searchd.searchers.inheritance import InheritingSearcher  # noqa: PLC0415  # only for warm starts

    return InheritingSearcher(spec, searcher)


def _searcher(spec: StudySpec, seconds: Callable[[], float] = standing_still) -> Searcher:
    match spec.search.algorithm:
        case Algorithm.GRID:
            return GridSearcher(spec.space)
        case Algorithm.RANDOM:
            return RandomSearcher(spec.space, spec.seed)
        case Algorithm.SOBOL:
            from searchd.searchers.sobol import SobolSearcher  # noqa: PLC0415  # SciPy takes a second to import

            return SobolSearcher(spec.space, spec.seed)
        case Algorithm.BAYESIAN:
            from searchd.searchers.bayesian import BayesianSearcher  # noqa: PLC0415  # only chooses among the others

            return BayesianSearcher(spec, _searcher, seconds, find_spec("torch") is not None)
        case Algorithm.TPE:
            from searchd.searchers.tpe import TpeSearcher  # noqa: PLC0415  # so do Optuna and SciPy

            return TpeSearcher(spec)
        case Algorithm.GP:
            if spec.search.cost_aware:
                from searchd.searchers.cost import CostAwareGpSearcher  # noqa: PLC0415  # Optuna

                return CostAwareGpSearcher(spec)
            from searchd.searchers.gp import GpSearcher  # noqa: PLC0415  # Optuna

            return GpSearcher(spec)
        case Algorithm.CMAES:
            from searchd.searchers.cmaes import CmaesSearcher  # noqa: PLC0415  # NumPy

            return CmaesSearcher(spec)
        case Algorithm.NSGA2 | Algorithm.NSGA3:
            from searchd.searchers.evolution import EvolutionSearcher  # noqa: PLC0415  # Optuna

            return EvolutionSearcher(spec)
        case Algorithm.HYPEROPT_TPE | Algorithm.HYPEROPT_ANNEAL | Algorithm.RAY:
            return _vendors_searcher(spec)
        case Algorithm.GRADIENT:
            from searchd.searchers.gradient import GradientSearcher  # noqa: PLC0415  # SciPy again

            return GradientSearcher(spec)
        case _:
            raise ValueError(f"{spec.search.algorithm} is not built yet")


def _vendors_searcher(spec: StudySpec) -> Searcher:
    violations = tuple(search_violations(spec.search, spec.space))
    if violations:
        raise InvalidStudy(violations)
    coordinates = Coordinates(spec.space)
    goal = spec.objective.goal
    if spec.search.algorithm is Algorithm.RAY:
        from searchd.searchers.ray_tune import RayModel  # noqa: PLC0415  # 2 seconds and 100 MB

        return ReplayedSearcher(
            coordinates, spec.seed, RayModel(spec.search.ray, coordinates.axes, goal, spec.budget.trials)
        )
    from searchd.searchers.hyperopt import HyperoptModel  # noqa: PLC0415  # nearly as long

    return ReplayedSearcher(coordinates, spec.seed, HyperoptModel(spec.search.algorithm, coordinates.axes, goal))


def import_vendors() -> None:
    """Import what the model-based searchers need, so that the first study that uses one does not wait for it."""
    import searchd.searchers.tpe  # noqa: F401, PLC0415  # for its effect
