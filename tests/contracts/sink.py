"""What every sink promises: what it was told is shown, each once, whatever came in between."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from searchd.domain.evaluation import Evaluation
from searchd.domain.fidelity import Fidelity
from searchd.domain.measurement import Measurement
from searchd.domain.study import Best, Progress, Study, study_name
from searchd.domain.trial import Trial, TrialNumber, TrialState
from searchd.tracking.sink import History, News, Sink
from tests.contracts.makers import AT, measurement, spec, study, trial

SPEC = spec(
    evaluation=Evaluation(folds=2, epochs=3, ladder=(Fidelity(1, 3), Fidelity(2, 3))),
    labels={"team": "vision"},
    fixed={"width": 8, "betas": [0.9, 0.99]},
    track=("any",),
)

Series = Mapping[int, float]
"""Value by step, each step once."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the vendor's own reader finds of a trial.

    Attributes:
        parameters: As text, by name.
        series: By name, such as ``accuracy`` for the mean and ``fold-0/accuracy``.
        text: Everything else that is said, in one text.
    """

    parameters: Mapping[str, str]
    series: Mapping[str, Series]
    text: str


def measured(number: int = 1, epochs: int = 3, folds: int = 2) -> list[Measurement]:
    """What the folds of a trial reported: tenths of the epoch, plus the fold."""
    return [
        measurement(number, fold=fold, epoch=epoch, metrics={"accuracy": fold + epoch / 10}, at=AT + _after(epoch))
        for fold in range(folds)
        for epoch in range(1, epochs + 1)
    ]


def _after(epoch: int) -> timedelta:
    return timedelta(seconds=epoch)


def complete(number: int = 1) -> Trial:
    """A trial that completed both rungs."""
    done = replace(trial(number), scores=(0.3, 0.8))
    return done.ended(TrialState.COMPLETED, AT + _after(9))


def ended(of: Study) -> Study:
    """The study at its end."""
    return replace(of, progress=Progress({"completed": 1}, best=Best(1, 0.8), train_seconds=4.5)).succeeded(AT, "done")


CURVES = {
    "accuracy": {3: 0.3, 6: 0.8},
    "fold-0/accuracy": {1: 0.1, 2: 0.2, 3: 0.3},
    "fold-1/accuracy": {1: 1.1, 2: 1.2, 3: 1.3},
}


def same(found: Mapping[str, Series], expected: Mapping[str, Series]) -> bool:
    """Whether curves are alike, as exactly as TensorBoard keeps them: in 32 bits."""
    return found.keys() == expected.keys() and all(
        found[name] == pytest.approx(dict(curve), rel=1e-6) for name, curve in expected.items()
    )


class SinkContract(ABC):
    """The promises, one test each; a subclass opens the sink and reads what it showed."""

    @abstractmethod
    def opened(self, study: Study, history: History) -> Sink:
        """A sink of a study."""

    @abstractmethod
    def shown(self, study: Study, number: int) -> Shown:
        """What is shown of a trial; fails if a point is there twice."""

    @abstractmethod
    def shown_of_study(self, study: Study) -> tuple[Mapping[str, float], str]:
        """The numbers that are shown of the study itself, and everything else that is said."""

    @pytest.fixture
    def of(self, request: pytest.FixtureRequest) -> Study:
        """A study of the test's own."""
        name = str(request.node.name).removeprefix("test_").replace("_", "-")[:60].strip("-")
        return study(study_name("default", name), spec=SPEC)

    def write(self, of: Study, *news: News, history: Sequence[Measurement] = ()) -> None:
        """Tell one sink from its opening to its end."""

        def reads(number: TrialNumber) -> Sequence[Measurement]:
            return [m for m in history or measured(number) if m.trial == number]

        sink = self.opened(of, reads)
        for item in news:
            sink.write(item)
        assert sink.place
        sink.close()

    def test_what_was_told_is_shown(self, of: Study) -> None:
        """Parameters (fixed ones too), every fold's curve, the mean at each rung, label and state of a trial appear."""
        done = replace(complete(), study=of.name)
        self.write(of, News(of, [replace(trial(), study=of.name)]), News(of, [done], measured()), News(ended(of)))
        shown = self.shown(of, 1)
        expected = {"lr": "0.01", "channels": "8", "optimizer": "adam", "width": "8", "betas": "[0.9, 0.99]"}
        assert {name: text.removesuffix(".0") for name, text in shown.parameters.items()} == expected
        assert same(shown.series, CURVES), shown.series
        assert "completed" in shown.text
        assert "/artifacts/of/1" in shown.text

    def test_the_study_is_shown(self, of: Study) -> None:
        """The study's own entry has its best score, its labels, how it ended and its definition."""
        self.write(of, News(of, [complete()], measured()), News(ended(of)))
        numbers, text = self.shown_of_study(of)
        assert numbers["best"] == pytest.approx(0.8)
        assert numbers["train_seconds"] == pytest.approx(4.5)
        for said in ("vision", "succeeded", "trainable: torch_cnn"):
            assert said in text

    def test_the_same_again_changes_nothing(self, of: Study) -> None:
        """A second sink that is told everything once more, piece by piece, leaves no gap and shows nothing twice."""
        first = [News(of, [trial()]), News(of, [], measured()[:4]), News(of, [complete()], measured()[4:])]
        self.write(of, *first)
        self.write(of, *first, News(ended(of)))
        assert same(self.shown(of, 1).series, CURVES), self.shown(of, 1).series

    def test_going_on_in_the_middle(self, of: Study) -> None:
        """A second sink that goes on before the point at which the first was interrupted completes what it showed."""
        self.write(of, News(of, [trial()]), News(of, [], measured()[:5]))
        self.write(of, News(of, [], measured()[1:5]), News(of, [], measured()[5:]), News(of, [complete()]))
        assert same(self.shown(of, 1).series, CURVES), self.shown(of, 1).series

    def test_an_epoch_that_was_trained_again(self, of: Study) -> None:
        """Of an epoch that was trained again after a failure the newer value stands, and later epochs follow."""
        again = [
            replace(m, attempt=2, metrics={"accuracy": 5.0 + m.epoch}, at=m.at + timedelta(minutes=1))
            for m in measured(folds=1)[1:]
        ]
        before = measured(folds=1)[:2]
        self.write(
            of, News(of, [trial()], before), News(of, [complete()], again), history=[measured(folds=1)[0], *again]
        )
        assert same({"": self.shown(of, 1).series["fold-0/accuracy"]}, {"": {1: 0.1, 2: 7.0, 3: 8.0}})

    def test_numbers_that_are_none(self, of: Study) -> None:
        """Metrics that are not finite, and a trial that failed without any score, break nothing."""
        wild = [measurement(epoch=1, metrics={"accuracy": 0.5, "loss": math.nan, "ratio": math.inf})]
        failed = trial().ended(TrialState.FAILED, AT + _after(1), "it raised\nValueError")
        self.write(of, News(of, [trial()], wild), News(of, [failed]), history=wild)
        shown = self.shown(of, 1)
        assert shown.series["fold-0/accuracy"] == {1: 0.5}
        assert "it raised" in shown.text

    def test_another_study_of_the_same_name(self, of: Study) -> None:
        """A study created after one of its name was deleted is shown apart from that."""
        later = replace(of, created_at=AT + timedelta(days=1))
        self.write(of, News(of, [complete()], measured()))
        self.write(later, News(later, [complete()], measured(epochs=1)), history=measured(epochs=1))
        assert same(self.shown(of, 1).series, CURVES)
        assert self.shown(later, 1).series["fold-0/accuracy"] == pytest.approx({1: 0.1})

    def test_many_trials(self, of: Study) -> None:
        """Each trial has its own curves, in whatever order its folds report."""
        points = [m for pair in zip(measured(2), measured(3), strict=True) for m in pair]
        self.write(of, News(of, [trial(2), trial(3)], points), News(of, [complete(2), complete(3)]))
        for number in (2, 3):
            assert same(self.shown(of, number).series, CURVES)
