"""What is said of scores that were measured twice."""

import math
import pickle

import pytest

from searchd.client.reproduction import NotReproducible, Repeated, Reproduction, Verdict


def of(*pairs: tuple[float, float], noise: float | None = 0.01) -> Reproduction:
    runs = tuple(Repeated(0, fold, 3, stored, found, 1) for fold, (stored, found) in enumerate(pairs))
    return Reproduction("projects/default/studies/s", 2, "accuracy", runs, noise, ())


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (of((0.9, 0.9), (0.8, 0.8)), Verdict.SAME),
        (of((math.nan, math.nan)), Verdict.SAME),
        (of((0.9, 0.9 + 1e-9), noise=None), Verdict.WITHIN_NOISE),
        (of((0.9, 0.905), (0.8, 0.81)), Verdict.WITHIN_NOISE),
        (of((0.9, 0.95), (0.8, 0.85)), Verdict.DIFFERENT),
        (of((0.9, 0.901), noise=None), Verdict.DIFFERENT),
        (of((0.9, math.nan)), Verdict.DIFFERENT),
    ],
)
def test_verdicts(found: Reproduction, verdict: Verdict) -> None:
    """The same bit for bit; within rounding or the standard error of the mean; else different, NaN included."""
    assert found.verdict is verdict


def test_as_json() -> None:
    """Every figure is there, and what is no number is null."""
    document = of((0.9, math.nan)).to_dict()
    assert document["verdict"] == "different"
    assert document["found"] is None
    assert document["fold_runs"][0]["stored"] == 0.9


def test_the_error_says_why_and_pickles() -> None:
    """A trial that cannot be trained again is named with the reason."""
    error = NotReproducible(4, "why")
    assert str(error) == "trial 4 cannot be reproduced: why"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
