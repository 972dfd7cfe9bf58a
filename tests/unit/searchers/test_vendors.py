"""Which of Ray Tune's searchers a study may name."""

import pytest

from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Float, Parameter, SearchSpace
from searchd.searchers import vendors
from searchd.searchers.vendors import RAY_SEARCHERS, search_violations

NUMBERS = SearchSpace((Parameter("lr", Float(0.0, 1.0)), Parameter("depth", Choice((3,)))))
CHOICES = SearchSpace((Parameter("lr", Float(0.0, 1.0)), Parameter("kind", Choice(("a", "b")))))


def found(name: str, space: SearchSpace = NUMBERS, algorithm: Algorithm = Algorithm.RAY) -> list[tuple[str, str, str]]:
    """What is wrong with a search that names one of Ray Tune's searchers: paths, messages and remedies."""
    return [(v.path, v.message, v.remedy) for v in search_violations(Search(algorithm, ray=name), space)]


def test_what_is_known_and_installed_is_taken() -> None:
    """Optuna's and hyperopt's searchers go with any space; other algorithms are not looked at."""
    for space in (NUMBERS, CHOICES):
        assert not found("optuna", space)
        assert not found("hyperopt", space)
        for algorithm in set(Algorithm) - {Algorithm.RAY}:
            assert not found("", space, algorithm)


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("hyperopd", "Ray Tune has no searcher 'hyperopd'", "did you mean ray:hyperopt?"),
        ("Optuna", "Ray Tune has no searcher 'Optuna'", "did you mean ray:optuna?"),
        ("", "Ray Tune has no searcher ''", "known after ray: are ax, bayesopt, bohb, hebo, hyperopt, "),
        ("random", "ray:random generates variants and learns nothing", "use search.algorithm random"),
        ("variant_generator", "ray:variant_generator generates variants", "use search.algorithm random or grid"),
        ("zoopt", "ray:zoopt cannot be told of trials that it did not propose", "use search.algorithm"),
    ],
)
def test_other_names_are_refused_with_a_remedy(name: str, message: str, remedy: str) -> None:
    """What is no searcher here is refused with the reason, what nobody knows with the nearest name."""
    ((path, said, helped),) = found(name)
    assert path == "search.algorithm"
    assert said.startswith(message)
    assert helped.startswith(remedy)


@pytest.mark.parametrize("name", sorted(RAY_SEARCHERS))
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a searcher's package is not installed, the remedy says what to install."""
    monkeypatch.setattr(vendors, "find_spec", lambda module: None)
    ((path, message, remedy),) = found(name)
    assert path == "search.algorithm"
    assert message == f"ray:{name} needs a package that the server does not have"
    assert f"pip install {RAY_SEARCHERS[name].package}" in remedy


def test_hyperopt_itself_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both algorithms of hyperopt name the package that they need."""
    monkeypatch.setattr(vendors, "find_spec", lambda module: None)
    for algorithm in (Algorithm.HYPEROPT_TPE, Algorithm.HYPEROPT_ANNEAL):
        ((_, message, remedy),) = found("", algorithm=algorithm)
        assert message.startswith(algorithm.value)
        assert "pip install hyperopt" in remedy


def test_bayesopt_searches_numbers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice between several options is refused by its path; one that leaves no choice is not."""
    monkeypatch.setattr(vendors, "find_spec", lambda module: object())
    assert not found("bayesopt")
    assert [path for path, _, _ in found("bayesopt", CHOICES)] == ["search_space.kind.choice"]


def test_a_name_without_ray_is_a_contradiction() -> None:
    """A request that names a searcher of Ray Tune's beside another algorithm is told to decide."""
    assert found("optuna", algorithm=Algorithm.TPE) == [
        ("search.algorithm", "names Ray Tune's optuna and is tpe", "write ray:optuna, or leave the name out")
    ]


def test_every_name_is_rays() -> None:
    """Ray knows each name that is offered, and whatever else it knows is refused with a reason."""
    from ray.tune.search import SEARCH_ALG_IMPORT

    assert set(RAY_SEARCHERS) <= set(SEARCH_ALG_IMPORT)
    for name in set(SEARCH_ALG_IMPORT) - set(RAY_SEARCHERS):
        assert [path for path, _, _ in found(name)] == ["search.algorithm"]
        assert "Ray Tune has no" not in found(name)[0][1]
