"""The search benchmark's runs: arms, slots, and what is counted."""

import math
from itertools import pairwise

import pytest

from benchmarks.search import blackbox, latency
from benchmarks.search.arms import OURS, PEERS, SINGLE, make_arm
from benchmarks.search.blackbox import Size, planned
from benchmarks.search.hyperopt_arm import HyperoptArm
from benchmarks.search.runs import Outcome, Run, Slots, play
from benchmarks.search.suite import suite
from benchmarks.search.tasks import conditional
from searchd.domain.search import Algorithm
from searchd.domain.trial import TrialNumber
from searchd.ports.searcher import Suggested

FAST = [arm for arm in ("searchd_tpe", *PEERS) if "gp" not in arm]


def outcome(run: Run) -> Outcome:
    found = play(run)
    assert found is not None
    return found


@pytest.mark.parametrize("slots", [Slots(), Slots(8, batch=True), Slots(8)], ids=str)
@pytest.mark.parametrize("arm", FAST)
def test_a_run_is_repeated_by_its_seed(arm: str, slots: Slots) -> None:
    """A run gives a regret for each trial, finite and never below 0, and the same again."""
    run = Run(arm, "ackley_mixed", 1, 20, slots)
    found = outcome(run)
    assert len(found.regrets) == 20
    assert all(math.isfinite(regret) and regret >= 0 for regret in found.regrets)
    assert list(found.regrets) == sorted(found.regrets, reverse=True)
    assert outcome(run) == found


@pytest.mark.parametrize("arm", FAST)
def test_conditions_are_kept_by_every_arm(arm: str) -> None:
    """Every arm proposes just the active parameters of a conditional space, each inside its domain."""
    task = conditional(0)
    search = make_arm(arm, task, 0, 30)
    assert search is not None
    for number in range(1, 31):
        chosen = search.ask()
        assert chosen is not None
        active = list(task.space.active(chosen))
        assert {p.name for p in active} == set(chosen)
        assert all(p.domain.contains(chosen[p.name]) for p in active)
        search.tell(number, task.truth(chosen))


def test_a_used_up_space_keeps_what_was_found() -> None:
    """Ours stops when a small space is used up without a repeat, at its optimum; chance repeats itself."""
    ours, chance = (outcome(Run(arm, "small", 0, 50)) for arm in ("searchd_tpe", "random"))
    assert (ours.regrets[-1], ours.duplicates, len(ours.regrets)) == (0.0, 0, 50)
    assert chance.duplicates > 0


def test_several_objectives_are_judged_by_their_area() -> None:
    """The regret of a front shrinks with every point that widens it, and hyperopt and CMA-ES refuse such a task."""
    found = outcome(Run("random", "zdt1", 0, 20))
    assert 0 < found.regrets[-1] < found.regrets[0]
    assert play(Run("hyperopt_tpe", "zdt1", 0, 20)) is None
    assert play(Run("optuna_cmaes", "zdt1", 0, 20)) is None


def test_noise_is_not_counted_as_success() -> None:
    """On a noisy task the choice goes by what was measured and the regret by the truth, so it may grow."""
    curves = [outcome(Run("random", "hartmann6_noisy", seed, 60)).regrets for seed in range(8)]
    assert any(later > earlier for curve in curves for earlier, later in pairwise(curve))
    assert min(map(min, curves)) >= 0


def test_slots_hide_results_from_chance_and_change_no_draw() -> None:
    """Random search does the same trials whatever the slots; a batch also ends them in the same order."""
    alone, batch, free = (outcome(Run("random", "branin", 2, 16, s)) for s in (Slots(), Slots(8, True), Slots(8)))
    assert alone == batch
    assert alone.regrets[-1] == free.regrets[-1]


def test_an_unknown_arm_is_refused() -> None:
    """A name that is no arm's is an error that says it."""
    with pytest.raises(ValueError, match="nobody"):
        make_arm("nobody", suite(0)["branin"], 0, 5)


