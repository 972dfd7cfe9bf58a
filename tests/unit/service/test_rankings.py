"""Leaderboards and the best configuration, from what is stored."""

import pytest

from searchd.domain.errors import NoCompleteTrial, StudyNotFound
from searchd.domain.evaluation import Evaluation, Score
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.study import Budget, study_name
from searchd.domain.trial import TrialNumber
from searchd.ports.engine import Segment
from searchd.service.leaderboards import Leaderboards
from tests.unit.conductor.simulated import House, reports, score


async def test_leaderboard_ranks_the_top_rung_and_lists_the_rest_as_partial() -> None:
    """Trials at the top rung come first, best first and numbered; partial ones follow by rung, without a rank."""
    house = House()
    name = house.create(evaluation=Evaluation(folds=5, epochs=9), budget=Budget(trials=20))
    house.run()
    board = await Leaderboards(house.store).leaderboard(name, 100)
    ladder = board.study.spec.ladder
    top = [e for e in board.entries if e.rank]
    partial = [e for e in board.entries if not e.rank]
    assert [e.rank for e in board.entries] == [*range(1, len(top) + 1), *([0] * len(partial))]
    assert len(board.entries) == 20
    assert [e.rung for e in top] == [ladder[-1]] * len(top)
    assert [e.mean for e in top] == sorted((e.mean for e in top), reverse=True)
    assert [e.trial.rung for e in partial] == sorted((e.trial.rung for e in partial), reverse=True)
    assert all(e.versus_first is None for e in (top[0], *partial))
    assert all(e.versus_first is not None and e.versus_first.mean <= 0 for e in top[1:])
    assert len((await Leaderboards(house.store).leaderboard(name, 2)).entries) == 2


async def test_metrics_are_means_at_the_rung_of_the_entry() -> None:
    """Every reported metric is averaged over the rung's folds at the rung's epochs, and no further epochs."""

    def two(segment: Segment, epoch: int) -> dict[str, float]:
        return {"accuracy": score(segment.parameters["x"], segment.fold, epoch), "epoch": epoch, "fold": segment.fold}

    house = House(behaviour=reports(two))
    name = house.create(evaluation=Evaluation(folds=5, epochs=9), budget=Budget(trials=20))
    house.run()
    for entry in (await Leaderboards(house.store).leaderboard(name, 100)).entries:
        assert entry.metrics["accuracy"] == pytest.approx(entry.mean)
        assert entry.metrics["epoch"] == entry.rung.epochs
        assert entry.metrics["fold"] == (entry.rung.folds - 1) / 2


async def test_best_configuration_comes_from_the_top_rung_with_its_gain() -> None:
    """The best is the first of the top rung, with all fixed parameters, its gain over the default, and who ties."""
    house = House()
    name = house.create(fixed={"dropout": 0.1}, evaluation=Evaluation(folds=5, epochs=9), budget=Budget(trials=30))
    house.run()
    rankings = Leaderboards(house.store)
    best = await rankings.best(name)
    top = [e for e in (await rankings.leaderboard(name, 100)).entries if e.rank]
    assert best.best.trial.number == top[0].trial.number
    assert best.parameters == {"dropout": 0.1, **best.best.trial.parameters}
    assert best.tied == tuple(e.trial.number for e in top[1:] if e.tied)
    assert best.default is not None
    assert best.default.trial.number == 1
    assert best.gain is not None
    assert best.gain.mean == pytest.approx(best.best.mean - best.default.mean)
    assert best.gain.low < best.gain.mean < best.gain.high


async def test_default_far_down_the_ranking_is_still_compared() -> None:
    """The default configuration is compared with the best however many trials are better."""
    house = House()
    name = house.create(
        default={"x": 1.0},
        scheduler=Scheduler(SchedulerAlgorithm.NONE),
        evaluation=Evaluation(folds=2),
        budget=Budget(trials=130),
    )
    house.run()
    best = await Leaderboards(house.store).best(name)
    assert best.default is not None
    assert best.default.trial.number == TrialNumber(1)
    assert best.gain is not None


async def test_best_is_refused_until_there_is_one() -> None:
    """Without a study, or without a trial at the top rung, there is no best configuration."""
    house = House([])
    name = house.create()
    with pytest.raises(NoCompleteTrial):
        await Leaderboards(house.store).best(name)
    with pytest.raises(StudyNotFound):
        await Leaderboards(house.store).best(study_name("default", "nobody"))


async def test_optimistic_scores_are_remarked() -> None:
    """With score: best the best configuration says that its score is optimistic; alone it has no gain."""
    house = House()
    name = house.create(evaluation=Evaluation(epochs=3, score=Score.BEST), budget=Budget(trials=1))
    house.run()
    best = await Leaderboards(house.store).best(name)
    assert "scores are each fold's best epoch, which is optimistic" in best.remarks
    assert best.gain is None
    assert best.best.standard_error is None
