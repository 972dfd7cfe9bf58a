"""How configurations are proposed."""

from dataclasses import dataclass, field
from enum import StrEnum

from searchd.domain.space import Parameters


class Algorithm(StrEnum):
    """Who proposes configurations; ``bayesian`` chooses among the others by the study it is given."""

    GRID = "grid"
    RANDOM = "random"
    SOBOL = "sobol"
    BAYESIAN = "bayesian"
    TPE = "tpe"
    GP = "gp"
    CMAES = "cmaes"
    NSGA2 = "nsga2"
    NSGA3 = "nsga3"
    HYPEROPT_TPE = "hyperopt_tpe"
    HYPEROPT_ANNEAL = "hyperopt_anneal"
    GRADIENT = "gradient"
    RAY = "ray"

    @property
    def adaptive(self) -> bool:
        """Whether suggestions depend on how trials turn out, so that the searcher must be told of their results."""
        return self not in (Algorithm.GRID, Algorithm.RANDOM, Algorithm.SOBOL)


@dataclass(frozen=True, slots=True)
class Search:
    """How configurations are proposed.

    Attributes:
        algorithm: Who proposes them.
        default_first: Whether the trainable's default configuration is trial 1.
        ray: Name of a Ray Tune searcher, such as ``hyperopt``, for ``Algorithm.RAY``; else empty.
        cost_aware: Whether improvement per second of training is what is looked for.
    """

    algorithm: Algorithm = Algorithm.BAYESIAN
    default_first: bool = True
    ray: str = ""
    cost_aware: bool = False


@dataclass(frozen=True, slots=True)
class Precedent:
    """A trial of an earlier study, as far as it concerns a new one.

    Attributes:
        parameters: Its configuration in the new study's space.
        score: Its mean score, signed so that larger is better; comparable within its study only.
    """

    parameters: Parameters = field(default_factory=dict)
    score: float = 0.0
