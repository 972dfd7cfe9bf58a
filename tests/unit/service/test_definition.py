"""From a draft to a definition: what is filled in, and everything that is wrong, at once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from searchd.domain.card import Card, Form
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.evaluation import Evaluation, Racing, Split
from searchd.domain.fidelity import Fidelity
from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.parent import Parent
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import Budget, Dataset, Resources, StudySpec
from searchd.ports.catalog import Inspection
from searchd.ports.engine import Node
from searchd.service.definition import Surroundings, define
from searchd.wiring import vendor_violations

CARD = Card(
    name="torch_cnn",
    description="A network.",
    form=Form.GENERATOR,
    metrics={"accuracy": Goal.MAXIMIZE, "loss": Goal.MINIMIZE},
    space=SearchSpace(
        (
            Parameter("lr", Float(1e-4, 1e-1, log=True)),
            Parameter("optimizer", Choice(("sgd", "adam"))),
            Parameter("momentum", Float(0.0, 0.99), when=(Condition("optimizer", ("sgd",)),)),
        )
    ),
    default={"lr": 0.01, "optimizer": "adam", "dropout": 0.1},
    checkpoints=True,
    folds=True,
    code="c0de",
)
FORGETFUL = replace(CARD, name="forgetful", checkpoints=False)
TUNE = Card("tune_fn", "A function.", Form.TUNE_FUNCTION, {}, SearchSpace(), None, False, False, "c0de")
CLASSES = Inspection("da7a", 150, (), classification=True)
NUMBERS = Inspection("da7a", 150, (), classification=False)
NODES = (Node("a", 4, 1), Node("b", 16, 0))
AROUND = Surroundings({c.name: c for c in (CARD, FORGETFUL, TUNE)}, None, NODES)
DRAFT = StudyDraft("torch_cnn")
CLIMBING = Evaluation(folds=5, epochs=9)
PROMOTION = Scheduler(mode=SchedulerMode.PROMOTION)


def _define(draft: StudyDraft, around: Surroundings = AROUND) -> StudySpec:
    return define(draft, (), around)


def _paths(draft: StudyDraft, around: Surroundings = AROUND, found: tuple[Violation, ...] = ()) -> list[str]:
    with pytest.raises(InvalidStudy) as refusal:
        define(draft, found, around)
    assert all(v.message and v.remedy for v in refusal.value.violations)
    return [violation.path for violation in refusal.value.violations]


def test_what_is_unset_comes_from_the_card() -> None:
    """Objective, space and scheduler of an empty draft are the trainable's first metric and space, and no scheduler."""
    spec = _define(DRAFT)
    assert spec.objective == Objective("accuracy", Goal.MAXIMIZE)
    assert spec.space == CARD.space
    assert spec.scheduler.algorithm is SchedulerAlgorithm.NONE


@pytest.mark.parametrize(
    ("evaluation", "card", "algorithm", "mode"),
    [
        (Evaluation(), CARD, SchedulerAlgorithm.NONE, SchedulerMode.PROMOTION),
        (CLIMBING, CARD, SchedulerAlgorithm.ASHA, SchedulerMode.PROMOTION),
        (CLIMBING, FORGETFUL, SchedulerAlgorithm.ASHA, SchedulerMode.STOPPING),
        (Evaluation(folds=5), FORGETFUL, SchedulerAlgorithm.ASHA, SchedulerMode.PROMOTION),
        (Evaluation(epochs=9), FORGETFUL, SchedulerAlgorithm.ASHA, SchedulerMode.STOPPING),
    ],
)
def test_scheduler_that_is_unset_suits_the_ladder_and_the_card(
    evaluation: Evaluation, card: Card, algorithm: SchedulerAlgorithm, mode: SchedulerMode
) -> None:
    """Where there is a ladder ASHA climbs it: by promotion if the trainable can pause or need not, else by stopping."""
    spec = _define(StudyDraft(card.name, evaluation=evaluation))
    assert (spec.scheduler.algorithm, spec.scheduler.mode) == (algorithm, mode)


