"""What a study tells beyond its ranking, as the client hands it out: front, importance, curve."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from searchd.client.plain import plain_message
from searchd.client.rows import trial_row
from searchd.client.table import Table
from searchd.client.views import Study, Trial, View, read_objective, read_study, read_trial
from searchd.domain.fidelity import Fidelity
from searchd.domain.objective import Objective
from searchd.v1 import leaderboard_service_pb2


@dataclass(frozen=True, slots=True)
class ParetoTrial(View):
    """A trial of the Pareto front.

    Attributes:
        trial: The trial.
        values: Its mean of each objective at the top rung, by the objective's metric, in their order.
    """

    trial: Trial
    values: dict[str, float]


class ParetoFront(Table[ParetoTrial]):
    """The trials that no other dominates, by number; with one objective the best alone.

    Attributes:
        objectives: What they were compared by.
        hypervolume: The volume between the front and the reference, in the product of the objectives' units; None with
            one objective, without a front, or where it would take too long.
        reference: The worst value of each objective, in their order; empty with one objective.
    """

    def __init__(self, page: Callable[[str], leaderboard_service_pb2.ListParetoTrialsResponse]) -> None:
        """Read the first page.

        Args:
            page: Reads the page of a token.
        """
        first = page("")
        self.objectives = tuple(map(read_objective, first.objectives))
        self.hypervolume = first.hypervolume if first.HasField("hypervolume") else None
        self.reference = tuple(first.reference)
        self._first = first

        def fetch(token: str) -> tuple[list[ParetoTrial], str]:
            response = page(token) if token else first
            return [_member(member, self.objectives) for member in response.trials], response.next_page_token

        super().__init__(fetch, _row)

    def best(self, objective: Objective) -> ParetoTrial:
        """The trial of the front that is best in one objective, of equals the earliest.

        Raises:
            ValueError: the front is empty.
        """
        return max(self, key=lambda member: objective.goal.signed(member.values[objective.metric]))

    def to_dict(self) -> dict[str, object]:
        """The message as JSON values, with the protos' field names and the trials of all pages."""
        plain = plain_message(self._first)
        del plain["next_page_token"]
        return {**plain, "trials": [member.to_dict() for member in self]}


@dataclass(frozen=True, slots=True)
class Importance(View):
    """How much each parameter matters for being among the best trials.

    Attributes:
        metric: The objective that it is about.
        evaluator: How it was evaluated.
        rung: Where the trials were compared: the highest rung that enough of them completed.
        trials: How many of them.
        best_share: Which share of them counts as the best.
        shares: Each parameter's share of the whole, the largest first; they add up to 1, or all are 0.
    """

    metric: str
    evaluator: str
    rung: Fidelity
    trials: int
    best_share: float
    shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """How good the best was at a moment, and what had been done by then; confirmations and tests are not counted.

    Attributes:
        trial: Number of the trial that had improved on all before.
        value: The best score at the top rung, or with several objectives the hypervolume; None where that takes too
            long.
        trials: Trials that had ended.
        fold_epochs: Fold epochs that had been trained.
        train_seconds: Seconds of training in them, summed over fold runs.
        cpu_seconds: The same times the CPUs of a fold run.
        gpu_seconds: The same times its GPUs.
        wall_time: Since the study started.
    """

    trial: int
    value: float | None
    trials: int
    fold_epochs: int
    train_seconds: float
    cpu_seconds: float
    gpu_seconds: float
    wall_time: timedelta


@dataclass(frozen=True, slots=True)
class Curve(View):
    """A study's anytime curve.

    Attributes:
        study: The study.
        points: Where it improved, first to last, then where it stands; empty while it has no trial to show.
        reference: What hypervolumes are measured from; empty with one objective.
    """

    study: Study
    points: tuple[CurvePoint, ...]
    reference: tuple[float, ...]


def _member(message: leaderboard_service_pb2.ParetoTrial, objectives: tuple[Objective, ...]) -> ParetoTrial:
    values = {objective.metric: value for objective, value in zip(objectives, message.values, strict=True)}
    return ParetoTrial(read_trial(message.trial), values, message=message)


def _row(member: ParetoTrial) -> dict[str, object]:
    return {**{f"values.{name}": value for name, value in member.values.items()}, **trial_row(member.trial)}


def read_importance(message: leaderboard_service_pb2.GetImportanceResponse) -> Importance:
    """An importance."""
    return Importance(
        metric=message.metric,
        evaluator=message.evaluator,
        rung=Fidelity(message.rung.folds, message.rung.epochs),
        trials=message.trials,
        best_share=message.best_share,
        shares={found.parameter: found.share for found in message.parameters},
        message=message,
    )


def read_curve(message: leaderboard_service_pb2.GetCurveResponse) -> Curve:
    """A curve."""
    return Curve(
        study=read_study(message.study),
        points=tuple(map(_point, message.points)),
        reference=tuple(message.reference),
        message=message,
    )


def _point(message: leaderboard_service_pb2.CurvePoint) -> CurvePoint:
    return CurvePoint(
        trial=message.trial,
        value=message.value if message.HasField("value") else None,
        trials=message.trials,
        fold_epochs=message.fold_epochs,
        train_seconds=message.train_seconds,
        cpu_seconds=message.cpu_seconds,
        gpu_seconds=message.gpu_seconds,
        wall_time=timedelta(seconds=message.wall_seconds),
    )
