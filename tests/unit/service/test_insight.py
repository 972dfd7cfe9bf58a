"""Fronts, importances and curves, from what is stored."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate, pairwise
from typing import Any

import pytest

from searchd.domain.errors import ImportanceUnknown, InvalidArgument, Overloaded, StudyNotFound
from searchd.domain.evaluation import Confirm, Evaluation
from searchd.domain.facts import StudyPut, TrialPut
from searchd.domain.fidelity import Fidelity
from searchd.domain.insight import Sample
from searchd.domain.objective import Goal, Limit, Objective, dominates, signed_values
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.space import Choice, Condition, Float, Parameter, SearchSpace
from searchd.domain.study import Budget, StudyName, study_name
from searchd.domain.trial import Trial, TrialState, objective_values
from searchd.ports.engine import Segment
from searchd.service import curve, insight
from searchd.service.insight import Insight
from searchd.stores.memory import MemoryStore
from tests.unit.conductor.simulated import House, reports, score

NOBODY = study_name("default", "nobody")
ACCURACY = Objective("accuracy", Goal.MAXIMIZE)
SIZE = Objective("size", Goal.MINIMIZE)
FULL = Scheduler(SchedulerAlgorithm.NONE)


def two(segment: Segment, epoch: int) -> dict[str, float]:
    """Accuracy is best at x = 0.3, size at x = 0."""
    x = segment.parameters["x"]
    return {"accuracy": score(x, segment.fold, epoch), "size": 100 * x + segment.fold}


class Asked:
    """Keeps what it is asked, and finds the first parameter three times as important as each other."""

    evaluator = "asked"

    def __init__(self, slow: bool = False) -> None:
        self.samples: Sequence[Sample] = ()
        self.best_share = 0.0
        self.slow = slow
        self.go_on = asyncio.Event()

    async def shares(self, space: SearchSpace, samples: Sequence[Sample], best_share: float) -> Mapping[str, float]:
        self.samples, self.best_share = samples, best_share
        if self.slow:
            await self.go_on.wait()
        return {name: 1.0 if place else 3.0 for place, name in enumerate(space.names())}


class TooSlow(Asked):
    """Never finds out."""

    async def shares(self, space: SearchSpace, samples: Sequence[Sample], best_share: float) -> Mapping[str, float]:
        raise TimeoutError


def several(**changes: Any) -> tuple[House, StudyName]:
    """An ended study of two objectives."""
    house = House(behaviour=reports(two))
    settings: dict[str, Any] = {
        "objectives": (ACCURACY, SIZE),
        "scheduler": FULL,
        "budget": Budget(trials=25),
        **changes,
    }
    name = house.create(**settings)
    house.run()
    return house, name


async def test_the_front_is_read_by_number_with_its_values() -> None:
    """Every trial that no other dominates is there once, in pages, each page with the measure of the whole."""
    house, name = several()
    reader = Insight(house.store, Asked())
    whole = await reader.front(name, 0, 100)
    spec = house.study(name).spec
    values = {t.number: objective_values(spec, t) for t in house.trials(name)}
    signed = {number: signed_values(spec.objectives, value) for number, value in values.items()}
    expected = [n for n in sorted(signed) if not any(dominates(other, signed[n]) for other in signed.values())]
    assert len(expected) > 3
    assert [member.trial.number for member in whole.trials] == expected
    assert all(member.values == values[member.trial.number] for member in whole.trials)
    rest = await reader.front(name, expected[1], 1)
    assert [member.trial.number for member in rest.trials] == expected[2:3]
    assert rest.hypervolume == whole.hypervolume
    worst = tuple(f(v) for f, v in zip((min, max), zip(*values.values(), strict=True), strict=True))
    assert house.study(name).progress.worst == worst


async def test_the_hypervolume_is_measured_from_the_worst_values_seen() -> None:
    """With two objectives it is the area between the front and the corner of the worst values."""
    house, name = several()
    front = await Insight(house.store, Asked()).front(name, 0, 100)
    accuracy, size = front.study.progress.worst
    points = sorted((m.values[1], m.values[0]) for m in front.trials)
    ends = [*(at for at, _ in points[1:]), size]
    area = sum((end - at) * (best - accuracy) for (at, best), end in zip(points, ends, strict=True))
    assert front.hypervolume == pytest.approx(area)


async def test_with_one_objective_the_front_is_the_best_trial() -> None:
    """It has no hypervolume, and is empty before the first trial is through."""
    house = House()
    name = house.create(budget=Budget(trials=5))
    reader = Insight(house.store, Asked())
    assert (await reader.front(name, 0, 10)).trials == ()
    house.run()
    front = await reader.front(name, 0, 10)
    best = house.study(name).progress.best
    assert best is not None
    assert [(member.trial.number, member.values) for member in front.trials] == [(best.trial, (best.score,))]
    assert front.hypervolume is None
    with pytest.raises(StudyNotFound):
        await reader.front(NOBODY, 0, 10)


async def test_importance_is_asked_at_the_highest_rung_that_enough_trials_completed() -> None:
    """Trials that were stopped above it count with their score there, and shares add up to 1, the largest first."""
    house = House()
    name = house.create(evaluation=Evaluation(folds=5, epochs=9), budget=Budget(trials=40))
    house.run()
    asked = Asked()
    found = await Insight(house.store, asked).importance(name, "")
    spec, progress = house.study(name).spec, house.study(name).progress
    assert progress.rungs[-1] < insight.FEWEST
    rung = max(place for place, count in enumerate(progress.rungs) if count >= insight.FEWEST)
    assert (found.metric, found.evaluator, found.rung) == ("accuracy", "asked", spec.ladder[rung])
    assert found.trials == progress.rungs[rung] == len(asked.samples)
    through = [trial for trial in house.trials(name) if trial.rung > rung]
    assert any(trial.state is TrialState.STOPPED for trial in through)
    assert [sample.worth for sample in asked.samples] == [trial.scores[rung] for trial in through]
    assert found.shares == (("x", 1.0),)
    assert found.best_share == asked.best_share == pytest.approx(insight.BEST_TRIALS / found.trials)


async def test_importance_can_be_asked_for_another_objective() -> None:
    """Its mean over the rung's folds counts, with the sign that makes larger better; other metrics are refused."""
    house, name = several(evaluation=Evaluation(folds=3))
    asked = Asked()
    found = await Insight(house.store, asked).importance(name, "size")
    assert found.metric == "size"
    assert [s.worth for s in asked.samples] == pytest.approx([-100 * s.parameters["x"] - 1 for s in asked.samples])
    with pytest.raises(InvalidArgument, match="use accuracy or size"):
        await Insight(house.store, asked).importance(name, "loss")


