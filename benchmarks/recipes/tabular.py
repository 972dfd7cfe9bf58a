"""Studies of ``sklearn_classifier`` and ``sklearn_regressor`` that say ``folds: 5``, against scikit-learn's
RandomizedSearchCV and an Optuna study around cross_val_score, which is what OptunaSearchCV does (its package,
optuna-integration, is not used).

The space is that of the trainable, 11 kinds of model with their preprocessing; folds are the same, and so are 25 trials
for all, or, ``equal_fits``, as many trials for searchd as cost it about as many fold fits as the 25 cost the others.
Everything runs on one processor, searchd's study in virtual time with the real service and real fits; seconds are the
processor's, of fits and all else, but without the start of a server and its workers. searchd tries the trainable's
default configuration first, which is a head start that the others do not have; ``default`` is what it scores alone.

Points are of accuracy, for diabetes of R2, on a quarter of the rows that no search sees, after a fit to all others.
Differences are ours less the peer's in pairs of dataset and seed, with 95% bootstrap intervals over the pairs; p is
Wilcoxon's. Pairs of one dataset have rows in common, so both flatter.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.recipes.tabular_arms import Found, optuna_search, randomized, searchd
from benchmarks.recipes.tabular_tasks import DATASETS, DEFAULTS, FOLDS, held_out_score, task
from benchmarks.report import Figure, Ratio
from benchmarks.search.confirmation import interval
from benchmarks.search.processes import processes
from benchmarks.search.statistics import Array, paired_p

TRIALS, SEEDS = 25, 4
QUICK_TRIALS, QUICK_SEEDS = 6, 1

OURS = ("searchd", "searchd_equal_fits")
PEERS = ("RandomizedSearchCV", "Optuna")


@dataclass(frozen=True, slots=True)
class Outcome:
    """All searches on one division of one dataset.

    Attributes:
        dataset: Its name.
        found: What each arm found.
        test: What each arm's choice, and the default configuration, scores on the rows for test, in points.
    """

    dataset: str
    found: Mapping[str, Found]
    test: Mapping[str, float]


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """All datasets by all seeds, side by side."""
    trials, seeds = (QUICK_TRIALS, QUICK_SEEDS) if quick else (TRIALS, SEEDS)
    pairs = [(name, seed) for seed in range(seeds) for name in DATASETS]
    with processes() as pool:
        outcomes = list(
            pool.map(played, [name for name, _ in pairs], [seed for _, seed in pairs], [trials] * len(pairs))
        )
    return tuple(ratios(outcomes)), tuple(figures(outcomes))


def played(name: str, seed: int, trials: int) -> Outcome:
    """Every arm on one division, one after the other."""
    _warm()
    of = task(name, seed)
    first = searchd(of, trials)
    found = {
        "searchd": first,
        "searchd_equal_fits": searchd(of, round(trials * trials * FOLDS / first.fits)),
        "RandomizedSearchCV": randomized(of, trials),
        "Optuna": optuna_search(of, trials),
    }
    test = {arm: held_out_score(of, result.configuration) for arm, result in found.items()}
    return Outcome(name, found, {**test, "default": held_out_score(of, DEFAULTS[of.trainable])})


@cache
def _warm() -> None:
    """What is loaded when it is first needed belongs to nobody's time."""
    small = task("wine", 0)
    for arm in (searchd, randomized, optuna_search):
        arm(small, 3)


def ratios(outcomes: Sequence[Outcome]) -> Iterator[Ratio]:
    """The peer's seconds over ours, geometric means; more is better."""
    for ours in OURS:
        for peer in PEERS:
            logs = [np.log(o.found[peer].seconds / o.found[ours].seconds) for o in outcomes]
            yield Ratio(f"{peer}_seconds_{_budget(ours)}", float(np.exp(np.mean(logs))))


def figures(outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    """Paired differences on the rows for test and over the folds, fits, and a grid of test points."""
    for ours in OURS:
        for peer in PEERS:
            name = f"tabular_test_points_vs_{peer}_{_budget(ours)}"
            yield from _compared(name, np.array([o.test[ours] - o.test[peer] for o in outcomes]))
    for ours in OURS:
        gained = np.array([o.test[ours] - o.test["default"] for o in outcomes])
        yield from _compared(f"tabular_test_points_vs_default_{_budget(ours)}", gained)
    for ours in OURS:
        for peer in PEERS:
            better = [o.found[ours].score - o.found[peer].score for o in outcomes]
            yield Figure(f"tabular_fold_points_vs_{peer}_{_budget(ours)}", float(np.mean(better)), "points")
    for arm in (*OURS, *PEERS):
        yield Figure(f"tabular_fits_{arm}", float(np.mean([o.found[arm].fits for o in outcomes])), "fits")
    for dataset in dict.fromkeys(o.dataset for o in outcomes):
        alike = [o for o in outcomes if o.dataset == dataset]
        for arm in (*OURS, *PEERS, "default"):
            yield Figure(f"tabular test points/{dataset}/{arm}", float(np.mean([o.test[arm] for o in alike])), "points")
    for dataset in dict.fromkeys(o.dataset for o in outcomes):
        alike = [o for o in outcomes if o.dataset == dataset]
        for arm in (*OURS, *PEERS):
            taken = float(np.mean([o.found[arm].seconds for o in alike]))
            yield Figure(f"tabular seconds/{dataset}/{arm}", taken, "s")


def _budget(ours: str) -> str:
    return "equal_fits" if ours.endswith("equal_fits") else "equal_trials"


def _compared(name: str, differences: Array) -> Iterator[Figure]:
    """The mean of paired differences, above 0 where ours is better, with interval, p, and who was better how often."""
    low, high = interval(differences)
    yield Figure(name, float(differences.mean()), "points")
    yield Figure(f"{name}_low", low, "points")
    yield Figure(f"{name}_high", high, "points")
    yield Figure(f"{name}_p", paired_p(differences, np.zeros_like(differences)), "")
    yield Figure(f"{name}_better", float((differences > 0).sum()), "pairs")
    yield Figure(f"{name}_worse", float((differences < 0).sum()), "pairs")
