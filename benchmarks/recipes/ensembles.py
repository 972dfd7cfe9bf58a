"""An ensemble of a study's trials against the study's best one, on rows that neither has seen.

On each of four bundled datasets, five times with other rows set aside (30%), a study tries random configurations of the
tabular trainable on 5 folds. Its best is then trained on all rows of the folds and tested. The ensemble trains none of
its members again: it is tested with the mean of what their fold models say, each of which has seen a fifth less. Its
weights are the default ones, greedy selection from out-of-fold predictions. ``loss`` is the ensemble's cross-entropy on
the test rows, or squared error, over that of the best; ``points`` are of accuracy, for diabetes of R2, ensemble less
best. Intervals are 95% bootstrap intervals over the five divisions, which have rows in common, so they flatter.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.ours import Server, server
from benchmarks.report import Aim, Figure, Ratio
from benchmarks.search.confirmation import interval
from searchd.client import StudyHandle
from searchd.domain.trial import Origin

TRIALS, SEEDS = 24, 5
QUICK_TRIALS, QUICK_SEEDS = 4, 1

DATASETS: Mapping[str, tuple[str, str, str]] = {
    "breast_cancer": ("sklearn_classifier", "log_loss", "accuracy"),
    "digits": ("sklearn_classifier", "log_loss", "accuracy"),
    "wine": ("sklearn_classifier", "log_loss", "accuracy"),
    "diabetes": ("sklearn_regressor", "rmse", "r2"),
}
"""By name of the dataset: trainable, objective, and the score of which points are given."""


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """All datasets by all seeds, two fold runs at a time on a local server."""
    trials, seeds = (QUICK_TRIALS, QUICK_SEEDS) if quick else (TRIALS, SEEDS)
    with server("trainables.ensemble") as here:
        played = {name: np.array([pair(here, name, seed, trials) for seed in range(seeds)]) for name in DATASETS}
    return tuple(ratios(played)), tuple(figures(played))


def pair(here: Server, name: str, seed: int, trials: int) -> tuple[float, float]:
    """The ensemble's test loss over the best trial's, and by how many points its score is better."""
    trainable, objective, score = DATASETS[name]
    parent = here.client.create_study(
        study_id=f"{name.replace('_', '-')}-{seed}",
        trainable=trainable,
        dataset={"builtin": name, "test": 0.3},
        objectives={"metric": objective, "goal": "minimize"},
        fixed={"selection": "none", "extraction": "none"},
        search={"algorithm": "random"},
        scheduler={"algorithm": "none"},
        evaluation={"folds": 5, "split_seed": seed},
        budget={"trials": trials},
        seed=seed,
    )
    parent.wait(progress=False)
    child = here.client.create_study(
        study_id=f"{name.replace('_', '-')}-{seed}-ensemble",
        trainable="ensemble",
        parent=parent.name,
        search={"algorithm": "random"},
        budget={"trials": 1},
    )
    child.wait(progress=False)
    best, together = tested(parent), tested(child)
    power = 1 if objective == "log_loss" else 2
    loss = together[objective] ** power / best[objective] ** power
    return loss, 100 * (together[score] - best[score])


def tested(study: StudyHandle) -> Mapping[str, Any]:
    """The metrics on the rows set aside of the trial that was chosen.

    Raises:
        RuntimeError: the study tested none.
    """
    chosen = study.get().progress.confirmed[0].trial
    for trial in study.trials():
        if trial.origin is Origin.TEST and trial.of == chosen:
            return study.measurements(trial.number)[-1].metrics
    raise RuntimeError(f"{study.name} has tested nothing")


def ratios(played: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[Ratio]:
    """The best trial's test loss over the ensemble's, geometric mean over all; more is better."""
    logs = np.concatenate([np.log(found[:, 0]) for found in played.values()])
    yield Ratio("best_single_test_loss", float(np.exp(-logs.mean())), Aim(1.0))


def figures(played: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[Figure]:
    """One row for each dataset."""
    for name, found in played.items():
        for place, column in enumerate(("loss", "points")):
            low, high = interval(found[:, place])
            yield Figure(f"ensemble/{name}/{column}", float(found[:, place].mean()), "")
            yield Figure(f"ensemble/{name}/{column}_low", low, "")
            yield Figure(f"ensemble/{name}/{column}_high", high, "")