async def test_of_very_many_trials_an_even_selection_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded however many trials there are, and early ones count as much as late ones."""
    monkeypatch.setattr(insight, "SAMPLES", 20)
    monkeypatch.setattr(insight, "PAGE", 7)
    house, name = several(budget=Budget(trials=45))
    asked = Asked()
    found = await Insight(house.store, asked).importance(name, "")
    assert found.trials == len(asked.samples) == 12
    chosen = [trial.parameters for trial in house.trials(name)][::4]
    assert [sample.parameters for sample in asked.samples] == chosen


@pytest.mark.parametrize(
    ("space", "trials", "reason"),
    [
        (SearchSpace((Parameter("x", Float(0.0, 1.0)),)), 9, "9 trials have completed a rung, and it takes 10"),
        (
            SearchSpace((Parameter("x", Choice((0.25,))), Parameter("y", Float(0, 1)))),
            12,
            "all 12 trials scored the same",
        ),
        (
            SearchSpace(
                (
                    Parameter("x", Choice((0.1, 0.2))),
                    Parameter("y", Float(0, 1), (Condition("x", (0.1,)),)),
                )
            ),
            12,
            "the space has parameters under conditions, y; fix what they depend on",
        ),
        (SearchSpace(), 1, "it searches no parameter"),
    ],
)
async def test_importance_says_why_it_cannot_be_told(space: SearchSpace, trials: int, reason: str) -> None:
    """Too few trials, no difference, conditions, nothing searched: each has its refusal."""
    house = House(behaviour=reports(lambda segment, epoch: {"accuracy": segment.parameters.get("x", 0.5)}))
    name = house.create(default=None, space=space, scheduler=FULL, budget=Budget(trials=trials))
    house.run()
    with pytest.raises(ImportanceUnknown, match=reason):
        await Insight(house.store, Asked()).importance(name, "")


async def test_importance_that_takes_too_long_is_refused() -> None:
    """The caller is told, and the next question is answered."""
    house, name = several()
    with pytest.raises(ImportanceUnknown, match="took too long"):
        await Insight(house.store, TooSlow()).importance(name, "")


async def test_questions_for_importance_wait_in_a_short_line() -> None:
    """One is answered at a time, few wait, more are refused at once; afterwards there is room again."""
    house, name = several()
    asked = Asked(slow=True)
    reader = Insight(house.store, asked)
    waiting = [asyncio.create_task(reader.importance(name, "")) for _ in range(insight.QUESTIONS + 1)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await reader.importance(name, "")
    asked.go_on.set()
    assert len({found.trials for found in await asyncio.gather(*waiting)}) == 1
    await reader.importance(name, "")


async def test_a_curve_tells_where_the_best_improved_and_what_it_took() -> None:
    """At each improvement the counts are those of all reports and ends up to then, whoever they belong to."""
    house = House()
    name = house.create(evaluation=Evaluation(folds=3, epochs=9), budget=Budget(trials=30))
    house.run()
    found = (await Insight(house.store, Asked()).curve(name)).points
    study, trials = house.study(name), house.trials(name)
    ended = sorted(
        (t.ended_at, t.number, t.scores[-1]) for t in trials if t.rung == len(study.spec.ladder) and t.ended_at
    )
    best = list(accumulate((value for _, _, value in ended), max))
    improved = [end for end, before in zip(ended, [-1e9, *best], strict=False) if end[2] > before]
    assert [(point.trial, point.value) for point in found[:-1]] == [(number, value) for _, number, value in improved]
    measurements = house.store.measurements(name, None, None, 100_000)
    for point, (at, _, _) in zip(found, improved, strict=False):
        before = [m for m in measurements if m.at <= at]
        assert point.fold_epochs == len(before)
        assert point.train_seconds == pytest.approx(sum(m.seconds for m in before))
        assert point.trials == sum(t.ended_at is not None and t.ended_at <= at for t in trials)
        assert study.started_at is not None
        assert point.wall_time == at - study.started_at
    assert (found[-1].trial, found[-1].value) == (improved[-1][1], improved[-1][2])
    assert (found[-1].trials, found[-1].fold_epochs) == (30, study.progress.epochs)
    assert found[-1].wall_time > timedelta(0)


async def test_a_curve_of_several_objectives_is_their_hypervolume() -> None:
    """It never falls, ends at that of the front, and has a point for each trial that was on the front when it ended."""
    house, name = several()
    reader = Insight(house.store, Asked())
    points = (await reader.curve(name)).points
    front = await reader.front(name, 0, 100)
    values = [point.value for point in points if point.value is not None]
    assert len(values) == len(points)
    assert all(a <= b + 1e-12 for a, b in pairwise(values))
    assert values[-1] == pytest.approx(front.hypervolume)
    assert {member.trial.number for member in front.trials} <= {point.trial for point in points}


async def test_a_curve_has_few_points_however_often_it_improves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many improvements an even selection is shown, the first and the last among them."""
    house, name = several(budget=Budget(trials=40))
    reader = Insight(house.store, Asked())
    whole = (await reader.curve(name)).points
    monkeypatch.setattr(curve, "POINTS", 4)
    monkeypatch.setattr(curve, "PAGE", 3)
    few = (await reader.curve(name)).points
    assert len(whole) > len(few) == 5
    assert set(few) <= set(whole)
    assert (few[0], few[-2:]) == (whole[0], whole[-2:])


