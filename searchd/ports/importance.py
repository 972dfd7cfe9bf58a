"""Which parameters matter: evaluated away from the server's process, which loads no model library."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from searchd.domain.insight import Sample
from searchd.domain.space import SearchSpace


class Importances(Protocol):
    """Evaluates how much parameters matter."""

    @property
    def evaluator(self) -> str:
        """The method's name."""
        ...

    async def shares(self, space: SearchSpace, samples: Sequence[Sample], best_share: float) -> Mapping[str, float]:
        """How much each parameter matters for being among the best; the same for the same arguments.

        Args:
            space: Its parameters exist under no conditions.
            samples: Configurations with a value for each parameter, at least two.
            best_share: Which share of the samples counts as the best, in (0, 1].

        Returns:
            A number of 0 or more for each parameter of the space.

        Raises:
            TimeoutError: it took too long.
        """
        ...