NOTHING = Scheduler(SchedulerAlgorithm.NONE)
TWO = (Objective("accuracy", Goal.MAXIMIZE), Objective("loss", Goal.MINIMIZE))


@pytest.mark.parametrize(
    ("draft", "racing", "eta"),
    [
        (replace(DRAFT, evaluation=Evaluation(folds=5)), Racing.PAIRED, 4),
        (replace(DRAFT, evaluation=CLIMBING), Racing.PAIRED, 4),
        (replace(DRAFT, evaluation=CLIMBING, scheduler=Scheduler()), Racing.PAIRED, 3),
        (replace(DRAFT, evaluation=CLIMBING, scheduler=NOTHING), Racing.NONE, 3),
        (replace(DRAFT, evaluation=CLIMBING, objectives=TWO, scheduler=Scheduler(metric="loss")), Racing.NONE, 3),
        (replace(DRAFT, evaluation=CLIMBING, racing=Racing.FORGIVING), Racing.FORGIVING, 4),
        (replace(DRAFT, evaluation=CLIMBING, racing=Racing.NONE), Racing.NONE, 4),
        (replace(DRAFT, evaluation=Evaluation(epochs=9)), Racing.NONE, 3),
        (DRAFT, Racing.NONE, 3),
    ],
)
def test_folds_race_unless_told_otherwise(draft: StudyDraft, racing: Racing, eta: int) -> None:
    """One objective over folds that ASHA climbs is raced in pairs, a quarter at a time; what is written stands."""
    spec = _define(draft)
    assert (spec.evaluation.racing, spec.scheduler.eta) == (racing, eta)


@pytest.mark.parametrize("mode", [None, SchedulerMode.STOPPING])
def test_the_median_rule_needs_no_checkpoints(mode: SchedulerMode | None) -> None:
    """It stops trials and pauses none, so any trainable will do; on a ladder whose folds must wait it will not."""
    draft = replace(DRAFT, trainable="forgetful", scheduler=Scheduler(SchedulerAlgorithm.MEDIAN), mode=mode)
    spec = _define(replace(draft, evaluation=CLIMBING))
    assert not spec.scheduler.pauses
    assert len(spec.ladder) == 10
    waiting = replace(CLIMBING, ladder=(Fidelity(2, 3), Fidelity(5, 9)))
    assert _paths(replace(draft, evaluation=waiting)) == ["scheduler.mode"]


@pytest.mark.parametrize(("card", "pauses"), [("torch_cnn", True), ("forgetful", False)])
def test_hyperband_pauses_where_it_can(card: str, pauses: bool) -> None:
    """Trials of a trainable with checkpoints wait at rungs for their promotion, others are stopped there."""
    draft = replace(DRAFT, trainable=card, evaluation=CLIMBING, scheduler=Scheduler(SchedulerAlgorithm.HYPERBAND))
    assert _define(draft).scheduler.pauses is pauses


def test_there_are_no_more_brackets_than_rungs() -> None:
    """A bracket without a rung to begin at is refused; one for each rung is allowed."""
    draft = replace(DRAFT, evaluation=CLIMBING, scheduler=Scheduler(brackets=3))
    assert _define(draft).scheduler.brackets == len(_define(draft).ladder) == 3
    assert _paths(replace(draft, scheduler=Scheduler(brackets=4))) == ["scheduler.brackets"]