def test_hyperopt_knows_what_runs() -> None:
    """Trials may end in another order than they were asked for."""
    task = suite(0)["branin"]
    arm = HyperoptArm(task, 0)
    asked = [arm.ask() for _ in range(3)]
    for number in (3, 1, 2):
        chosen = asked[number - 1]
        assert chosen is not None
        arm.tell(number, task.truth(chosen))
    assert arm.ask() is not None


SMALL = Size(trials=4, seeds=2, slow_seeds=1, single_seeds=1, slots=((Slots(2), 4, 1),))


def test_every_arm_meets_every_task() -> None:
    """Nothing is left out of the plan: each arm has each task, slow arms with fewer seeds."""
    runs = planned(SMALL)
    alone = {(run.arm, run.task) for run in runs if run.slots == Slots()}
    assert alone == {(arm, task) for arm in (OURS, *PEERS, *SINGLE) for task in suite(0)}
    assert sum(run.arm == "random" and run.task == "branin" and run.slots == Slots() for run in runs) == 2
    assert sum(run.arm == "optuna_gp" and run.task == "branin" and run.slots == Slots() for run in runs) == 1
    assert len(runs) == len(set(runs))


def test_the_names_of_the_result_are_stable() -> None:
    """The section reports the ratios and figures that others look for, each once, and what it says is right."""
    outcomes = {run: Outcome((2.0, 1.0 if run.arm == OURS else 2.0), 3) for run in planned(SMALL)}
    ratios, figures = blackbox.reported(outcomes, SMALL)
    assert [ratio.name for ratio in ratios] == [f"searchd/{p}{slots}" for slots in ("", "_async_2") for p in PEERS]
    assert [ratio.value for ratio in ratios] == pytest.approx([4 / 3] * len(ratios))
    found = {figure.name: figure.value for figure in figures}
    assert len(found) == len(figures)
    assert found["anytime_rank_searchd"] == pytest.approx((3.5 + 1) / 2)
    assert found["anytime_rank_best_peer"] == pytest.approx((3.5 + 4) / 2)
    assert (found["wins_optuna_tpe"], found["ties_optuna_tpe"]) == (0, len(suite(0)))
    assert found["area/branin/searchd"] == pytest.approx(0.75)
    assert found["last_regret_ratio_random"] == pytest.approx(2.0)
    assert found["last_regret/branin/searchd_tpe"] == pytest.approx(1.0)
    assert (found["duplicates/small/optuna_gp"], found["async_2/random/losses"]) == (3, 0)


def test_trials_at_which_chance_was_perfect_are_left_out() -> None:
    """A regret is not divided by nothing: trials after every seed of chance has found the optimum do not count."""
    outcomes = {run: Outcome((2.0, 1.0, 0.0 if run.arm == "random" else 0.5), 0) for run in planned(SMALL)}
    found = {figure.name: figure.value for figure in blackbox.reported(outcomes, SMALL)[1]}
    assert found["area/branin/searchd"] == found["area/branin/random"] == 1.0


def test_a_searcher_process_is_asked_and_timed() -> None:
    """The desk of the latency section gets answers from the real process and notes what each call cost."""
    calls = latency.Calls()
    desk = latency.Desk(calls)
    try:
        desk.open(Algorithm.RANDOM, 5, 8)
        answer = desk.asked(TrialNumber(6), 30)
        assert isinstance(answer, Suggested)
        desk.tell(TrialNumber(6), answer.suggestions[0], 1.0)
    finally:
        desk.close()
    assert (len(calls.opening), len(calls.usual)) == (3, 1)


def test_a_searcher_that_cannot_be_made_has_no_latency() -> None:
    """An algorithm that refuses the study is left out instead of being reported."""
    assert latency.asked(Algorithm.GRID, (1, 2), latency.Calls()) == {}
