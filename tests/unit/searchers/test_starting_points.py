"""What a study takes over from earlier ones to begin with."""

from searchd.domain.search import Prior
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, SearchSpace
from searchd.searchers.transfer import POINTS, starting_points

SPACE = SearchSpace(
    (
        Parameter("lr", Float(1e-4, 1.0, log=True)),
        Parameter("depth", Integer(1, 11)),
        Parameter("kind", Choice(("a", "b"))),
        Parameter("rate", Float(0.0, 1.0), (Condition("kind", ("b",)),)),
    )
)


def prior(study: str, lr: float, depth: int = 5, **others: object) -> Prior:
    return Prior(study, 1, {"lr": lr, "depth": depth, "kind": "a", **others}, 1.0)


def test_studies_take_turns() -> None:
    """The best of each study comes before the second best of any."""
    priors = [prior("p", 1e-4), prior("p", 1e-2), prior("q", 0.1), prior("q", 1.0)]
    assert [p["lr"] for p in starting_points(priors, SPACE)] == [1e-4, 0.1, 1e-2, 1.0]


def test_near_ones_are_passed_over() -> None:
    """Of configurations of a study that are close on every parameter's own scale, only the best is taken."""
    near = [prior("p", 1e-2), prior("p", 2e-2), prior("p", 1e-2, depth=6), prior("p", 0.5), prior("p", 1e-2, depth=9)]
    assert [(p["lr"], p["depth"]) for p in starting_points(near, SPACE)] == [(1e-2, 5), (0.5, 5), (1e-2, 9)]


def test_at_most_five() -> None:
    """However many studies there are, no more than half of a search's beginning is taken over."""
    assert len(starting_points([prior(f"s{n}", 1e-3, depth=n) for n in range(1, 10)], SPACE)) == POINTS


def test_incomplete_ones_are_passed_over() -> None:
    """A configuration that leaves an active parameter open, or gives one that is not active, is not tried."""
    priors = [Prior("p", 1, {"lr": 0.1}), prior("p", 0.1, rate=0.5), prior("p", 0.1, kind="b"), prior("p", 0.3)]
    assert [p["lr"] for p in starting_points(priors, SPACE)] == [0.3]


def test_the_same_configuration_is_taken_once() -> None:
    """Two studies with the same best configuration give one point."""
    assert len(starting_points([prior("p", 0.1), prior("q", 0.1)], SPACE)) == 1