@pytest.mark.parametrize(
    ("dataset", "inspection", "split"),
    [
        (None, None, Split.KFOLD),
        (Dataset(builtin="digits"), CLASSES, Split.STRATIFIED),
        (Dataset(builtin="diabetes"), NUMBERS, Split.KFOLD),
        (Dataset(uri="x.csv", groups="patient"), CLASSES, Split.GROUP),
    ],
)
def test_split_that_is_unset_suits_the_data(dataset: Dataset | None, inspection: Inspection, split: Split) -> None:
    """Group labels ask for a group split, classes for a stratified one; a written split stands."""
    around = replace(AROUND, inspection=inspection)
    assert _define(replace(DRAFT, dataset=dataset), around).evaluation.split is split
    assert _define(replace(DRAFT, dataset=dataset, split=Split.TIMESERIES), around).evaluation.split is Split.TIMESERIES


def test_fixed_parameters_leave_the_default_space() -> None:
    """A fixed parameter is no longer searched; what depends on it is searched if its condition holds, else gone."""
    held = _define(replace(DRAFT, fixed={"optimizer": "sgd"}))
    assert [(p.name, p.when) for p in held.space.parameters] == [("lr", ()), ("momentum", ())]
    gone = _define(replace(DRAFT, fixed={"optimizer": "adam", "dropout": 0.2}))
    assert gone.space.names() == ("lr",)


def test_constraints_go_with_either_space() -> None:
    """A study may constrain its own space or the trainable's, with fixed values written out, and mistakes are found."""
    constrained = replace(DRAFT, space=SearchSpace((), ("momentum * lr < most", "lr < 0.05")), fixed={"most": 0.1})
    free = replace(CARD, default=None)
    around = replace(AROUND, cards={"torch_cnn": replace(free, default={"lr": 0.01, "optimizer": "adam", "most": 1})})
    assert _define(constrained, around).space == replace(CARD.space, constraints=("momentum * lr < 0.1", "lr < 0.05"))
    assert _paths(replace(DRAFT, space=SearchSpace((), ("momentun < 1",)))) == ["constraints[0]"]
    assert _paths(replace(DRAFT, space=SearchSpace((), ("lr > 1",)))) == ["constraints"]
    assert _paths(replace(DRAFT, space=SearchSpace(CARD.space.parameters, ("lr > 1",)))) == ["constraints"]


def test_an_unknown_metric_is_found_at_its_constraint() -> None:
    """A limit's place is that among all constraints."""
    limits = (Limit("los", at_most=1), Limit("loss", at_most=1), Limit("accurac", at_least=0))
    draft = replace(DRAFT, limits=limits, limits_at=(1, 2, 5))
    assert _paths(draft) == ["constraints[1].metric", "constraints[5].metric"]


BAD = replace(
    DRAFT,
    objectives=(Objective("acuracy", Goal.MAXIMIZE),),
    space=SearchSpace(
        (
            Parameter("lr", Float(-1.0, 1.0, log=True)),
            Parameter("optimiser", Choice(())),
            Parameter("momentum", Float(0.9, 0.1), when=(Condition("flavour", ("sgd",)),)),
        )
    ),
    fixed={"drop_out": 0.5},
    evaluation=Evaluation(folds=60, epochs=9),
    resources=Resources(cpus=32, gpus=4),
    budget=Budget(trials=-5, wall_time=timedelta(seconds=-1)),
)


def test_everything_wrong_is_reported_at_once() -> None:
    """Mistakes of the reader, the definition, the card, the data and the cluster come together, each once."""
    data = (
        Violation("evaluation.folds", "the smallest class has 3 members", "use at most 3"),
        Violation("dataset.uri", "lies outside the data roots", "move it"),
        Violation("dataset.target", "there is no column 'label'", "use one of y"),
    )
    around = replace(AROUND, inspection=Inspection("", 0, data, classification=False))
    found = (Violation("colour", "there is no such field", "remove it"),)
    assert sorted(_paths(BAD, around, found)) == [
        "budget.trials",
        "budget.wall_time",
        "colour",
        "dataset.target",
        "dataset.uri",
        "evaluation.folds",
        "fixed.drop_out",
        "objectives[0].metric",
        "resources.cpus",
        "resources.gpus",
        "search_space.lr.loguniform",
        "search_space.momentum.uniform",
        "search_space.momentum.when.flavour",
        "search_space.optimiser",
        "search_space.optimiser.choice",
    ]


