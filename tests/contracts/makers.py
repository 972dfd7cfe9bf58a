"""Domain values for tests: sensible as they come, each field open to change by keyword."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from searchd.domain.measurement import Measurement
from searchd.domain.objective import Goal, Objective
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Study, StudyName, StudySpec, StudyState, study_name
from searchd.domain.trial import FoldRun, FoldRunState, Origin, Trial, TrialNumber, TrialState

AT = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
"""When everything made here happened, unless said otherwise."""

STUDY = study_name("default", "digits")
"""The study that trials belong to, unless said otherwise."""

SPACE = SearchSpace(
    (
        Parameter("lr", Float(1e-4, 1e-1, log=True)),
        Parameter("channels", Integer(8, 33, step=8)),
        Parameter("optimizer", Choice(("sgd", "adam"))),
        Parameter("momentum", Float(0.0, 0.99), when=(Condition("optimizer", ("sgd",)),)),
    )
)


def spec(**changes: Any) -> StudySpec:
    """A study definition: maximise accuracy over SPACE."""
    made = StudySpec("torch_cnn", (Objective("accuracy", Goal.MAXIMIZE),), SPACE, search=Search(Algorithm.TPE))
    return replace(made, **changes)


def minimizing(**changes: Any) -> StudySpec:
    """A study definition that minimises loss."""
    return spec(objectives=(Objective("loss", Goal.MINIMIZE),), **changes)


def study(name: StudyName = STUDY, **changes: Any) -> Study:
    """A running study."""
    made = Study(name, spec(), code="c0de00c0de00", data="da7a00da7a00", created_at=AT, state=StudyState.RUNNING)
    return replace(replace(made, started_at=AT), **changes)


def fold_run(fold: int = 0, **changes: Any) -> FoldRun:
    """A fold run that a worker has."""
    return replace(FoldRun(0, fold, state=FoldRunState.HANDED_OUT, target=3, attempt=1), **changes)


def trial(number: int = 1, **changes: Any) -> Trial:
    """A running trial of STUDY with one fold run handed out."""
    parameters = {"lr": 0.01, "channels": 8, "optimizer": "adam"}
    made = Trial(STUDY, TrialNumber(number), parameters, Origin.SEARCH, AT, TrialState.RUNNING, fold_runs=(fold_run(),))
    return replace(replace(made, started_at=AT), **changes)


def measurement(trial: int = 1, **changes: Any) -> Measurement:
    """What a trial's first fold run reported after one epoch."""
    made = Measurement(trial, 0, 0, 1, 1, {"accuracy": 0.9, "loss": 0.25}, seconds=0.5, at=AT)
    return replace(made, **changes)
