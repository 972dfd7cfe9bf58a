"""Which sinks a study may name."""

import importlib.util

import pytest

from searchd.domain.errors import Violation
from searchd.tracking import vendors
from searchd.tracking.vendors import SINKS, track_violations


def test_every_sink_may_be_named() -> None:
    """All sinks together are no mistake, and none is none either."""
    assert list(track_violations(tuple(SINKS))) == []
    assert list(track_violations(())) == []


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("tensorbord", "did you mean tensorboard?"),
        ("MLFlow", "did you mean mlflow?"),
        ("comet", "use tensorboard, mlflow, wandb"),
    ],
)
def test_an_unknown_sink(name: str, remedy: str) -> None:
    """A sink that there is not is refused at its place, with the nearest name that there is."""
    found = list(track_violations(("wandb", name)))
    assert found == [Violation("track[1]", f"{name!r} is no place to track a study in", remedy)]


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink whose package the server lacks is refused, saying what to install there."""
    find = importlib.util.find_spec
    monkeypatch.setattr(vendors, "find_spec", lambda name: None if name == "mlflow" else find(name))
    (violation,) = track_violations(("tensorboard", "mlflow"))
    assert violation.path == "track[1]"
    assert violation.remedy == 'pip install "searchd[tracking]" there'