def test_a_metric_of_some_rows_is_one_that_the_trainable_reports() -> None:
    """What it declares may be asked for of a group of rows, as an objective or a limit; anything else may not."""
    of_a_group = Objective("accuracy[site=west]", Goal.MAXIMIZE)
    assert _define(replace(DRAFT, objectives=(of_a_group,))).objective == of_a_group
    for unknown in ("acc[site=west]", "accuracy[site=west", "[site=west]"):
        assert _paths(replace(DRAFT, objectives=(Objective(unknown, Goal.MAXIMIZE),))) == ["objectives[0].metric"]


def test_promotion_without_checkpoints_is_reported_with_the_rest() -> None:
    """That a trainable cannot pause is told beside other mistakes, even where those touch the ladder."""
    draft = replace(BAD, trainable="forgetful", mode=SchedulerMode.PROMOTION, scheduler=replace(PROMOTION, eta=0))
    paths = _paths(draft)
    assert {"scheduler.mode", "scheduler.eta", "budget.trials"} <= set(paths)
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize(
    ("evaluation", "mode", "allowed"),
    [
        (Evaluation(epochs=9), SchedulerMode.PROMOTION, False),
        (Evaluation(epochs=9), SchedulerMode.STOPPING, True),
        (Evaluation(epochs=2), SchedulerMode.PROMOTION, True),
        (Evaluation(folds=5, epochs=1), SchedulerMode.PROMOTION, True),
        (CLIMBING, SchedulerMode.STOPPING, True),
        (replace(CLIMBING, ladder=(Fidelity(1, 9), Fidelity(5, 9))), SchedulerMode.PROMOTION, True),
        (replace(CLIMBING, ladder=(Fidelity(1, 3), Fidelity(5, 9))), SchedulerMode.PROMOTION, False),
        (replace(CLIMBING, ladder=(Fidelity(1, 3), Fidelity(5, 9))), SchedulerMode.STOPPING, True),
        (replace(CLIMBING, ladder=(Fidelity(1, 3), Fidelity(3, 3), Fidelity(5, 9))), SchedulerMode.STOPPING, False),
    ],
)
def test_trainable_without_checkpoints_is_never_paused(
    evaluation: Evaluation, mode: SchedulerMode, allowed: bool
) -> None:
    """A ladder that makes a fold run wait in mid-training is refused where that would lose it, and only there."""
    draft = StudyDraft("forgetful", evaluation=evaluation, scheduler=Scheduler(mode=mode), mode=mode)
    if allowed:
        assert _define(draft).scheduler.mode is mode
    else:
        assert _paths(draft) == ["scheduler.mode"]
    assert _define(replace(draft, trainable="torch_cnn")).scheduler.mode is mode


def test_unknown_names_get_the_nearest_known_one() -> None:
    """Unknown trainables, parameters and metrics are answered with the nearest name there is."""
    with pytest.raises(InvalidStudy, match="did you mean 'torch_cnn'"):
        _define(StudyDraft("torch_cn"))
    with pytest.raises(InvalidStudy, match="did you mean 'accuracy'"):
        _define(replace(DRAFT, objectives=(Objective("acuracy", Goal.MAXIMIZE),)))
    with pytest.raises(InvalidStudy, match="did you mean 'momentum'"):
        _define(replace(DRAFT, fixed={"momentun": 0.5}))
    assert _paths(StudyDraft("")) == ["trainable"]


def test_unknown_trainable_does_not_hide_the_other_mistakes() -> None:
    """What can be said without the trainable's card is said beside that it is unknown."""
    assert {"trainable", "budget.trials", "resources.gpus"} <= set(_paths(replace(BAD, trainable="nothing_like_it")))