async def test_trials_that_break_limits_are_on_no_curve() -> None:
    """A study without a trial that keeps its limits has an empty curve, and an empty front."""
    house, name = several(limits=(Limit("size", at_most=-1.0),))
    reader = Insight(house.store, Asked())
    assert (await reader.curve(name)).points == ()
    assert (await reader.front(name, 0, 10)).trials == ()
    with pytest.raises(StudyNotFound):
        await reader.curve(NOBODY)


async def test_confirmations_are_not_counted() -> None:
    """What confirming the best took is no part of the search's curve, nor are its scores samples of importance."""
    house = House()
    evaluation = Evaluation(folds=3, confirm=Confirm(top=2, repeats=1, share=1.0))
    name = house.create(evaluation=evaluation, scheduler=FULL, budget=Budget(trials=12))
    house.run()
    repeats = [trial for trial in house.trials(name) if trial.origin.repeats]
    assert repeats
    asked = Asked()
    reader = Insight(house.store, asked)
    last = (await reader.curve(name)).points[-1]
    assert (last.trials, last.fold_epochs) == (12, 36)
    assert (await reader.importance(name, "")).rung == Fidelity(3, 1)
    assert len(asked.samples) == 12


def test_a_trial_that_ended_later_with_a_lower_number_improves_nothing() -> None:
    """The curve goes by when trials ended, not by their numbers."""
    house = House()
    name = house.create(scheduler=FULL, budget=Budget(trials=3))
    house.run()
    store = MemoryStore()
    store.begin_epoch()
    study = house.study(name)
    at = study.created_at
    ended = [(1, 3, 0.5), (2, 1, 0.7), (3, 2, 0.6)]
    trials = [_ended(house.trials(name)[n - 1], at + timedelta(seconds=when), value) for n, when, value in ended]
    store.commit([StudyPut(study), *map(TrialPut, trials)], at)
    assert [point.trial for point in curve.read_curve(store, name).points] == [2, 2]


def _ended(trial: Trial, at: object, value: float) -> Trial:
    return replace(trial, ended_at=at, scores=(value,))  # type: ignore[arg-type]
