"""What trials that did not reach the top rung would have scored there."""

import pytest

from searchd.domain.fidelity import Fidelity
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation
from searchd.searchers.fidelity import imputed

LADDER = (Fidelity(1, 1), Fidelity(1, 3), Fidelity(5, 3))


def trial(number: int, state: TrialState, *scores: float, seconds: float = 0.0) -> Observation:
    return Observation(TrialNumber(number), {"x": number}, state, scores, seconds=seconds)


def climbed(count: int) -> list[Observation]:
    """Complete trials whose scores halve, plus one, from rung to rung."""
    return [trial(n, TrialState.COMPLETED, 4.0 * n, 2.0 * n + 1, n + 1.5) for n in range(1, count + 1)]


def test_a_line_between_rungs_is_found() -> None:
    """With many trials that climbed on a line, one that did not is placed close to where that line leads."""
    seen = imputed([*climbed(60), trial(99, TrialState.STOPPED, 80.0)], LADDER)
    assert seen[-1].state is TrialState.COMPLETED
    assert len(seen[-1].scores) == 3
    assert seen[-1].scores[0] == 80.0
    assert seen[-1].scores[-1] == pytest.approx(20 + 1.5, rel=0.1)


def test_few_pairs_only_shift() -> None:
    """One trial that climbed tells how far scores move, and differences stay as they were."""
    known = [trial(1, TrialState.COMPLETED, 1.0, 1.5, 3.0)]
    low, high = imputed([*known, trial(2, TrialState.PAUSED, 0.0), trial(3, TrialState.RUNNING, 2.0)], LADDER)[1:]
    assert low.scores[-1] == 2.0
    assert high.scores[-1] == 4.0


def test_without_pairs_scores_stand_as_they_are() -> None:
    """Where nobody has climbed yet, a trial counts by its own last score."""
    assert imputed([trial(1, TrialState.PAUSED, 0.3)], LADDER)[0].scores == (0.3, 0.3, 0.3)


def test_the_order_at_a_rung_is_never_turned_round() -> None:
    """Where better trials at the lower rung did worse above, the others are all expected to score alike."""
    known = [trial(n, TrialState.COMPLETED, 1.0 * n, 10.0 - 3 * n, 10.0 - 3 * n) for n in range(1, 20)]
    low, high = imputed([*known, trial(20, TrialState.STOPPED, 0.0), trial(21, TrialState.STOPPED, 9.0)], LADDER)[-2:]
    assert low.scores[-1] == pytest.approx(high.scores[-1])


def test_time_is_scaled_to_a_whole_evaluation() -> None:
    """A trial of one epoch on one fold that took 2 s is expected to take 30 s for three epochs on five folds."""
    assert imputed([trial(1, TrialState.STOPPED, 0.5, seconds=2.0)], LADDER)[0].seconds == 30.0


def test_what_says_nothing_is_left_alone() -> None:
    """Complete trials, those without a score and those that failed are as they were."""
    untouched = [
        *climbed(3),
        trial(7, TrialState.RUNNING),
        trial(8, TrialState.FAILED, 0.5),
        trial(9, TrialState.CANCELLED, 0.5, 0.6),
    ]
    assert imputed(untouched, LADDER) == untouched


@pytest.mark.parametrize("huge", [1e308, -1e308, 5e-324])
def test_huge_and_equal_scores_stay_finite(huge: float) -> None:
    """The largest and smallest floats, and trials that are all equal, give finite expectations."""
    known = [trial(1, TrialState.COMPLETED, huge, huge, -huge), trial(2, TrialState.COMPLETED, -huge, huge, huge)]
    alike = [trial(n, TrialState.COMPLETED, huge, huge, huge) for n in (3, 4)]
    for others in (known, alike):
        seen = imputed([*others, trial(5, TrialState.STOPPED, huge)], LADDER)[-1]
        assert all(abs(score) < float("inf") for score in seen.scores)