@pytest.mark.parametrize("algorithm", [Algorithm.TPE, Algorithm.SOBOL])
@pytest.mark.parametrize("by_card", [True, False])
def test_grid_values_belong_to_grid_search(algorithm: Algorithm, by_card: bool) -> None:
    """Grid values, written or by default, are refused where they are not enumerated; grid and random take them."""
    space = SearchSpace((Parameter("lr", Choice((0.1, 0.2), grid=True)),))
    around = replace(AROUND, cards={"torch_cnn": replace(CARD, space=space)})
    draft = DRAFT if by_card else replace(DRAFT, space=space)
    assert _paths(replace(draft, search=Search(algorithm)), around) == ["search_space.lr.grid"]
    for enumerating in (Algorithm.GRID, Algorithm.RANDOM):
        assert _define(replace(draft, search=Search(enumerating)), around).space == space


def test_grid_over_an_interval_is_refused_unless_it_is_fixed() -> None:
    """A grid cannot enumerate the default space's interval; fixing that parameter is a remedy."""
    space = SearchSpace((Parameter("lr", Float(0.0, 1.0)), Parameter("n", Choice((1, 2)))))
    around = replace(AROUND, cards={"torch_cnn": replace(CARD, space=space)})
    draft = replace(DRAFT, search=Search(Algorithm.GRID))
    assert _paths(draft, around) == ["search_space.lr.uniform"]
    assert _define(replace(draft, fixed={"lr": 0.5}), around).space.names() == ("n",)


def test_a_trainable_that_builds_on_another_study_needs_one() -> None:
    """Without a parent a study of such a trainable is refused; with one it is not."""
    around = replace(AROUND, cards={"torch_cnn": replace(CARD, parent=True)})
    assert _paths(DRAFT, around) == ["parent"]
    assert _define(replace(DRAFT, parent=Parent("old")), around).parent == Parent("old")


STEEP = replace(CARD, metrics={"loss": Goal.MINIMIZE, "accuracy": Goal.MAXIMIZE}, gradients=("loss",))
CLIMBED = Search(Algorithm.GRADIENT)
LOSS = Objective("loss", Goal.MINIMIZE)
COUNT = SearchSpace((Parameter("lr", Float(0.0, 1.0, step=0.1)), Parameter("optimizer", Choice(("sgd", "adam")))))


def test_a_search_by_gradients_keeps_those_of_the_continuous_parameters() -> None:
    """With a trainable that declares them, the study keeps the derivatives of its objective; one beside the other."""
    spec = _define(replace(DRAFT, search=CLIMBED), replace(AROUND, cards={"torch_cnn": STEEP}))
    assert spec.others == ("d loss/d lr", "d loss/d momentum")


@pytest.mark.parametrize(
    ("change", "card", "paths"),
    [
        ({}, CARD, ["search.algorithm"]),
        ({"objectives": (Objective("accuracy", Goal.MAXIMIZE),)}, STEEP, ["objectives[0].metric"]),
        ({"space": COUNT}, STEEP, ["search_space"]),
        ({"fixed": {"lr": 0.1, "momentum": 0.9}}, STEEP, ["search_space"]),
        ({"limits": (Limit("accuracy", at_least=0.9),)}, STEEP, ["constraints"]),
        ({"space": replace(CARD.space, constraints=("momentum <= lr",))}, STEEP, ["constraints"]),
    ],
)
def test_what_a_search_by_gradients_cannot_follow_is_refused(
    change: dict[str, Any], card: Card, paths: list[str]
) -> None:
    """No gradients, none of the objective, no continuous parameter or constraints: each is named, with a remedy."""
    around = replace(AROUND, cards={"torch_cnn": card})
    assert _paths(replace(DRAFT, search=CLIMBED, **change), around) == paths


