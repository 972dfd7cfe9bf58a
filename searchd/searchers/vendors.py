"""Which algorithms of Ray Tune a study may name, and what has to be installed for them. Imports no vendor."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from searchd.domain.errors import Violation
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, SearchSpace, shorthand_name


@dataclass(frozen=True, slots=True)
class Vendor:
    """What an algorithm needs.

    Attributes:
        module: Its package as Python imports it.
        package: What to install.
        numbers_only: Whether it cannot search choices.
    """

    module: str
    package: str
    numbers_only: bool = False


RAY_SEARCHERS: Mapping[str, Vendor] = {
    "ax": Vendor("ax", "ax-platform"),
    "bayesopt": Vendor("bayes_opt", "bayesian-optimization==1.4.3", numbers_only=True),
    "bohb": Vendor("hpbandster", "hpbandster ConfigSpace"),
    "hebo": Vendor("hebo", "HEBO"),
    "hyperopt": Vendor("hyperopt", "hyperopt"),
    "nevergrad": Vendor("nevergrad", "nevergrad"),
    "optuna": Vendor("optuna", "optuna"),
}
"""Ray Tune's searchers by the name under which ``ray.tune.create_searcher`` knows them. Tests run hyperopt's and
Optuna's; the others are driven the same way, as Ray 2.60 has them."""

_REFUSED: Mapping[str, tuple[str, str]] = {
    "random": ("generates variants and learns nothing", "use search.algorithm random"),
    "variant_generator": ("generates variants and learns nothing", "use search.algorithm random or grid"),
    "zoopt": ("cannot be told of trials that it did not propose", "use search.algorithm cmaes"),
}
"""Names that Ray Tune has as well: why they are no searchers here, and what to use."""

_PATH = "search.algorithm"


def search_violations(search: Search, space: SearchSpace) -> Iterator[Violation]:
    """Why a study cannot be searched by the vendor's algorithm that it names; nothing if it can, or names none.

    Args:
        search: How configurations are to be proposed.
        space: What is to be searched.
    """
    if search.algorithm in (Algorithm.HYPEROPT_TPE, Algorithm.HYPEROPT_ANNEAL):
        yield from _missing(search.algorithm.value, RAY_SEARCHERS["hyperopt"])
    if search.algorithm is not Algorithm.RAY:
        if search.ray:
            message = f"names Ray Tune's {search.ray} and is {search.algorithm.value}"
            yield Violation(_PATH, message, f"write ray:{search.ray}, or leave the name out")
        return
    name, vendor = f"ray:{search.ray}", RAY_SEARCHERS.get(search.ray)
    if search.ray in _REFUSED:
        reason, remedy = _REFUSED[search.ray]
        yield Violation(_PATH, f"{name} {reason}", remedy)
    elif vendor is None:
        close = difflib.get_close_matches(search.ray, RAY_SEARCHERS, 1)
        remedy = f"did you mean ray:{close[0]}?" if close else f"known after ray: are {', '.join(RAY_SEARCHERS)}"
        yield Violation(_PATH, f"Ray Tune has no searcher {search.ray!r}", remedy)
    else:
        yield from _missing(name, vendor)
        yield from _unsearchable(name, vendor, space)


def _missing(name: str, vendor: Vendor) -> Iterator[Violation]:
    if find_spec(vendor.module) is None:
        message = f"{name} needs a package that the server does not have"
        yield Violation(_PATH, message, f"pip install {vendor.package} there, or use another algorithm")


def _unsearchable(name: str, vendor: Vendor, space: SearchSpace) -> Iterator[Violation]:
    for parameter in space.parameters:
        if vendor.numbers_only and isinstance(parameter.domain, Choice) and len(parameter.domain.options) > 1:
            path = f"search_space.{parameter.name}.{shorthand_name(parameter.domain)}"
            yield Violation(path, f"{name} searches numbers only", "use another search.algorithm, such as bayesian")
