"""Which class searches for which algorithm. Vendors are imported when a study first needs them."""

from collections.abc import Callable
from importlib.util import find_spec

from searchd.domain.search import Algorithm
from searchd.domain.study import StudySpec
from searchd.ports.searcher import Searcher
from searchd.searchers.grid import GridSearcher
from searchd.searchers.random import RandomSearcher


def standing_still() -> float:
    """A clock by which asking takes no time, for simulation and tests."""
    return 0.0


def make_searcher(spec: StudySpec, seconds: Callable[[], float] = standing_still) -> Searcher:
    """A searcher for a study, told nothing yet.

    Args:
        spec: The study.
        seconds: A steady clock, for searchers that mind how long they take.

    Raises:
        ValueError: grid search over a space with a continuous parameter, or CMA-ES over one with a choice or a
            condition, or for several objectives.
    """
    match spec.search.algorithm:
        case Algorithm.GRID:
            return GridSearcher(spec.space, spec.search.default_first)
        case Algorithm.RANDOM:
            return RandomSearcher(spec.space, spec.seed)
        case Algorithm.SOBOL:
            from searchd.searchers.sobol import SobolSearcher  # noqa: PLC0415  # SciPy takes a second to import

            return SobolSearcher(spec.space, spec.seed)
        case Algorithm.BAYESIAN:
            from searchd.searchers.bayesian import BayesianSearcher  # noqa: PLC0415  # only chooses among the others

            return BayesianSearcher(spec, make_searcher, seconds, find_spec("torch") is not None)
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
        case _:
            raise ValueError(f"{spec.search.algorithm} is not built yet")


def import_vendors() -> None:
    """Import what the model-based searchers need, so that the first study that uses one does not wait for it."""
    import searchd.searchers.tpe  # noqa: F401, PLC0415  # for its effect
