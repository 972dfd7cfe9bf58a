"""Which class searches for which algorithm. Vendors are imported when a study first needs them."""

from searchd.domain.errors import InvalidStudy
from searchd.domain.search import Algorithm
from searchd.domain.study import StudySpec
from searchd.ports.searcher import Searcher
from searchd.searchers.coordinates import Coordinates
from searchd.searchers.grid import GridSearcher
from searchd.searchers.random import RandomSearcher
from searchd.searchers.replayed import ReplayedSearcher
from searchd.searchers.vendors import search_violations


def make_searcher(spec: StudySpec) -> Searcher:
    """A searcher for a study, told nothing yet.

    Raises:
        InvalidStudy: the study names a vendor's algorithm that is not known, not installed, or cannot search its space.
        ValueError: grid search over a space with a continuous parameter.
    """
    match spec.search.algorithm:
        case Algorithm.GRID:
            return GridSearcher(spec.space)
        case Algorithm.RANDOM:
            return RandomSearcher(spec.space, spec.seed)
        case Algorithm.SOBOL:
            from searchd.searchers.sobol import SobolSearcher  # noqa: PLC0415  # SciPy takes a second to import

            return SobolSearcher(spec.space, spec.seed)
        case Algorithm.TPE | Algorithm.BAYESIAN:
            from searchd.searchers.optuna import TpeSearcher  # noqa: PLC0415  # so do Optuna and SciPy

            return TpeSearcher(spec.space, spec.objective.goal, spec.seed)
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
    import searchd.searchers.optuna  # noqa: F401, PLC0415  # for its effect
