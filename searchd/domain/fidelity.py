"""Fidelity and the ladder: how thoroughly trials are evaluated, and in which steps."""

import itertools
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fidelity:
    """A rung of the ladder: the first ``folds`` fold runs, each trained to ``epochs`` (both at least 1)."""

    folds: int
    epochs: int


Ladder = tuple[Fidelity, ...]


def derived_ladder(folds: int, epochs: int, eta: int, min_epochs: int, trials: int) -> Ladder:
    """The ladder for a study that gives none: epochs on one fold first, then all folds.

    Going down from the top (folds, epochs), epochs are divided by ``eta`` until ``min_epochs``. There are at most
    ``floor(log_eta(trials))`` promotions, so that a promotion scheduler that keeps 1 in eta still has somebody at the
    top (successive halving's arithmetic: Li et al., "A System for Massively Parallel Hyperparameter Tuning",
    MLSys 2020).

    Args:
        folds: Fold runs of a full evaluation (folds x repeats), at least 1.
        epochs: Epochs of a full evaluation, at least 1.
        eta: Reduction factor, at least 2.
        min_epochs: Fewest epochs of the lowest rung, at least 1.
        trials: Trials the study will start, at least 1.

    Returns:
        Rungs from the lowest to the top, strictly increasing; one rung if trials are too few to promote any.
    """
    promotions = 0
    while eta ** (promotions + 1) <= trials:
        promotions += 1
    rungs = [Fidelity(folds, epochs)]
    if folds > 1 and len(rungs) <= promotions:
        rungs.append(Fidelity(1, epochs))
    while len(rungs) <= promotions and rungs[-1].epochs // eta >= min_epochs:
        rungs.append(Fidelity(1, math.ceil(rungs[-1].epochs / eta)))
    return tuple(reversed(rungs))


def spaced_ladder(folds: int, epochs: int, min_epochs: int, rungs: int = 20) -> Ladder:
    """The ladder of the median rule: equally spaced in epochs on one fold, then all folds.

    Args:
        folds: Fold runs of a full evaluation (folds x repeats), at least 1.
        epochs: Epochs of a full evaluation, at least 1.
        min_epochs: Fewest epochs of the lowest rung, at least 1.
        rungs: Most rungs on one fold, at least 1.

    Returns:
        Rungs from the lowest to the top, strictly increasing.
    """
    spaced = range(epochs, min(min_epochs, epochs) - 1, -math.ceil(epochs / rungs))
    top = (Fidelity(folds, epochs),) if folds > 1 else ()
    return (*(Fidelity(1, at) for at in reversed(spaced)), *top)


def population_ladder(folds: int, epochs: int, min_epochs: int, most: int = 20) -> Ladder:
    """The ladder of a population: all folds at every rung, equally spaced in epochs, as a member may be replaced often.

    Args:
        folds: Fold runs of a full evaluation (folds x repeats), at least 1.
        epochs: Epochs of a full evaluation, at least 1.
        min_epochs: Fewest epochs of the lowest rung and between two rungs, at least 1.
        most: Most rungs, at least 1; they are further apart if need be.

    Returns:
        Rungs from the lowest to the top, strictly increasing.
    """
    spacing = max(min_epochs, math.ceil(epochs / most))
    return tuple(Fidelity(folds, at) for at in reversed(range(epochs, min(min_epochs, epochs) - 1, -spacing)))


def is_ladder(rungs: Ladder) -> bool:
    """Whether each rung needs at least as much as the one below in both dimensions, and more in one."""
    return bool(rungs) and all(
        low.folds <= high.folds and low.epochs <= high.epochs and low != high for low, high in itertools.pairwise(rungs)
    )
