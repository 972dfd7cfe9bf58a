"""A study in mid-run and its trials, as a server would send them."""

from datetime import UTC, datetime, timedelta

from searchd.domain.card import Card, Form
from searchd.domain.evaluation import Evaluation, Racing, Split
from searchd.domain.failure import Failure
from searchd.domain.fidelity import Fidelity
from searchd.domain.insight import Curve, CurvePoint, Importance
from searchd.domain.leaderboard import BestConfig, Entry, Leaderboard, PairedDifference
from searchd.domain.objective import Goal, Objective
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Best, Budget, Dataset, Progress, Study, StudySpec, StudyState, study_name
from searchd.domain.trial import FoldRun, FoldRunState, Origin, Trial, TrialNumber, TrialState

START = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
NAME = study_name("default", "digits-cnn")
SPACE = SearchSpace(
    (
        Parameter("lr", Float(1e-4, 0.1, log=True)),
        Parameter("channels", Choice((8, 16, 32))),
        Parameter("optimizer", Choice(("sgd", "adam"))),
        Parameter("layers", Integer(1, 4)),
        Parameter("momentum", Float(0.0, 0.99), (Condition("optimizer", ("sgd",)),)),
    )
)
SPEC = StudySpec(
    trainable="torch_cnn",
    objectives=(Objective("accuracy", Goal.MAXIMIZE),),
    space=SPACE,
    dataset=Dataset(builtin="digits"),
    fixed={"dropout": 0.1},
    seed=7,
    evaluation=Evaluation(folds=5, split=Split.STRATIFIED, epochs=27, racing=Racing.FORGIVING),
    budget=Budget(trials=200, slots=8),
    labels={"team": "vision"},
)
PROGRESS = Progress(
    trials={"running": 8, "paused": 20, "completed": 3, "stopped": 5, "failed": 2},
    rungs=(38, 13, 5, 3, 3),
    best=Best(17, 0.9833),
    default_score=0.97,
    busy=8,
    epochs=390,
    full_epochs=1000,
    train_seconds=2400.0,
)


def study(state: StudyState = StudyState.RUNNING, reason: str = "", progress: Progress = PROGRESS) -> Study:
    """The study, 4 min 12 s after its start if it has ended."""
    return Study(
        name=NAME,
        spec=SPEC,
        code="9c1e00000000",
        data="3f2a00000000",
        created_at=START,
        state=state,
        reason=reason,
        started_at=START,
        ended_at=START + timedelta(minutes=4, seconds=12) if state.ended else None,
        progress=progress,
    )


def trial(
    number: int,
    lr: float = 0.0031,
    state: TrialState = TrialState.COMPLETED,
    scores: tuple[float, ...] = (0.95, 0.97, 0.98, 0.981, 0.9833),
    reason: str = "",
    optimizer: str = "adam",
    failure: Failure | None = None,
    retried: tuple[Failure, ...] = (),
) -> Trial:
    """A trial with five fold runs, the first of which was ``retried``."""
    runs = tuple(
        FoldRun(0, fold, FoldRunState.FINISHED, 27, 27, 1, () if fold else retried, ((27, 0.98 + fold / 1000),))
        for fold in range(5)
    )
    return Trial(
        study=NAME,
        number=TrialNumber(number),
        parameters={"lr": lr, "channels": 32, "optimizer": optimizer, "layers": 2},
        origin=Origin.SEARCH,
        created_at=START,
        state=state,
        scores=scores,
        fold_runs=runs,
        reason=reason,
        started_at=START,
        train_seconds=852.0,
        failure=failure,
    )


FIRST = Entry(1, trial(17), 0.98333, 0.0031, None, Fidelity(5, 27), {"accuracy": 0.98333, "loss": 0.06})
SECOND = Entry(
    2,
    trial(29, lr=0.0022),
    0.9812,
    0.0042,
    PairedDifference(-0.0021, -0.005, 0.001, 5),
    Fidelity(5, 27),
    {"accuracy": 0.9812},
)
PARTIAL = Entry(
    0,
    trial(41, lr=0.04, state=TrialState.PAUSED, scores=(0.98, 0.986), optimizer="sgd"),
    0.986,
    None,
    None,
    Fidelity(1, 9),
)
LEADERBOARD = Leaderboard(study(StudyState.SUCCEEDED), (FIRST, SECOND, PARTIAL))
BEST = BestConfig(
    study=study(StudyState.SUCCEEDED),
    best=FIRST,
    parameters={"lr": 0.0031, "channels": 32, "optimizer": "adam", "layers": 2, "dropout": 0.1},
    default=SECOND,
    gain=PairedDifference(0.0133, 0.0041, 0.0225, 5),
    tied=(29,),
    remarks=("lr is near its upper bound: widen it?",),
)
IMPORTANCE = Importance("accuracy", "ped-anova", Fidelity(1, 9), 13, 5 / 13, (("lr", 0.75), ("optimizer", 0.25)))
CURVE = Curve(
    study(StudyState.SUCCEEDED),
    (
        CurvePoint(TrialNumber(1), 0.97, 2, 30, 100.0, timedelta(seconds=20)),
        CurvePoint(TrialNumber(17), 0.9833, 20, 200, 1000.0, timedelta(seconds=125)),
        CurvePoint(TrialNumber(17), 0.9833, 38, 390, 2400.0, timedelta(seconds=252)),
    ),
)
CARD = Card(
    name="torch_cnn",
    description="A convolutional network for images.",
    form=Form.GENERATOR,
    metrics={"accuracy": Goal.MAXIMIZE, "loss": Goal.MINIMIZE},
    space=SPACE,
    default={"lr": 0.001, "channels": 16, "optimizer": "adam", "layers": 2},
    checkpoints=True,
    folds=True,
    code="9c1e00000000",
)