def test_a_search_by_gradients_follows_one_objective() -> None:
    """Two objectives are refused."""
    objectives = (LOSS, Objective("accuracy", Goal.MAXIMIZE))
    around = replace(AROUND, cards={"torch_cnn": STEEP})
    assert "search.algorithm" in _paths(replace(DRAFT, search=CLIMBED, objectives=objectives), around)


def test_ray_tune_forms_take_any_names() -> None:
    """A trainable that declares nothing takes any parameter and metric, but needs them written, and has no folds."""
    space = SearchSpace((Parameter("width", Integer(1, 9)),))
    spec = _define(StudyDraft("tune_fn", objectives=(Objective("anything", Goal.MINIMIZE),), space=space))
    assert spec.space == space
    assert sorted(_paths(StudyDraft("tune_fn", evaluation=Evaluation(folds=5)))) == [
        "evaluation.folds",
        "objectives",
        "search_space",
    ]


@pytest.mark.parametrize(
    ("resources", "paths"),
    [
        (Resources(cpus=16), []),
        (Resources(cpus=17), ["resources.cpus"]),
        (Resources(cpus=1, gpus=0.5), []),
        (Resources(cpus=1, gpus=2), ["resources.gpus"]),
        (Resources(cpus=20, gpus=2), ["resources.gpus", "resources.cpus"]),
    ],
)
def test_resources_must_fit_a_node(resources: Resources, paths: list[str]) -> None:
    """What no single node has is refused; before the cluster is known nothing is."""
    draft = replace(DRAFT, resources=resources)
    if paths:
        assert _paths(draft) == paths
    else:
        assert _define(draft).resources == resources
    assert _define(draft, replace(AROUND, nodes=())).resources == resources


def test_what_vendors_are_named_is_checked_where_they_are_known() -> None:
    """A definition that names Ray Tune's algorithms wrongly is told so at once, for the space that will be searched."""
    around = replace(AROUND, vendors=vendor_violations)
    scheduler = Scheduler(SchedulerAlgorithm.RAY, ray="pbt")
    draft = replace(DRAFT, search=Search(Algorithm.RAY, ray="hyperopd"), scheduler=scheduler, evaluation=CLIMBING)
    assert sorted(_paths(draft, around)) == ["scheduler.algorithm", "search.algorithm"]
    unknown = replace(draft, trainable="nothing_like_it")
    assert {"trainable", "search.algorithm"} <= set(_paths(unknown, around))
    numbers = replace(DRAFT, search=Search(Algorithm.RAY, ray="bayesopt"))
    assert "search_space.optimizer.choice" in _paths(numbers, around)


def test_schedulers_of_ray_tune_stop() -> None:
    """They get the mode that needs no checkpoints, whatever the trainable can do; promotion is refused."""
    around = replace(AROUND, vendors=vendor_violations)
    draft = replace(DRAFT, scheduler=Scheduler(SchedulerAlgorithm.RAY, ray="asha"), evaluation=Evaluation(epochs=9))
    assert _define(draft, around).scheduler.mode is SchedulerMode.STOPPING
    assert _define(replace(draft, trainable="forgetful"), around).scheduler.mode is SchedulerMode.STOPPING
    assert _paths(replace(draft, mode=SchedulerMode.PROMOTION), around) == ["scheduler.mode"]
    assert _define(replace(draft, evaluation=Evaluation()), around).scheduler.ray == ""


def test_a_population_is_defined() -> None:
    """Its rungs have all folds; and what it cannot be is told at each field."""
    population = Scheduler(SchedulerAlgorithm.POPULATION)
    spec = _define(replace(DRAFT, scheduler=population, evaluation=CLIMBING))
    assert [rung.folds for rung in spec.ladder] == [5] * 9
    assert spec.evaluation.racing is Racing.NONE
    wrong = replace(DRAFT, trainable="forgetful", scheduler=replace(population, explore=("rate",)))
    assert _paths(wrong) == ["scheduler.algorithm", "scheduler.explore[0]", "evaluation.epochs"]
